"""Read text and label from rows of CSV, TSV, JSON Lines and Parquet files."""

from __future__ import annotations

import re
from collections.abc import Iterator

from arae_transfer.corpus.columns import Columns, Row
from arae_transfer.corpus.csv_rows import separated_rows
from arae_transfer.corpus.records import json_rows, parquet_rows
from arae_transfer.corpus.report import Reason
from arae_transfer.corpus.sources import TableFormat
from arae_transfer.corpus.text_files import TextFile
from arae_transfer.errors import AraeError

_LINE_BREAK = re.compile(r"\r\n|\n|\r")


def iterate_rows(file: TextFile, table_format: TableFormat, columns: Columns) -> Iterator[Row]:
    """Yield the rows of a table in order.

    Args:
        file: The table.
        table_format: How it is written. CSV has commas and double quotes; TSV has one row per line; both have a
            header, or columns that are known by their numbers. JSON Lines has one object per line; a Parquet table has
            columns of strings, and its rows are counted from 1 like lines.
        columns: The columns that matter.

    Raises:
        AraeError: A column is missing, or a row is damaged; the message names file and line.
    """
    if columns.text == columns.label:
        raise AraeError(f"text_column and label_column are both {columns.text!r}", "name two different columns.")
    if table_format == "jsonl":
        return json_rows(file, columns)
    if table_format == "parquet":
        return parquet_rows(file, columns)
    return separated_rows(file, columns, tabs=table_format == "tsv")


def clean_text(file: TextFile, row: Row, maximum_characters: int) -> str | None:
    """Return a row's text as one clean line, or None if it must be skipped; count both."""
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
        file.tally.note_longest(file.path, row.line, len(text))
        return None
    return text
