"""Real text: the evaluated split, and the training text of the instruments."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from arae_transfer.corpus.quickstart import make_sentences
from arae_transfer.corpus.reading import ALL, DEFAULT_OPTIONS, ReadingOptions, has_split, own_splits, read_corpus
from arae_transfer.errors import AraeError
from arae_transfer.evaluation.outputs import Alignment
from arae_transfer.evaluation.words import WordSplitter

UNSEEN_SPLIT = "extra"
SEEN_SPLIT = "train"


@dataclass(frozen=True)
class LabelledText:
    """Real text by class.

    Attributes:
        name: Where it comes from.
        lines: The lines of each class.
        caution: What makes it less fit for its use, or an empty string.
    """

    name: str
    lines: Mapping[str, Sequence[str]]
    caution: str = ""

    def describe(self) -> str:
        """Return the name, the number of lines and a hash, which identify a text."""
        counts = " + ".join(f"{len(own):,}" for own in self.lines.values())
        return f"{self.name}, {counts} lines, sha256:{hash_lines(self.lines)}"


def hash_lines(lines: Mapping[str, Sequence[str]]) -> str:
    """Return the first 12 hexadecimal digits of the SHA-256 of named lines, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(lines):
        digest.update(f"{name}\0{len(lines[name])}\0".encode())
        digest.update("".join(f"{line}\n" for line in lines[name]).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()[:12]


def read_evaluated_split(
    data: Sequence[str],
    split: str,
    limit: int | None,
    options: ReadingOptions = DEFAULT_OPTIONS,
    known: Collection[str] | None = None,
) -> tuple[LabelledText, Alignment]:
    """Read the evaluated split.

    Args:
        data: What ``--data`` names.
        split: The name of the split.
        limit: How many lines of each class to keep, from the first on; None keeps all.
        options: How to read.
        known: The classes that the evaluated model has; others are left out where two or more of the data's are among
            them. None keeps all.

    Returns:
        The lines, and what files of rewrites of them must look like.

    Raises:
        AraeError: The data cannot be read, has no such split, or fewer than two classes.
    """
    corpus = read_corpus(data, split, options)
    skipped = "; ".join(str(finding) for finding in corpus.report.findings if finding.reason.skips)
    remark = f"skip the lines that were skipped in the source: {skipped}" if skipped else ""
    lines = corpus.lines
    if known is not None and sum(name in known for name in lines) > 1:
        lines = {name: own for name, own in lines.items() if name in known}
    source, alignment = _limit(LabelledText(f"{_place(data)} {split}", lines), split, limit, remark)
    return source, replace(alignment, form=options.form)


def read_unseen_text(
    data: Sequence[str],
    classes: Sequence[str],
    own_data: Sequence[str] = (),
    split: str | None = None,
    options: ReadingOptions = DEFAULT_OPTIONS,
) -> LabelledText:
    """Read real text that the evaluated systems have not seen in training.

    Args:
        data: What ``--data`` names. Its ``extra`` split is taken where there is one, and otherwise its ``train`` split,
            with a caution.
        classes: The classes that are needed.
        own_data: Other data that the user names for this purpose.
        split: The split that the user names for this purpose.
        options: How to read.

    Raises:
        AraeError: The data cannot be read or lacks a class.
    """
    source = own_data or data
    if split is None:
        if has_split(source, UNSEEN_SPLIT, options):
            split = UNSEEN_SPLIT
        elif own_data and not own_splits(own_data, options):
            split = ALL
        else:
            split = SEEN_SPLIT
    caution = ""
    if not own_data and split in (SEEN_SPLIT, ALL):
        caution = (
            f"the classifiers and the language model learn from the {split} split, which the model has seen "
            "too, so that they may share its errors (--judge-data names other text, as does a split named "
            f"{UNSEEN_SPLIT})"
        )
    corpus = read_corpus(source, split, options, classes=classes)
    return LabelledText(f"{_place(source)} {split}", corpus.lines, caution)


def make_builtin_text(split: str, limit: int | None) -> tuple[LabelledText, Alignment, LabelledText]:
    """Return the built-in corpus of the quickstart recipe.

    Returns:
        The split that is evaluated, what files of rewrites of it must look like, and text for the judges: the grammar's
        sentences under another seed, which no model has seen.

    Raises:
        AraeError: There is no such split.
    """
    sentences = make_sentences(0)
    if split not in sentences:
        raise AraeError(f"the built-in corpus has no part {split!r}", f"its parts are: {', '.join(sentences)}.")
    source, alignment = _limit(LabelledText(f"quickstart {split}", sentences[split]), split, limit, "")
    return source, alignment, LabelledText("quickstart train, seed 1", make_sentences(1)["train"])


def _limit(text: LabelledText, split: str, limit: int | None, remark: str) -> tuple[LabelledText, Alignment]:
    counts = {name: len(lines) for name, lines in text.lines.items()}
    kept = {name: lines[:limit] for name, lines in text.lines.items()}
    return LabelledText(text.name, kept), Alignment(split, counts, limit, remark)


def keep_unlike(
    text: LabelledText, evaluated: Collection[str], splitter: WordSplitter
) -> tuple[dict[str, list[str]], int]:
    """Return the normalized lines without evaluated ones, and the number of these.

    Raises:
        AraeError: A class has no other lines.
    """
    kept: dict[str, list[str]] = {}
    dropped = 0
    for name, lines in text.lines.items():
        normalized = [line for line in splitter.normalize(lines) if line]
        kept[name] = [line for line in normalized if line not in evaluated]
        dropped += len(normalized) - len(kept[name])
        if not kept[name]:
            raise AraeError(
                f"every line of class {name!r} in {text.name} is in the evaluated text, so that nothing is left "
                "to learn from",
                "give other text with --judge-data.",
            )
    return kept, dropped


def _place(data: Sequence[str]) -> str:
    """Return the last path components of data, which are the same on every machine."""
    return "+".join(Path(value.rpartition("=")[2]).name or value for value in data)
