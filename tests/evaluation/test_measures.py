"""Measures of a few lines, each by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest

from arae_transfer.evaluation.intervals import sum_statistics
from arae_transfer.evaluation.measures import Instruments, Measurement, compute_measures, count_distinct, foretell
from arae_transfer.language_model.ngram import NgramLanguageModel


class WordJudge:
    """Takes a line for positive when it says so: a judge whose every verdict is known."""

    classes: tuple[str, ...] = ("negative", "positive")
    description: str = "looks for a word"

    def __init__(self, word: str) -> None:
        self.word = word

    def judge(self, lines: Sequence[str]) -> npt.NDArray[np.int64]:
        """Return 1 for the lines that hold the word."""
        return np.array([int(self.word in line.split()) for line in lines])


SOURCES = ["the food was bad", "awful place", "i hate it", "never again"]
REWRITES = ["the food was good", "awful place", "", "good again again"]
MODEL = NgramLanguageModel.train([line.split() for line in ["the food was good", "good place", "i like it"]], 3)
INSTRUMENTS = Instruments({"linear": WordJudge("good"), "neural": WordJudge("again")}, MODEL, "none")


def _measures(lines: list[str], references: list[list[str]]) -> dict[str, float]:
    statistics = INSTRUMENTS.measure_rewrites(lines, SOURCES, references, "positive")
    values = compute_measures(sum_statistics(statistics, 5, (1,)))
    assert {array.shape for array in values.values()} == {(6,)}
    return {key: float(array[0]) for key, array in values.items()}


def test_measures_by_hand() -> None:
    measures = _measures(REWRITES, [])
    assert measures["accuracy_linear"] == 50.0
    assert measures["accuracy_neural"] == 25.0
    assert measures["copies"] == 25.0
    assert measures["blank"] == 25.0
    assert measures["length_ratio"] == pytest.approx(9 / 11)
    assert measures["unknown_words"] == pytest.approx(100 * 3 / 9)  # awful, again, again
    # Matching words 3 + 2 + 0 + 1 of 9, pairs 2 + 1 + 0 + 0 of 6, triples 1 + 0 + 0 + 0 of 3, quadruples 0 of 1.
    bleu = 100 * math.exp(1 - 11 / 9) * (6 / 9 * 3 / 6 * 1 / 3 * 0.5 / 1) ** 0.25
    assert measures["self_bleu"] == pytest.approx(bleu)
    assert measures["geometric_mean"] == pytest.approx(math.sqrt(37.5 * bleu))
    assert measures["harmonic_mean"] == pytest.approx(2 * 37.5 * bleu / (37.5 + bleu))
    scores = MODEL.score([line.split() for line in REWRITES])
    assert measures["perplexity"] == pytest.approx(scores.perplexity)
    assert "reference_bleu" not in measures
    assert "reference_bleu_left_out" not in measures


def test_references() -> None:
    first, second = [*REWRITES[:2], "x y z v", "w"], ["a b", "awful place to be", "b", "good again again now"]
    one = _measures(REWRITES, [first])
    other = _measures(REWRITES, [second])
    both = _measures(REWRITES, [first, second])
    assert "reference_bleu_left_out" not in one
    assert both["reference_bleu"] > max(one["reference_bleu"], other["reference_bleu"])
    assert both["reference_bleu_left_out"] == pytest.approx((one["reference_bleu"] + other["reference_bleu"]) / 2)
    assert both["geometric_mean_reference"] == pytest.approx(math.sqrt(37.5 * both["reference_bleu"]))


def test_all_blank_rewrites_are_worth_nothing_and_break_nothing() -> None:
    measures = _measures(["", "", "", ""], [SOURCES])
    assert measures["accuracy_linear"] == measures["self_bleu"] == measures["geometric_mean"] == 0
    assert measures["harmonic_mean"] == measures["unknown_words"] == 0
    assert measures["blank"] == 100


def test_variety() -> None:
    assert count_distinct(["a", "b", "a", "a"]) == 50.0
    real = ["the food was good", "good place", "i like it"]
    log_probability, tokens = foretell(real, real, MODEL)
    assert tokens == 4 + 2 + 3 + 3
    monotonous, same_tokens = foretell(real, ["good place"] * 3, MODEL)
    assert same_tokens == tokens
    assert monotonous < log_probability < 0
    # Words that the lines lack are known all the same: what they lack is not what is measured.
    alike = NgramLanguageModel.train([["good", "place"]] * 3, MODEL.order, MODEL.vocabulary)
    assert monotonous == pytest.approx(alike.score([line.split() for line in real]).log_probability.sum())


def test_measurement_has_an_interval_where_it_was_resampled() -> None:
    assert Measurement(np.array([3.0])).interval is None
    low, high = Measurement(np.array([3.0, *np.linspace(0, 100, 101)])).interval or (0.0, 0.0)
    assert (low, high) == pytest.approx((2.5, 97.5))
