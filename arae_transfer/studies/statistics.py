"""Statistics of reader studies: intervals of proportions, sign test, agreement, rank correlation."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from arae_transfer.evaluation.intervals import CONFIDENCE, RESAMPLES

Floats = npt.NDArray[np.float64]

_NORMAL_QUANTILE = 1.959963984540054
"""Of 97.5 %, for intervals of 95 %."""


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """Return the 95 % score interval of a proportion (Wilson 1927), valid for few trials and extreme proportions.

    Raises:
        ValueError: There are no trials.
    """
    if trials < 1:
        raise ValueError("an interval needs at least one trial")
    z = _NORMAL_QUANTILE
    share = successes / trials
    middle = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z / (1 + z * z / trials) * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    # At 0 and 1 the bound is exact; rounding would put it a hair beside.
    low = 0.0 if successes == 0 else middle - half
    return low, 1.0 if successes == trials else middle + half


def sign_test(wins: int, losses: int) -> float:
    """Return the two-sided p value of wins and losses under equal probabilities, without ties."""
    decided = wins + losses
    tail = sum(math.comb(decided, number) for number in range(min(wins, losses) + 1))
    return float(min(1.0, 2 * tail / 2**decided))


def krippendorff_alpha(units: Sequence[Sequence[float]]) -> float | None:
    """Return Krippendorff's alpha for interval data: 1 is perfect agreement, 0 is chance.

    Args:
        units: The values that each unit was given, by as many readers as rated it; units with one value do not count.

    Returns:
        Alpha, or None where there is nothing to compare: no unit has two values, or all values are equal.
    """
    pairable = [np.asarray(unit, np.float64) for unit in units if len(unit) > 1]
    if not pairable:
        return None
    values = np.concatenate(pairable)
    # The sum of squared differences over all ordered pairs of n values is 2 n times their sum of squared deviations.
    observed = sum(2 * len(unit) * _deviations(unit) / (len(unit) - 1) for unit in pairable) / len(values)
    expected = 2 * _deviations(values) / (len(values) - 1)
    return None if expected == 0 else float(1 - observed / expected)


def _deviations(values: Floats) -> float:
    return float(((values - values.mean()) ** 2).sum())


def within(units: Sequence[Sequence[float]], distance: float) -> float | None:
    """Return the share of value pairs of a unit that differ by at most a distance; None without pairs."""
    close = pairs = 0
    for unit in units:
        for index, first in enumerate(unit):
            for second in unit[index + 1 :]:
                pairs += 1
                close += abs(first - second) <= distance
    return close / pairs if pairs else None


def ranks(values: Floats) -> Floats:
    """Return the ranks of values from 1; equal values share the mean of their ranks."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[inverse], np.float64)


def spearman(first: Floats, second: Floats) -> float | None:
    """Return the rank correlation of two arrays of shape (n,), or None if one is constant."""
    if len(first) < 2:
        return None
    a, b = (ranks(each) - (len(each) + 1) / 2 for each in (first, second))
    scale = math.sqrt(float(a @ a) * float(b @ b))
    return float(a @ b) / scale if scale > 0 else None


def spearman_interval(
    first: Floats, second: Floats, groups: Sequence[str], seed: int = 1
) -> tuple[float, float] | None:
    """Return the 95 % bootstrap interval of the rank correlation, resampling whole groups.

    Args:
        first: An array of shape (n,).
        second: Another one.
        groups: The group of each place; values of one group, such as candidates of one source, are not independent.
        seed: What the drawing depends on.

    Returns:
        The bounds, or None where too few resamplings have a correlation.
    """
    members: dict[str, list[int]] = {}
    for place, group in enumerate(groups):
        members.setdefault(group, []).append(place)
    places = [np.array(each) for each in members.values()]
    generator = np.random.default_rng(seed)
    found = []
    for _ in range(RESAMPLES):
        drawn = np.concatenate([places[index] for index in generator.integers(len(places), size=len(places))])
        value = spearman(first[drawn], second[drawn])
        if value is not None:
            found.append(value)
    if len(found) < RESAMPLES // 2:
        return None
    outside = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(found, [outside, 100 - outside])
    return float(low), float(high)


def pair_accuracy(scores: Floats, ratings: Floats, groups: Sequence[str]) -> tuple[int, int, int]:
    """Return how many rated pairs of a group a score orders correctly, wrongly, and not at all."""
    members: dict[str, list[int]] = {}
    for place, group in enumerate(groups):
        members.setdefault(group, []).append(place)
    right = wrong = tied = 0
    for places in members.values():
        for index, one in enumerate(places):
            for other in places[index + 1 :]:
                product = (scores[one] - scores[other]) * (ratings[one] - ratings[other])
                if ratings[one] != ratings[other]:
                    right += bool(product > 0)
                    wrong += bool(product < 0)
                    tied += bool(product == 0)
    return right, wrong, tied
