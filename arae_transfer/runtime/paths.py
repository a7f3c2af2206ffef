"""Interpolation between two codes, on the unit sphere or along the straight line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from arae_transfer.errors import AraeError

Path = Literal["sphere", "line"]
PATHS: tuple[str, ...] = get_args(Path)
Floats = npt.NDArray[np.float64]
Code = npt.NDArray[np.float32]
"""The code of one sentence: (vectors, size)."""

# The sine of the angle below which two directions count as the same, or as opposite.
_SMALLEST_SINE = 1e-6


def along_line(first: Floats, second: Floats, share: Floats) -> Floats:
    """Return points on straight lines, which leave the sphere; midway they are shorter than the ends.

    They are not rescaled to unit norm: that would be the path on the sphere again, at an uneven speed.

    Args:
        first: (..., size).
        second: (..., size).
        share: (...) of the way, 0 at the first and 1 at the second.
    """
    share = share[..., np.newaxis]
    return (1.0 - share) * first + share * second


def along_sphere(first: Floats, second: Floats, share: Floats) -> Floats:
    """Return points on great circles, at even speed (slerp, Shoemake 1985); norms change evenly too.

    Between opposite vectors all great circles are equally short: this one leads towards the axis on which the first
    vector is smallest. A zero vector has no direction, and the path is the straight line.

    Args:
        first: (..., size).
        second: (..., size).
        share: (...) of the way, 0 at the first and 1 at the second.
    """
    first_norm = np.linalg.norm(first, axis=-1, keepdims=True)  # (..., 1)
    second_norm = np.linalg.norm(second, axis=-1, keepdims=True)
    start = first / np.where(first_norm > 0, first_norm, 1.0)  # (..., size)
    end = second / np.where(second_norm > 0, second_norm, 1.0)
    cosine = np.clip((start * end).sum(axis=-1, keepdims=True), -1.0, 1.0)
    across = end - cosine * start  # the part of the end that is at right angles to the start
    sine = np.linalg.norm(across, axis=-1, keepdims=True)
    opposite = (sine < _SMALLEST_SINE) & (cosine < 0)
    axis = np.eye(first.shape[-1])[np.abs(start).argmin(axis=-1)]
    axis = axis - (axis * start).sum(axis=-1, keepdims=True) * start
    across = np.where(opposite, axis, across)
    length = np.linalg.norm(across, axis=-1, keepdims=True)
    across = across / np.where(length > 0, length, 1.0)
    angle = np.where(opposite, np.pi, np.arctan2(sine, cosine)) * share[..., np.newaxis]
    direction = np.cos(angle) * start + np.sin(angle) * across
    norm = along_line(first_norm, second_norm, share)
    straight = along_line(first, second, share)
    known = (first_norm > 0) & (second_norm > 0) & (length > 0)
    return np.where(known, norm * direction, straight)


_WAYS: dict[str, Callable[[Floats, Floats, Floats], Floats]] = {"sphere": along_sphere, "line": along_line}


def resample(code: Floats, vectors: int, path: str = "sphere") -> Floats:
    """Return a code of another number of vectors: read at even distances, between neighbours along the path.

    The first and the last vector stay, so that the vector of the sentence's end stays at the end; one vector alone is
    the first. The same number of vectors gives the same code.

    Args:
        code: (vectors, size).
        vectors: The new number, at least 1.
        path: ``"sphere"`` or ``"line"``.

    Returns:
        (new number, size).
    """
    places = np.linspace(0.0, len(code) - 1.0, vectors)  # (wished,)
    before = np.minimum(np.floor(places).astype(np.int64), len(code) - 1)
    after = np.minimum(before + 1, len(code) - 1)
    return _WAYS[path](code[before], code[after], places - before)


def interpolate(first: Code, second: Code, steps: int, path: str = "sphere") -> list[Code]:
    """Return codes on the way from one code to another, both ends included.

    The number of vectors goes evenly from that of the first to that of the second, rounded. At each step both codes
    are resampled to that number, and each vector goes its own way: the ends are therefore the codes as given.

    Args:
        first: (vectors, size).
        second: (vectors, size), perhaps of another number of vectors.
        steps: The number of codes, at least 2.
        path: ``"sphere"`` or ``"line"``.

    Raises:
        AraeError: There are fewer than 2 steps, or no such path.
    """
    if path not in PATHS:
        raise AraeError(f"unknown path {path!r}", f"use {' or '.join(PATHS)}.")
    if steps < 2:
        raise AraeError(f"{steps} steps do not lead from one end to the other", "use --steps 2 or more.")
    codes = []
    start, end = first.astype(np.float64), second.astype(np.float64)
    for share in np.linspace(0.0, 1.0, steps):
        vectors = int(np.floor(len(first) + share * (len(second) - len(first)) + 0.5))
        shares = np.full(vectors, share)
        code = _WAYS[path](resample(start, vectors, path), resample(end, vectors, path), shares)
        codes.append(code.astype(np.float32))
    return codes
