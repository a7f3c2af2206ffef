"""Several rewrites of a line: how they are searched or drawn, scored, ranked and combined."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from arae_transfer.errors import AraeError
from arae_transfer.tokenizer import END_ID

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]

MOST_CANDIDATES = 64
"""Candidates of a line: more would take memory for nothing, since the best are among far fewer."""


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """What the decoder wrote for a line.

    Attributes:
        tokens: Its ids, the end id last where it came to one.
        total: Their log-probability under the decoder.
    """

    tokens: list[int]
    total: float

    @property
    def finished(self) -> bool:
        """Whether it came to its end."""
        return bool(self.tokens) and self.tokens[-1] == END_ID

    @property
    def fluency(self) -> float:
        """The mean log-probability of its tokens."""
        return self.total / len(self.tokens)


def follow(tokens: Int64, parents: Int64, totals: Float32, counts: Int64, width: int) -> list[list[Hypothesis]]:
    """Follow hypotheses back from their ends through the rows that they continued.

    Args:
        tokens: (steps, lines x width) the ids written at each step.
        parents: (steps, lines x width) the rows that each continues.
        totals: (lines x width,) log-probabilities.
        counts: (lines x width,) numbers of ids.
        width: The candidates of a line.

    Returns:
        The hypotheses of each line, in the order of their rows.
    """
    steps, rows = tokens.shape
    written = np.empty((rows, steps), dtype=np.int64)
    row = np.arange(rows)
    for step in reversed(range(steps)):
        written[:, step] = tokens[step, row]
        row = parents[step, row]
    hypotheses = [
        Hypothesis(ids[:count], total)
        for ids, count, total in zip(written.tolist(), counts.tolist(), totals.tolist(), strict=True)
    ]
    return [hypotheses[start : start + width] for start in range(0, rows, width)]
