"""What is asked for of candidates, how they are scored and joined: without a model."""

from __future__ import annotations

import itertools
import random
from typing import Any

import numpy as np
import pytest

import arae_transfer
from arae_transfer.errors import AraeError
from arae_transfer.runtime.decoding import GREEDY, DecodingOptions, uniform_numbers
from arae_transfer.runtime.reranking import (
    Ranking,
    ScoredHypothesis,
    agreement,
    join_hypotheses,
    language_model_drop,
    only_appends,
)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"beam": 0}, "beam = 0"),
        ({"beam": 65}, "beam = 65"),
        ({"sample": -1}, "sample = -1"),
        ({"n_best": 0}, "n_best = 0"),
        ({"beam": 3, "sample": 3}, "searched with a beam or sampled"),
        ({"beam": 3, "n_best": 4}, "4 candidates are wanted of 3"),
        ({"sample": 2, "n_best": 3}, "3 candidates are wanted of 2"),
        ({"sample": 2, "temperature": 0.0}, "temperature of 0"),
        ({"sample": 2, "temperature": float("nan")}, "temperature of nan"),
        ({"sample": 2, "temperature": float("inf")}, "temperature of inf"),
        ({"seed": -1}, "no seed"),
        ({"min_confidence": 1.5}, "no confidence"),
        ({"min_confidence": float("nan")}, "no confidence"),
        ({"source": "negative"}, "--from must be 'auto', not 'negative'"),
        ({"source": "auto", "if_already": "drop"}, "if_already cannot be 'drop'"),
    ],
)
def test_what_cannot_be_done_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(AraeError, match=message):
        DecodingOptions(**settings)


def test_the_default_scores_nothing() -> None:
    assert not GREEDY.needs_hypotheses
    assert not GREEDY.needs_scorer
    assert not DecodingOptions(beam=1).needs_scorer
    assert DecodingOptions(source="auto").needs_scorer
    assert not DecodingOptions(source="auto").needs_hypotheses
    assert DecodingOptions(min_confidence=0.5).width == 1
    assert DecodingOptions(n_best=4).width == 4
    assert DecodingOptions(sample=3).needs_hypotheses


def test_a_model_has_a_beam_of_its_own_where_the_user_asks_for_none() -> None:
    assert DecodingOptions().resolve(6) == DecodingOptions(beam=6, n_best=1)
    for options, beam in (
        (DecodingOptions(), 1),
        (DecodingOptions(beam=2), 6),
        (DecodingOptions(n_best=2), 6),
        (DecodingOptions(sample=2), 6),
        (DecodingOptions(if_unchanged="keep"), 6),
    ):
        assert options.resolve(beam) is options


def test_weights_of_the_ranking_are_read() -> None:
    assert Ranking.parse("style=1,fluency=0.5,content=2") == Ranking(1, 0.5, 2, 0)
    assert Ranking.parse("language=3") == Ranking(0, 0, 0, 3)
    assert Ranking.parse(" fluency = 3 ") == Ranking(0, 3, 0, 0)
    assert Ranking(2, 3, 5, 4).score(-0.5, -0.25, 0.5, -0.25) == -1.0 - 0.75 + 2.5 - 1.0


@pytest.mark.parametrize(
    "text", ["", "style", "styl=1", "style=x", "style=-1", "style=nan", "style=1,style=2", "style=0"]
)
def test_weights_that_say_nothing_are_refused(text: str) -> None:
    with pytest.raises(AraeError, match="rank"):
        Ranking.parse(text)


def test_agreement_is_of_words_kept_more_than_of_words_added() -> None:
    rewrites = ["the food was cold .", ". cold was food the", "a dog", "the food was cold"]
    assert agreement("the food was cold .", rewrites) == [1.0, 1.0, 0.0, pytest.approx(20 / 24)]
    assert agreement("the food was cold", ["the food was", ""]) == [pytest.approx(15 / 19), 0.0]
    assert agreement("the food", ["the the the food"]) == [pytest.approx(10 / 12)]
    assert agreement("the food was cold", ["the food was"]) < agreement("the food was", ["the food was cold"])
    assert agreement("", ["", "a"]) == [1.0, 0.0]
    assert agreement("a", []) == []


def test_being_likelier_than_the_source_is_no_merit() -> None:
    assert language_model_drop(-9.0, -5.0, 4) == -1.0
    assert language_model_drop(-5.0, -9.0, 4) == language_model_drop(-5.0, -5.0, 4) == 0.0


def test_numbers_depend_on_the_line_alone() -> None:
    rows, limits = [[5, 6, 3], [7, 3], [5, 6, 3]], np.array([6, 4, 6])
    together = uniform_numbers(rows, limits, 3, seed=1)
    assert together.shape == (6, 9)
    assert (together >= 0).all()
    assert (together < 1).all()
    alone = uniform_numbers(rows[1:2], limits[1:2], 3, seed=1)
    np.testing.assert_array_equal(together[:4, 3:6], alone)
    np.testing.assert_array_equal(together[:, :3], together[:, 6:])
    assert not np.array_equal(together[:4, :3], alone)
    np.testing.assert_array_equal(uniform_numbers(rows[:1], limits[:1], 2, seed=1), together[:, :2])
    assert not np.array_equal(uniform_numbers(rows, limits, 3, seed=2), together)


def _random_candidate(generator: random.Random, name: str) -> ScoredHypothesis:
    numbers = (generator.random(), -generator.random(), generator.random(), -generator.random())
    return ScoredHypothesis(name, generator.gauss(0, 1), *numbers, unfinished=False)


@pytest.mark.parametrize("seed", range(5))
def test_the_candidates_of_pieces_are_joined_best_first(seed: int) -> None:
    generator = random.Random(seed)
    pieces: list[tuple[list[ScoredHypothesis], str, int]] = []
    for piece in range(4):
        if piece == 2:
            pieces.append(([], "as it is", generator.randrange(1, 9)))
            continue
        candidates = [_random_candidate(generator, f"{piece}.{number}") for number in range(generator.randrange(1, 5))]
        pieces.append((sorted(candidates, key=lambda each: -each.score), "", generator.randrange(1, 9)))
    joined = join_hypotheses(pieces, " ".join, 5)
    scored = [piece for piece in pieces if piece[0]]
    weight = sum(tokens for _, _, tokens in scored)
    wanted = sorted(
        (
            sum(each.score * tokens for each, (_, _, tokens) in zip(chosen, scored, strict=True)) / weight,
            " ".join([chosen[0].output, chosen[1].output, "as it is", chosen[2].output]),
            sum(each.content * tokens for each, (_, _, tokens) in zip(chosen, scored, strict=True)) / weight,
        )
        for chosen in itertools.product(*(candidates for candidates, _, _ in scored))
    )[::-1][:5]
    assert [each.output for each in joined] == [output for _, output, _ in wanted]
    assert [each.score for each in joined] == pytest.approx([score for score, _, _ in wanted])
    assert [each.content for each in joined] == pytest.approx([content for _, _, content in wanted])


def test_pieces_without_candidates_join_to_none() -> None:
    assert join_hypotheses([([], "a", 3), ([], "b", 2)], " ".join, 3) == ()


@pytest.mark.parametrize(
    ("source", "rewrite", "appends"),
    [
        ("we called to ask .", "we called to ask is amazing .", True),
        ("We called to ask!", "We called to ask instead.", True),
        ("i 'll be back .", "i will not be back !", False),
        ("the food was bad .", "the food was good and cheap .", False),
        ("bad", "good", False),
        ("?", "great !", False),
    ],
)
def test_style_stuck_on_at_the_end_is_told(source: str, rewrite: str, appends: bool) -> None:
    assert only_appends(source, rewrite) is appends


def test_the_old_name_of_the_options_warns() -> None:
    with pytest.warns(DeprecationWarning, match="DecodingOptions"):
        assert arae_transfer.Choice is DecodingOptions
