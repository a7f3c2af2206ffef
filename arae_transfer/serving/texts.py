"""Split texts into parts, and combine the parts' records."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from arae_transfer.runtime.records import DECIMALS
from arae_transfer.runtime.rewrite import most_treated

_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Unit:
    """Separately rewritten part of a text.

    Attributes:
        text: The part.
        after: The blanks or the line end between it and the next one.
    """

    text: str
    after: str


def repair(text: str) -> tuple[str, int]:
    """Replace lone surrogates, which JSON can express and UTF-8 cannot, and count them."""
    return _SURROGATE.subn("\N{REPLACEMENT CHARACTER}", text)


def lines_of(text: str) -> list[Unit]:
    """Split a text at its line ends."""
    lines = text.split("\n")
    units = []
    for line in lines[:-1]:
        body = line.removesuffix("\r")
        units.append(Unit(body, line[len(body) :] + "\n"))
    return [*units, Unit(lines[-1], "")]


def joined(units: Sequence[Unit], records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the record of a text from those of its lines; with several, they are in ``lines``."""
    if len(records) == 1:
        return records[0]
    whole: dict[str, Any] = {
        "source": "".join(each.text + each.after for each in units),
        "output": "".join(record["output"] + each.after for each, record in zip(units, records, strict=True)),
        "to": records[0]["to"],
        "status": most_treated(record["status"] for record in records),
    }
    for name, value in records[0].items():
        if isinstance(value, bool):
            whole[name] = any(record[name] for record in records)
        elif isinstance(value, int):
            whole[name] = sum(record[name] for record in records)
    known = [record["keep"] for record in records if "keep" in record]
    if known:
        whole["keep"] = round(math.prod(known), DECIMALS)
    if "from" in records[0]:
        weights: dict[str, int] = {}
        for record in records:
            if record["from"] is not None:
                weights[record["from"]] = weights.get(record["from"], 0) + record["tokens"]
        whole["from"] = max(weights, key=weights.__getitem__, default=None)
    whole["note"] = next((record["note"] for record in records if record["note"]), None)
    whole["lines"] = list(records)
    return whole


def outcome(record: Mapping[str, Any]) -> str:
    """Return the outcome of a line, for counting."""
    return str(record["status"])
