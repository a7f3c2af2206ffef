"""Texts in parts, and the record of a text from those of its parts."""

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
    """A part of a text that is rewritten by itself.

    Attributes:
        text: The part.
        after: The blanks or the line end between it and the next one.
    """

    text: str
    after: str


def repair(text: str) -> tuple[str, int]:
    """Replace halves of surrogate pairs, which JSON can spell and UTF-8 cannot, and count them."""
    return _SURROGATE.subn("\N{REPLACEMENT CHARACTER}", text)


def lines_of(text: str) -> list[Unit]:
    """Cut a text at its line ends."""
    lines = text.split("\n")
    units = []
    for line in lines[:-1]:
        body = line.removesuffix("\r")
        units.append(Unit(body, line[len(body) :] + "\n"))
    return [*units, Unit(lines[-1], "")]


def joined(units: Sequence[Unit], records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the record of a text from those of its lines, which stand in ``lines`` where there are several."""
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
    """Return what has become of a line, for counting."""
    return str(record["status"])
