"""Batches of rows of like length, padded to a rectangle."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from arae_transfer.runtime.threads import map_in_parallel
from arae_transfer.tokenizer import PAD_ID

Int64 = npt.NDArray[np.int64]


class HasIds(Protocol):
    """An item with a row of token ids."""

    @property
    def ids(self) -> Sequence[int]:
        """The ids."""


Item = TypeVar("Item", bound=HasIds)
Answer = TypeVar("Answer")

BATCH_SIZE = 64
BATCHES_PER_CHUNK = 16
"""The lines of a chunk are sorted by length together: more make fuller batches, fewer make earlier answers."""

BATCHES_PER_THREAD = 4
"""A chunk has at least as many, so that no thread waits long for the one with the longest lines."""

LEAST_ROWS = 8
"""The fewest rows of a batch that is divided among threads: smaller batches take as long."""


def pad(rows: Sequence[Sequence[int]], least: int = 0) -> tuple[Int64, Int64]:
    """Pad rows of ids at the right, to the longest or to ``least``: return ids (rows, time) and lengths (rows,)."""
    lengths: Int64 = np.array([len(row) for row in rows], dtype=np.int64)
    tokens: Int64 = np.full((len(rows), max(int(lengths.max()), least)), PAD_ID, dtype=np.int64)
    for place, row in enumerate(rows):
        tokens[place, : len(row)] = row
    return tokens, lengths


def batches_by_length(lengths: Sequence[int], batch_size: int) -> Iterator[list[int]]:
    """Group the numbers of the rows that are not empty: the longest first, rows of like length together."""
    order = sorted((number for number, length in enumerate(lengths) if length), key=lambda number: -lengths[number])
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]


def map_batches(
    work: Callable[[Sequence[Item]], Sequence[Answer]],
    items: Sequence[Item],
    numbers: Sequence[int],
    batch_size: int,
    threads: int,
) -> Iterator[tuple[int, Answer]]:
    """Process batches of items in several threads; yield the index of each item with its answer.

    Args:
        work: Returns an answer for each item of a batch.
        items: The items.
        numbers: The indices of the items to process; their rows are not empty.
        batch_size: The most items in a batch.
        threads: How many batches may run at once.
    """
    if not numbers:
        return
    size = shared_batch_size(len(numbers), batch_size, threads)
    lengths = [len(items[number].ids) for number in numbers]
    batches = [[numbers[place] for place in batch] for batch in batches_by_length(lengths, size)]
    answers = map_in_parallel(work, [[items[number] for number in batch] for batch in batches], threads)
    for batch, found in zip(batches, answers, strict=True):
        yield from zip(batch, found, strict=True)


def shared_batch_size(rows: int, batch_size: int, threads: int) -> int:
    """Return a batch size at which every thread gets a batch, if there are enough rows."""
    return min(batch_size, max(LEAST_ROWS, -(-rows // threads)))
