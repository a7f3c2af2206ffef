"""Rows of CSV, TSV, JSON Lines and Parquet files: a text and a label each."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from arae_transfer.corpus.parquet import ParquetTable
from arae_transfer.corpus.report import Reason
from arae_transfer.corpus.sources import TableFormat, nearest
from arae_transfer.corpus.text_files import TextFile
from arae_transfer.errors import AraeError

# A column that is missing in this many objects is missing in the file.
_OBJECTS_BEFORE_A_COLUMN_IS_MISSING = 1000
_LINE_BREAK = re.compile(r"\r\n|\n|\r")


@dataclass(frozen=True)
class Columns:
    """The names of the columns that matter."""

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


NO_SPLIT_COLUMN = ""


def iterate_rows(file: TextFile, table_format: TableFormat, columns: Columns) -> Iterator[Row]:
    """Yield the rows of a table in order.

    Args:
        file: The table.
        table_format: How it is written. CSV has a header, commas and double quotes; TSV has a header and one
            row per line; JSON Lines has one object per line; a Parquet table has columns of strings, and its rows are
            counted from 1 like lines.
        columns: The names of the columns.

    Raises:
        AraeError: A column is missing, or a row is damaged; the message names file and line.
    """
    if columns.text == columns.label:
        raise AraeError(f"text_column and label_column are both {columns.text!r}", "name two different columns.")
    if table_format == "jsonl":
        return _json_rows(file, columns)
    if table_format == "parquet":
        return _parquet_rows(file, columns)
    return _separated_rows(file, columns, table_format)


def clean_text(file: TextFile, row: Row, maximum_characters: int) -> str | None:
    """Return a row's text as one clean line, or None when it is to be skipped; both are counted."""
    text = row.text or ""
    if "\n" in text or "\r" in text:
        stripped = text.strip(" \t\r\n")
        text = _LINE_BREAK.sub(" ", stripped)
        if text != stripped:
            file.tally.note(file.path, Reason.LINE_BREAK, row.line)
    if "\0" in text:
        text = text.replace("\0", "")
        file.tally.note(file.path, Reason.NUL, row.line)
    text = text.strip(" \t")
    if not text or text.isspace():
        file.tally.note(file.path, Reason.EMPTY, row.line)
        return None
    if len(text) > maximum_characters:
        file.tally.note(file.path, Reason.OVERLONG, row.line)
        return None
    return text


def _numbered_lines(file: TextFile) -> Iterator[tuple[int, str]]:
    for block in file.blocks():
        yield from enumerate(file.decode(block), block.first_line)


def _missing_column(file: TextFile, column: str, role: str, names: list[str]) -> AraeError:
    shown = ", ".join(names[:20]) + (", …" if len(names) > 20 else "")
    hint = f"set {role}_column to one of them{nearest(column, names)}"
    if len(names) == 1:
        for separator, suffix in ((";", "CSV with commas"), ("\t", ".tsv"), (",", ".csv")):
            if separator in names[0]:
                hint = f"the columns seem to be separated by {separator!r}: save the file as {suffix}."
    return AraeError(f"{file.path}: there is no column {column!r}; the columns are: {shown}", hint)


def _separated_rows(file: TextFile, columns: Columns, table_format: TableFormat) -> Iterator[Row]:
    rows = _tsv_fields(file) if table_format == "tsv" else csv_fields(file)
    _, header = next(rows, (1, []))
    names = [name.strip() for name in header]
    if not any(names):
        raise AraeError(
            f"{file.path} has no header line",
            f"the first line names the columns, among them {columns.text!r} and {columns.label!r}.",
        )
    for role in ("text", "label", "split"):
        column = getattr(columns, role)
        if names.count(column) > 1:
            raise AraeError(f"{file.path} has the column {column!r} twice", "rename one of them.")
        if role != "split" and column not in names:
            raise _missing_column(file, column, role, names)
    text_at, label_at = names.index(columns.text), names.index(columns.label)
    split_at = names.index(columns.split) if columns.split in names else None
    for line, fields in rows:
        if not any(fields):
            file.tally.note(file.path, Reason.EMPTY, line)
            continue
        if len(fields) != len(names):
            cause = (
                "a text holds a tab or a line break; save the table as CSV."
                if table_format == "tsv"
                else "a text with a comma, a quote or a line break must stand in double quotes."
            )
            raise AraeError(
                f"{file.path}:{line}: the row has {len(fields)} field{'s' if len(fields) != 1 else ''}, "
                f"the header has {len(names)}",
                cause,
            )
        split = NO_SPLIT_COLUMN if split_at is None else fields[split_at].strip() or None
        yield Row(line, fields[text_at], fields[label_at].strip() or None, split)


def csv_fields(file: TextFile) -> Iterator[tuple[int, list[str]]]:
    """Yield the line number on which each record begins, and its fields."""
    consumed: list[int] = []

    def physical_lines() -> Iterator[str]:
        for number, text in _numbered_lines(file):
            consumed.append(number)
            if "\r" in text:  # the csv module would take it for a line end
                text = text.replace("\r", " ")
                file.tally.note(file.path, Reason.LINE_BREAK, number)
            yield text + "\n"

    reader = csv.reader(physical_lines(), strict=True)
    while True:
        consumed.clear()
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise AraeError(
                f"{file.path}:{consumed[0]}: a damaged row: {error}",
                'is a double quote left open there? Inside a quoted text, a quote is written twice ("").',
            ) from error
        yield consumed[0], fields


def _tsv_fields(file: TextFile) -> Iterator[tuple[int, list[str]]]:
    """Yield the number and the fields of each line.

    Most TSV files have no quoting, and a text that happens to begin with a quote must not swallow the lines
    after it (as the csv module would have it); some programs do quote fields. So a field is unquoted only
    when it is a well-formed quoted field as a whole.
    """
    for number, text in _numbered_lines(file):
        yield number, [_unquoted(field) for field in text.split("\t")]


def _unquoted(field: str) -> str:
    if len(field) >= 2 and field[0] == field[-1] == '"':
        inside = field[1:-1]
        if '"' not in inside.replace('""', ""):
            return inside.replace('""', '"')
    return field


def _parquet_rows(file: TextFile, columns: Columns) -> Iterator[Row]:
    with ParquetTable(file.path) as table:
        for role in ("text", "label"):
            if getattr(columns, role) not in table.names:
                raise _missing_column(file, getattr(columns, role), role, table.names)
        table.require_text(columns.text)
        has_splits = columns.split in table.names
        wanted = [columns.text, columns.label, *([columns.split] if has_splits else [])]
        for number, values in table.rows(wanted, file.advance):
            text = values[0]
            if isinstance(text, bytes):
                text = text.decode("utf-8", errors="replace")
                file.tally.note(file.path, Reason.INVALID_UTF8, number)
            record = dict(zip(wanted, values, strict=True))
            split = _json_name(file, number, columns.split, record) if has_splits else NO_SPLIT_COLUMN
            assert text is None or isinstance(text, str)
            yield Row(number, text, _json_name(file, number, columns.label, record), split)


def _json_rows(file: TextFile, columns: Columns) -> Iterator[Row]:
    unseen = {"text": columns.text, "label": columns.label}
    objects = 0
    has_splits = False
    names: list[str] = []
    for number, line in _numbered_lines(file):
        if not line or line.isspace():
            file.tally.note(file.path, Reason.EMPTY, number)
            continue
        record = _json_object(file, number, line)
        objects += 1
        if objects == 1:
            names = list(record)
            has_splits = columns.split in record
        if unseen:
            unseen = {role: column for role, column in unseen.items() if column not in record}
            if unseen and objects == _OBJECTS_BEFORE_A_COLUMN_IS_MISSING:
                break
        text = record.get(columns.text)
        if text is not None and not isinstance(text, str):
            raise AraeError(
                f"{file.path}:{number}: {columns.text!r} is {_json_type(text)}, not a string",
                "every text must be a JSON string.",
            )
        if text is not None:
            text = _without_surrogates(file, number, text)
        split = _json_name(file, number, columns.split, record) if has_splits else NO_SPLIT_COLUMN
        yield Row(number, text, _json_name(file, number, columns.label, record), split)
    for role, column in unseen.items():
        if objects == 0:
            return  # an empty file: the classes will be found too small
        raise _missing_column(file, column, role, names)


def _json_object(file: TextFile, number: int, line: str) -> dict[str, object]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        reason = f"{error.msg}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else str(error)
        raise AraeError(
            f"{file.path}:{number}: malformed JSON: {reason}",
            "a .jsonl file has one JSON object on each line.",
        ) from error
    if not isinstance(record, dict):
        raise AraeError(
            f"{file.path}:{number}: the line is {_json_type(record)}, not an object",
            'write {"text": "…", "label": "…"} on each line.',
        )
    return record


def _json_name(file: TextFile, number: int, column: str, record: dict[str, object]) -> str | None:
    """Return a label or split as a string; integers (4.0 is one) and booleans are written out."""
    value = record.get(column)
    if value is None:
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return value.strip() or None
    if isinstance(value, bytes):  # a Parquet string that is no UTF-8
        return value.decode("utf-8", errors="replace").strip() or None
    raise AraeError(
        f"{file.path}:{number}: {column!r} is {_json_type(value)}, not a string or an integer",
        "give each row one class name.",
    )


def _without_surrogates(file: TextFile, number: int, text: str) -> str:
    """Replace lone surrogates, which JSON can write but UTF-8 cannot hold."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        file.tally.note(file.path, Reason.INVALID_UTF8, number)
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _json_type(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")
