"""Column names and cell values, alike in all table formats."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from arae_transfer.corpus.sources import nearest
from arae_transfer.corpus.text_files import TextFile
from arae_transfer.errors import AraeError, quoted

NO_SPLIT_COLUMN = ""
# What programs write where there is no value.
MISSING = frozenset({"", "NaN", "nan", "null", "NULL", "<NA>"})
_WHOLE_NUMBER = re.compile(r"([+-]?\d+)\.0+")


@dataclass(frozen=True)
class Columns:
    """Columns to read: by name; by number, from 1; or, in records, by a path such as ``review.body``."""

    text: str
    label: str
    split: str


class Row(NamedTuple):
    """One row of a table.

    Attributes:
        line: The number of the line on which the row begins.
        text: The text as it stands, or None where the row has none.
        label: The class, or None where the row has none.
        split: The split, None where the row has none; ``""`` when the table has no such column.
    """

    line: int
    text: str | None
    label: str | None
    split: str | None


def present(text: str | None) -> str | None:
    """Return a text, or None for a cell that a program left empty."""
    return None if text is None or text.strip() in MISSING else text


def name_of(value: object) -> str | None:
    """Return a label or split as a string, the same in every file format: 1, 1.0 and "1.0" are one class.

    Raises:
        TypeError: It is no string, integer or boolean.
    """
    if isinstance(value, bytes):  # a Parquet string that is no UTF-8
        value = value.decode("utf-8", errors="replace")
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        name = value.strip()
        whole = _WHOLE_NUMBER.fullmatch(name)
        return None if name in MISSING else whole[1] if whole else name
    raise TypeError(type(value).__name__)


def is_number(column: str) -> bool:
    """Return whether a column is given by its number."""
    return column.isascii() and column.isdigit()


def is_name(column: str, names: Sequence[str]) -> bool:
    """Return whether a column has this name; a number is an index, unless the names of all columns are numbers."""
    counted = list(names) == [str(place) for place in range(len(names))]
    return column in names and (counted or not is_number(column))


def place_of(column: str, names: Sequence[str]) -> int | None:
    """Return the index of a column, from 0, by its name or else its number; None if it does not exist."""
    if is_name(column, names):
        return names.index(column)
    if is_number(column) and 1 <= int(column) <= len(names):
        return int(column) - 1
    return None


def missing_column(file: TextFile, column: str, role: str, names: list[str]) -> AraeError:
    """Return the error for a missing column, with the existing columns."""
    shown = ", ".join(names[:20]) + (", …" if len(names) > 20 else "")
    hint = f"set data.{role}_column to one of them{nearest(column, names)}"
    if len(names) == 1:
        for separator, suffix in ((";", "CSV with commas"), ("\t", ".tsv"), (",", ".csv")):
            if separator in names[0]:
                hint = f"the columns seem to be separated by {separator!r}: save the file as {suffix}."
    return AraeError(f"{file.path}: there is no column {column!r}; the columns are: {shown}", hint)


def no_header(file: TextFile, rows: Sequence[Sequence[str]]) -> AraeError:
    """Return the error for a table without a header line, with the likely column numbers."""
    columns = list(zip(*(row for row in rows if len(row) == len(rows[0])), strict=True))
    text = max(range(len(columns)), key=lambda place: sum(map(len, columns[place])))
    label = min((place for place in range(len(columns)) if place != text), key=lambda place: len(set(columns[place])))
    settings = f"--set data.text_column={text + 1} --set data.label_column={label + 1}"
    return AraeError(
        f"{file.path} has no header line: its first row is data", f"name its columns by their numbers: {settings}"
    )


def text_inside(file: TextFile, number: int, column: str, paths: Sequence[str]) -> AraeError:
    """Return the error for a text column that holds objects, with the names of the texts inside them."""
    shown = ", ".join(f"{column}.{path}" for path in paths[:20])
    return AraeError(
        f"{file.path}:{number}: {column!r} is an object, not a string",
        f"choose a text inside it: --set data.text_column={quoted(f'{column}.{paths[0]}')} (it has: {shown})"
        if paths
        else "every text must be a JSON string.",
    )
