"""Bootstrap intervals over sentences, and paired bootstrap tests between systems.

Koehn, "Statistical Significance Tests for Machine Translation Evaluation" (2004). All measures here are functions of
sums over sentences, so a resampling is a product of a matrix of counts with the statistics of the sentences.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

RESAMPLES = 1000
CONFIDENCE = 0.95
# Rows of the matrix of counts that are made at once: the matrix of 1,000 resamplings of a large split would not fit.
_BLOCK_ELEMENTS = 4_000_000

Floats = npt.NDArray[np.float64]
Sums = dict[str, Floats]
"""Sums by name, each of shape (1 + resamples, ...): over all sentences, then over each resample."""


def sum_statistics(statistics: Mapping[str, Floats], resamples: int, seed: Sequence[int]) -> Sums:
    """Sum statistics over all sentences, and over bootstrap resamples.

    The same number of sentences and the same seed draw the same sentences, which is what makes comparisons paired.

    Args:
        statistics: Arrays by name, each of shape (sentences, ...).
        resamples: The number of resamplings.
        seed: What the drawing depends on.
    """
    sentences = len(next(iter(statistics.values())))
    flat = {name: values.reshape(sentences, -1) for name, values in statistics.items()}
    table = np.concatenate(list(flat.values()), axis=1)  # (sentences, columns)
    rows = [table.sum(axis=0, keepdims=True)]
    generator = np.random.default_rng(list(seed))
    block = max(1, _BLOCK_ELEMENTS // max(sentences, 1))
    for start in range(0, resamples if sentences else 0, block):
        counts = np.empty((min(block, resamples - start), sentences))
        for row in counts:
            row[:] = np.bincount(generator.integers(sentences, size=sentences), minlength=sentences)
        rows.append(counts @ table)
    sums = np.concatenate(rows)
    ends = np.cumsum([values.shape[1] for values in flat.values()])
    parts = np.split(sums, ends[:-1], axis=1)
    return {name: part.reshape(len(sums), *statistics[name].shape[1:]) for name, part in zip(flat, parts, strict=True)}


def add_sums(parts: Iterable[Sums]) -> Sums:
    """Add the sums of several sets of sentences, each resampled separately; skip statistics that a set lacks."""
    first, *others = parts
    total = dict(first)
    for other in others:
        total = {
            name: values + other[name]
            for name, values in total.items()
            if name in other and other[name].shape == values.shape
        }
    return total


def interval(values: Floats) -> tuple[float, float]:
    """Return the bounds of the central 95 % of resamples.

    Args:
        values: A measure, shape (1 + resamplings,).
    """
    outside = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(values[1:], [outside, 100 - outside])
    return float(low), float(high)


def paired_p_value(first: Floats, second: Floats) -> float:
    """Return the p value of a difference under the hypothesis that two systems are equally good.

    Args:
        first: A measure of one system, shape (1 + resamplings,).
        second: The same of another, over the same resamplings.
    """
    differences = second[1:] - first[1:]
    as_large = np.abs(differences - differences.mean()) >= abs(second[0] - first[0])
    return float((as_large.sum() + 1) / (len(differences) + 1))
