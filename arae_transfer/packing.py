"""Pack eight 7-bit weights into seven bytes, as quantized weights have 7 bits (see ``export.quantization``)."""

from __future__ import annotations

import numpy as np

SUFFIX = ".7bit"
"""Suffix of the names of packed files."""

_BLOCK = 1 << 14


def pack(weights: bytes) -> bytes:
    """Pack integers from -64 to 63, one per byte, into seven eighths of their size.

    Args:
        weights: The numbers; as many as a multiple of 8.

    Raises:
        ValueError: They are not as many, or one is out of range.
    """
    numbers = np.frombuffer(weights, dtype=np.int8)
    if len(numbers) % 8 or (len(numbers) and (numbers.min() < -64 or numbers.max() > 63)):
        raise ValueError("weights have more than 7 bits, or their number is not a multiple of 8")
    # The bits of the last eighth lie in the highest bits of the others.
    planes = numbers.view(np.uint8).reshape(8, -1) & 0x7F
    bits = (planes[7] >> np.arange(7, dtype=np.uint8)[:, np.newaxis]) & 1
    packed: bytes = (planes[:7] | (bits << 7)).tobytes()
    return packed


def read_weights(name: str, content: bytes) -> bytes:
    """Return the weights in the content of a file, unpacked if its name ends with ``SUFFIX``."""
    return unpack(content) if name.endswith(SUFFIX) else content


def unpack(packed: bytes) -> bytes:
    """Unpack the output of ``pack``.

    Raises:
        ValueError: It is not as long as what ``pack`` returns.
    """
    planes = np.frombuffer(packed, dtype=np.uint8)
    if len(planes) % 7:
        raise ValueError("packed weights are incomplete")
    planes = planes.reshape(7, -1)
    found = np.empty((8, planes.shape[1]), dtype=np.uint8)
    places = np.arange(1, 8, dtype=np.uint8)[:, np.newaxis]
    # In blocks that stay in a processor's cache.
    for start in range(0, planes.shape[1], _BLOCK):
        block, own = planes[:, start : start + _BLOCK], found[:, start : start + _BLOCK]
        np.left_shift(block, 1, out=own[:7])
        np.bitwise_or.reduce((block >> 7) << places, axis=0, out=own[7])
        # Shifted to the left and back as numbers with a sign.
        numbers = own.view(np.int8)
        np.right_shift(numbers, 1, out=numbers)
    return found.tobytes()
