"""Read rows of CSV and TSV files, with or without a header line.

The csv module reads them, in its strict mode: a quote that is left open would otherwise make one text of many rows, and
nobody would hear of it.
"""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Iterator

from arae_transfer.corpus.columns import (
    NO_SPLIT_COLUMN,
    Columns,
    Row,
    is_name,
    is_number,
    missing_column,
    name_of,
    no_header,
    place_of,
    present,
)
from arae_transfer.corpus.report import Reason
from arae_transfer.corpus.text_files import TextFile
from arae_transfer.errors import AraeError

# The first rows tell whether there is a header.
_ROWS_LOOKED_AT = 1000
_MOST_WORDS_OF_A_NAME = 5
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")

Fields = tuple[int, list[str]]


def numbered_lines(file: TextFile) -> Iterator[tuple[int, str]]:
    """Yield the number and the text of each line."""
    for block in file.blocks():
        yield from enumerate(file.decode(block), block.first_line)


def separated_rows(file: TextFile, columns: Columns, *, tabs: bool) -> Iterator[Row]:
    """Yield the rows of a CSV file, or of a TSV file if the separator is a tab.

    Raises:
        AraeError: A column is missing, or a row is damaged; the message names file and line.
    """
    rows = _tsv_fields(file) if tabs else _csv_fields(file)
    first = list(itertools.islice(rows, _ROWS_LOOKED_AT))
    rows = itertools.chain(first, rows)
    names = [name.strip() for name in first[0][1]] if first else []
    if not any(names):
        raise AraeError(
            f"{file.path} has no header line",
            f"write a first line with the names of the columns, including {columns.text!r} and {columns.label!r}.",
        )
    text_at, label_at = _places(file, columns, names, [fields for _, fields in first])
    for column in (columns.text, columns.label, columns.split):
        if is_name(column, names) and names.count(column) > 1:
            raise AraeError(f"{file.path} has the column {column!r} twice", "rename one of them.")
    named = is_name(columns.text, names) or is_name(columns.label, names)
    split_at = names.index(columns.split) if named and columns.split in names else None
    if named or _is_header([fields for _, fields in first], label_at):
        next(rows)
    for line, fields in rows:
        if not any(fields):
            file.tally.note(file.path, Reason.EMPTY, line)
            continue
        if len(fields) != len(names):
            cause = (
                "a text contains a tab or a line break; save the table as CSV."
                if tabs
                else "put texts with a comma, a quote or a line break in double quotes."
            )
            raise AraeError(
                f"{file.path}:{line}: the row has {len(fields)} field{'s' if len(fields) != 1 else ''}, "
                f"the {'header' if named else 'first row'} has {len(names)}",
                cause,
            )
        split = NO_SPLIT_COLUMN if split_at is None else name_of(fields[split_at])
        yield Row(line, present(fields[text_at]), name_of(fields[label_at]), split)


def _places(file: TextFile, columns: Columns, names: list[str], rows: list[list[str]]) -> tuple[int, int]:
    """Return the indices of the text column and the label column.

    Raises:
        AraeError: One of them is not there.
    """
    text_at, label_at = place_of(columns.text, names), place_of(columns.label, names)
    # Of two columns, one number says which is which.
    if len(names) == 2 and text_at is not None and label_at is None and is_number(columns.text):
        label_at = 1 - text_at
    if len(names) == 2 and label_at is not None and text_at is None and is_number(columns.label):
        text_at = 1 - label_at
    for role, place in (("text", text_at), ("label", label_at)):
        if place is None and len(names) > 1 and any(map(_is_data, names)):
            raise no_header(file, rows)
        if place is None:
            raise missing_column(file, getattr(columns, role), role, names)
    assert text_at is not None and label_at is not None
    if text_at == label_at:
        raise AraeError(f"{file.path}: text and label are both column {text_at + 1}", "name two different columns.")
    return text_at, label_at


def _is_data(cell: str) -> bool:
    """Return whether a cell of the first row cannot be a column name: a number, or a sentence."""
    return _NUMBER.fullmatch(cell) is not None or len(cell.split()) > _MOST_WORDS_OF_A_NAME


def _is_header(rows: list[list[str]], label_at: int) -> bool:
    """Return whether the first row is a header although columns are numbered: its label is then not a class."""
    label = rows[0][label_at]
    return not _is_data(label) and all(len(row) <= label_at or row[label_at] != label for row in rows[1:])


def _csv_fields(file: TextFile) -> Iterator[Fields]:
    """Yield the first line number and the fields of each record."""
    consumed: list[tuple[int, str]] = []

    def physical_lines() -> Iterator[str]:
        for number, text in numbered_lines(file):
            if "\r" in text:  # the csv module would take it for a line end
                text = text.replace("\r", " ")
                file.tally.note(file.path, Reason.LINE_BREAK, number)
            consumed.append((number, text))
            yield text + "\n"

    reader = csv.reader(physical_lines(), strict=True)
    while True:
        consumed.clear()
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            line, text = consumed[0]
            if len(consumed) == 1 and str(error) == "unexpected end of data":
                file.tally.note(file.path, Reason.CUT_OFF, line)
                yield line, next(csv.reader([text + '"']))
                return
            raise AraeError(
                f"{file.path}:{line}: a damaged row: {error}",
                'check for an unclosed double quote; inside a quoted text, write a quote twice ("").',
            ) from error
        yield consumed[0][0], fields


def _tsv_fields(file: TextFile) -> Iterator[Fields]:
    """Yield the number and the fields of each line.

    Most TSV files have no quoting, and a text that happens to begin with a quote must not swallow the lines
    after it (as the csv module would have it); some programs do quote fields. So a field is unquoted only
    when it is a well-formed quoted field as a whole.
    """
    for number, text in numbered_lines(file):
        yield number, [_unquoted(field) for field in text.split("\t")]


def _unquoted(field: str) -> str:
    if len(field) >= 2 and field[0] == field[-1] == '"':
        inside = field[1:-1]
        if '"' not in inside.replace('""', ""):
            return inside.replace('""', '"')
    return field
