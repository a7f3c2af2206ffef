"""Document formats: names, options and file extensions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, cast

from arae_transfer.errors import AraeError

if TYPE_CHECKING:
    from arae_transfer.documents.parts import Format

USAGE = "text, markdown, html, srt, csv:COLUMN or jsonl:FIELD"

_MODULES = {
    "text": "plain_text.read_plain_text",
    "markdown": "markdown.read_markdown",
    "html": "html_page.read_html",
    "srt": "subtitles.read_subtitles",
    "csv": "csv_table.csv_reader",
    "jsonl": "json_lines.json_lines_reader",
}
_NEED_COLUMN = {"csv": "COLUMN", "jsonl": "FIELD"}
_SUFFIXES = {
    ".md": "markdown",
    ".markdown": "markdown",
    ".mdown": "markdown",
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
    ".srt": "srt",
    ".vtt": "srt",
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}
_BINARY = {".docx": "markdown", ".odt": "markdown", ".epub": "html", ".pdf": "text", ".rtf": "markdown"}


@dataclass(frozen=True, slots=True)
class FormatChoice:
    """A document format and its text column.

    Attributes:
        name: The format.
        column: The column or field; empty for formats that have none.
    """

    name: str
    column: str = ""

    @classmethod
    def parse(cls, text: str) -> FormatChoice:
        """Parse a ``--format`` value, such as ``markdown`` or ``csv:review``.

        Raises:
            AraeError: There is no such format, or it needs a column, or has none.
        """
        name, colon, column = text.partition(":")
        if name not in _MODULES:
            raise AraeError(f"unknown format {text!r}", f"use {USAGE}.")
        if bool(column) != (name in _NEED_COLUMN) or (colon and not column):
            raise AraeError(
                f"the format {text!r} {'needs' if name in _NEED_COLUMN else 'has no'} column", f"use {USAGE}."
            )
        return cls(name, column)

    def reader(self) -> Format:
        """Return the reader of this format; import its module now."""
        module, _, function = _MODULES[self.name].partition(".")
        found = getattr(import_module(f"arae_transfer.documents.{module}"), function)
        return cast("Format", found(self.column) if self.name in _NEED_COLUMN else found)


def guess_format(names: Sequence[str], column: str | None) -> FormatChoice | None:
    """Return the format by file extensions, or None for lines of text.

    Args:
        names: The files.
        column: The column or field of the text, if the user gave one.

    Raises:
        AraeError: The names say different formats, a table's column is not known, or a file is no text.
    """
    found: dict[str | None, str] = {}
    for name in names:
        suffix = Path(name).suffix.lower()
        if suffix in _BINARY:
            raise AraeError(
                f"{name} is not text but a {suffix[1:]} document",
                f"convert it first, for example: pandoc {name} -t {_BINARY[suffix]}",
            )
        found.setdefault(_SUFFIXES.get(suffix), name)
    if len(found) > 1:
        different = " and ".join(list(found.values())[:2])
        raise AraeError(f"{different} have different formats", "rewrite them separately, or give one --format for all.")
    (kind, name), *_ = found.items()
    if kind is None:
        if column is not None:
            raise AraeError(f"--column {column} is for tables, but {name} is not one", "give its --format.")
        return None
    if kind in _NEED_COLUMN:
        if column is None:
            raise AraeError(
                f"{name} is a table and needs a column", "give --column NAME; or rewrite whole lines: --format text."
            )
        return FormatChoice(kind, column)
    if column is not None:
        raise AraeError(f"--column {column} is for tables, but {name} is not one", "leave it out.")
    return FormatChoice(kind)
