"""Labelled text in: what ``--data`` names becomes lines by class.

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
``holdout``). The split ``all`` is every line of ``train``, ``valid`` and ``test``, with nothing held out.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import shlex
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass

from arae_transfer.corpus.holdout import HeldOut, HeldOutSize, Keys, stable_keys
from arae_transfer.corpus.plan import ALL, Pool, Progress, ReadingOptions, ReadingPlan
from arae_transfer.corpus.repetition import Repetition
from arae_transfer.corpus.report import ReadingReport, Reason, Tally
from arae_transfer.corpus.sources import TRAIN, Source, nearest, normalize_split, resolve_sources
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
    "has_split",
    "is_large",
    "iterate_labelled_lines",
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
        """The classes, in order."""
        return list(self.lines)


@dataclass(frozen=True)
class StreamedCorpus:
    """One split, whose lines stay on the disk.

    Attributes:
        lines: The lines of each class.
        report: What was skipped, repaired or remarkable.
    """

    lines: StreamedLines
    report: ReadingReport

    @property
    def classes(self) -> list[str]:
        """The classes, in order."""
        return list(self.lines)


class StreamedLines(Mapping[str, Collection[str]]):
    """The lines of one split by class, which are read from their files each time that they are asked for."""

    def __init__(self, survey: _Survey) -> None:
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
                    f"the data changed while they were read: class {label!r} had {survey.counts[label]:,} lines, "
                    f"now {count:,}",
                    "leave the files alone while training starts, and start again.",
                )

    def digest(self) -> str:
        """Return a hash of the files' bytes and of all else that decides which lines these are.

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
    """Say whether the files behind ``--data`` hold more text than should be kept in memory.

    Raises:
        AraeError: The data cannot be found.
    """
    return _unpacked_bytes(resolve_sources(data)) > IN_MEMORY_BYTES


def own_splits(data: Sequence[str], options: ReadingOptions = DEFAULT_OPTIONS) -> list[str]:
    """Return the splits that the data itself names: none where nothing is said and all is ``train``.

    Raises:
        AraeError: The data cannot be read.
    """
    return ReadingPlan(data, options).named_splits


def has_split(data: Sequence[str], split: str, options: ReadingOptions = DEFAULT_OPTIONS) -> bool:
    """Say whether ``read_corpus`` finds this split: the data has it, or it is held out of ``train``.

    Raises:
        AraeError: The data cannot be read.
    """
    return ReadingPlan(data, options).has(normalize_split(split))


def iterate_labelled_lines(
    data: Sequence[str],
    split: str,
    options: ReadingOptions = DEFAULT_OPTIONS,
    *,
    classes: Sequence[str] | None = None,
    progress: Progress | None = None,
    tally: Tally | None = None,
) -> Iterator[tuple[str, str]]:
    """Yield ``(class, text)`` of one split without holding the texts in memory.

    Within a class the order is that of the files. Where parts are held out, the data is read twice (4 bytes
    per line are kept of the first time).

    Args:
        data: What ``--data`` names.
        split: ``train``, ``valid``, ``test``, another split's name, or ``all``.
        options: How to read.
        classes: The classes to read; others are left out. None reads all.
        progress: Called with the bytes done and in all, about every 1 MiB.
        tally: Counts what was skipped or repaired.

    Raises:
        AraeError: The data cannot be read as asked.
    """
    plan = ReadingPlan(data, options)
    pool = plan.pool(normalize_split(split))
    held_out: HeldOut | None = None
    if pool.held_out_parts:
        keys: defaultdict[str, list[Keys]] = defaultdict(list)
        for batch in plan.batches(pool, Tally(), _part_of(progress, 0)):
            keys[batch.label].append(stable_keys(batch.texts))
        held_out = HeldOut(keys, pool.held_out_parts, options.held_out)
        progress = _part_of(progress, 1)
    for batch in plan.batches(pool, Tally() if tally is None else tally, progress):
        if classes is not None and batch.label not in classes:
            if tally is not None:
                tally.note(batch.source.path, Reason.OTHER_CLASS, batch.numbers[0], len(batch.texts))
        elif held_out is None:
            for text in batch.texts:
                yield batch.label, text
        else:
            chosen = held_out.choose(batch.label, stable_keys(batch.texts), pool.part)
            for text in itertools.compress(batch.texts, chosen.tolist()):
                yield batch.label, text


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
        classes: The classes in the wished order; each must be in the data, others are left out and counted.
            None takes all classes, sorted by name.
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

    survey = _Survey(plan, pool, classes, progress, keep if small else None)
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
    """Look through one split of labelled text and leave its lines where they are.

    About 20 bytes of each line are kept while it is looked through, and none afterwards. The lines are those of
    ``read_corpus``, in the same order; see there.
    """
    plan = ReadingPlan(data, options)
    survey = _Survey(plan, plan.pool(normalize_split(split)), classes, progress, None)
    return StreamedCorpus(StreamedLines(survey), survey.report)


class _Survey:
    """A pass over the lines of a split: which classes there are, how many lines, what is remarkable.

    Attributes:
        plan: Reads the files.
        pool: What is read.
        order: The classes, in order.
        counts: class -> the number of its lines in the split.
        report: What was met.
    """

    def __init__(
        self,
        plan: ReadingPlan,
        pool: Pool,
        classes: Sequence[str] | None,
        progress: Progress | None,
        keep: Callable[[str, list[str]], None] | None,
    ) -> None:
        """Read the files once.

        Args:
            plan: Reads the files.
            pool: What is read.
            classes: The wished classes in order, or None.
            progress: Called with the bytes done and in all.
            keep: Given the class and the texts of all lines, before parts are held out.
        """
        if classes is not None and len(set(classes)) < len(classes):
            raise AraeError(f"a class is named twice: {', '.join(classes)}", "name each class once.")
        self.plan = plan
        self.pool = pool
        tally, repetition = Tally(), Repetition()
        total: dict[str, int] = dict.fromkeys(plan.file_classes(pool), 0)
        # Classes that are not asked for count all the same where a part is held out: a text that stands in one of
        # them and in a wished one must fall into the same part whatever classes are read.
        keys: defaultdict[str, list[Keys]] = defaultdict(list)
        others: set[str] = set()
        for batch in plan.batches(pool, tally, progress):
            if pool.held_out_parts:
                keys[batch.label].append(stable_keys(batch.texts))
            if classes is not None and batch.label not in classes:
                tally.note(batch.source.path, Reason.OTHER_CLASS, batch.numbers[0], len(batch.texts))
                others.add(batch.label)
                continue
            tally.meet(batch.source.path)
            total[batch.label] = total.get(batch.label, 0) + len(batch.texts)
            repetition.add(batch.label, batch.source.path, batch.texts, batch.numbers)
            if keep is not None:
                keep(batch.label, batch.texts)
        self.order = sorted(total) if classes is None else list(classes)
        _check_classes({*total, *others}, self.order, plan.options, pool)
        self.counts = {label: total[label] for label in self.order}
        in_several_classes = repetition.report(tally)
        held_out_lines: dict[str, dict[str, int]] = {}
        self._held_out: HeldOut | None = None
        if pool.held_out_parts:
            self._held_out = HeldOut(keys, pool.held_out_parts, plan.options.held_out)
            for part in (*pool.held_out_parts, pool.part):
                held_out_lines[part] = {
                    label: sum(int(self._held_out.choose(label, own, part).sum()) for own in keys[label])
                    for label in self.order
                }
            self.counts = held_out_lines[pool.part]
            held_out_lines = {part: held_out_lines[part] for part in pool.held_out_parts}
        self.report = ReadingReport(
            findings=tally.findings(),
            maximum_characters=plan.options.maximum_characters,
            held_out=held_out_lines,
            in_several_classes=in_several_classes,
            longest=tally.longest,
        )
        repeated = {label for label in self.order if total[label] > 1 and repetition.distinct.get(label) == 1}
        _check_sizes(self.counts, self.report, pool, plan.options, {label: total[label] for label in repeated})

    def choose(self, label: str, texts: list[str]) -> list[str]:
        """Return those of a class's texts that belong to the wanted part."""
        if self._held_out is None:
            return texts
        return list(
            itertools.compress(texts, self._held_out.choose(label, stable_keys(texts), self.pool.part).tolist())
        )


def _unpacked_bytes(sources: Sequence[Source]) -> int:
    """Estimate how much text is in files."""
    total = 0
    for source in sources:
        packed = source.path.suffix.lower() in (COMPRESSED_SUFFIX, ".parquet")
        total += source.path.stat().st_size * (_UNPACKED if packed else 1)
    return total


def _part_of(progress: Progress | None, pass_number: int) -> Progress | None:
    """Report one of two passes over the data as half of the whole."""
    if progress is None:
        return None
    report = progress
    return lambda done, total: report(pass_number * total + done, 2 * total)


def _check_classes(known: Set[str], order: Sequence[str], options: ReadingOptions, pool: Pool) -> None:
    names = sorted(known)
    for label in order:
        if label not in known:
            hint = f"its classes are: {', '.join(names) or 'none'}"
            if options.classes_key and len(names) >= options.minimum_classes:
                wanted = shlex.quote(json.dumps(names, ensure_ascii=False))
                hint += f"; to learn these, add --set {options.classes_key}={wanted}"
            raise AraeError(f"there is no class {label!r} in {pool.name()}{nearest(label, names)}", hint)
    if len(order) < options.minimum_classes:
        found = f"is only the class {order[0]!r}" if len(order) == 1 else f"are {len(order) or 'no'} classes"
        raise AraeError(
            f"there {found} in {pool.name()}, {options.minimum_classes} are needed",
            f"{pool.place()}; add lines of another class, for example --data CLASS=FILE.",
        )
    by_case: dict[str, str] = {}
    for label in order:
        other = by_case.setdefault(label.casefold(), label)
        if other != label:
            raise AraeError(
                f"the classes {other!r} and {label!r} differ in capitals only", "write one class in one way."
            )


def _check_sizes(
    sizes: Mapping[str, int],
    report: ReadingReport,
    pool: Pool,
    options: ReadingOptions,
    repeated: Mapping[str, int],
) -> None:
    """Refuse a class with too few lines, or with many that are all one sentence.

    Args:
        sizes: The lines of each class in the split.
        report: What was met when they were read.
        pool: What was read.
        options: How it was read.
        repeated: The classes whose lines are all the same, with the number of their lines.
    """
    needed = options.minimum_lines if pool.split in (TRAIN, ALL) else 1
    for label, size in sizes.items():
        if needed > 1 and label in repeated:
            raise AraeError(
                f"class {label!r} has one sentence only: all of its {repeated[label]:,} lines in {pool.name()} are the "
                "same",
                f"{pool.place()}; give different sentences of this class.",
            )
        if size >= needed:
            continue
        causes = [f"{pool.place()}"]
        if report.total_skipped:
            causes.append("; ".join(str(finding) for finding in report.findings if finding.reason.skips))
            length = report.explain_length()
            if length:
                causes.append(f"{length}; --set data.maximum_characters=N raises the limit")
        if report.held_out:
            parts = [f"{counts[label]} held out for {part}" for part, counts in report.held_out.items()]
            causes.append(f"of its lines, {' and '.join(parts)}")
        raise AraeError(
            f"class {label!r} has {size} line{'' if size == 1 else 's'} "
            f"in {pool.name()}, {needed} {'is' if needed == 1 else 'are'} needed",
            "; ".join(causes),
        )
