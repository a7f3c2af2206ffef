"""Batches filled up to a few sizes: the sizes are few, and what fills them up never reaches an answer."""

from __future__ import annotations

import numpy as np
import pytest

from arae_transfer.runtime.buckets import Bucket

SIZES = [(rows, time) for rows in range(1, 513) for time in range(1, 65)]


def test_the_sizes_are_few_and_large_enough() -> None:
    buckets = {(bucket.filled_rows, bucket.filled_time) for bucket in (Bucket.of(*size) for size in SIZES)}
    assert len(buckets) == 8 * 8
    for rows, time in SIZES:
        bucket = Bucket.of(rows, time)
        assert rows <= bucket.filled_rows < max(2 * rows, 9)
        assert time <= bucket.filled_time < time + 8
    assert (Bucket.of(1, 5).filled_rows, Bucket.of(64, 5).filled_rows) == (1, 64)


@pytest.mark.parametrize(("rows", "time"), [(1, 1), (1, 8), (3, 5), (8, 8), (9, 17), (64, 3)])
def test_a_batch_keeps_its_rows_and_gets_copies_of_the_last(rows: int, time: int) -> None:
    generator = np.random.default_rng(rows)
    tokens, lengths = generator.integers(1, 99, (rows, time)), generator.integers(1, time + 1, rows)
    bucket = Bucket.of(rows, time)
    filled, filled_lengths = bucket.fill(tokens, lengths)
    assert filled.shape == (bucket.filled_rows, bucket.filled_time)
    np.testing.assert_array_equal(filled[:rows, :time], tokens)
    assert not filled[:, time:].any()
    assert (filled[rows:] == filled[rows - 1]).all()
    assert (filled_lengths[rows:] == lengths[-1]).all()
    np.testing.assert_array_equal(bucket.own(filled)[:, :time], tokens)


def test_candidates_of_a_line_stay_side_by_side() -> None:
    uniforms = np.arange(2 * 3 * 4.0).reshape(2, 3 * 4)  # two steps, three lines of four candidates
    bucket = Bucket.of(3, 5)
    filled = bucket.fill_candidates(uniforms, 4)
    assert filled.shape == (2, 8 * 4)
    np.testing.assert_array_equal(
        filled.reshape(2, 8, 4)[:, 3:], np.repeat(uniforms.reshape(2, 3, 4)[:, 2:], 5, axis=1)
    )
    np.testing.assert_array_equal(bucket.own(filled, 4, axis=1), uniforms)


def test_its_own_size_leaves_a_batch_as_it_is() -> None:
    tokens = np.ones((3, 5), np.int64)
    bucket = Bucket.exactly(3, 5)
    assert bucket.fill_all(tokens) is tokens
    assert bucket.time(21) == 21


def test_an_answer_of_another_size_is_not_cut_to_fit() -> None:
    assert len(Bucket.of(3, 5).own(np.zeros((5, 2)))) == 5
    assert len(Bucket.exactly(3, 5).own(np.zeros((5, 2)))) == 5
