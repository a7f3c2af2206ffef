"""Plain text: one line or more sentences a line. Line ends, blanks at both ends and blank lines stay."""

from __future__ import annotations

from collections.abc import Iterator

from arae_transfer.documents.parts import Field, Part
from arae_transfer.documents.reading import lines
from arae_transfer.documents.runs import Run


def read_plain_text(blocks: Iterator[str]) -> Iterator[Part]:
    """Yield a part for each line."""
    for line in lines(blocks):
        body = line.removesuffix("\n").removesuffix("\r")
        run = Run()
        run.add_text(body)
        yield Part(line, [Field(0, len(body), run)] if body else [])
