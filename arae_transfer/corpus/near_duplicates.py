"""Find training lines that equal held-out lines except in case, punctuation, spaces and numbers.

A model that has seen them is measured by what it knows by heart.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.int64]

_NO_LETTERS = re.compile(r"[\W\d_]+")


def fold(text: str) -> str:
    """Return the letters of a text in one case, or the text itself if it has no letters."""
    return _NO_LETTERS.sub("", text.casefold()) or text


def folded_hashes(texts: Sequence[str]) -> Hashes:
    """Return 64-bit hashes of the folded texts, equal for equal texts within this process: (texts,)."""
    return np.fromiter(map(hash, map(fold, texts)), np.int64, len(texts))


class HeldOutTexts:
    """The folded texts of the held-out parts.

    Args:
        hashes: What ``folded_hashes`` returns for them, in any number of arrays.
    """

    def __init__(self, hashes: Iterable[Hashes]) -> None:
        self._hashes = np.unique(np.concatenate([np.empty(0, np.int64), *hashes]))

    def near(self, hashes: Hashes) -> npt.NDArray[np.bool_]:
        """Return which texts are near-duplicates of held-out ones, by their hashes: (texts,) to (texts,)."""
        if len(self._hashes) == 0:
            return np.zeros(len(hashes), np.bool_)
        places = np.minimum(np.searchsorted(self._hashes, hashes), len(self._hashes) - 1)
        found: npt.NDArray[np.bool_] = self._hashes[places] == hashes
        return found


def without_near_duplicates(texts: Iterable[str], held_out: Iterable[str]) -> Iterator[str]:
    """Yield the texts that are not near-duplicates of held-out ones."""
    known = {fold(text) for text in held_out}
    return (text for text in texts if fold(text) not in known)
