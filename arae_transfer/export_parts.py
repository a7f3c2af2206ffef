"""Parts of an export's description: files, graphs in each precision, generator, classifier, images.

This module needs the standard library alone; see ``export_config``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

FP32, FP16, INT8 = "fp32", "fp16", "int8"


@dataclass(frozen=True)
class FileRecord:
    """Size and checksum of a file.

    Attributes:
        sha256: The hexadecimal digest.
        size: The number of bytes.
    """

    sha256: str
    size: int


@dataclass(frozen=True)
class Variant:
    """Graphs of a model in one precision.

    Attributes:
        encoder: The file name of the encoder's graph.
        decoders: The file name of each class's decoder.
        weights: The file name of the weights that all graphs read; None: the graphs hold all weights.
        class_weights: The file name of the weights that only each class's graphs read; empty: there are none.
        accepted: Whether its answers are close enough to the trained model's to run by default.
        candidates: The file name of each class's graph that writes several hypotheses; None: the export has none.
        source: The variant whose graphs hold the weights of these, as in format 1; None: its own.
        storage: The precision of stored weights: ``fp16``, ``fp32`` or ``int8``.
        agreement: The measured agreement of its answers with the trained model's; None: not measured.
    """

    encoder: str
    decoders: Mapping[str, str] = field(default_factory=dict)
    weights: str | None = None
    accepted: bool = True
    candidates: Mapping[str, str] | None = None
    source: Variant | None = None
    storage: str = FP32
    agreement: Mapping[str, Any] | None = None
    class_weights: Mapping[str, str] = field(default_factory=dict)

    @property
    def encoder_weights(self) -> list[str]:
        """Names of the weight files that the encoder reads besides its own."""
        return self._weights + ([self.source.encoder] if self.source else [])

    def decoder_weights(self, class_name: str, *, searching: bool = False) -> list[str]:
        """Return the names of the weight files of a class's decoder or beam search graph."""
        if class_name in self.class_weights:
            return [*self._weights, self.class_weights[class_name]]
        # Format 1 knows no weights of a class: they lie in the graph of its greedy decoder.
        return self._weights + ([(self.source or self).decoders[class_name]] if self.source or searching else [])

    @property
    def file_names(self) -> list[str]:
        """Return the names of all files."""
        names = [self.encoder, *self.decoders.values(), *(self.candidates or {}).values()]
        return [*names, *self._weights, *self.class_weights.values()]

    @property
    def _weights(self) -> list[str]:
        return [] if self.weights is None else [self.weights]

    def files_to_dict(self) -> dict[str, Any]:
        """Return the names of the files, as in ``config.json``."""
        table = {
            "encoder": self.encoder,
            "decoders": dict(self.decoders),
            "candidates": None if self.candidates is None else dict(self.candidates),
            "weights_file": self.weights,
        }
        return table | ({"class_weights": dict(self.class_weights)} if self.class_weights else {})

    def to_dict(self, precision: str, *, whole: bool = False) -> dict[str, Any]:
        """Return the entry under ``variants`` in ``config.json``, with the files of fp32 only if ``whole``."""
        table: dict[str, Any] = {"arithmetic": precision, "weights": self.storage}
        if precision != FP32 or whole:
            table |= self.files_to_dict()
        if self.agreement is not None:
            table["agreement"] = dict(self.agreement)
        if precision != FP32:
            table["accepted"] = self.accepted
        return table

    @classmethod
    def from_dict(
        cls,
        table: Mapping[str, Any],
        classes: tuple[str, ...],
        fp32: Variant | None = None,
        described: Mapping[str, Any] | None = None,
    ) -> Variant:
        """Validate and convert a variant.

        Args:
            table: The table with its files.
            classes: The classes that have decoders.
            fp32: The variant in fp32, whose weights this one may read.
            described: The table with its other entries; None: the same table.

        Raises:
            KeyError, TypeError, ValueError: A key is missing, or a value is invalid.
        """
        about = table if described is None else described
        accepted, candidates = about.get("accepted", True), table.get("candidates")
        class_weights = as_table(table.get("class_weights") or {})
        if not isinstance(accepted, bool):
            raise TypeError(f"accepted = {accepted!r}")
        weights_in = None if fp32 is None else table.get("weights_in")
        if weights_in not in (None, FP32):
            raise ValueError(f"weights_in = {weights_in!r}")
        agreement = about.get("agreement")
        return cls(
            encoder=plain_name(table["encoder"]),
            decoders={name: plain_name(table["decoders"][name]) for name in classes},
            weights=optional_name(table.get("weights_file")),
            accepted=accepted,
            candidates=None if candidates is None else {name: plain_name(candidates[name]) for name in classes},
            source=None if weights_in is None else fp32,
            storage=as_text(about.get("weights", FP32)),
            agreement=None if agreement is None else as_table(agreement),
            class_weights={name: plain_name(class_weights[name]) for name in class_weights and classes},
        )


@dataclass(frozen=True)
class Generator:
    """Graph from noise to codes.

    Attributes:
        file: Its file.
        noise_size: The dimensions of its noise.
        maximum_vectors: The maximum number of vectors of a code; 1 for a single code.
        lengths: How many of the corpus's held-out sentences have 1, 2, ... tokens, with the end id.
    """

    file: str
    noise_size: int
    maximum_vectors: int
    lengths: tuple[int, ...] = ()

    @classmethod
    def from_dict(cls, value: object) -> Generator:
        """Validate and convert a generator.

        Raises:
            KeyError, TypeError, ValueError: A key is missing, or a value is invalid.
        """
        table = as_table(value)
        lengths = tuple(int(count) for count in table["lengths"])
        found = cls(plain_name(table["file"]), int(table["noise_size"]), int(table["maximum_vectors"]), lengths)
        if found.noise_size < 1 or found.maximum_vectors < 1 or any(count < 0 for count in lengths):
            raise ValueError(f"generator = {table}")
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return the entry in ``config.json``."""
        return {
            "file": self.file,
            "noise_size": self.noise_size,
            "maximum_vectors": self.maximum_vectors,
            "lengths": list(self.lengths),
        }


@dataclass(frozen=True)
class Classifier:
    """Graph from codes to class probabilities.

    Attributes:
        file: Its file.
        pairs: Whether it reads the codes of two sentences.
    """

    file: str
    pairs: bool


@dataclass(frozen=True)
class ImageShape:
    """Shape of the images of an image model.

    Attributes:
        height: In pixels.
        width: In pixels.
        levels: The levels of brightness of a pixel.
    """

    height: int
    width: int
    levels: int

    @classmethod
    def from_dict(cls, value: object) -> ImageShape:
        """Validate and convert an image shape.

        Raises:
            KeyError, TypeError, ValueError: A key is missing, or a value is invalid.
        """
        table = as_table(value)
        image = cls(int(table["height"]), int(table["width"]), int(table["levels"]))
        if min(image.height, image.width) < 1 or not 2 <= image.levels <= 256:
            raise ValueError(f"image = {table}")
        return image


def as_text(value: object) -> str:
    """Return a text, or raise an error for an empty text or another type."""
    if not isinstance(value, str) or not value:
        raise TypeError(f"{value!r} is not a text")
    return value


def as_table(value: object) -> dict[str, Any]:
    """Return a table, or raise an error for another type."""
    if not isinstance(value, dict):
        raise TypeError(f"{value!r} is not a table")
    return value


def optional_name(value: object) -> str | None:
    """Return a file name, or None."""
    return None if value is None else plain_name(value)


def plain_name(value: object) -> str:
    """Return a file name, or raise an error for a path out of the model's folder.

    Raises:
        TypeError, ValueError: It is none.
    """
    name = as_text(value)
    if name in (".", "..") or any(character in name for character in "/\\\0"):
        raise ValueError(f"{name!r} is not a plain file name")
    return name
