"""Damage to the encoder's input: as much as asked for, and never a row without tokens."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from arae_transfer.corpus.batches import IntegerArray, TokenizedSentences
from arae_transfer.corpus.style_tokens import StyleTokens
from arae_transfer.recipe import InputNoise
from arae_transfer.tokenizer import PAD_ID
from arae_transfer.training.input_noise import add_input_noise

PLAIN, BAD, GOOD, NEUTRAL = 10, 20, 30, 40  # each the first of ten tokens
VOCABULARY = 60
CLASSES = 3


def batch(rows: int = 300, longest: int = 20, seed: int = 3) -> tuple[IntegerArray, IntegerArray, IntegerArray]:
    """Return rows that count upwards, so that order and origin of what is left can be told."""
    generator = np.random.default_rng(seed)
    lengths = generator.integers(1, longest + 1, rows)
    lengths[0] = longest
    places = np.arange(longest)
    tokens = np.where(places < lengths[:, None], 100 + places, PAD_ID)
    return tokens, lengths, generator.integers(0, CLASSES, rows)


def damage(
    noise: InputNoise,
    given: tuple[IntegerArray, IntegerArray, IntegerArray] | None = None,
    style: StyleTokens | None = None,
    seed: int = 1,
) -> tuple[IntegerArray, IntegerArray]:
    tokens, lengths, classes = given or batch()
    before = tokens.copy(), lengths.copy()
    found = add_input_noise(tokens, lengths, classes, noise, style, np.random.default_rng(seed))
    assert np.array_equal(tokens, before[0]), "the target must stay whole"
    assert np.array_equal(lengths, before[1])
    return found


def rows_of(tokens: IntegerArray, lengths: IntegerArray) -> list[list[int]]:
    return [row[:length].tolist() for row, length in zip(tokens, lengths, strict=True)]


@pytest.mark.parametrize(
    "noise",
    [
        {},
        {"drop": 0.3},
        {"drop": 0.97},
        {"drop": 1.0},
        {"shuffle": 3.0},
        {"drop": 0.5, "shuffle": 3.0},
    ],
)
def test_rows_are_never_empty_and_lengths_are_right(noise: dict[str, float]) -> None:
    tokens, lengths, _ = given = batch()
    found, new_lengths = damage(InputNoise(**noise), given)
    assert new_lengths.min() >= 1
    assert bool((new_lengths <= lengths).all())
    assert found.shape == (len(tokens), new_lengths.max())
    real = np.arange(found.shape[1]) < new_lengths[:, None]
    assert bool((found[real] != PAD_ID).all())
    assert bool((found[~real] == PAD_ID).all())
    for before, after in zip(rows_of(tokens, lengths), rows_of(found, new_lengths), strict=True):
        assert set(after) <= set(before)
        assert len(set(after)) == len(after)


def test_no_noise_changes_nothing() -> None:
    for given, noise in ((batch(), InputNoise()), (styled_batch(), InputNoise(style_share=1.0))):
        tokens, lengths, _ = given
        found, new_lengths = damage(noise, given, style_tokens())
        assert np.array_equal(found, tokens)
        assert np.array_equal(new_lengths, lengths)


@pytest.mark.parametrize("drop", [0.1, 0.4])
def test_tokens_are_dropped_about_as_often_as_asked_and_keep_their_order(drop: float) -> None:
    _, lengths, _ = given = batch(rows=2000)
    found, new_lengths = damage(InputNoise(drop=drop), given)
    long = lengths >= 5  # short rows keep a token more often
    assert 1 - new_lengths[long].sum() / lengths[long].sum() == pytest.approx(drop, abs=0.02)
    for row in rows_of(found, new_lengths):
        assert row == sorted(row)


def test_what_survives_a_row_dropped_whole_is_any_of_its_tokens() -> None:
    tokens = np.tile(100 + np.arange(5), (1000, 1))
    found, lengths = damage(InputNoise(drop=1.0), (tokens, np.full(1000, 5), np.zeros(1000, dtype=np.int64)))
    assert lengths.tolist() == [1] * 1000
    kept, counts = np.unique(found, return_counts=True)
    assert kept.tolist() == [100, 101, 102, 103, 104]
    assert counts.min() > 150


@pytest.mark.parametrize("shuffle", [1, 3])
def test_tokens_move_by_at_most_the_bound(shuffle: int) -> None:
    _, lengths, _ = given = batch()
    found, new_lengths = damage(InputNoise(shuffle=shuffle), given)
    assert np.array_equal(new_lengths, lengths)
    moves = [abs(place - (token - 100)) for row in rows_of(found, new_lengths) for place, token in enumerate(row)]
    assert max(moves) == shuffle
    assert np.mean(np.array(moves) > 0) > 0.2


def test_a_fraction_of_a_place_moves_some_tokens_by_one() -> None:
    moves = [
        abs(place - (token - 100))
        for row in rows_of(*damage(InputNoise(shuffle=0.5)))
        for place, token in enumerate(row)
    ]
    assert max(moves) == 1
    assert 0.02 < np.mean(moves) < 0.3


def test_the_generator_decides() -> None:
    noise = InputNoise(drop=0.3, shuffle=2.0)
    first, second, third = (damage(noise, seed=seed)[0] for seed in (1, 1, 2))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, third)


# --- style-bearing tokens


def style_tokens() -> StyleTokens:
    """Return three classes of which each has ten tokens of its own, fully style-bearing."""
    corpora = []
    for own in (BAD, GOOD, NEUTRAL):
        ids = np.array([*range(PLAIN, PLAIN + 10), *range(own, own + 10)] * 100, dtype=np.int32)
        corpora.append(TokenizedSentences(ids, np.array([0, len(ids)])))
    style = StyleTokens.count(corpora, VOCABULARY)
    assert style.strength[:, BAD : NEUTRAL + 10].max(0).tolist() == [1.0] * 30
    return style


def styled_batch(rows: int = 600) -> tuple[IntegerArray, IntegerArray, IntegerArray]:
    """Return rows of ten plain tokens with ten of their class in turns."""
    classes = np.arange(rows) % CLASSES
    tokens = np.zeros((rows, 20), dtype=np.int64)
    tokens[:, 0::2] = PLAIN + np.arange(10)
    tokens[:, 1::2] = (BAD + 10 * classes)[:, None] + np.arange(10)
    return tokens, np.full(rows, 20), classes


def class_of(token: Any) -> Any:
    return token // 10 - BAD // 10


def test_style_bearing_tokens_are_dropped_and_plain_ones_stay() -> None:
    given = styled_batch()
    found, lengths = damage(InputNoise(style_share=1.0, style_drop=0.7), given, style_tokens())
    rows = rows_of(found, lengths)
    assert all([token for token in row if token < BAD] == list(range(PLAIN, PLAIN + 10)) for row in rows)
    kept = np.mean([len(row) - 10 for row in rows]) / 10
    assert kept == pytest.approx(0.3, abs=0.03)


def test_replacements_are_style_tokens_of_one_other_class_per_sentence() -> None:
    tokens, _, classes = given = styled_batch()
    found, lengths = damage(InputNoise(style_share=1.0, style_replace=0.6), given, style_tokens())
    assert lengths.tolist() == [20] * len(tokens)
    assert np.array_equal(found[:, 0::2], tokens[:, 0::2])
    chosen = class_of(found[:, 1::2])
    replaced = chosen != classes[:, None]
    assert np.mean(replaced) == pytest.approx(0.6, abs=0.03)
    assert np.array_equal(found[:, 1::2][~replaced], tokens[:, 1::2][~replaced])
    others = [set(row[mask].tolist()) for row, mask in zip(chosen, replaced, strict=True)]
    assert max(map(len, others)) == 1
    # Each class meets both others.
    for index in range(CLASSES):
        met = set.union(*(found for found, own in zip(others, classes, strict=True) if own == index))
        assert met == set(range(CLASSES)) - {index}


def test_only_the_asked_share_of_sentences_is_damaged() -> None:
    tokens, _, _ = given = styled_batch(3000)
    found, _ = damage(InputNoise(style_share=0.3, style_replace=1.0), given, style_tokens())
    changed = (found != tokens).any(1)
    assert np.mean(changed) == pytest.approx(0.3, abs=0.04)
    assert bool((found[changed, 1::2] != tokens[changed, 1::2]).all())


def test_dropping_and_replacing_exclude_each_other() -> None:
    _, _, classes = given = styled_batch()
    noise = InputNoise(style_share=1.0, style_drop=0.4, style_replace=0.5)
    found, lengths = damage(noise, given, style_tokens())
    dropped = 1 - np.mean(lengths - 10) / 10
    replaced = [
        np.mean([class_of(token) != own for token in row if token >= BAD])
        for row, own in zip(rows_of(found, lengths), classes, strict=True)
        if any(token >= BAD for token in row)
    ]
    assert dropped == pytest.approx(0.4, abs=0.03)
    assert np.mean(replaced) == pytest.approx(0.5 / 0.6, abs=0.03)
