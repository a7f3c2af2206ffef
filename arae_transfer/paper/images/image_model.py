"""Run an exported model of images with numpy and onnxruntime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from arae_transfer.errors import AraeError
from arae_transfer.paper.images.image_files import Bytes, brightness, quantize, read_idx
from arae_transfer.runtime.code_space import CodeGenerator, run_session
from arae_transfer.runtime.model_folder import ModelFolder
from arae_transfer.runtime.paths import interpolate
from arae_transfer.runtime.sessions import Sessions
from arae_transfer.runtime.threads import map_in_parallel

Floats = npt.NDArray[np.float32]

BATCH_SIZE = 500


class ImageModel(CodeGenerator):
    """An exported model of images."""

    def __init__(self, sessions: Sessions) -> None:
        """Prepare a model; graphs are opened on first use.

        Raises:
            AraeError: The model is of text.
        """
        super().__init__(sessions.folder)
        if self.folder.image is None:
            raise AraeError(f"{self.folder.name} is a model of text, not of images", "give a model of images.")
        self.image = self.folder.image
        self._sessions = sessions

    @classmethod
    def load(cls, model: str | None = None, *, device: str = "auto", threads: int | None = None) -> ImageModel:
        """Find a model by name or path.

        Raises:
            AraeError: There is no such model, it is of text, or the device cannot be used.
        """
        return cls(Sessions(ModelFolder.find(model, "image"), device, threads))

    @property
    def has_generator(self) -> bool:
        """Whether the model can generate images; without an adversary it only encodes and decodes."""
        return self.folder.config.generator is not None

    def read(self, path: Path) -> Bytes:
        """Read an IDX file of images as (images, pixels) levels.

        Raises:
            AraeError: It cannot be read, or its images are of another size than the model's.
        """
        images = read_idx(path, 3)
        if images.shape[1:] != (self.image.height, self.image.width):
            raise AraeError(
                f"the images of {path} are {images.shape[1]} x {images.shape[2]} pixels; {self.folder.name} reads "
                f"{self.image.height} x {self.image.width}",
                "give images of that size.",
            )
        return quantize(images, self.image.levels)

    def encode(self, values: Bytes) -> Floats:
        """Return the codes of images: (images, pixels) levels to (images, 1, code_size).

        Raises:
            AraeError: The model cannot run.
        """
        encoder, _ = self._sessions.open(self.folder.classes[0])

        def work(rows: slice) -> Floats:
            codes: Floats = run_session(encoder, ["code"], {"pixels": values[rows]})[0]
            return codes

        return np.concatenate(map_in_parallel(work, _batches(len(values)), self._sessions.batches_at_once))

    def probabilities(self, codes: Floats, to: str) -> Floats:
        """Return the level probabilities of each pixel: (images, 1, code_size) to (images, pixels, levels).

        Raises:
            AraeError: The model cannot run.
        """
        _, decoder = self._sessions.open(to)

        def work(rows: slice) -> Floats:
            shares: Floats = run_session(decoder, ["probabilities"], {"code": np.ascontiguousarray(codes[rows])})[0]
            return shares

        return np.concatenate(map_in_parallel(work, _batches(len(codes)), self._sessions.batches_at_once))

    def decode(self, codes: Floats, to: str) -> Bytes:
        """Return the most probable images of codes: (images, 1, code_size) to (images, pixels) levels.

        Raises:
            AraeError: The model cannot run.
        """
        likely: Bytes = self.probabilities(codes, to).argmax(axis=2).astype(np.uint8)
        return likely

    def sample_codes(self, number: int, seed: int = 0) -> Floats:
        """Return generated codes, (number, 1, code_size); a larger number starts with the same codes."""
        return np.stack(self.generate(number, seed, BATCH_SIZE))

    def walk(self, first: Floats, second: Floats, steps: int, path: str = "sphere") -> Floats:
        """Return codes between two codes (1, code_size), both ends included: (steps, 1, code_size)."""
        return np.stack(interpolate(first, second, steps, path))

    def picture(self, values: Bytes) -> Bytes:
        """Return images as bytes of brightness: (images, pixels) levels to (images, height, width)."""
        return brightness(values, self.image.levels).reshape(-1, self.image.height, self.image.width)


def _batches(rows: int) -> list[slice]:
    """Yield rows in batches."""
    return [slice(start, start + BATCH_SIZE) for start in range(0, rows, BATCH_SIZE)]
