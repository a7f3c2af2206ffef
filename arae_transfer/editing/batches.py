"""Batches of sources of similar length, in which a source's results do not depend on the other sources."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

TIMES = 8
"""Batches are filled up to a multiple of so many tokens, and hold no source that fits a smaller one.

Sums over a source and its padding depend, in their last bits, on how much padding there is. So all sources have the
padding that they have alone.
"""


def batches_of_like_length(lengths: Sequence[int], most: int | None = None) -> Iterator[tuple[list[int], int]]:
    """Yield the indices of the sources of each batch, and the time that it is padded to.

    Args:
        lengths: Numbers of tokens, each at least 1.
        most: The maximum number of sources of a batch; None: any number.
    """
    groups: dict[int, list[int]] = {}
    for number, length in enumerate(lengths):
        groups.setdefault(-(-length // TIMES) * TIMES, []).append(number)
    for time, numbers in sorted(groups.items(), reverse=True):
        size = most or len(numbers)
        for start in range(0, len(numbers), size):
            yield numbers[start : start + size], time
