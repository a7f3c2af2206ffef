"""Packed weights come back as they were, and what cannot be packed is refused."""

from __future__ import annotations

import numpy as np
import pytest

from arae_transfer.packing import pack, unpack


@pytest.mark.parametrize("number", [0, 8, 8 * 129])
def test_packed_weights_come_back(number: int) -> None:
    weights = np.random.default_rng(number).integers(-64, 64, number).astype(np.int8).tobytes()
    packed = pack(weights)
    assert len(packed) == number // 8 * 7
    assert unpack(packed) == weights


@pytest.mark.parametrize("numbers", [[0] * 7, [64] + [0] * 7, [-65] + [0] * 7])
def test_what_has_no_place_is_refused(numbers: list[int]) -> None:
    with pytest.raises(ValueError, match="7 bits"):
        pack(np.array(numbers, dtype=np.int8).tobytes())
    with pytest.raises(ValueError, match="incomplete"):
        unpack(b"\0" * 6)
