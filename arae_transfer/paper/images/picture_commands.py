"""`arae sample` and `arae interpolate` for models of images, which write pictures."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from arae_transfer.errors import AraeError
from arae_transfer.folders import expanded

if TYPE_CHECKING:
    from arae_transfer.paper.images.image_model import Floats, ImageModel
    from arae_transfer.runtime.model_folder import ModelFolder

NOISE = "noise:"
# Beyond this a grid is no picture that anything shows.
MOST_IMAGES = 10_000


def sample_picture(
    folder: ModelFolder, number: int, to: str | None, seed: int, output: Path | None, device: str, threads: int | None
) -> None:
    """Write a grid of generated images as PNG, with rows per class.

    Raises:
        AraeError: There is no place for it, the class does not exist, or the model cannot run.
    """
    if number > MOST_IMAGES:
        raise AraeError(f"a grid of {number:,} images is too large", f"ask for at most {MOST_IMAGES:,}: -n 64.")
    _check_output(output)
    classes = [folder.match_class(to)] if to is not None else list(folder.classes)
    model = _open(folder, device, threads)
    codes = model.sample_codes(number, seed)

    from arae_transfer.paper.images.picture import encode_png, grid, strips

    made = [model.picture(model.decode(codes, name)) for name in classes]
    _write(encode_png(grid(made[0]) if len(made) == 1 else strips(made)), output)


def interpolate_picture(
    folder: ModelFolder,
    first: str,
    second: str,
    steps: int,
    to: str | None,
    path: str,
    output: Path | None,
    device: str,
    threads: int | None,
) -> None:
    """Write the images between two images as PNG, one row per class.

    Raises:
        AraeError: There is no place for it, an image does not exist, or the model cannot run.
    """
    from arae_transfer.runtime.paths import PATHS

    if path not in PATHS:
        raise AraeError(f"the path must be {' or '.join(PATHS)}, not {path!r}", f"use --path {PATHS[0]}.")
    if steps > MOST_IMAGES:
        raise AraeError(f"a row of {steps:,} images is too large", f"ask for at most {MOST_IMAGES:,}.")
    _check_output(output)
    classes = [folder.match_class(to)] if to is not None else list(folder.classes)
    model = _open(folder, device, threads)
    codes = model.walk(_code(model, first), _code(model, second), steps, path)

    from arae_transfer.paper.images.picture import encode_png, strips

    _write(encode_png(strips([model.picture(model.decode(codes, name)) for name in classes])), output)


def _open(folder: ModelFolder, device: str, threads: int | None) -> ImageModel:
    from arae_transfer.paper.images.image_model import ImageModel
    from arae_transfer.runtime.sessions import Sessions

    return ImageModel(Sessions(folder, device, threads))


def _code(model: ImageModel, wish: str) -> Floats:
    """Return the code (1, code_size) of ``FILE:NUMBER`` or ``noise:SEED``."""
    name, separator, digits = wish.rpartition(":")
    if not separator or not digits.isascii() or not digits.isdecimal():
        raise AraeError(
            f"{wish!r} does not name an image",
            "give FILE:NUMBER (an IDX file and the index of an image, from 0) or noise:SEED (a generated image).",
        )
    number = int(digits)
    if f"{name}:" == NOISE:
        code: Floats = model.sample_codes(1, number)[0]
        return code
    values = model.read(expanded(name))
    if number >= len(values):
        raise AraeError(f"{name} has {len(values):,} images, but no number {number:,}", "count from 0.")
    encoded: Floats = model.encode(values[number : number + 1])[0]
    return encoded


def _check_output(output: Path | None) -> None:
    if output is None and sys.stdout is not None and sys.stdout.isatty():
        raise AraeError("a picture cannot be shown in a terminal", "name a file: -o grid.png")


def _write(picture: bytes, output: Path | None) -> None:
    from arae_transfer.cli.answers import open_answers

    with open_answers(output) as write:
        write(picture)
