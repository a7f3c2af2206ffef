"""Parallel examples: sentences with rewrites, and their file in a run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast, get_args

from arae_transfer.atomic import write_tsv
from arae_transfer.corpus.report import Tally
from arae_transfer.corpus.text_files import TextFile
from arae_transfer.errors import AraeError
from arae_transfer.folders import expanded

_HEADER = ("class", "sentence", "rewrite_class", "rewrite")
_KIND = "kind"

Kind = Literal["rewrite", "neutral", "unchanged"]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""What an example shows: a rewrite that can be read both ways, a sentence without the style of either class, whose
rewrite is learned in its own direction alone, or a sentence that has the target class already and stays as it is."""


@dataclass(frozen=True)
class ParallelExample:
    """A sentence of the corpus and its rewrite.

    Attributes:
        label: The class of the sentence.
        sentence: A real sentence.
        rewrite_label: The class of the rewrite.
        rewrite: The rewrite, by a person, a model or phrase search.
        kind: What the example shows; see ``KINDS``.
    """

    label: str
    sentence: str
    rewrite_label: str
    rewrite: str
    kind: Kind = "rewrite"


def write_parallel(path: Path, pairs: Sequence[ParallelExample]) -> None:
    """Write examples as tab-separated values with a header, and their kind if one is not a plain rewrite."""
    rows: list[tuple[str, ...]] = [(pair.label, pair.sentence, pair.rewrite_label, pair.rewrite) for pair in pairs]
    header: tuple[str, ...] = _HEADER
    kinds = [pair.kind for pair in pairs]
    if any(kind != "rewrite" for kind in kinds):
        header = (*_HEADER, _KIND)
        rows = [(*row, kind) for row, kind in zip(rows, kinds, strict=True)]
    write_tsv(path, [header, *rows])


def read_given_examples(values: Iterable[str], classes: Sequence[str]) -> list[ParallelExample]:
    """Read the user's parallel examples: ``FILE`` in a run's format, or ``CLASS-to-CLASS=FILE``.

    The latter has a line for each pair, the sentence, a tab and its rewrite, as `arae transfer --tsv` writes them.
    Pairs of equal texts, or without text, are ignored: they would teach copying.

    Raises:
        AraeError: A value is malformed or names an unknown class, a file cannot be read or is malformed, or no pair is
            left.
    """
    directions = {f"{one}-to-{other}": (one, other) for one in classes for other in classes if one != other}
    pairs: list[ParallelExample] = []
    for value in values:
        if expanded(value).is_file():
            pairs += read_parallel(expanded(value))
            continue
        name = max((known for known in directions if value.startswith(f"{known}=")), key=len, default=None)
        if name is None:
            raise AraeError(
                f"--examples {value}: no such file, and no such direction",
                f"write --examples FILE or --examples NAME=FILE; NAME is one of: {', '.join(list(directions)[:6])}.",
            )
        pairs += _read_two_columns(expanded(value[len(name) + 1 :]), *directions[name])
    unknown = sorted({label for pair in pairs for label in (pair.label, pair.rewrite_label)} - set(classes))
    if unknown:
        raise AraeError(
            f"--examples has rewrites of the class {unknown[0]!r}, but the data has {', '.join(classes)}",
            "give examples of the classes of the data.",
        )
    useful = [pair for pair in pairs if _teaches(pair)]
    if not useful:
        raise AraeError(
            "--examples has no rewrite that differs from its sentence",
            "write a sentence, a tab and its rewrite on each line.",
        )
    return useful


def _teaches(pair: ParallelExample) -> bool:
    if pair.kind == "unchanged":
        return bool(pair.sentence)
    return bool(pair.sentence and pair.rewrite) and pair.sentence != pair.rewrite


def _read_two_columns(path: Path, label: str, rewrite_label: str) -> list[ParallelExample]:
    file = TextFile(path, Tally())
    pairs = []
    for number, line in enumerate((line for block in file.blocks() for line in file.decode(block)), start=1):
        cells = line.split("\t")
        if len(cells) != 2:
            raise AraeError(
                f"{path}, line {number}: {len(cells)} columns instead of a sentence and its rewrite",
                "separate the two with one tab, as `arae transfer --tsv` does.",
            )
        sentence, rewrite = (" ".join(cell.split()) for cell in cells)
        pairs.append(ParallelExample(label, sentence, rewrite_label, rewrite))
    return pairs


def read_parallel(path: Path) -> list[ParallelExample]:
    """Read a file of ``write_parallel``.

    Raises:
        AraeError: The file cannot be read or is not such a file.
    """
    try:
        rows = [tuple(line.split("\t")) for line in path.read_text("utf-8").removesuffix("\n").split("\n")]
    except (OSError, UnicodeDecodeError) as error:
        raise AraeError(f"cannot read the parallel examples {path}: {error}") from error
    header = rows[0]
    if header not in (_HEADER, (*_HEADER, _KIND)) or any(len(row) != len(header) for row in rows):
        raise AraeError(
            f"{path} is not a file of parallel examples",
            f"its columns must be {', '.join(_HEADER)} and optionally {_KIND}, separated by tabs.",
        )
    unknown = next((row[4] for row in rows[1:] if len(row) > len(_HEADER) and row[4] not in KINDS), None)
    if unknown is not None:
        raise AraeError(f"{path} has an example of the kind {unknown!r}", f"the kinds are {', '.join(KINDS)}.")
    return [
        ParallelExample(row[0], row[1], row[2], row[3], cast("Kind", row[4]) if len(row) > len(_HEADER) else "rewrite")
        for row in rows[1:]
    ]
