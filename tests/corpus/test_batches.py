"""Batches are a pure function of seed and step, balanced, and made of equal lengths."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest

from arae_transfer.corpus.batches import (
    BATCHES_PER_POOL,
    BatchSchedule,
    TokenizedSentences,
    with_end,
)
from arae_transfer.corpus.tokenizing import tokenize
from arae_transfer.errors import AraeError
from arae_transfer.tokenizer import END_ID, PAD_ID, Tokenizer


def sentences(rows: Sequence[Sequence[int]]) -> TokenizedSentences:
    ids = np.array([number for row in rows for number in row], dtype=np.int32)
    return TokenizedSentences(ids, np.cumsum([0, *map(len, rows)]))


def of_lengths(lengths: Sequence[int]) -> TokenizedSentences:
    return sentences([[10 + place for place in range(length)] for length in lengths])


def various(count: int, seed: int) -> TokenizedSentences:
    return of_lengths(np.random.default_rng(seed).integers(1, 30, count).tolist())


# --- ids


def test_tokenize_keeps_order_and_counts_what_is_too_long() -> None:
    tokenizer = Tokenizer.train(["good food .", "bad food ."] * 20, 300)
    lines = ["good food .", "food " * 30, "", "bad ."]
    found = tokenize(lines, tokenizer, maximum_tokens=8)
    assert len(found) == 2
    assert found.too_long == 1
    first, second = tokenizer.encode(lines[0]), tokenizer.encode(lines[3])
    assert found.ids.tolist() == first + second
    assert found.starts.tolist() == [0, len(first), len(first) + len(second)]
    assert found.lengths.tolist() == [len(first), len(second)]


def test_the_end_id_counts_as_a_token() -> None:
    tokenizer = Tokenizer.train(["good food .", "bad food ."] * 20, 300)
    exact = len(tokenizer.encode("good food .")) + 1
    assert len(tokenize(["good food ."], tokenizer, maximum_tokens=exact)) == 1
    assert len(tokenize(["good food ."], tokenizer, maximum_tokens=exact - 1)) == 0


def test_padded_rows_hold_the_sentences() -> None:
    corpus = sentences([[5, 6, 7], [8], [9, 10]])
    tokens, lengths = corpus.padded(np.array([2, 0, 1, 2]))
    assert lengths.tolist() == [2, 3, 1, 2]
    assert tokens.tolist() == [[9, 10, PAD_ID], [5, 6, 7], [8, PAD_ID, PAD_ID], [9, 10, PAD_ID]]
    tokens, lengths = corpus.padded(np.array([], dtype=np.int64))
    assert (tokens.shape, lengths.shape) == ((0, 0), (0,))


def test_the_end_id_follows_the_last_token_of_each_row() -> None:
    tokens, lengths = with_end(np.array([[5, 6, 7], [8, 0, 0]]), np.array([3, 1]))
    assert tokens.tolist() == [[5, 6, 7, END_ID], [8, END_ID, PAD_ID, PAD_ID]]
    assert lengths.tolist() == [4, 2]


def test_padding_wider_than_the_longest_row_is_cut() -> None:
    tokens, lengths = with_end(np.array([[5, 6, 0, 0], [8, 0, 0, 0]]), np.array([2, 1]))
    assert tokens.tolist() == [[5, 6, END_ID], [8, END_ID, PAD_ID]]
    assert lengths.tolist() == [3, 2]


# --- the schedule


def schedule(batch_size: int = 4, seed: int = 7, **sizes: int) -> BatchSchedule:
    chosen = sizes or {"bad": 500, "good": 321, "so-so": 100}
    return BatchSchedule(
        {name: various(size, number) for number, (name, size) in enumerate(chosen.items())}, batch_size, seed
    )


def as_lists(batches: BatchSchedule, steps: Sequence[int]) -> list[list[list[int]]]:
    return [[part.tolist() for part in batches.indices(step)] for step in steps]


def test_a_batch_depends_on_seed_and_step_alone() -> None:
    steps = [0, 1, BATCHES_PER_POOL - 1, BATCHES_PER_POOL, 5 * BATCHES_PER_POOL + 3, 1000]
    in_order = as_lists(schedule(), steps)
    assert as_lists(schedule(), steps[::-1]) == in_order[::-1]
    used = schedule()
    for step in range(0, 700, 13):
        used.indices(step)
    assert as_lists(used, steps) == in_order
    for step, expected in zip(steps, in_order, strict=True):
        assert as_lists(schedule(), [step]) == [expected]
    assert as_lists(schedule(seed=8), steps) != in_order


def test_every_step_has_a_full_batch_of_each_class() -> None:
    batches = schedule(batch_size=6)
    for step in range(200):
        parts = batches.indices(step)
        assert [len(part) for part in parts] == [6, 6, 6]
        assert all(part.min() >= 0 for part in parts)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 64, 100, 255, 256, 257, 1000])
def test_each_epoch_of_a_class_shows_every_sentence_once(count: int) -> None:
    """After any number of pools, each sentence was seen as often as any other, or once more."""
    batches = schedule(batch_size=4, bad=count, good=50)
    seen: Counter[int] = Counter()
    for pool in range(5):
        for step in range(pool * BATCHES_PER_POOL, (pool + 1) * BATCHES_PER_POOL):
            seen.update(batches.indices(step)[0].tolist())
        places = (pool + 1) * BATCHES_PER_POOL * 4
        assert sum(seen.values()) == places
        assert set(seen) <= set(range(count))
        often = [seen[number] for number in range(count)]
        assert max(often) - min(often) <= 1
        assert min(often) == places // count


def seen_in_pool(batches: BatchSchedule, pool: int, index: int) -> set[int]:
    steps = range(pool * BATCHES_PER_POOL, (pool + 1) * BATCHES_PER_POOL)
    return {int(number) for step in steps for number in batches.indices(step)[index]}


def test_epochs_come_in_different_orders() -> None:
    # An epoch of two pools: what the first pool of the second epoch holds is a new half.
    batches = schedule(batch_size=4, bad=512, good=512)
    halves = [seen_in_pool(batches, pool, 0) for pool in (0, 1, 2, 3)]
    assert halves[0] | halves[1] == halves[2] | halves[3] == set(range(512))
    assert 80 < len(halves[0] & halves[2]) < 176


def test_classes_of_one_size_come_in_orders_of_their_own() -> None:
    same = of_lengths([5] * 300)
    batches = BatchSchedule({"bad": same, "good": same}, 2, 7)
    assert 20 < len(seen_in_pool(batches, 0, 0) & seen_in_pool(batches, 0, 1)) < 90  # of 128


def test_lengths_within_a_batch_are_almost_equal() -> None:
    corpus = various(5000, 3)
    batches = BatchSchedule({"bad": corpus, "good": various(800, 4)}, 16, 7)
    spread, padding, tokens = [], 0, 0
    for step in range(2 * BATCHES_PER_POOL):
        lengths = corpus.lengths[batches.indices(step)[0]]
        spread.append(int(lengths.max() - lengths.min()))
        padding += int((lengths.max() - lengths).sum())
        tokens += int(lengths.sum())
    assert max(spread) <= 2
    assert padding / tokens < 0.03


def test_short_batches_do_not_come_first() -> None:
    corpus = various(5000, 3)
    batches = BatchSchedule({"bad": corpus}, 16, 7)
    means = [corpus.lengths[batches.indices(step)[0]].mean() for step in range(BATCHES_PER_POOL)]
    assert abs(np.corrcoef(np.arange(BATCHES_PER_POOL), means)[0, 1]) < 0.5


def test_a_tiny_class_beside_a_large_one_is_repeated() -> None:
    batches = schedule(batch_size=8, bad=1, good=1000)
    for step in (0, 63, 64, 500):
        tiny, large = batches.indices(step)
        assert tiny.tolist() == [0] * 8
        assert len(set(large.tolist())) == 8


def test_an_empty_class_is_refused() -> None:
    with pytest.raises(AraeError, match="class 'bad' has no sentence that is short enough"):
        BatchSchedule({"bad": of_lengths([]), "good": of_lengths([1])}, 4, 7)
