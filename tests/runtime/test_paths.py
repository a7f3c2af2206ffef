"""Paths between codes, against cases worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from arae_transfer.errors import AraeError
from arae_transfer.runtime.paths import along_line, along_sphere, interpolate, resample

EAST, NORTH, UP = np.eye(3)
MIDDLE = np.array([math.sqrt(0.5), math.sqrt(0.5), 0.0])
HALF = math.sqrt(0.5)


@pytest.mark.parametrize(
    ("share", "point"),
    [(0.0, [1, 0, 0]), (1.0, [0, 1, 0]), (0.5, [HALF, HALF, 0]), (1 / 3, [math.sqrt(3) / 2, 0.5, 0])],
)
def test_a_quarter_circle(share: float, point: list[float]) -> None:
    # A third of 90 degrees is 30 degrees.
    found = along_sphere(EAST[np.newaxis], NORTH[np.newaxis], np.array([share]))
    assert np.allclose(found, [point])


def test_the_line_is_straight_and_leaves_the_sphere() -> None:
    (found,) = along_line(EAST[np.newaxis], NORTH[np.newaxis], np.array([0.25]))
    assert np.allclose(found, [0.75, 0.25, 0])
    assert np.linalg.norm(found) < 1


def test_norms_change_evenly() -> None:
    (found,) = along_sphere(2 * EAST[np.newaxis], 4 * NORTH[np.newaxis], np.array([0.5]))
    assert np.allclose(found, [3 * HALF, 3 * HALF, 0])


def test_equal_and_opposite_and_missing_directions() -> None:
    shares = np.array([0.5])
    assert np.allclose(along_sphere(EAST[np.newaxis], EAST[np.newaxis], shares), [EAST])
    (half_way,) = along_sphere(EAST[np.newaxis], -EAST[np.newaxis], shares)
    assert np.allclose(np.linalg.norm(half_way), 1) and abs(half_way @ EAST) < 1e-9
    assert np.allclose(along_sphere(np.zeros((1, 3)), UP[np.newaxis], shares), [UP / 2])


def test_resampling_reads_between_neighbours() -> None:
    code = np.stack([EAST, NORTH])
    assert np.allclose(resample(code, 3), np.stack([EAST, MIDDLE, NORTH]))
    assert np.allclose(resample(code, 3, "line"), np.stack([EAST, (EAST + NORTH) / 2, NORTH]))
    assert np.allclose(resample(np.stack([EAST, UP, NORTH]), 2), [EAST, NORTH])
    assert np.allclose(resample(code, 1), [EAST])
    assert np.array_equal(resample(code, 2), code)


@pytest.mark.parametrize("path", ["sphere", "line"])
def test_both_ends_are_the_codes_given(path: str) -> None:
    random = np.random.default_rng(1)
    first, second = (random.standard_normal((vectors, 8)).astype(np.float32) for vectors in (3, 8))
    codes = interpolate(first, second, 6, path)
    assert np.allclose(codes[0], first, atol=1e-6) and np.allclose(codes[-1], second, atol=1e-6)
    assert [len(code) for code in codes] == [3, 4, 5, 6, 7, 8]


def test_codes_on_the_sphere_stay_on_it() -> None:
    random = np.random.default_rng(2)
    first, second = (random.standard_normal((vectors, 16)) for vectors in (2, 5))
    first, second = (code / np.linalg.norm(code, axis=1, keepdims=True) for code in (first, second))
    for code in interpolate(first.astype(np.float32), second.astype(np.float32), 9):
        assert np.allclose(np.linalg.norm(code, axis=1), 1, atol=1e-5)


def test_wrong_wishes() -> None:
    code = np.ones((1, 2), np.float32)
    with pytest.raises(AraeError, match="unknown path 'arc'"):
        interpolate(code, code, 3, "arc")
    with pytest.raises(AraeError, match="1 steps"):
        interpolate(code, code, 1)
