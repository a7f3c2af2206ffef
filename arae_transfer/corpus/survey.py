"""Examine the lines of a split in one pass: classes, counts, skipped lines and findings."""

from __future__ import annotations

import itertools
import json
import shlex
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence, Set

import numpy as np

from arae_transfer.corpus.holdout import HELD_OUT_PARTS, HeldOut, Keys, stable_keys
from arae_transfer.corpus.near_duplicates import Hashes, HeldOutTexts, folded_hashes
from arae_transfer.corpus.plan import ALL, Pool, Progress, ReadingOptions, ReadingPlan
from arae_transfer.corpus.repetition import Repetition
from arae_transfer.corpus.report import ReadingReport, Reason, Tally
from arae_transfer.corpus.sources import TRAIN, nearest
from arae_transfer.errors import AraeError


class Survey:
    """The classes, line counts and findings of a split.

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
            classes: The classes to read, in order, or None.
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
        self._looks_for_near = pool.split == TRAIN and not plan.options.keep_near_duplicates
        elsewhere = self._hashes_elsewhere() if self._looks_for_near else []
        self._looks_for_near = self._looks_for_near and bool(elsewhere or pool.held_out_parts)
        hashes: defaultdict[str, list[Hashes]] = defaultdict(list)
        for batch in plan.batches(pool, tally, progress):
            if self._looks_for_near:
                hashes[batch.label].append(folded_hashes(batch.texts))
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
        self._held_out: HeldOut | None = None
        if pool.held_out_parts:
            self._held_out = HeldOut(keys, pool.held_out_parts, plan.options.held_out)
        self._near = HeldOutTexts(self._held_out_hashes(keys, hashes, elsewhere))
        held_out_lines = {part: self._count(part, keys, {}) for part in pool.held_out_parts}
        near_duplicates: dict[str, int] = {}
        if pool.held_out_parts or hashes:
            without = self._count(pool.part, keys, hashes)
            near_duplicates = {label: self.counts[label] - without[label] for label in self.order}
            for counts in held_out_lines.values():
                near_duplicates = {label: near_duplicates[label] - counts[label] for label in self.order}
            self.counts = without
        self.report = ReadingReport(
            findings=tally.findings(),
            maximum_characters=plan.options.maximum_characters,
            held_out=held_out_lines,
            in_several_classes=in_several_classes,
            longest=tally.longest,
            near_duplicates={label: count for label, count in near_duplicates.items() if hashes and count},
        )
        repeated = {label for label in self.order if total[label] > 1 and repetition.distinct.get(label) == 1}
        _check_sizes(self.counts, self.report, pool, plan.options, {label: total[label] for label in repeated})

    def _hashes_elsewhere(self) -> list[Hashes]:
        """Return the folded hashes of the data's own held-out parts."""
        found = []
        for part in HELD_OUT_PARTS:
            if part in self.plan.named_splits:
                found += [
                    folded_hashes(batch.texts) for batch in self.plan.batches(self.plan.pool(part), Tally(), None)
                ]
        return found

    def _held_out_hashes(
        self,
        keys: Mapping[str, Sequence[Keys]],
        hashes: Mapping[str, Sequence[Hashes]],
        elsewhere: Sequence[Hashes],
    ) -> Iterator[Hashes]:
        """Yield the folded hashes of all held-out texts: the data's own, and those held out of these lines."""
        yield from elsewhere
        if self._held_out is not None:
            for label, parts in hashes.items():
                for own, folded in zip(keys[label], parts, strict=True):
                    yield folded[~self._held_out.choose(label, own, TRAIN)]

    def _count(
        self, part: str, keys: Mapping[str, Sequence[Keys]], hashes: Mapping[str, Sequence[Hashes]]
    ) -> dict[str, int]:
        """Return how many lines of each class belong to a part, without near-duplicates if hashes are given."""
        counts = {}
        for label in self.order:
            counts[label] = 0
            size = max(len(keys.get(label, ())), len(hashes.get(label, ())))
            for number in range(size):
                parts = []
                if self._held_out is not None:
                    parts.append(self._held_out.choose(label, keys[label][number], part))
                if hashes:
                    parts.append(~self._near.near(hashes[label][number]))
                counts[label] += int(np.logical_and.reduce(parts).sum())
        return counts

    def choose(self, label: str, texts: list[str]) -> list[str]:
        """Return the texts of a class that belong to the requested part."""
        if self._held_out is None and not self._looks_for_near:
            return texts
        chosen = np.ones(len(texts), np.bool_)
        if self._held_out is not None:
            chosen = self._held_out.choose(label, stable_keys(texts), self.pool.part)
        if self._looks_for_near:
            chosen = chosen & ~self._near.near(folded_hashes(texts))
        return list(itertools.compress(texts, chosen.tolist()))


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
            f"there {found} in {pool.name()}, but {options.minimum_classes} are needed",
            f"{pool.place()}; add lines of another class, for example --data CLASS=FILE.",
        )
    by_case: dict[str, str] = {}
    for label in order:
        other = by_case.setdefault(label.casefold(), label)
        if other != label:
            raise AraeError(
                f"the classes {other!r} and {label!r} differ only in capital letters", "spell each class in one way."
            )


def _check_sizes(
    sizes: Mapping[str, int],
    report: ReadingReport,
    pool: Pool,
    options: ReadingOptions,
    repeated: Mapping[str, int],
) -> None:
    """Raise an error for a class with too few lines, or with a single sentence repeated.

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
                f"class {label!r} has only one sentence: its {repeated[label]:,} lines in {pool.name()} are equal",
                f"{pool.place()}; add different sentences of this class.",
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
        if report.near_duplicates.get(label):
            causes.append(
                f"{report.near_duplicates[label]:,} equal a held-out line except for case, punctuation and "
                "numbers (--set data.keep_near_duplicates=true keeps them)"
            )
        raise AraeError(
            f"class {label!r} has {size} line{'' if size == 1 else 's'} in {pool.name()}, but {needed} "
            f"{'is' if needed == 1 else 'are'} needed",
            "; ".join(causes),
        )
