"""What an export's ``config.json`` says: one description for the exporters that write it and everything that reads it.

This module needs the standard library alone, so that listing models and completing class names costs nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from arae_transfer.errors import AraeError

COPY_ABOVE = 0.9
"""The probability that nothing is to change above which a model that edits leaves a line as it is, by default.

It is high because who asks for a rewrite mostly wants one.
"""

FORMAT = "arae-export"
# Variants were added without a new version: a reader that knows nothing of them still finds the fp32 graphs.
FORMAT_VERSION = 1
"""The version of all exports but those of models that edit."""
EDITING_VERSION = 2
"""The version of those, which earlier readers do not know: it lets them say that they have to be upgraded."""
NEWEST_VERSION = EDITING_VERSION
MOST_CANDIDATES = 64
"""Candidates of a line: the best are among far fewer."""

FP32, FP16, INT8 = "fp32", "fp16", "int8"
REWRITING, CLASSIFICATION, GENERATION, IMAGE = "rewriting", "classification", "generation", "image"
EDITING = "editing"
RESTORE = "copy the model folder again, or run `arae export` again."

# The keys that exports of each task have, in the order of the file.
_HEAD = ("format", "format_version")
_TEXT = ("task", "name", "arae_version", "classes", "special_ids", "maximum_tokens", "form")
_TAIL = ("onnx", "sizes", "parity", "scores", "training", "recipe")
_WRITING = (
    *(*_HEAD, *_TEXT, "encoder", "decoders", "candidates", "weights_file", "scorer", "language_models", "beam"),
    *("tokenizer", "generator", "files", "variants", "shortlist", *_TAIL),
)
_KEYS: dict[str, tuple[str, ...]] = {
    REWRITING: _WRITING,
    GENERATION: _WRITING,
    EDITING: (
        *(*_HEAD, *_TEXT, "scorer", "language_models", "beam", "copy_above"),
        *("tokenizer", "files", "variants", *_TAIL),
    ),
    CLASSIFICATION: (
        *(*_HEAD, *_TEXT, "encoder", "classifier", "tokenizer", "files", "variants"),
        *(key for key in _TAIL if key != "sizes"),
    ),
    IMAGE: (
        *(*_HEAD, "kind", "name", "arae_version", "classes", "image", "encoder", "decoders", "generator", "files"),
        *_TAIL,
    ),
}


@dataclass(frozen=True)
class FileRecord:
    """What a file must be, byte for byte.

    Attributes:
        sha256: The hexadecimal digest.
        size: The number of bytes.
    """

    sha256: str
    size: int


@dataclass(frozen=True)
class Variant:
    """The graphs of a model in one precision.

    Attributes:
        encoder: The file name of the encoder's graph.
        decoders: The file name of each class's decoder.
        weights: The file name of the weights that the graphs share, or None: each holds its own.
        accepted: Whether its answers were found close enough to the trained model's to be used without being asked
            for.
        candidates: The file name of each class's graph of candidates, which reads the weights in the decoder's file
            and the shared ones; None: the export has none.
        source: The variant whose files hold the weights that these graphs read; None: they are in its own.
        storage: How weights are stored: ``fp16``, ``fp32`` or ``int8``.
        agreement: How its answers agree with the trained model's, as it was measured; None: it was not.
    """

    encoder: str
    decoders: Mapping[str, str] = field(default_factory=dict)
    weights: str | None = None
    accepted: bool = True
    candidates: Mapping[str, str] | None = None
    source: Variant | None = None
    storage: str = FP32
    agreement: Mapping[str, Any] | None = None

    @property
    def encoder_weights(self) -> list[str]:
        """Return the names of the files besides its own that the encoder reads weights in."""
        return self._weights + ([self.source.encoder] if self.source else [])

    def decoder_weights(self, class_name: str, *, searching: bool = False) -> list[str]:
        """Return those of a class's decoder, or of its graph of candidates."""
        return self._weights + ([(self.source or self).decoders[class_name]] if self.source or searching else [])

    @property
    def file_names(self) -> list[str]:
        """Return the names of all its files."""
        names = [self.encoder, *self.decoders.values(), *(self.candidates or {}).values()]
        return [*names, *self._weights]

    @property
    def _weights(self) -> list[str]:
        return [] if self.weights is None else [self.weights]

    def files_to_dict(self) -> dict[str, Any]:
        """Return the names of its files as ``config.json`` has them."""
        return {
            "encoder": self.encoder,
            "decoders": dict(self.decoders),
            "candidates": None if self.candidates is None else dict(self.candidates),
            "weights_file": self.weights,
        }

    def to_dict(self, precision: str, *, whole: bool = False) -> dict[str, Any]:
        """Return what ``config.json`` has under ``variants``; the files of fp32 stand outside, unless all is wanted."""
        table: dict[str, Any] = {"arithmetic": precision, "weights": self.storage}
        if precision != FP32 or whole:
            table |= self.files_to_dict()
            if self.source is not None:
                table["weights_in"] = FP32
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
        """Check and convert a variant.

        Args:
            table: Where its files stand.
            classes: The classes that have decoders.
            fp32: The variant in fp32, whose weights this one may read.
            described: What else is said of it; None: the same table.

        Raises:
            KeyError, TypeError, ValueError: A key is missing, or a value makes no sense.
        """
        about = table if described is None else described
        accepted, candidates = about.get("accepted", True), table.get("candidates")
        if not isinstance(accepted, bool):
            raise TypeError(f"accepted = {accepted!r}")
        weights_in = None if fp32 is None else table.get("weights_in")
        if weights_in not in (None, FP32):
            raise ValueError(f"weights_in = {weights_in!r}")
        agreement = about.get("agreement")
        return cls(
            encoder=plain_name(table["encoder"]),
            decoders={name: plain_name(table["decoders"][name]) for name in classes},
            weights=_optional_name(table.get("weights_file")),
            accepted=accepted,
            candidates=None if candidates is None else {name: plain_name(candidates[name]) for name in classes},
            source=None if weights_in is None else fp32,
            storage=_text(about.get("weights", FP32)),
            agreement=None if agreement is None else _table(agreement),
        )


@dataclass(frozen=True)
class Generator:
    """The graph from noise to codes.

    Attributes:
        file: Its file.
        noise_size: The dimensions of its noise.
        maximum_vectors: The most vectors of a code; 1 for a single one.
        lengths: How many of the corpus's held-out sentences have 1, 2, ... tokens, the end id included.
    """

    file: str
    noise_size: int
    maximum_vectors: int
    lengths: tuple[int, ...] = ()

    @classmethod
    def from_dict(cls, value: object) -> Generator:
        """Check and convert it.

        Raises:
            KeyError, TypeError, ValueError: A key is missing, or a value makes no sense.
        """
        table = _table(value)
        lengths = tuple(int(count) for count in table["lengths"])
        found = cls(plain_name(table["file"]), int(table["noise_size"]), int(table["maximum_vectors"]), lengths)
        if found.noise_size < 1 or found.maximum_vectors < 1 or any(count < 0 for count in lengths):
            raise ValueError(f"generator = {table}")
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return it as ``config.json`` has it."""
        return {
            "file": self.file,
            "noise_size": self.noise_size,
            "maximum_vectors": self.maximum_vectors,
            "lengths": list(self.lengths),
        }


@dataclass(frozen=True)
class Classifier:
    """The graph from codes to probabilities of classes.

    Attributes:
        file: Its file.
        pairs: Whether it reads the codes of two sentences.
    """

    file: str
    pairs: bool


@dataclass(frozen=True)
class ImageShape:
    """What the images of an image model are like.

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
        """Check and convert it.

        Raises:
            KeyError, TypeError, ValueError: A key is missing, or a value makes no sense.
        """
        table = _table(value)
        image = cls(int(table["height"]), int(table["width"]), int(table["levels"]))
        if min(image.height, image.width) < 1 or not 2 <= image.levels <= 256:
            raise ValueError(f"image = {table}")
        return image


@dataclass(frozen=True)
class ExportConfig:
    """What an export is.

    Attributes:
        name: The model's name.
        classes: Its classes, in order.
        task: ``rewriting``, ``editing``, ``generation``, ``classification`` or ``image``.
        variants: The graphs in each precision, by its name; ``fp32`` is always there, but for models that edit, which
            may be stored in int8 alone.
        files: What each file must be.
        maximum_tokens: The longest input that it was trained for, in tokens, the end id included; 0: it reads images.
        form: The settings of the corpus's form of writing.
        tokenizer: The file name of the SentencePiece model; empty: it reads images.
        scorer: The file name of the style scorer's graph; None: the export has none.
        language_models: The file name of each class's language model, by which candidates are ranked, too; None: the
            export has none.
        beam: The candidates that are searched for a line where nobody says how many; 1: it is rewritten greedily.
        copy_above: The probability that nothing is to change above which a model that edits leaves a line as it is,
            where nobody says another.
        generator: The graph from noise to codes; None: the export has none.
        classifier: The graph from codes to classes, which classifications have in the place of decoders.
        image: What its images are like; None: a model of text.
        shortlist: The part of the vocabulary that decoders choose among beside the source's tokens, and what that
            changes; None: they choose among all.
        arae_version: The version that wrote it.
        special_ids: The ids of tokens without text.
        onnx: The versions of ONNX that the graphs need.
        sizes: The sizes of the networks.
        parity: How the answers of the graphs were compared with the trained model's.
        scores: The validation scores of the training.
        training: What the training took, all runs together.
        recipe: The resolved recipe of the last run.
    """

    name: str
    classes: tuple[str, ...]
    task: str = REWRITING
    variants: Mapping[str, Variant] = field(default_factory=dict)
    files: Mapping[str, FileRecord] = field(default_factory=dict)
    maximum_tokens: int = 0
    form: Mapping[str, Any] = field(default_factory=dict)
    tokenizer: str = ""
    scorer: str | None = None
    language_models: Mapping[str, str] | None = None
    beam: int = 1
    copy_above: float = COPY_ABOVE
    generator: Generator | None = None
    classifier: Classifier | None = None
    image: ImageShape | None = None
    shortlist: Mapping[str, Any] | None = None
    arae_version: str = ""
    special_ids: Mapping[str, int] = field(default_factory=dict)
    onnx: Mapping[str, Any] = field(default_factory=dict)
    sizes: Mapping[str, Any] = field(default_factory=dict)
    parity: Mapping[str, Any] = field(default_factory=dict)
    scores: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    recipe: Mapping[str, Any] = field(default_factory=dict)

    @property
    def fp32(self) -> Variant:
        """The graphs in fp32."""
        return self.variants[FP32]

    @property
    def main(self) -> Variant:
        """The graphs in fp32, or, where there are none, the first others."""
        return self.variants.get(FP32) or next(iter(self.variants.values()))

    @property
    def format_version(self) -> int:
        """The version of its ``config.json``."""
        return EDITING_VERSION if self.task == EDITING else FORMAT_VERSION

    @classmethod
    def read(cls, path: Path) -> ExportConfig:
        """Read a ``config.json``.

        Raises:
            AraeError: It is missing, damaged, incomplete or of a newer format.
        """
        try:
            config = json.loads(path.read_bytes())
        except OSError as error:
            raise AraeError(
                f"cannot read {path}: {error.strerror or error}", "give the folder of an exported model."
            ) from error
        except (ValueError, RecursionError) as error:
            raise _damaged(path, "is not valid JSON") from error
        if not isinstance(config, dict) or config.get("format") != FORMAT:
            raise AraeError(
                f'{path} does not describe an exported model: it lacks "format": "{FORMAT}"',
                "give the folder that `arae export` wrote.",
            )
        version = config.get("format_version")
        if not isinstance(version, int) or isinstance(version, bool) or version < 1:
            raise _damaged(path, f"lacks a sensible format_version: {version!r}")
        if version > NEWEST_VERSION:
            raise AraeError(
                f"{path} has format version {version}; this arae reads up to {NEWEST_VERSION}",
                "upgrade arae: pip install --upgrade arae-transfer",
            )
        try:
            return cls.from_dict(config)
        except KeyError as error:
            raise _damaged(path, f"lacks {error}") from error
        except (TypeError, ValueError, AttributeError) as error:
            raise _damaged(path, f"is damaged ({error})") from error

    @classmethod
    def from_dict(cls, config: Mapping[str, Any]) -> ExportConfig:
        """Check and convert a parsed ``config.json``; what only people read of it may be missing.

        Raises:
            KeyError: A key is missing.
            TypeError, ValueError, AttributeError: A value makes no sense.
        """
        task = _task(config)
        classes = tuple(_text(name) for name in config["classes"])
        if not classes or len(set(classes)) != len(classes):
            raise ValueError("classes must be distinct and at least one")
        files = {
            plain_name(name): FileRecord(_text(record["sha256"]), int(record["bytes"]))
            for name, record in config["files"].items()
        }
        reads_text, decoded = task != IMAGE, () if task == CLASSIFICATION else classes
        classifier = _table(config["classifier"]) if task == CLASSIFICATION else None
        language_models = config.get("language_models")
        shortlist = config.get("shortlist")
        found = cls(
            name=_text(config["name"]),
            classes=classes,
            task=task,
            variants=_variants(config, decoded, task),
            files=files,
            maximum_tokens=int(config["maximum_tokens"]) if reads_text else 0,
            form=_table(config["form"]) if reads_text else {},
            tokenizer=plain_name(config["tokenizer"]) if reads_text else "",
            scorer=_optional_name(config.get("scorer")),
            language_models=None
            if language_models is None
            else {name: plain_name(_table(language_models)[name]) for name in classes},
            beam=_beam(config, task),
            copy_above=_probability(config.get("copy_above", COPY_ABOVE)) if task == EDITING else COPY_ABOVE,
            generator=None if config.get("generator") is None else Generator.from_dict(config["generator"]),
            classifier=None
            if classifier is None
            else Classifier(plain_name(classifier["file"]), bool(classifier["pairs"])),
            image=None if reads_text else ImageShape.from_dict(config["image"]),
            shortlist=None if shortlist is None else _table(shortlist),
            arae_version=str(config.get("arae_version", "")),
            **{key: _table(config.get(key, {})) for key in ("special_ids", *_TAIL)},
        )
        if reads_text and found.maximum_tokens < 2:
            raise ValueError(f"maximum_tokens = {found.maximum_tokens}")
        for name in found.file_names:
            if name not in files:
                raise KeyError(f"files.{name}")
        return found

    @property
    def file_names(self) -> list[str]:
        """Return the names of all files that something is read from."""
        named = [self.tokenizer, self.scorer or "", *(self.language_models or {}).values()]
        named += [part.file for part in (self.classifier, self.generator) if part is not None]
        named += [name for variant in self.variants.values() for name in variant.file_names]
        return [name for name in named if name]

    def to_dict(self) -> dict[str, Any]:
        """Return the content of ``config.json``, in the order of the file."""
        everything: dict[str, Any] = {
            "format": FORMAT,
            "format_version": self.format_version,
            "task": self.task,
            "kind": IMAGE,
            "name": self.name,
            "arae_version": self.arae_version,
            "classes": list(self.classes),
            "maximum_tokens": self.maximum_tokens,
            **self.main.files_to_dict(),
            "scorer": self.scorer,
            "language_models": None if self.language_models is None else dict(self.language_models),
            "beam": self.beam,
            "copy_above": self.copy_above,
            "tokenizer": self.tokenizer,
            "generator": None if self.generator is None else self.generator.to_dict(),
            "classifier": None if self.classifier is None else vars(self.classifier),
            "image": None if self.image is None else vars(self.image),
            "files": {name: {"sha256": record.sha256, "bytes": record.size} for name, record in self.files.items()},
            "variants": {
                name: variant.to_dict(name, whole=self.task == EDITING) for name, variant in self.variants.items()
            },
            "shortlist": None if self.shortlist is None else dict(self.shortlist),
            **{key: dict(getattr(self, key)) for key in ("form", "special_ids", *_TAIL)},
        }
        keys = [key for key in _KEYS[self.task] if key != "beam" or self.beam > 1]
        return {key: everything[key] for key in keys}

    def to_json(self) -> bytes:
        """Return the file ``config.json``."""
        return (json.dumps(self.to_dict(), indent=2, ensure_ascii=False) + "\n").encode()


def _task(config: Mapping[str, Any]) -> str:
    kind = config.get("kind", "text")
    if kind == "image":
        return IMAGE
    if kind != "text":
        raise ValueError(f"kind = {kind!r}")
    task = config.get("task", REWRITING)  # exports from before there was a choice lack it
    if task not in (REWRITING, EDITING, CLASSIFICATION, GENERATION):
        raise ValueError(f"task = {task!r}")
    return str(task)


def _variants(config: Mapping[str, Any], classes: tuple[str, ...], task: str) -> dict[str, Variant]:
    """Return the graphs in each precision, in the order of the file; other names are those of a later arae."""
    tables = _table(config.get("variants", {}))
    if task == EDITING:
        whole = {
            precision: Variant.from_dict(_table(tables[precision]), classes)
            for precision in tables
            if precision in (FP32, INT8)
        }
        if not whole:
            raise KeyError("variants")
        return whole
    fp32 = Variant.from_dict(config, classes, described=_table(tables.get(FP32, {})))
    variants = {FP32: fp32}
    for precision in tables:
        if precision in (INT8, FP16):
            variants[precision] = Variant.from_dict(_table(tables[precision]), classes, fp32)
    return variants


def _beam(config: Mapping[str, Any], task: str) -> int:
    """Return the beam that an export asks for, which needs graphs that search and a scorer."""
    beam = int(config.get("beam", 1))
    searches = config.get("scorer") and (task == EDITING or config.get("candidates"))
    if not 1 <= beam <= MOST_CANDIDATES or (beam > 1 and not searches):
        raise ValueError(f"beam = {beam}")
    return beam


def _probability(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError(f"{value!r} is no probability")
    return float(value)


def _damaged(path: Path, what: str) -> AraeError:
    return AraeError(f"{path} {what}", RESTORE)


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError(f"{value!r} is not a text")
    return value


def _table(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"{value!r} is not a table")
    return value


def _optional_name(value: object) -> str | None:
    return None if value is None else plain_name(value)


def plain_name(value: object) -> str:
    """Return a file name, refusing any that leads out of the model's folder.

    Raises:
        TypeError, ValueError: It is none.
    """
    name = _text(value)
    if name in (".", "..") or any(character in name for character in "/\\\0"):
        raise ValueError(f"{name!r} is not a plain file name")
    return name
