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

import itertools
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace

from arae_transfer.corpus.holdout import HeldOut, HeldOutSize, Keys, stable_keys
from arae_transfer.corpus.plan import ALL, Batch, Pool, Progress, ReadingOptions, ReadingPlan
from arae_transfer.corpus.report import ReadingReport, Reason, Tally
from arae_transfer.corpus.sources import TRAIN, nearest, normalize_split
from arae_transfer.errors import AraeError

__all__ = [
    "ALL",
    "DEFAULT_OPTIONS",
    "Corpus",
    "HeldOutSize",
    "ReadingOptions",
    "ReadingReport",
    "has_split",
    "iterate_labelled_lines",
    "own_splits",
    "read_corpus",
]

DEFAULT_OPTIONS = ReadingOptions()


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
    if classes is not None and len(set(classes)) < len(classes):
        raise AraeError(f"a class is named twice: {', '.join(classes)}", "name each class once.")
    plan = ReadingPlan(data, options)
    pool = plan.pool(normalize_split(split))
    tally = Tally()
    lines: dict[str, list[str]] = {label: [] for label in plan.file_classes(pool)}
    distinct: defaultdict[str, set[str]] = defaultdict(set)
    # Classes that are not asked for count all the same where a part is held out: a text that stands in one of
    # them and in a wished one must fall into the same part whatever classes are read.
    other_keys: defaultdict[str, list[Keys]] = defaultdict(list)
    for batch in plan.batches(pool, tally, progress):
        if classes is not None and batch.label not in classes:
            tally.note(batch.source.path, Reason.OTHER_CLASS, batch.numbers[0], len(batch.texts))
            other_keys[batch.label].append(stable_keys(batch.texts))
            continue
        lines.setdefault(batch.label, []).extend(batch.texts)
        _count_repetitions(batch, distinct[batch.label], tally)
    order = sorted(lines) if classes is None else list(classes)
    _check_classes({*lines, *other_keys}, order, options, pool)
    lines = {label: lines[label] for label in order}
    report = ReadingReport(
        findings=tally.findings(),
        maximum_characters=options.maximum_characters,
        in_several_classes=_count_shared(list(distinct.values())),
    )
    distinct.clear()
    if pool.held_out_parts:
        keys = {label: stable_keys(texts) for label, texts in lines.items()}
        every = dict(other_keys) | {label: [own] for label, own in keys.items()}
        held_out = HeldOut(every, pool.held_out_parts, options.held_out)
        counts = {
            part: {label: int(held_out.choose(label, own, part).sum()) for label, own in keys.items()}
            for part in pool.held_out_parts
        }
        report = replace(report, held_out=counts)
        for label, own in keys.items():
            chosen = held_out.choose(label, own, pool.part)
            lines[label] = list(itertools.compress(lines[label], chosen.tolist()))
    _check_sizes(lines, report, pool, options)
    return Corpus(lines, report)


def _part_of(progress: Progress | None, pass_number: int) -> Progress | None:
    """Report one of two passes over the data as half of the whole."""
    if progress is None:
        return None
    report = progress
    return lambda done, total: report(pass_number * total + done, 2 * total)


def _count_repetitions(batch: Batch, seen: set[str], tally: Tally) -> None:
    """Count the lines of a batch that were seen before in their class, with the first one's number."""
    path = batch.source.path
    before = len(seen)
    if not tally.has(path, Reason.DUPLICATE):
        distinct = set(batch.texts)
        if len(distinct) < len(batch.texts) or not seen.isdisjoint(distinct):
            here: set[str] = set()
            for number, text in zip(batch.numbers, batch.texts, strict=True):
                if text in seen or text in here:
                    tally.note(path, Reason.DUPLICATE, number, 0)
                    break
                here.add(text)
    seen.update(batch.texts)
    repeated = len(batch.texts) - (len(seen) - before)
    if repeated:
        tally.note(path, Reason.DUPLICATE, batch.numbers[0], repeated)


def _count_shared(sets: Sequence[set[str]]) -> int:
    """Return how many texts stand in more than one of the sets."""
    shared: set[str] = set()
    for index, texts in enumerate(sets):
        for others in sets[index + 1 :]:
            shared |= texts & others
    return len(shared)


def _check_classes(known: Set[str], order: Sequence[str], options: ReadingOptions, pool: Pool) -> None:
    names = sorted(known)
    for label in order:
        if label not in known:
            raise AraeError(
                f"there is no class {label!r} in {pool.name()}{nearest(label, names)}",
                f"its classes are: {', '.join(names) or 'none'}",
            )
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


def _check_sizes(lines: Mapping[str, list[str]], report: ReadingReport, pool: Pool, options: ReadingOptions) -> None:
    needed = options.minimum_lines if pool.split in (TRAIN, ALL) else 1
    for label, texts in lines.items():
        if len(texts) >= needed:
            continue
        causes = [f"{pool.place()}"]
        if report.total_skipped:
            causes.append("; ".join(str(finding) for finding in report.findings if finding.reason.skips))
        if report.held_out:
            parts = [f"{counts[label]} held out for {part}" for part, counts in report.held_out.items()]
            causes.append(f"of its lines, {' and '.join(parts)}")
        raise AraeError(
            f"class {label!r} has {len(texts)} line{'' if len(texts) == 1 else 's'} "
            f"in {pool.name()}, {needed} {'is' if needed == 1 else 'are'} needed",
            "; ".join(causes),
        )
