"""CSV and TSV: rewrite one column, and keep header, other columns, quotes and line ends.

The separator is the one of ``,``, ``;``, tab and ``|`` that makes a column of the wanted name in the header. A column
may be given by its number, from 1, where the table has no header. Rows that have no such column are left as they are.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator
from itertools import chain

from arae_transfer.documents.parts import Field, Part
from arae_transfer.documents.reading import lines
from arae_transfer.documents.runs import Run
from arae_transfer.errors import AraeError

SEPARATORS = ",;\t|"
LONGEST_RECORD = 1 << 24
"""Maximum characters of a row: a longer one has an unclosed quote."""

_LONGEST_HEADER = 1 << 16
_LINE_BREAK = re.compile(r"\r\n|\r")
_PIECE = re.compile(r'""|\r\n|\r|\n|[^"\r\n]+')

TOO_FEW = "too few columns"
OPEN_QUOTE = "an unclosed quote"
STRAY = "unreadable quotes or line ends"


def csv_reader(column: str) -> Callable[[Iterator[str]], Iterator[Part]]:
    """Return a reader of tables with the text in one column."""

    def read(blocks: Iterator[str]) -> Iterator[Part]:
        table = (line for line in lines(blocks))
        header = _first_record(table)
        if not header:
            return
        separator, place, named = find_column(header, column)
        if named:
            yield Part(header)
            header = ""
        number = 0
        for record in records(chain([header] if header else [], table), separator):
            number += bool(record)
            yield _read_row(record, number, separator, place) if record else Part("")

    return read


def _first_record(table: Iterator[str]) -> str:
    """Return the first row, including line breaks inside quotes."""
    record = ""
    for line in table:
        record += line
        if record and (record.count('"') % 2 == 0 or len(record) > _LONGEST_HEADER):
            return record
    return record


def find_column(header: str, column: str) -> tuple[str, int, bool]:
    """Return the separator of a table, the index of a column, and whether the first row is a header.

    Raises:
        AraeError: There is no such column, or it is there twice.
    """
    names = {separator: split_row(header, separator) for separator in SEPARATORS}
    for separator, found in names.items():
        if found.count(column) > 1:
            raise AraeError(f"the table has the column {column!r} twice", "rename one of them.")
        if column in found:
            return separator, found.index(column), True
    separator = max(SEPARATORS, key=lambda each: len(names[each]))  # the first of the best
    if column.isdecimal() and 1 <= int(column) <= len(names[separator]):
        return separator, int(column) - 1, False
    raise AraeError(
        f"the table has no column {column!r}; its columns are: {', '.join(names[separator])}",
        "name one of them, or give its number, from 1, if the first row is not a header.",
    )


def split_row(record: str, separator: str) -> list[str]:
    """Return the names in a header, without surrounding spaces."""
    try:
        return [name.strip() for name in next(csv.reader([record], delimiter=separator), [])]
    except csv.Error:
        return []


def records(table: Iterator[str], separator: str) -> Iterator[str]:
    """Yield the rows of a table as they are, with line breaks inside quotes; an empty row if none is available yet.

    Raises:
        AraeError: A quote is never closed, in a row that no table can have.
    """
    begun: list[str] = []
    size = 0
    for line in table:
        if not line:
            if not begun:
                yield ""
            continue
        quotes = line.count('"')
        if not begun and (not quotes or find_fields(line, separator) is not None):
            yield line
            continue
        begun.append(line)
        size += len(line)
        if size > LONGEST_RECORD:
            raise AraeError(
                f"a row of the table has more than {LONGEST_RECORD:,} characters: {begun[0][:40].strip()!r} opens "
                "an unclosed quote",
                "close the quote, or write it twice inside quotes.",
            )
        # A line with an even number of quotes cannot close the one that is open for good.
        if len(begun) > 1 and quotes % 2 and find_fields(record := "".join(begun), separator) is not None:
            yield record
            begun, size = [], 0
    if begun:
        yield "".join(begun)


def find_fields(record: str, separator: str) -> list[tuple[int, int]] | None:
    """Return start and end of the fields of a row, including quotes; None: a quote is open at its end."""
    end = len(record)
    if record.endswith("\n"):
        end -= 1
    if record[:end].endswith("\r"):
        end -= 1
    found: list[tuple[int, int]] = []
    start = 0
    while True:
        place = start
        if record.startswith('"', start):
            place += 1
            while True:
                place = record.find('"', place) + 1
                if not place:
                    return None
                if not record.startswith('"', place):
                    break
                place += 1
        stop = record.find(separator, place, end)
        if stop < 0:
            found.append((start, end))
            return found
        found.append((start, stop))
        start = stop + 1


def _read_row(record: str, number: int, separator: str, place: int) -> Part:
    fields = find_fields(record, separator)
    if not record.strip():
        return Part(record, number=number)
    if fields is None:
        return Part(record, number=number, problem=OPEN_QUOTE)
    try:
        values = next(csv.reader([record], delimiter=separator), [])
    except csv.Error:
        return Part(record, number=number, problem=STRAY)
    if place >= len(values):
        return Part(record, number=number, problem=TOO_FEW)
    field = _field(record, *fields[place], separator)
    if len(values) != len(fields) or _LINE_BREAK.sub("\n", values[place]) != field.plain:
        return Part(record, number=number, problem=STRAY)
    return Part(record, [field], number)


def _field(record: str, start: int, end: int, separator: str) -> Field:
    run = Run()
    if end - start < 2 or record[start] != '"' or record[end - 1] != '"':
        run.add_text(record[start:end])
        return Field(start, end, run, finish=lambda text: _quoted_if_needed(text, separator))
    for match in _PIECE.finditer(record, start + 1, end - 1):
        if match[0] == '""':
            run.add_written('"', match[0])
        elif match[0][0] in "\r\n":
            run.add_break(match[0])
        else:
            run.add_text(match[0])
    return Field(start + 1, end - 1, run, lambda text: text.replace('"', '""'))


def _quoted_if_needed(text: str, separator: str) -> str:
    if separator in text or '"' in text:
        return '"' + text.replace('"', '""') + '"'
    return text
