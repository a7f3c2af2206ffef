"""The statistics of reader studies, against published numbers and scipy."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from arae_transfer.studies.statistics import (
    krippendorff_alpha,
    pair_accuracy,
    ranks,
    sign_test,
    spearman,
    spearman_interval,
    wilson_interval,
    within,
)


@pytest.mark.parametrize(("successes", "trials"), [(0, 10), (1, 10), (5, 10), (29, 80), (80, 80)])
def test_wilson_interval_is_that_of_scipy(successes: int, trials: int) -> None:
    expected = scipy.stats.binomtest(successes, trials).proportion_ci(0.95, method="wilson")
    assert wilson_interval(successes, trials) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_an_interval_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        wilson_interval(0, 0)


@pytest.mark.parametrize(("wins", "losses"), [(0, 0), (3, 0), (5, 5), (30, 58), (900, 1300)])
def test_sign_test_is_the_binomial_test_of_scipy(wins: int, losses: int) -> None:
    expected = scipy.stats.binomtest(wins, wins + losses).pvalue if wins + losses else 1.0
    assert sign_test(wins, losses) == pytest.approx(expected)
    assert sign_test(losses, wins) == sign_test(wins, losses)


def test_alpha_of_the_published_example() -> None:
    # Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011): four observers, twelve units, 0 for none.
    table = [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, 0, 0, 0],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, 0, 3],
        [0, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, 0],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, 0],
    ]
    units = [[float(value) for value in column if value] for column in zip(*table, strict=True)]
    assert krippendorff_alpha(units) == pytest.approx(0.849, abs=0.0005)


def test_alpha_of_full_chance_and_no_agreement() -> None:
    assert krippendorff_alpha([[1.0, 1.0], [5.0, 5.0]]) == 1
    assert (krippendorff_alpha([[1.0, 5.0], [5.0, 1.0]]) or 0) < 0
    generator = np.random.default_rng(1)
    by_chance = krippendorff_alpha(generator.integers(1, 6, (2000, 2)).astype(float).tolist())
    assert by_chance == pytest.approx(0, abs=0.06)
    assert krippendorff_alpha([[3.0], [4.0]]) is None
    assert krippendorff_alpha([[3.0, 3.0], [3.0, 3.0]]) is None


def test_within_counts_pairs_of_one_unit() -> None:
    assert within([[1, 2, 4], [3, 3], [5]], 1.0) == 2 / 4
    assert within([[5]], 1.0) is None


def test_rank_correlation_is_that_of_scipy() -> None:
    generator = np.random.default_rng(2)
    first, second = generator.integers(1, 6, 50).astype(float), generator.normal(size=50)
    assert ranks(first) == pytest.approx(scipy.stats.rankdata(first))
    assert spearman(first, second) == pytest.approx(scipy.stats.spearmanr(first, second).statistic)
    assert spearman(first, np.exp(first)) == pytest.approx(1)
    assert spearman(first, np.ones(50)) is None


def test_the_interval_holds_the_correlation_and_widens_with_dependence() -> None:
    generator = np.random.default_rng(3)
    base = np.repeat(generator.normal(size=40), 5)
    first, second = base + generator.normal(size=200) / 10, base + generator.normal(size=40).repeat(5)
    rho = spearman(first, second)
    alone = spearman_interval(first, second, [str(number) for number in range(200)])
    grouped = spearman_interval(first, second, [str(number // 5) for number in range(200)])
    assert rho is not None
    assert alone is not None
    assert grouped is not None
    assert grouped[0] < rho < grouped[1]
    assert grouped[1] - grouped[0] > alone[1] - alone[0]


def test_pairs_of_one_source_are_ordered() -> None:
    scores, ratings = np.array([1.0, 2.0, 2.0, 9.0]), np.array([1.0, 2.0, 3.0, 1.0])
    # Of source a: 1 and 2, 1 and 3 right, 2 and 3 tied; the fourth is of another source.
    assert pair_accuracy(scores, ratings, ["a", "a", "a", "b"]) == (2, 0, 1)
    assert pair_accuracy(-scores, ratings, ["a", "a", "a", "b"]) == (0, 2, 1)
    assert pair_accuracy(scores, np.ones(4), ["a"] * 4) == (0, 0, 0)
