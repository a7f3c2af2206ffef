"""PNG files that another library reads back."""

from __future__ import annotations

import io

import numpy as np
import pytest

from arae_transfer.paper.images.picture import encode_png, grid, strips


@pytest.mark.parametrize("shape", [(1, 1), (3, 7), (40, 200)])
def test_a_png_is_read_back_by_another_library(shape: tuple[int, int]) -> None:
    image = pytest.importorskip("matplotlib.image")
    picture = np.random.default_rng(1).integers(0, 256, shape).astype(np.uint8)
    read = image.imread(io.BytesIO(encode_png(picture)), format="png")
    assert np.array_equal(np.rint(read * 255).astype(np.uint8), picture)


def test_a_grid_holds_every_image_in_reading_order() -> None:
    images = np.stack([np.full((3, 4), value, np.uint8) for value in (10, 20, 30, 40, 50)])
    whole = grid(images, columns=2)
    assert whole.shape == (3 * 3 + 2 * 2, 2 * 4 + 2)
    assert whole[::5, ::6].tolist() == [[10, 20], [30, 40], [50, 96]]
    assert grid(images).shape == (2 * 3 + 2, 3 * 4 + 2 * 2)
    assert np.array_equal(grid(images[:1], columns=8), images[0])


def test_strips_are_rows() -> None:
    rows = [np.full((3, 2, 2), value, np.uint8) for value in (1, 2)]
    assert strips(rows)[::4, ::4].tolist() == [[1, 1, 1], [2, 2, 2]]
