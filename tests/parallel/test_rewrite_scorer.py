"""The choice among rewrites: style is a condition, fluency can only be lost, content has its price."""

from __future__ import annotations

import pytest

from arae_transfer.language_model.ngram import NgramLanguageModel
from arae_transfer.parallel.linear_classifier import LinearClassifier
from arae_transfer.parallel.rewrite_scorer import RewriteScorer, ScoredRewrite

THINGS = ("soup", "salad", "bread", "waiter", "room", "lobby", "towel", "clerk")
LINES = {
    "negative": [f"the {thing} was {how} ." for thing in THINGS for how in ("awful", "rude", "awful", "slow")] * 8,
    "positive": [f"the {thing} was {how} ." for thing in THINGS for how in ("great", "lovely", "great", "quick")] * 8,
}


MODELS = [NgramLanguageModel.train([line.split() for line in own], order=3) for own in LINES.values()]


@pytest.fixture(scope="module")
def choice() -> RewriteScorer:
    return RewriteScorer(LINES, LinearClassifier(LINES))


def choose(choice: RewriteScorer, sentence: str, *candidates: str) -> str | None:
    [rated] = choice.rate([sentence.split()], [[words.split() for words in candidates]], MODELS, 0, 1)
    return " ".join(rated[0].words) if rated else None


def prefer(choice: RewriteScorer, sentence: str, *rewrites: tuple[str, float, float]) -> str | None:
    """Choose among equally good rewrites, each with the model's log-probabilities there and back."""
    rated = [ScoredRewrite(words.split(), -1.0) for words, _, _ in rewrites]
    there, back = [there for _, there, _ in rewrites], [back for _, _, back in rewrites]
    best = choice.prefer(sentence.split(), rated, there, back, 0, 1)
    return None if best is None else " ".join(best.words)


def test_style_is_a_condition(choice: RewriteScorer) -> None:
    assert choose(choice, "the soup was awful .", "the soup was slow .") is None
    assert (
        choose(choice, "the soup was awful .", "the soup was slow .", "the soup was great .") == "the soup was great ."
    )


def test_content_is_kept_where_it_can_be(choice: RewriteScorer) -> None:
    sentence = "the lobby was awful ."
    for order in (1, -1):
        candidates = ["the lobby was great .", "the soup was great .", "great ."][::order]
        assert choose(choice, sentence, *candidates) == "the lobby was great ."


def test_nonsense_is_refused_whatever_its_style(choice: RewriteScorer) -> None:
    broken = "great the was lovely soup . . great the the"
    assert choose(choice, "the soup was awful .", broken) is None


def test_stuttering_is_refused_unless_the_sentence_does(choice: RewriteScorer) -> None:
    assert choose(choice, "the soup was awful .", "the soup was great great .") is None
    assert choose(choice, "the soup was awful awful .", "the soup was great great .") == "the soup was great great ."


@pytest.mark.parametrize("tail", ["is great", "and lovely", "was great and lovely"])
def test_style_stuck_on_at_the_end_is_no_rewrite(choice: RewriteScorer, tail: str) -> None:
    assert choose(choice, "the clerk was in the lobby .", f"the clerk was in the lobby {tail} .") is None
    # Where a word of the sentence made room for it, it is one.
    assert choose(choice, "the clerk was awful .", "the clerk was great .") is not None


def test_style_words_are_cheap_and_rare_content_is_dear(choice: RewriteScorer) -> None:
    assert choice.word_price("awful", 0, 1) < 0.2 * choice.word_price("soup", 0, 1)
    assert choice.word_price("awful", 1, 0) > choice.word_price("awful", 0, 1)
    assert choice.word_price("never-seen", 0, 1) >= choice.word_price("soup", 0, 1)


def test_every_sentence_gets_its_own_answer_in_order(choice: RewriteScorer) -> None:
    sentences = [f"the {thing} was awful .".split() for thing in THINGS]
    candidates = [[f"the {thing} was lovely .".split()] if place % 2 else [] for place, thing in enumerate(THINGS)]
    rated = choice.rate(sentences, candidates, MODELS, 0, 1)
    assert [[rewrite.words for rewrite in own] for own in rated] == candidates
    assert choice.rate([], [], MODELS, 0, 1) == []


def test_all_that_is_good_enough_is_rated_the_best_first(choice: RewriteScorer) -> None:
    candidates = ["the soup was great .", "the lobby was slow .", "the lobby was great ."]
    [rated] = choice.rate([["the", "lobby", "was", "awful", "."]], [[own.split() for own in candidates]], MODELS, 0, 1)
    assert [" ".join(rewrite.words) for rewrite in rated] == ["the lobby was great .", "the soup was great ."]
    assert rated[0].score > rated[1].score


def test_a_model_prefers_what_is_likely_there_and_back(choice: RewriteScorer) -> None:
    sentence = "the soup was awful ."
    lovely, great = "the soup was lovely .", "the soup was great ."
    assert prefer(choice, sentence, (lovely, -4.0, -3.0), (great, -2.0, -3.0)) == great
    assert prefer(choice, sentence, (lovely, -2.0, -3.0), (great, -2.0, -9.0)) == lovely
    assert prefer(choice, sentence) is None


def test_what_a_model_cannot_read_is_refused(choice: RewriteScorer) -> None:
    sentence = "the soup was awful ."
    assert prefer(choice, sentence, ("the soup was great .", float("-inf"), float("-inf"))) is None
    assert prefer(choice, sentence, ("the soup was great .", -50.0, -50.0)) == "the soup was great ."


def test_repeated_words_cost_unless_the_source_repeats_too(choice: RewriteScorer) -> None:
    once, twice = "the soup was great and the room lovely .", "the soup was great and the room great ."
    assert prefer(choice, "the soup was awful and the room slow .", (twice, -2.0, -2.0), (once, -3.0, -3.0)) == once
    assert prefer(choice, "the great soup and the great room .", (twice, -2.0, -2.0), (once, -3.0, -3.0)) == twice
