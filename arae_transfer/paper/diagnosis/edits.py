"""Edits of sentences: word edit distance, and swapped words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]
_PADDING = -1


class WordTable:
    """Sentences as padded rows of word numbers, to compare one with all at once.

    Attributes:
        lengths: (sentences,) the words of each.
    """

    def __init__(self, lines: Sequence[str]) -> None:
        self._numbers: dict[str, int] = {}
        rows = [[self._numbers.setdefault(word, len(self._numbers)) for word in line.split()] for line in lines]
        self.lengths: Integers = np.array([len(row) for row in rows], dtype=np.int64)
        self._words: Integers = np.full((len(rows), max(self.lengths.tolist(), default=0)), _PADDING, dtype=np.int64)
        for place, row in enumerate(rows):
            self._words[place, : len(row)] = row

    def distances(self, line: str, chosen: Integers) -> Integers:
        """Return the edit distances in words of a sentence to some of the table's (Levenshtein 1966).

        Args:
            line: The sentence.
            chosen: (rows,) which sentences of the table.

        Returns:
            (rows,) the least number of inserted, deleted and replaced words.
        """
        other = self._words[chosen]  # (rows, words)
        columns = np.arange(other.shape[1] + 1)
        before = np.tile(columns, (len(chosen), 1))  # (rows, words + 1)
        for place, word in enumerate(line.split(), start=1):
            number = self._numbers.get(word, _PADDING - 1)  # equal to nothing
            replaced = before[:, :-1] + (other != number)
            now = np.minimum(before + 1, np.pad(replaced, ((0, 0), (1, 0)), constant_values=place))
            now[:, 0] = place
            # now[j] = min over i <= j of now[i] + (j - i): insertions run along the row.
            before = np.minimum.accumulate(now - columns, axis=1) + columns
        found: Integers = before[np.arange(len(chosen)), self.lengths[chosen]]
        return found

    def near(self, line: str, maximum: int, most: int) -> tuple[Integers, Integers]:
        """Return the sentences within an edit distance of 1 to ``maximum``, nearest first, and their distances.

        Args:
            line: The sentence; the same sentence is none of its neighbours.
            maximum: The greatest distance.
            most: The most sentences to return; of equally near ones the first in the table.
        """
        length = len(line.split())
        chosen = np.flatnonzero(np.abs(self.lengths - length) <= maximum)  # others are farther away
        distances = self.distances(line, chosen)
        fits = (distances >= 1) & (distances <= maximum)
        chosen, distances = chosen[fits], distances[fits]
        order = np.argsort(distances, kind="stable")[:most]
        return chosen[order], distances[order]


def draw_swaps(words: int, number: int, random: np.random.Generator) -> list[tuple[int, int]]:
    """Draw pairs of different positions to swap, no pair twice in a row.

    Args:
        words: The number of words, at least 3 where two or more swaps are drawn, at least 2 for one.
        number: How many swaps.
        random: The source of randomness.
    """
    swaps: list[tuple[int, int]] = []
    while len(swaps) < number:
        first, second = sorted(random.choice(words, size=2, replace=False).tolist())
        if not swaps or swaps[-1] != (first, second):
            swaps.append((first, second))
    return swaps


def swap_words(line: str, swaps: Sequence[tuple[int, int]]) -> str:
    """Swap words, one pair after the other."""
    words = line.split()
    for first, second in swaps:
        words[first], words[second] = words[second], words[first]
    return " ".join(words)
