"""An exported model's folder: what its ``config.json`` promises, and files checked before they are used.

This module needs the standard library alone, so that listing models and completing class names costs nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from arae_transfer.errors import AraeError
from arae_transfer.layout import ExportLayout, find_model, hub_address, nearest

FORMAT = "arae-export"
# Variants were added without a new version: a reader that knows nothing of them still finds the fp32 graphs.
FORMAT_VERSION = 1
MOST_CANDIDATES = 64
"""Candidates of a line: the best are among far fewer."""

Kind = Literal["text", "image", "any"]
FP32, FP16, INT8 = "fp32", "fp16", "int8"
REWRITING, CLASSIFICATION, GENERATION = "rewriting", "classification", "generation"


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
    """The graphs of a model in one arithmetic.

    Attributes:
        encoder: The file name of the encoder's graph.
        decoders: The file name of each class's decoder.
        weights: The file name of the weights that the graphs share, or None: each holds its own.
        candidates: The file name of each class's graph of candidates, which reads the weights in the decoder's file
            and the shared ones; None: the export has none.
        accepted: Whether its answers were found close enough to the trained model's to be used without being asked
            for.
        source: The variant whose files hold the weights that these graphs read; None: they are in its own.
    """

    encoder: str
    decoders: Mapping[str, str]
    weights: str | None = None
    accepted: bool = True
    candidates: Mapping[str, str] | None = None
    source: Variant | None = None

    @property
    def encoder_weights(self) -> list[str]:
        """Return the names of the files besides its own that the encoder reads weights in."""
        return self._weights + ([self.source.encoder] if self.source else [])

    def decoder_weights(self, class_name: str, *, searching: bool = False) -> list[str]:
        """Return those of a class's decoder, or of its graph of candidates."""
        return self._weights + ([(self.source or self).decoders[class_name]] if self.source or searching else [])

    @property
    def _weights(self) -> list[str]:
        return [] if self.weights is None else [self.weights]


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


@dataclass(frozen=True)
class ModelFolder:
    """An exported model as its ``config.json`` describes it.

    Attributes:
        root: The folder.
        name: The model's name.
        classes: The classes that it can rewrite to, in order.
        maximum_tokens: The longest input that it was trained for, in tokens, the end id included.
        variants: The graphs in each arithmetic, by its name; ``"fp32"`` is always there.
        tokenizer: The file name of the SentencePiece model.
        files: What each file must be.
        form: The settings of the corpus's form of writing.
        scorer: The file name of the style scorer's graph; None: the export has none.
        language_models: The file name of each class's language model, by which candidates are ranked, too; None: the
            export has none.
        beam: The candidates that are searched for a line where nobody says how many; 1: it is rewritten greedily.
        classifier: The file name of the graph from codes to probabilities of classes, which models that classify have
            in the place of decoders; None: the model rewrites.
        pairs: Whether it classifies pairs of sentences.
        generates: Whether it knows one kind of text, which it writes anew and cannot rewrite.
        image: What its images are like; None: a model of text. An image model has no tokenizer (an empty name), no
            form and ``maximum_tokens`` 0.
        hub: The address on the Hub, with the commit, of a model whose files are downloaded when they are needed;
            None: all files are there.
    """

    root: Path
    name: str
    classes: tuple[str, ...]
    maximum_tokens: int
    variants: Mapping[str, Variant]
    tokenizer: str
    files: Mapping[str, FileRecord]
    form: Mapping[str, Any]
    scorer: str | None = None
    language_models: Mapping[str, str] | None = None
    beam: int = 1
    classifier: str | None = None
    pairs: bool = False
    generates: bool = False
    image: ImageShape | None = None
    hub: str | None = None

    @classmethod
    def find(cls, wish: str | Path | None = None, kind: Kind = "text") -> ModelFolder:
        """Find a model by name or path and read its description.

        Args:
            wish: As ``layout.find_model`` takes it, or ``hf://owner/name[@revision]``.
            kind: What the model must be of: ``"text"``, ``"image"``, or ``"any"``.

        Raises:
            AraeError: There is no such model, its description is damaged or too new, or it is of another kind.
        """
        address = hub_address(wish)
        folder = cls.read(find_model(wish)) if address is None else cls._find_on_hub(address)
        if kind == "text" and folder.image is not None:
            raise AraeError(
                f"{folder.name} is a model of images, not of text",
                "`arae sample`, `arae interpolate` and `arae evaluate` work with it; otherwise give a model of text.",
            )
        if kind == "image" and folder.image is None:
            raise AraeError(
                f"{folder.name} is a model of text, not of images", "give a model of images, exported from a run."
            )
        return folder

    @classmethod
    def _find_on_hub(cls, address: str) -> ModelFolder:
        from arae_transfer.runtime.hub import find_on_hub

        root, pinned = find_on_hub(address)
        return replace(cls.read(root), hub=pinned)

    @property
    def address(self) -> str:
        """Return what ``find`` finds this model by, from any folder."""
        return self.hub or str(self.root.absolute())

    def fetch(self, variant: str) -> None:
        """Download what rewriting in one arithmetic needs, if the model is on the Hub and its files are not here.

        Raises:
            AraeError: A file cannot be downloaded, or is not the one that was exported.
        """
        if self.hub is not None:
            from arae_transfer.runtime.hub import fetch

            fetch(self.hub, self.files, self._files_of(variant))

    def _files_of(self, name: str) -> list[str]:
        """Return the files that one arithmetic needs, for every class and every option."""
        variant = self.variants[name]
        files = [self.tokenizer, self.scorer, self.classifier, *(self.language_models or {}).values()]
        for each in (variant, variant.source):
            if each is not None:
                files += [each.encoder, *each.decoders.values(), *(each.candidates or {}).values(), each.weights]
        return [file for file in files if file]

    @classmethod
    def read(cls, root: Path) -> ModelFolder:
        """Read the description of the model in a folder.

        Raises:
            AraeError: The description is missing, damaged, incomplete or of a newer format.
        """
        path = ExportLayout(root).config
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
        if version > FORMAT_VERSION:
            raise AraeError(
                f"{path} has format version {version}; this arae reads up to {FORMAT_VERSION}",
                "upgrade arae: pip install --upgrade arae-transfer",
            )
        try:
            folder = cls._from_config(root, config)
        except KeyError as error:
            raise _damaged(path, f"lacks {error}") from error
        except (TypeError, ValueError, AttributeError) as error:
            raise _damaged(path, f"is damaged ({error})") from error
        return folder

    @classmethod
    def _from_config(cls, root: Path, config: Mapping[str, Any]) -> ModelFolder:
        """Check and convert the parsed description.

        Raises:
            KeyError: A key is missing.
            TypeError, ValueError, AttributeError: A value makes no sense.
        """
        classes = tuple(_text(name) for name in config["classes"])
        if not classes or len(set(classes)) != len(classes):
            raise ValueError("classes must be distinct and at least one")
        files = {
            _plain_name(name): FileRecord(_text(record["sha256"]), int(record["bytes"]))
            for name, record in config["files"].items()
        }
        task = config.get("task", REWRITING)  # exports from before there was a choice lack it
        if task not in (REWRITING, CLASSIFICATION, GENERATION):
            raise ValueError(f"task = {task!r}")
        classifier = _table(config["classifier"]) if task == CLASSIFICATION else None
        variants = {FP32: _variant(config, classes if classifier is None else ())}
        further = _table(config.get("variants", {}))
        for arithmetic in (INT8, FP16):  # other names are those of arithmetics that a later arae may know
            if arithmetic in further:
                variants[arithmetic] = _variant(_table(further[arithmetic]), classes, variants[FP32])
        kind = config.get("kind", "text")
        if kind == "image":
            return cls._of_images(root, config, classes, variants, files)
        if kind != "text":
            raise ValueError(f"kind = {kind!r}")
        folder = cls(
            root=root,
            name=_text(config["name"]),
            classes=classes,
            maximum_tokens=int(config["maximum_tokens"]),
            variants=variants,
            tokenizer=_plain_name(config["tokenizer"]),
            files=files,
            form=_table(config["form"]),
            scorer=_optional_name(config.get("scorer")),
            language_models=_language_models(config, classes),
            beam=_beam(config),
            classifier=None if classifier is None else _plain_name(classifier["file"]),
            pairs=False if classifier is None else bool(classifier["pairs"]),
            generates=task == GENERATION,
        )
        if folder.maximum_tokens < 2:
            raise ValueError(f"maximum_tokens = {folder.maximum_tokens}")
        named = [name for name in (folder.tokenizer, folder.scorer, folder.classifier) if name is not None]
        named += (folder.language_models or {}).values()
        for variant in variants.values():
            named += [variant.encoder, *variant.decoders.values(), *([variant.weights] if variant.weights else [])]
            named += (variant.candidates or {}).values()
        for name in named:
            if name not in files:
                raise KeyError(f"files.{name}")
        return folder

    @classmethod
    def _of_images(
        cls,
        root: Path,
        config: Mapping[str, Any],
        classes: tuple[str, ...],
        variants: Mapping[str, Variant],
        files: Mapping[str, FileRecord],
    ) -> ModelFolder:
        """Check and convert the description of an image model, as ``_from_config`` does that of a text model."""
        section = _table(config["image"])
        image = ImageShape(int(section["height"]), int(section["width"]), int(section["levels"]))
        if min(image.height, image.width) < 1 or not 2 <= image.levels <= 256:
            raise ValueError(f"image = {section}")
        for name in (variants[FP32].encoder, *variants[FP32].decoders.values()):
            if name not in files:
                raise KeyError(f"files.{name}")
        return cls(root, _text(config["name"]), classes, 0, variants, "", files, {}, image=image)

    @property
    def encoder(self) -> str:
        """Return the file name of the encoder's graph in fp32."""
        return self.variants[FP32].encoder

    @property
    def decoders(self) -> Mapping[str, str]:
        """Return the file name of each class's decoder in fp32."""
        return self.variants[FP32].decoders

    def read_file(self, name: str) -> bytes:
        """Return the content of one of the model's files, checked against its size and SHA-256.

        Raises:
            AraeError: The file is missing, unreadable or not the one that was exported.
        """
        import hashlib  # here, because it loads OpenSSL, which listing and completing do without

        path = self.root / name
        record = self.files[name]
        if self.hub is not None and not path.is_file():
            from arae_transfer.runtime.hub import fetch

            fetch(self.hub, self.files, [name])
        try:
            content = path.read_bytes()
        except FileNotFoundError as error:
            raise AraeError(f"the model {self.name} is incomplete: {path} is missing", _RESTORE) from error
        except OSError as error:
            raise AraeError(f"cannot read {path}: {error.strerror or error}", _RESTORE) from error
        if len(content) != record.size:
            raise AraeError(f"{path} is damaged: it has {len(content):,} of {record.size:,} bytes", _RESTORE)
        if hashlib.sha256(content).hexdigest() != record.sha256:
            raise AraeError(f"{path} is damaged: its SHA-256 is not the exported one", _RESTORE)
        return content

    def require_classifier(self) -> None:
        """Make sure that the model can classify.

        Raises:
            AraeError: It has neither a classifier of codes nor a style scorer.
        """
        if self.generates:
            raise self._only_generates()
        if self.classifier is None and self.scorer is None:
            raise AraeError(
                f"the model {self.name} cannot classify: it was exported before exports held a style scorer",
                "export it again with this arae, or train a classifier: arae train snli-classification",
            )

    def require_decoders(self) -> None:
        """Make sure that the model writes text.

        Raises:
            AraeError: It classifies and has no decoders.
        """
        if self.classifier is not None:
            raise AraeError(
                f"the model {self.name} classifies text and writes none",
                f"arae classify --model {self.root}, or choose another model.",
            )

    def require_rewriting(self) -> None:
        """Make sure that the model rewrites.

        Raises:
            AraeError: It classifies, or knows one kind of text only.
        """
        self.require_decoders()
        if self.generates:
            raise self._only_generates()

    def _only_generates(self) -> AraeError:
        return AraeError(
            f"the model {self.name} knows one kind of text: there is no other to rewrite to, or to tell it from",
            f"arae sample --model {self.root}, or choose another model.",
        )

    def match_class(self, wish: str) -> str:
        """Return the class to rewrite to that a user means: its name, or the start of one, in upper or lower case.

        Raises:
            AraeError: No class or several classes match, or the model does not rewrite.
        """
        self.require_decoders()
        if wish in self.classes:
            return wish
        folded = wish.casefold()
        whole = [name for name in self.classes if name.casefold() == folded]
        starting = [name for name in self.classes if name.casefold().startswith(folded)]
        matches = whole or starting
        if len(matches) == 1:
            return matches[0]
        known = ", ".join(self.classes)
        if matches:
            raise AraeError(
                f"{wish!r} may mean {' or '.join(matches)}",
                f"write more of it; classes of {self.name}: {known}.",
            )
        likely = nearest(wish, self.classes)
        question = f"did you mean {likely}? " if likely else ""
        raise AraeError(f"the model {self.name} has no class {wish!r}", f"{question}classes of {self.name}: {known}.")


_RESTORE = "copy the model folder again, or run `arae export` again."


def _damaged(path: Path, what: str) -> AraeError:
    return AraeError(f"{path} {what}", _RESTORE)


def _variant(table: Mapping[str, Any], classes: tuple[str, ...], fp32: Variant | None = None) -> Variant:
    accepted, candidates = table.get("accepted", True), table.get("candidates")
    if not isinstance(accepted, bool):
        raise TypeError(f"accepted = {accepted!r}")
    weights_in = None if fp32 is None else table.get("weights_in")
    if weights_in not in (None, FP32):
        raise ValueError(f"weights_in = {weights_in!r}")
    return Variant(
        encoder=_plain_name(table["encoder"]),
        decoders={name: _plain_name(table["decoders"][name]) for name in classes} if classes else {},
        weights=_optional_name(table.get("weights_file")),
        accepted=accepted,
        candidates=None if candidates is None else {name: _plain_name(candidates[name]) for name in classes},
        source=None if weights_in is None else fp32,
    )


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError(f"{value!r} is not a text")
    return value


def _table(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"{value!r} is not a table")
    return value


def _language_models(config: Mapping[str, Any], classes: tuple[str, ...]) -> dict[str, str] | None:
    """Return the files of the classes' language models, which exports from before there were any lack."""
    table = config.get("language_models")
    return None if table is None else {name: _plain_name(_table(table)[name]) for name in classes}


def _beam(config: Mapping[str, Any]) -> int:
    """Return the beam that an export asks for, which needs graphs that search and a scorer."""
    beam = int(config.get("beam", 1))
    if not 1 <= beam <= MOST_CANDIDATES or (beam > 1 and (not config.get("candidates") or not config.get("scorer"))):
        raise ValueError(f"beam = {beam}")
    return beam


def _optional_name(value: object) -> str | None:
    return None if value is None else _plain_name(value)


def _plain_name(value: object) -> str:
    """Return a file name, refusing any that leads out of the model's folder."""
    name = _text(value)
    if name in (".", "..") or any(character in name for character in "/\\\0"):
        raise ValueError(f"{name!r} is not a plain file name")
    return name
