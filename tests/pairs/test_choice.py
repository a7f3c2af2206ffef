"""The choice among rewrites: style is a condition, fluency can only be lost, content has its price."""

from __future__ import annotations

import pytest

from arae_transfer.language_model.ngram import NgramLanguageModel
from arae_transfer.linear_classifier import LinearClassifier
from arae_transfer.pairs.choice import RewriteChoice

THINGS = ("soup", "salad", "bread", "waiter", "room", "lobby", "towel", "clerk")
LINES = {
    "negative": [f"the {thing} was {how} ." for thing in THINGS for how in ("awful", "rude", "awful", "slow")] * 8,
    "positive": [f"the {thing} was {how} ." for thing in THINGS for how in ("great", "lovely", "great", "quick")] * 8,
}


MODELS = [NgramLanguageModel.train([line.split() for line in own], order=3) for own in LINES.values()]


@pytest.fixture(scope="module")
def choice() -> RewriteChoice:
    return RewriteChoice(LINES, LinearClassifier(LINES))


def choose(choice: RewriteChoice, sentence: str, *candidates: str) -> str | None:
    [best] = choice.choose([sentence.split()], [[words.split() for words in candidates]], MODELS, 0, 1)
    return None if best is None else " ".join(best)


def test_style_is_a_condition(choice: RewriteChoice) -> None:
    assert choose(choice, "the soup was awful .", "the soup was slow .") is None
    assert (
        choose(choice, "the soup was awful .", "the soup was slow .", "the soup was great .") == "the soup was great ."
    )


def test_content_is_kept_where_it_can_be(choice: RewriteChoice) -> None:
    sentence = "the lobby was awful ."
    for order in (1, -1):
        candidates = ["the lobby was great .", "the soup was great .", "great ."][::order]
        assert choose(choice, sentence, *candidates) == "the lobby was great ."


def test_nonsense_is_refused_whatever_its_style(choice: RewriteChoice) -> None:
    broken = "great the was lovely soup . . great the the"
    assert choose(choice, "the soup was awful .", broken) is None


def test_stuttering_is_refused_unless_the_sentence_does(choice: RewriteChoice) -> None:
    assert choose(choice, "the soup was awful .", "the soup was great great .") is None
    assert choose(choice, "the soup was awful awful .", "the soup was great great .") == "the soup was great great ."


@pytest.mark.parametrize("tail", ["is great", "and lovely", "was great and lovely"])
def test_style_stuck_on_at_the_end_is_no_rewrite(choice: RewriteChoice, tail: str) -> None:
    assert choose(choice, "the clerk was in the lobby .", f"the clerk was in the lobby {tail} .") is None
    # Where a word of the sentence made room for it, it is one.
    assert choose(choice, "the clerk was awful .", "the clerk was great .") is not None


def test_style_words_are_cheap_and_rare_content_is_dear(choice: RewriteChoice) -> None:
    assert choice.word_price("awful", 0, 1) < 0.2 * choice.word_price("soup", 0, 1)
    assert choice.word_price("awful", 1, 0) > choice.word_price("awful", 0, 1)
    assert choice.word_price("never-seen", 0, 1) >= choice.word_price("soup", 0, 1)


def test_every_sentence_gets_its_own_answer_in_order(choice: RewriteChoice) -> None:
    sentences = [f"the {thing} was awful .".split() for thing in THINGS]
    candidates = [[f"the {thing} was lovely .".split()] if place % 2 else [] for place, thing in enumerate(THINGS)]
    chosen = choice.choose(sentences, candidates, MODELS, 0, 1)
    assert chosen == [own[0] if own else None for own in candidates]
    assert choice.choose([], [], MODELS, 0, 1) == []
