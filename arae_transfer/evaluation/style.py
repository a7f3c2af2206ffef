"""Classifiers of style, trained on text that the evaluated model has not seen.

One judge is easily fooled by a model that found its blind spot; two that work differently seldom agree by accident.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from arae_transfer.parallel.linear_classifier import LinearClassifier

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


class Judge(Protocol):
    """A classifier of style.

    Attributes:
        classes: The classes in the order of their numbers.
        description: What the judge is, exactly enough to make it again.
    """

    classes: tuple[str, ...]
    description: str

    def judge(self, lines: Sequence[str]) -> Integers:
        """Return the class index of each line: (lines,)."""
        ...


class LinearJudge(LinearClassifier):
    """A linear classifier of style."""

    def judge(self, lines: Sequence[str]) -> Integers:
        """Return the class index of each line: (lines,)."""
        return self.classify(lines)


def find_accepted(judge: Judge, lines: Sequence[str], target: str) -> Floats:
    """Return 1 for each line that a classifier assigns to the target class, else 0; blank lines get 0.

    Args:
        judge: The judge.
        lines: The lines, words separated by blanks.
        target: One of the judge's classes.

    Returns:
        Shape (lines,).
    """
    if not lines:
        return np.zeros(0)
    blank = np.array([not line for line in lines])
    accepted: Floats = ((judge.judge(lines) == judge.classes.index(target)) & ~blank).astype(np.float64)
    return accepted
