"""Buckets: batches are padded to a few sizes; the padding changes no answer.

A GPU's libraries choose their kernels, and onnxruntime divides its memory, anew for each size that they meet. A stream
of lines has a new size in nearly every batch; padded, it has a handful, and small batches take no longer for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

Int64 = npt.NDArray[np.int64]
Numbers = npt.NDArray[Any]

LEAST_ROWS = 8
"""Rows are filled up to this number times a power of two; a row alone stays alone, for the sake of its latency."""

PLACES = 8
"""Places in time are filled up to a multiple of this."""


@dataclass(frozen=True)
class Bucket:
    """The size that a batch is padded to.

    Attributes:
        rows: The batch's own rows.
        filled_rows: Its rows after padding.
        filled_time: Its positions after padding.
        multiple: Numbers of steps are rounded up to a multiple of this.
    """

    rows: int
    filled_rows: int
    filled_time: int
    multiple: int

    @classmethod
    def of(cls, rows: int, time: int) -> Self:
        """Return the bucket of a batch of (rows, time)."""
        filled = 1 if rows == 1 else LEAST_ROWS << (-(-rows // LEAST_ROWS) - 1).bit_length()
        return cls(rows, filled, _round_up(time, PLACES), PLACES)

    @classmethod
    def exactly(cls, rows: int, time: int) -> Self:
        """Return the batch's own size, which leaves it as it is."""
        return cls(rows, rows, time, 1)

    def time(self, steps: int) -> int:
        """Return a number of steps, rounded up as positions are."""
        return _round_up(steps, self.multiple)

    def fill(self, tokens: Int64, lengths: Int64) -> tuple[Int64, Int64]:
        """Return padded ids (rows, time) and lengths (rows,)."""
        return self.fill_all(tokens), self.fill_rows(lengths)

    def fill_all(self, values: Numbers) -> Numbers:
        """Return padded values (rows, time); new positions hold 0, which is also the pad id."""
        missing = self.filled_time - values.shape[1]
        return self.fill_rows(np.pad(values, ((0, 0), (0, missing)))) if missing else self.fill_rows(values)

    def fill_rows(self, values: Numbers) -> Numbers:
        """Return values (rows, ...), padded by repeating the last row.

        A copy of a row of the batch ends when that row does: no loop takes a step more for it.
        """
        missing = self.filled_rows - self.rows
        return np.concatenate([values, np.repeat(values[-1:], missing, axis=0)]) if missing else values

    def fill_candidates(self, values: Numbers, width: int) -> Numbers:
        """Return values (steps, rows x width), padded in the same way; those of a row lie side by side."""
        missing = self.filled_rows - self.rows
        return np.concatenate([values, np.tile(values[:, -width:], missing)], axis=1) if missing else values

    def own(self, values: Numbers, width: int = 1, axis: int = 0) -> Numbers:
        """Return the part of a graph's output, ``width`` for each row, that belongs to the batch's own rows.

        An output of another size is returned unchanged; the caller refuses it.
        """
        if values.shape[axis] != self.filled_rows * width:
            return values
        return values[: self.rows * width] if axis == 0 else values[:, : self.rows * width]


def _round_up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple
