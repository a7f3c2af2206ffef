"""The bootstrap: exact sums, paired drawing, intervals of the width that theory says."""

from __future__ import annotations

import numpy as np
import pytest

from arae_transfer.evaluation import intervals
from arae_transfer.evaluation.intervals import add_sums, interval, paired_p_value, sum_statistics


def _numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(shape)


def test_each_resampling_has_as_many_lines_as_the_sample() -> None:
    statistics = {"lines": np.ones(50), "flat": _numbers(50), "deep": _numbers(50, 2, 3)}
    sums = sum_statistics(statistics, 20, (1,))
    assert {name: values.shape for name, values in sums.items()} == {"lines": (21,), "flat": (21,), "deep": (21, 2, 3)}
    assert sums["deep"][0] == pytest.approx(statistics["deep"].sum(axis=0))
    assert sums["lines"].tolist() == [50.0] * 21
    assert len(set(sums["flat"].tolist())) == 21


def test_the_same_seed_draws_the_same_lines_whatever_else_is_summed(monkeypatch: pytest.MonkeyPatch) -> None:
    flat = _numbers(40)
    first = sum_statistics({"flat": flat}, 30, (5, 1))["flat"]
    monkeypatch.setattr(intervals, "_BLOCK_ELEMENTS", 40 * 7)  # resamplings in blocks of seven
    second = sum_statistics({"other": _numbers(40, 3), "flat": flat}, 30, (5, 1))["flat"]
    assert first == pytest.approx(second)
    assert first[1:] != pytest.approx(sum_statistics({"flat": flat}, 30, (5, 2))["flat"][1:])


def test_the_interval_of_a_share_is_as_wide_as_the_binomial_says() -> None:
    accepted = np.repeat([0.0, 1.0], 200)
    sums = sum_statistics({"accepted": accepted}, 2000, (1,))
    low, high = interval(sums["accepted"] / 400)
    deviation = np.sqrt(0.5 * 0.5 / 400)
    assert low == pytest.approx(0.5 - 1.96 * deviation, abs=0.006)
    assert high == pytest.approx(0.5 + 1.96 * deviation, abs=0.006)


def test_paired_differences() -> None:
    base = _numbers(300)
    first = sum_statistics({"value": base}, 999, (1,))["value"]
    better = sum_statistics({"value": base + 0.01}, 999, (1,))["value"]
    shuffled = sum_statistics({"value": np.roll(base, 1)}, 999, (1,))["value"]
    assert paired_p_value(first, first) == 1.0
    # Every line is a little better: the same lines are drawn for both, so no resampling hides it.
    assert paired_p_value(first, better) == pytest.approx(1 / 1000)
    assert paired_p_value(first, shuffled) > 0.5


def test_sums_of_several_directions_keep_what_all_have() -> None:
    first = {"a": np.array([1.0, 2.0]), "b": np.ones(2), "c": np.ones((2, 3))}
    second = {"a": np.array([10.0, 20.0]), "c": np.ones((2, 4))}
    assert {name: values.tolist() for name, values in add_sums([first, second]).items()} == {"a": [11.0, 22.0]}
    assert first["a"].tolist() == [1.0, 2.0]
