"""One pair, and the file that a run keeps its pairs in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from arae_transfer.atomic import write_text
from arae_transfer.errors import AraeError

_HEADER = ("class", "sentence", "rewrite_class", "rewrite")


@dataclass(frozen=True)
class Pair:
    """A sentence of the corpus and a rewrite of it.

    Attributes:
        label: The class of the sentence.
        sentence: A sentence that somebody wrote.
        rewrite_label: The class of the rewrite.
        rewrite: What the search made of the sentence.
    """

    label: str
    sentence: str
    rewrite_label: str
    rewrite: str


def write_pairs(path: Path, pairs: Iterable[Pair]) -> None:
    """Write pairs as tab-separated values with a header."""
    rows = [_HEADER, *((pair.label, pair.sentence, pair.rewrite_label, pair.rewrite) for pair in pairs)]
    write_text(path, "".join("\t".join(" ".join(cell.split()) for cell in row) + "\n" for row in rows))


def read_pairs(path: Path) -> list[Pair]:
    """Read what ``write_pairs`` wrote.

    Raises:
        AraeError: The file cannot be read or is not such a file.
    """
    try:
        rows = [tuple(line.split("\t")) for line in path.read_text("utf-8").removesuffix("\n").split("\n")]
    except (OSError, UnicodeDecodeError) as error:
        raise AraeError(f"cannot read the pairs {path}: {error}") from error
    if rows[0] != _HEADER or any(len(row) != len(_HEADER) for row in rows):
        raise AraeError(f"{path} is not a file of pairs", "remove it: the pairs will be searched again.")
    return [Pair(*row) for row in rows[1:]]
