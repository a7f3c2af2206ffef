"""Find lines that occur more than once in a corpus."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from arae_transfer.corpus.report import Reason, Tally

Hashes = npt.NDArray[np.int64]


class Repetition:
    """Finds repeated texts by 64 bits of each text (and 8 bytes of each line number).

    Among ten million texts, the chance that two different ones are taken for the same is one in 400,000; what comes
    of it is a remark, not a choice of lines.

    Attributes:
        distinct: How many different texts each class has, once ``report`` was asked.
    """

    def __init__(self) -> None:
        self.distinct: dict[str, int] = {}
        self._hashes: defaultdict[str, list[Hashes]] = defaultdict(list)
        self._places: defaultdict[str, list[tuple[Path, Sequence[int] | npt.NDArray[np.int64]]]] = defaultdict(list)

    def add(self, label: str, path: Path, texts: Sequence[str], numbers: Sequence[int]) -> None:
        """Add lines of a class with their line numbers."""
        self._hashes[label].append(np.fromiter(map(hash, texts), np.int64, len(texts)))
        self._places[label].append((path, numbers if isinstance(numbers, range) else np.asarray(numbers, np.int64)))

    def report(self, tally: Tally) -> int:
        """Count repeated lines for each file in a tally, and forget all lines.

        Returns:
            How many distinct texts stand in more than one class.
        """
        distinct = []
        for label, parts in self._hashes.items():
            hashes = np.concatenate(parts)
            order = np.argsort(hashes, kind="stable")  # of equal texts the first line comes first
            ascending = hashes[order]
            repeated = np.zeros(len(hashes), np.bool_)
            repeated[order[1:]] = ascending[1:] == ascending[:-1]
            distinct.append(hashes[~repeated])
            self.distinct[label] = len(distinct[-1])
            start = 0
            for part, (path, numbers) in zip(parts, self._places[label], strict=True):
                own = np.flatnonzero(repeated[start : start + len(part)])
                start += len(part)
                if len(own):
                    tally.note(path, Reason.DUPLICATE, int(numbers[own[0]]), len(own))
        self._hashes.clear()  # of a corpus that stays on the disk these are its largest trace in memory
        self._places.clear()
        if len(distinct) < 2:
            return 0
        every = np.sort(np.concatenate(distinct))
        return len(np.unique(every[1:][every[1:] == every[:-1]]))
