"""Hold out validation and test lines from training data without such parts.

The choice depends on the texts alone: no random numbers, no order of files, no machine. Texts are ranked by a
stable hash; within each class the lowest ranks are the validation part and the next ones the test part. A
text that occurs several times falls into one part as a whole, and a text that stands in several classes stays
in train, so the parts never share a text.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from arae_transfer.corpus.sources import TEST, TRAIN, VALID

Keys = npt.NDArray[np.uint32]

HELD_OUT_PARTS = (VALID, TEST)


@dataclass(frozen=True)
class HeldOutSize:
    """Number of distinct texts of a class that are held out for each part.

    Attributes:
        share: The target share of the class.
        minimum: At least so many, but never more than a tenth of the class (or one text).
        maximum: At most so many.
    """

    share: float = 0.02
    minimum: int = 20
    maximum: int = 2000

    def of(self, texts: int) -> int:
        """Return the number held out of a class with ``texts`` distinct texts."""
        wished = min(max(round(self.share * texts), self.minimum), self.maximum)
        return min(wished, max(texts // 10, 1), texts)


def cross_fitting_fold(sentence: str, parts: int) -> int:
    """Return the cross-fitting fold of a sentence, from 0: each fold is scored by models that learn from the others.

    It is the same wherever the sentence stands, so that none is judged by what has seen it.
    """
    return zlib.crc32(sentence.encode()) % parts


def stable_keys(texts: Sequence[str]) -> Keys:
    """Return a 32-bit key for each text, the same on every machine; shape (texts,).

    CRC-32 alone is linear: texts that differ little get keys in a pattern. The final mixing step of
    MurmurHash3 breaks it.
    """
    encoded = map(str.encode, texts)
    keys = np.fromiter(map(zlib.crc32, encoded), dtype=np.uint32, count=len(texts))
    keys ^= keys >> np.uint32(16)
    keys *= np.uint32(0x85EBCA6B)
    keys ^= keys >> np.uint32(13)
    keys *= np.uint32(0xC2B2AE35)
    keys ^= keys >> np.uint32(16)
    return keys


class HeldOut:
    """Decides which part each text of a class belongs to.

    Args:
        keys: For each class, the keys of all its training texts (repetitions allowed), in any number of
            arrays.
        parts: The parts that are held out, out of ``valid`` and ``test``.
        size: How many texts each part gets.
    """

    def __init__(self, keys: Mapping[str, Iterable[Keys]], parts: Sequence[str], size: HeldOutSize) -> None:
        distinct = {label: _sorted_distinct(arrays) for label, arrays in keys.items()}
        every = np.sort(_joined(distinct.values()))
        shared = every[1:][every[1:] == every[:-1]]
        self._selected: dict[str, dict[str, Keys]] = {}
        for label, own in distinct.items():
            free = own[~_contained(own, shared)]
            count = size.of(len(free))
            # The windows do not depend on which parts are wanted: valid is the same with and without a test
            # part.
            windows = {VALID: free[:count], TEST: free[count : 2 * count]}
            self._selected[label] = {part: windows[part] for part in parts}

    def choose(self, label: str, keys: Keys, part: str) -> npt.NDArray[np.bool_]:
        """Return which texts of a class belong to a part, by their keys; ``train`` is the rest.

        Args:
            label: The class.
            keys: The keys of the texts, shape (texts,).
            part: ``train``, ``valid`` or ``test``.

        Returns:
            Booleans of shape (texts,).
        """
        selected = self._selected[label]
        if part != TRAIN:
            return _contained(keys, selected[part])
        held_out = np.zeros(len(keys), np.bool_)
        for window in selected.values():
            held_out |= _contained(keys, window)
        return ~held_out


def _joined(arrays: Iterable[Keys]) -> Keys:
    return np.concatenate([np.empty(0, np.uint32), *arrays])


def _sorted_distinct(arrays: Iterable[Keys]) -> Keys:
    """Return the distinct keys in ascending order (several times faster than ``np.unique``)."""
    keys = np.sort(_joined(arrays))
    is_first = np.ones(len(keys), np.bool_)
    is_first[1:] = keys[1:] != keys[:-1]
    return keys[is_first]


def _contained(keys: Keys, window: Keys) -> npt.NDArray[np.bool_]:
    """Return which keys are in a sorted window; only keys within its bounds are searched."""
    if len(window) == 0:
        return np.zeros(len(keys), np.bool_)
    contained: npt.NDArray[np.bool_] = (keys >= window[0]) & (keys <= window[-1])
    near = keys[contained]
    contained[contained] = window[np.searchsorted(window, near)] == near
    return contained
