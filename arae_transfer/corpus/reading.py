"""Read the labelled text that ``--data`` names as lines per class.

Three forms, freely combined:

* ``CLASS=FILE``: a UTF-8 text file of one class, one sentence per line; a class may have several files;
* a folder of ``SPLIT.CLASS.txt`` files (``train``, ``valid``, ``test``; any other split is available by its
  name);
* a ``.tsv``, ``.csv`` or ``.jsonl`` file with a text and a label column, and perhaps a column that names the
  split.

Splits that the data does not have. ``train`` is every line whose split is ``train`` or is not said. Where
nothing in the data is ``valid``, a small part of ``train`` is held out for it, and likewise for ``test``: 2 %
of the distinct texts of each class, at least 20 and at most 2,000, never more than a tenth. The three parts
share no text, and they are the same on every machine and in whatever order the files are given (see
``holdout``). Lines of ``train`` that stand in a held-out part but for case, punctuation and numbers are left out and
counted. The split ``all`` is every line of ``train``, ``valid`` and ``test``, with nothing held out.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from arae_transfer.corpus.holdout import HeldOutSize
from arae_transfer.corpus.plan import ALL, Progress, ReadingOptions, ReadingPlan
from arae_transfer.corpus.report import ReadingReport, Tally
from arae_transfer.corpus.sources import Source, normalize_split, resolve_sources
from arae_transfer.corpus.survey import Survey
from arae_transfer.corpus.text_files import COMPRESSED_SUFFIX, explain_read_failure
from arae_transfer.errors import AraeError

__all__ = [
    "ALL",
    "DEFAULT_OPTIONS",
    "Corpus",
    "HeldOutSize",
    "LabelledLines",
    "ReadingOptions",
    "ReadingReport",
    "StreamedCorpus",
    "StreamedLines",
    "first_lines",
    "has_split",
    "is_large",
    "own_splits",
    "read_corpus",
    "stream_corpus",
]

DEFAULT_OPTIONS = ReadingOptions()

# Of text: about 1.3 million sentences. What has more stays on the disk and is read again when it is needed again.
IN_MEMORY_BYTES = 64 << 20
# How much larger text is than a packed file of it.
_UNPACKED = 5

# Lines by class, in the order of the classes; they can be counted, and read as often as wanted.
LabelledLines = Mapping[str, Collection[str]]


@dataclass(frozen=True)
class Corpus:
    """The lines of one split.

    Attributes:
        lines: class -> its lines, in the order of the files.
        report: What was skipped, repaired or remarkable.
    """

    lines: dict[str, list[str]]
    report: ReadingReport

    @property
    def classes(self) -> list[str]:
        """Classes, in order."""
        return list(self.lines)


@dataclass(frozen=True)
class StreamedCorpus:
    """One split whose lines stay on the disk.

    Attributes:
        lines: The lines of each class.
        report: What was skipped, repaired or remarkable.
    """

    lines: StreamedLines
    report: ReadingReport

    @property
    def classes(self) -> list[str]:
        """Classes, in order."""
        return list(self.lines)


class StreamedLines(Mapping[str, Collection[str]]):
    """The lines of one split by class, read from their files on each request."""

    def __init__(self, survey: Survey) -> None:
        self._survey = survey

    def __len__(self) -> int:
        return len(self._survey.order)

    def __iter__(self) -> Iterator[str]:
        return iter(self._survey.order)

    def __getitem__(self, label: str) -> Collection[str]:
        return _ClassLines(self, label, self._survey.counts[label])

    def blocks(self) -> Iterator[tuple[str, list[str]]]:
        """Yield the lines of all classes in one pass: the class, and some thousand of its lines.

        Raises:
            AraeError: A file cannot be read, or has changed since its lines were counted.
        """
        survey = self._survey
        found = dict.fromkeys(survey.order, 0)
        for batch in survey.plan.batches(survey.pool, Tally(), None):
            # What came since the survey counts as a change, and is found by the numbers.
            if batch.label not in found:
                continue
            texts = survey.choose(batch.label, batch.texts)
            found[batch.label] += len(texts)
            if texts:
                yield batch.label, texts
        for label, count in found.items():
            if count != survey.counts[label]:
                raise AraeError(
                    f"the data changed: class {label!r} had {survey.counts[label]:,} lines, now {count:,}",
                    "start again, and do not change the files while training starts.",
                )

    def digest(self) -> str:
        """Return a hash of the files' bytes and of all options that select lines.

        Raises:
            AraeError: A file cannot be read.
        """
        survey = self._survey
        sources = []
        for source in survey.pool.sources:
            try:
                with source.path.open("rb") as file:
                    content = hashlib.file_digest(file, "sha256").hexdigest()
            except OSError as error:
                raise explain_read_failure(source.path, error) from error
            # Not the folder: a corpus that was moved is the same corpus.
            sources.append([repr(source).replace(str(source.path), source.path.name), content])
        pool = survey.pool
        wanted = sorted(str(split) for split in pool.wanted)
        parts = [list(survey.order), sources, repr(survey.plan.options), wanted, pool.held_out_parts, pool.part]
        return hashlib.sha256(json.dumps(parts).encode("utf-8", "surrogatepass")).hexdigest()


class _ClassLines(Collection[str]):
    """The lines of one class; see ``StreamedLines``."""

    def __init__(self, lines: StreamedLines, label: str, count: int) -> None:
        self._lines = lines
        self._label = label
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[str]:
        for label, texts in self._lines.blocks():
            if label == self._label:
                yield from texts

    def __contains__(self, text: object) -> bool:
        return any(text == other for other in self)


def is_large(data: Sequence[str]) -> bool:
    """Return whether the files of ``--data`` are too large to keep in memory.

    Raises:
        AraeError: The data cannot be found.
    """
    return _unpacked_bytes(resolve_sources(data)) > IN_MEMORY_BYTES


def own_splits(data: Sequence[str], options: ReadingOptions = DEFAULT_OPTIONS) -> list[str]:
    """Return the splits that the data names, or none if all data is ``train``.

    Raises:
        AraeError: The data cannot be read.
    """
    return ReadingPlan(data, options).named_splits


def has_split(data: Sequence[str], split: str, options: ReadingOptions = DEFAULT_OPTIONS) -> bool:
    """Return whether ``read_corpus`` finds this split, in the data or held out of ``train``.

    Raises:
        AraeError: The data cannot be read.
    """
    return ReadingPlan(data, options).has(normalize_split(split))


def first_lines(data: Sequence[str], options: ReadingOptions, most: int) -> list[str]:
    """Return at most ``most`` first lines of all classes and parts together.

    Raises:
        AraeError: The data cannot be read.
    """
    plan = ReadingPlan(data, options)
    batches = plan.batches(plan.pool(ALL), Tally(), None)
    return list(itertools.islice(itertools.chain.from_iterable(batch.texts for batch in batches), most))


def read_corpus(
    data: Sequence[str],
    split: str,
    options: ReadingOptions = DEFAULT_OPTIONS,
    *,
    classes: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> Corpus:
    """Read one split of labelled text into memory.

    Blanks at the ends of a line are removed; the text is otherwise what stands in the file.

    Args:
        data: What ``--data`` names (see the head of this module).
        split: ``train``, ``valid`` (or ``dev``, ``validation``), ``test``, another split's name, or ``all``.
        options: How to read.
        classes: The classes in order; each must be in the data, others are left out and counted. None takes all
            classes, sorted by name.
        progress: Called with the bytes done and in all, about every 1 MiB.

    Raises:
        AraeError: The data cannot be read as asked: a missing or unfit file, an unknown column, a damaged
            row, a class with too few lines, too few classes.
    """
    plan = ReadingPlan(data, options)
    pool = plan.pool(normalize_split(split))
    small = _unpacked_bytes(pool.sources) <= IN_MEMORY_BYTES
    kept: dict[str, list[str]] = {}

    def keep(label: str, texts: list[str]) -> None:
        kept.setdefault(label, []).extend(texts)

    survey = Survey(plan, pool, classes, progress, keep if small else None)
    if not small:
        lines: dict[str, list[str]] = {label: [] for label in survey.order}
        for label, texts in StreamedLines(survey).blocks():
            lines[label].extend(texts)
        return Corpus(lines, survey.report)
    return Corpus({label: survey.choose(label, kept.get(label, [])) for label in survey.order}, survey.report)


def stream_corpus(
    data: Sequence[str],
    split: str,
    options: ReadingOptions = DEFAULT_OPTIONS,
    *,
    classes: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> StreamedCorpus:
    """Examine one split of labelled text without keeping its lines in memory.

    About 20 bytes of each line are kept while it is looked through, and none afterwards. The lines are those of
    ``read_corpus``, in the same order; see there.
    """
    plan = ReadingPlan(data, options)
    survey = Survey(plan, plan.pool(normalize_split(split)), classes, progress, None)
    return StreamedCorpus(StreamedLines(survey), survey.report)


def _unpacked_bytes(sources: Sequence[Source]) -> int:
    """Estimate the size of the text in files, in bytes."""
    total = 0
    for source in sources:
        packed = source.path.suffix.lower() in (COMPRESSED_SUFFIX, ".parquet")
        total += source.path.stat().st_size * (_UNPACKED if packed else 1)
    return total
