"""Plain text with one or more sentences per line; line ends, outer spaces and blank lines stay."""

from __future__ import annotations

from collections.abc import Iterator

from arae_transfer.documents.parts import Field, Part
from arae_transfer.documents.reading import lines
from arae_transfer.documents.runs import Run


def read_plain_text(blocks: Iterator[str]) -> Iterator[Part]:
    """Yield a part per line."""
    for line in lines(blocks):
        body = line.removesuffix("\n").removesuffix("\r")
        run = Run()
        run.add_text(body)
        yield Part(line, [Field(0, len(body), run)] if body else [])
