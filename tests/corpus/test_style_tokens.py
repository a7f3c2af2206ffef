"""Which tokens bear a class's style, on corpora small enough to count by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from arae_transfer.corpus.batches import TokenizedSentences
from arae_transfer.corpus.style_tokens import (
    SMOOTHING,
    STRONGEST_LOG_RATIO,
    WEAKEST_LOG_RATIO,
    StyleTokens,
)

THE, FOOD, COLD, WARM, BLAND, RARE, UNSEEN = 10, 11, 12, 13, 14, 15, 16
VOCABULARY = 17


def corpus(counts: dict[int, int]) -> TokenizedSentences:
    ids = np.repeat(list(counts), list(counts.values())).astype(np.int32)
    return TokenizedSentences(ids, np.array([0, len(ids)]))


def count(*classes: dict[int, int]) -> StyleTokens:
    return StyleTokens.count([corpus(counts) for counts in classes], VOCABULARY)


def draws(style: StyleTokens, index: int, number: int = 1000) -> dict[int, float]:
    uniform = (np.arange(number) + 0.5) / number
    drawn = style.draw(np.full(number, index), uniform)
    return {int(token): float((drawn == token).mean()) for token in np.unique(drawn)}


def test_words_of_one_class_bear_its_style_and_shared_words_none() -> None:
    style = count({THE: 500, FOOD: 300, COLD: 200}, {THE: 500, FOOD: 300, WARM: 200})
    assert style.strength.shape == (2, VOCABULARY)
    assert style.strength[0, COLD] == 1.0
    assert style.strength[1, WARM] == 1.0
    assert style.strength[0, WARM] == style.strength[1, COLD] == 0.0
    for token in (THE, FOOD, UNSEEN):
        assert style.strength[:, token].tolist() == [0.0, 0.0]


def test_strength_grows_with_the_ratio_of_frequencies() -> None:
    # 200 of 1,000 against 40 of 1,000, each plus the smoothing: ln(205 / 45) = 1.516, of 1.2 to 2.5.
    style = count({THE: 800, COLD: 200}, {THE: 960, COLD: 40})
    ratio = math.log((200 + SMOOTHING) / (40 + SMOOTHING))
    assert ratio == pytest.approx(1.516, abs=1e-3)
    expected = (ratio - WEAKEST_LOG_RATIO) / (STRONGEST_LOG_RATIO - WEAKEST_LOG_RATIO)
    assert style.strength[0, COLD] == pytest.approx(expected)
    assert style.strength[1, COLD] == 0.0


def test_a_rare_word_of_one_class_proves_nothing() -> None:
    style = count({THE: 990, RARE: 2, COLD: 8}, {THE: 1000})
    assert style.strength[0, RARE] == 0.0
    assert style.strength[0, COLD] < 1.0


def test_rates_count_not_the_size_of_a_class() -> None:
    large = count({THE: 90_000, COLD: 10_000}, {THE: 900, COLD: 100})
    assert large.strength[:, COLD].tolist() == [0.0, 0.0]
    assert large.strength[:, THE].tolist() == [0.0, 0.0]


def test_each_of_three_classes_is_compared_with_the_mean_of_the_others() -> None:
    style = count({THE: 700, COLD: 300}, {THE: 700, WARM: 300}, {THE: 700, COLD: 150, BLAND: 150})
    assert style.strength[1, WARM] == style.strength[2, BLAND] == 1.0
    # 300 against the mean of 0 and 150 is less than e^1.2 times... exactly 305 / 80 = 3.8 = e^1.338.
    assert style.strength[0, COLD] == pytest.approx((math.log(305 / 80) - 1.2) / 1.3)
    assert style.strength[2, COLD] == 0.0


def test_draws_follow_frequency_and_strength() -> None:
    style = count({THE: 600, COLD: 300, BLAND: 100}, {THE: 600, WARM: 400})
    assert draws(style, 0) == pytest.approx({COLD: 0.75, BLAND: 0.25}, abs=2e-3)
    assert draws(style, 1) == {WARM: 1.0}


def test_draws_of_several_classes_mix_row_by_row() -> None:
    style = count({THE: 600, COLD: 400}, {THE: 600, WARM: 400})
    classes = np.array([0, 1, 1, 0])
    assert style.draw(classes, np.array([0.0, 0.0, 0.999999, 0.999999])).tolist() == [COLD, WARM, WARM, COLD]


@pytest.mark.parametrize("uniform", [0.0, 0.5, float(np.nextafter(1, 0))])
def test_a_draw_is_always_a_token_of_the_class(uniform: float) -> None:
    generator = np.random.default_rng(1)
    first = {token: int(generator.integers(0, 50)) for token in range(4, VOCABULARY)}
    second = {token: int(generator.integers(0, 50)) for token in range(4, VOCABULARY)}
    style = count(first, second)
    for index, counts in enumerate((first, second)):
        (token,) = style.draw(np.array([index]), np.array([uniform])).tolist()
        assert counts.get(token, 0) > 0


def test_a_class_without_style_tokens_is_drawn_from_all_its_words() -> None:
    same: Sequence[dict[int, int]] = ({THE: 750, FOOD: 250}, {THE: 750, FOOD: 250})
    style = count(*same)
    assert not style.strength.any()
    assert draws(style, 0) == pytest.approx({THE: 0.75, FOOD: 0.25}, abs=2e-3)
