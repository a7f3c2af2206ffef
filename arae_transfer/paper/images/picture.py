"""Write grey pictures: grids of images, and PNG files (ISO/IEC 15948) with the standard library."""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Between images, so that white ones do not run into each other.
_GAP, _GAP_BRIGHTNESS = 2, 96


def encode_png(picture: Bytes) -> bytes:
    """Return a grey picture as a PNG file.

    Args:
        picture: (height, width), 0 black to 255 white.
    """
    height, width = picture.shape
    # Each row begins with its filter: 0, none.
    rows = np.concatenate([np.zeros((height, 1), np.uint8), picture.astype(np.uint8)], axis=1)
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)  # 8 bits, grey, deflate, filters, not interlaced
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), 9)), (b"IEND", b"")]
    return _SIGNATURE + b"".join(_chunk(kind, content) for kind, content in chunks)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def grid(images: Bytes, columns: int | None = None) -> Bytes:
    """Arrange images in a grid.

    Args:
        images: (images, height, width), at least one.
        columns: The images of a row; None: as many as make the grid about square.

    Returns:
        (height, width) of the whole; where the last row is not full, it stays grey.
    """
    number, height, width = images.shape
    columns = min(columns or math.ceil(math.sqrt(number)), number)
    rows = -(-number // columns)
    whole = np.full((rows * (height + _GAP) - _GAP, columns * (width + _GAP) - _GAP), _GAP_BRIGHTNESS, np.uint8)
    for place, image in enumerate(images):
        row, column = divmod(place, columns)
        top, left = row * (height + _GAP), column * (width + _GAP)
        whole[top : top + height, left : left + width] = image
    return whole


def strips(rows: Sequence[Bytes]) -> Bytes:
    """Arrange rows of equally many images: each (images, height, width)."""
    return grid(np.concatenate(rows), columns=len(rows[0]))
