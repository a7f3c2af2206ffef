"""Kneser-Ney against arithmetic by hand, against KenLM, and against the laws of probability."""

from __future__ import annotations

import math
import random

import pytest

from arae_transfer.language_model.ngram import FALLBACK_DISCOUNTS, NgramLanguageModel

TINY = [["a", "b"], ["a", "b"], ["a", "c"]]

SENTENCES = [
    line.split()
    for line in (
        "the food was good .",
        "the food was very good .",
        "the food was bad .",
        "the service was bad .",
        "the service was slow and the food was cold .",
        "good food , good service !",
        "very good food .",
        "i love this place .",
        "i love the food here .",
        "i hate this place !",
        "this place is good .",
        "the place is slow .",
        "here is the food , and it is cold !",
    )
]
QUESTIONS = ["the food was slow .", "i love good service !", "food", "this zebra is cold .", "good good good"]
# Base-10 logarithms by KenLM 0.3.0: `lmplz -o ORDER --discount_fallback`, then `query`, of SENTENCES and QUESTIONS.
KENLM = {
    2: [-3.3425388, -5.4901185, -3.4029522, -6.0743103, -5.3569508],
    3: [-3.4160542, -4.9931850, -3.4678571, -6.6174040, -5.8673105],
    5: [-4.1063495, -4.9506020, -3.4678571, -6.5928010, -5.8523330],
}


def test_bigrams_by_hand() -> None:
    model = NgramLanguageModel.train(TINY, 2)
    # Words are counted once per word before them: a 1, b 1, c 1, </s> 2; too few for discounts of their own.
    # (1 - 0.5) / 5 and (2 - 1) / 5, and the freed 2.5 / 5 shared by a, b, c, </s> and the unknown word.
    assert model.discounts[0] == FALLBACK_DISCOUNTS
    assert model.probability("a") == pytest.approx(0.2)
    assert model.probability(None) == pytest.approx(0.3)
    assert model.probability("zebra") == pytest.approx(0.1)
    # Pairs: two occur once, two twice, one three times, none four times. So Y = 2 / (2 + 2 * 2) = 1/3, and the
    # discounts are 1 - 2Y * 2/2, 2 - 3Y * 1/2 and 3 - 4Y * 0/1.
    assert model.discounts[1] == pytest.approx((1 / 3, 1.5, 3.0))
    freed = (1.5 + 1 / 3) / 3
    assert model.probability("b", ["a"]) == pytest.approx((2 - 1.5) / 3 + freed * 0.2)
    assert model.probability("c", ["a"]) == pytest.approx((1 - 1 / 3) / 3 + freed * 0.2)
    assert model.probability(None, ["a"]) == pytest.approx(freed * 0.3)
    assert model.probability("a", from_begin=True) == pytest.approx(0.2)
    assert model.probability("b", ["zebra"]) == pytest.approx(0.2)
    scores = model.score([["a", "b"], []])
    expected = 0.2 * (0.5 / 3 + freed * 0.2) * (0.25 + 0.75 * 0.3)
    assert scores.log_probability[0] == pytest.approx(math.log(expected))
    assert scores.log_probability[1] == pytest.approx(
        math.log(0.3)
    )  # </s> never follows <s> here, and nothing is freed
    assert scores.tokens.tolist() == [3, 1]
    assert scores.perplexity == pytest.approx(math.exp(-(math.log(expected) + math.log(0.3)) / 4))


@pytest.mark.parametrize("order", KENLM)
def test_probabilities_are_those_of_kenlm(order: int) -> None:
    scores = NgramLanguageModel.train(SENTENCES, order).score([line.split() for line in QUESTIONS])
    assert (scores.log_probability / math.log(10)).tolist() == pytest.approx(KENLM[order], abs=2e-6)
    assert scores.unknown.tolist() == [0, 0, 0, 1, 0]


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_probabilities_sum_to_one_after_any_context(order: int) -> None:
    model = NgramLanguageModel.train(SENTENCES, order, [*(word for line in SENTENCES for word in line), "unseen"])
    generator = random.Random(order)
    words = [*model.vocabulary, "zebra"]
    contexts = [line[: generator.randrange(len(line) + 1)] for line in SENTENCES]
    contexts += [generator.choices(words, k=generator.randrange(6)) for _ in range(20)]
    for context in contexts:
        for from_begin in (False, True):
            everything = [*words, None]
            total = sum(model.probability(word, context, from_begin=from_begin) for word in everything)
            assert total == pytest.approx(1.0), context
    assert model.vocabulary_size == len(everything)


def test_score_is_the_product_of_the_words_probabilities() -> None:
    model = NgramLanguageModel.train(SENTENCES, 3)
    for line in [*SENTENCES[:3], ["zebra", "food", "zebra"]]:
        logarithms = [
            math.log(model.probability(word, line[:place], from_begin=True)) for place, word in enumerate([*line, None])
        ]
        assert model.score([line]).log_probability[0] == pytest.approx(sum(logarithms))


def test_sentences_do_not_run_into_each_other() -> None:
    model = NgramLanguageModel.train(SENTENCES, 4)
    together = model.score(SENTENCES)
    alone = [model.score([line]).log_probability[0] for line in SENTENCES]
    assert together.log_probability.tolist() == pytest.approx(alone)


def test_a_given_vocabulary_makes_models_comparable() -> None:
    full = NgramLanguageModel.train(SENTENCES, 3)
    small = NgramLanguageModel.train([["the", "zebra"]], 3, full.vocabulary)
    assert small.vocabulary == full.vocabulary
    assert small.score([["zebra", "food"]]).unknown.tolist() == [1]
    assert small.probability("hate") == small.probability("love") > 0  # words that its text lacks share alike


def test_longer_context_helps_on_text_of_the_same_kind() -> None:
    perplexities = [NgramLanguageModel.train(SENTENCES, order).score(SENTENCES).perplexity for order in (1, 2, 3)]
    assert perplexities == sorted(perplexities, reverse=True)


def test_everything_is_possible_after_anything() -> None:
    # Pairs: four occur once, one twice, one three times, so Y = 2/3 and the discount of two is 2 - 3Y = 0: "a", which
    # the same end of the sentence follows twice, would leave nothing to other words.
    model = NgramLanguageModel.train([["c", "e", "a"], ["c"], ["c", "a"]], 2)
    assert model.probability("zebra", ["a"]) > 0
    assert model.discounts[1] == FALLBACK_DISCOUNTS


def test_nothing_to_score_and_nothing_to_learn_from() -> None:
    assert NgramLanguageModel.train(TINY, 2).score([]).tokens.tolist() == []
    with pytest.raises(ValueError, match="0 sentences"):
        NgramLanguageModel.train([], 2)
    blank = NgramLanguageModel.train([[], []], 3)
    assert blank.probability(None) + blank.probability("zebra") == pytest.approx(1.0)
