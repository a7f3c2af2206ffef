"""`arae transfer` of documents: rewrite their text and keep their structure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from arae_transfer.cli.answers import open_answers
from arae_transfer.cli.command import report
from arae_transfer.documents.parts import Rewrite, Tally, rewrite_parts
from arae_transfer.documents.reading import DocumentReader
from arae_transfer.errors import AraeError

if TYPE_CHECKING:
    from arae_transfer.documents.formats import FormatChoice
    from arae_transfer.documents.parts import Format
    from arae_transfer.runtime.stream import Source

Advance = Callable[[int], None]


def output_paths(names: Sequence[str], output: Path | None, *, folder: bool) -> list[Path | None]:
    """Return the output path of each document.

    Raises:
        AraeError: Several documents would come out as one, or two under one name.
    """
    if not folder:
        if len(names) > 1:
            raise AraeError(
                f"{len(names)} documents cannot go into one file",
                "write them into a folder: -o FOLDER/; each keeps its name.",
            )
        return [output]
    assert output is not None
    paths = [output / (Path(name).name if name != "-" else "standard-input") for name in names]
    if len(set(paths)) < len(paths):
        raise AraeError(f"several documents would go to {output}", "rename one of them.")
    return list(paths)


def transfer_documents(
    kind: FormatChoice,
    sources: Sequence[Source],
    outputs: Sequence[Path | None],
    rewrite: Rewrite,
    at_once: int,
    advance: Advance,
    *,
    quiet: bool,
) -> None:
    """Rewrite documents.

    Args:
        kind: Their format.
        sources: The documents.
        outputs: Where each goes; None: standard output.
        rewrite: Rewrites sentences.
        at_once: How many sentences are best given at once.
        advance: Called with the bytes that were read.
        quiet: Whether nothing is said of what was left as it is.

    Raises:
        AraeError: A document cannot be read or written, or has not the column that its format names.
    """
    read = kind.reader()
    for source, output in zip(sources, outputs, strict=True):
        with open_answers(output) as write:
            tally = _transfer_one(read, source, rewrite, at_once, write, advance)
        if not quiet:
            _describe(source.name, tally)


def _transfer_one(
    read: Format,
    source: Source,
    rewrite: Rewrite,
    at_once: int,
    write: Callable[[bytes], None],
    advance: Advance,
) -> Tally:
    tally = Tally()
    with source.open() as stream:
        document = DocumentReader(source.name, stream)
        begun, seen = False, 0
        for text in rewrite_parts(read(document.blocks()), rewrite, at_once, tally):
            write(document.encode(text) if begun else document.mark + document.encode(text))
            begun = True
            advance(document.size - seen)
            seen = document.size
        if not begun:
            write(document.mark)
    return tally


def _describe(name: str, tally: Tally) -> None:
    """Report what was left unchanged."""
    for problem, number in tally.problems.most_common():
        were, first = ("was", "") if number == 1 else ("were", "the first: ")
        report(
            f"{name}: {number:,} of {tally.parts:,} rows {were} left unchanged: {problem} "
            f"({first}row {tally.first[problem]:,})"
        )
    if tally.unplaced:
        were = "was" if tally.unplaced == 1 else "were"
        report(
            f"{name}: {tally.unplaced:,} of {tally.sentences:,} sentences {were} left unchanged: "
            "the rewrite had no place for the markup"
        )
