"""The description of an export, ``config.json``: one dataclass for exporters and all readers.

This module needs the standard library alone, so that listing models and completing class names costs nothing.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from arae_transfer.checksums import CHECKSUM, checksum_of
from arae_transfer.errors import AraeError
from arae_transfer.export_parts import FP16 as FP16
from arae_transfer.export_parts import FP32 as FP32
from arae_transfer.export_parts import INT8 as INT8
from arae_transfer.export_parts import Classifier as Classifier
from arae_transfer.export_parts import FileRecord as FileRecord
from arae_transfer.export_parts import Generator as Generator
from arae_transfer.export_parts import ImageShape as ImageShape
from arae_transfer.export_parts import Variant as Variant
from arae_transfer.export_parts import as_table, as_text, optional_name, plain_name

COPY_ABOVE = 0.9
"""Default of ``--copy-above``, the probability above which a model that edits keeps a line unchanged.

It is high because users mostly want a rewrite.
"""

FORMAT = "arae-export"
# 1: weights that several graphs read lay in the graph of one of them; 2: they lie in files of their own, and models may
# edit.
FORMAT_VERSION = 2
"""The version in which exports are written; all earlier ones are read."""
EDITING_VERSION = FORMAT_VERSION
NEWEST_VERSION = FORMAT_VERSION
MOST_CANDIDATES = 64
"""Maximum number of candidates per line; far fewer suffice."""

REWRITING, CLASSIFICATION, GENERATION, IMAGE = "rewriting", "classification", "generation", "image"
EDITING = "editing"
RESTORE = "copy the model folder again, or run `arae export` again."

# The keys that exports of each task have, in the order of the file.
_HEAD = ("format", "format_version")
_TEXT = ("task", "name", "arae_version", "classes", "special_ids", "maximum_tokens", "form")
_TAIL = ("onnx", "sizes", "parity", "scores", "training", "recipe")
_WRITING = (
    *(*_HEAD, *_TEXT, "encoder", "decoders", "candidates", "weights_file", "class_weights"),
    *("scorer", "language_models", "beam"),
    *("tokenizer", "generator", "files", "variants", "shortlist", *_TAIL),
)
_KEYS: dict[str, tuple[str, ...]] = {
    REWRITING: _WRITING,
    GENERATION: _WRITING,
    EDITING: (
        *(*_HEAD, *_TEXT, "scorer", "language_models", "words", "quality", "ranking", "beam", "copy_above"),
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
class ExportConfig:
    """The description of an export.

    Attributes:
        name: The model's name.
        classes: Its classes, in order.
        task: ``rewriting``, ``editing``, ``generation``, ``classification`` or ``image``.
        variants: The graphs in each precision, by its name; ``fp32`` always exists, except that models that edit may be
            stored in int8 alone.
        files: The size and checksum of each file.
        maximum_tokens: The longest input that it was trained for, in tokens, the end id included; 0: it reads images.
        form: The settings of the corpus's text format.
        tokenizer: The file name of the SentencePiece model; empty: it reads images.
        scorer: The file name of the style scorer's graph; None: the export has none.
        language_models: The file name of each class's language model, one of the scores that rank hypotheses; None: the
            export has none.
        words: The file name of the word list of the corpus; None: the export has none.
        quality: The file name of the quality estimator's graph; None: the export has none.
        ranking: The default weights of the scores that rank hypotheses, by name; None: those of
            ``runtime.options.Ranking``.
        beam: The default beam width; 1: greedy decoding.
        copy_above: The default probability that nothing is to change above which a model that edits leaves a line
            unchanged.
        generator: The graph from noise to codes; None: the export has none.
        classifier: The graph from codes to classes, which classifications have instead of decoders.
        image: The size and levels of its images; None: a model of text.
        shortlist: The vocabulary shortlist of decoders, and the changes that it causes; None: they choose among all
            tokens.
        arae_version: The version of arae that wrote it.
        special_ids: The ids of tokens without text.
        onnx: The versions of ONNX that the graphs need.
        sizes: The sizes of the networks.
        parity: The comparison of the graphs' answers with the trained model's.
        scores: The validation scores of the training.
        training: The cost of the training over all runs.
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
    words: str | None = None
    quality: str | None = None
    ranking: Mapping[str, float] | None = None
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
        """Graphs in fp32."""
        return self.variants[FP32]

    @property
    def main(self) -> Variant:
        """Graphs in fp32, or the first others if there are none."""
        return self.variants.get(FP32) or next(iter(self.variants.values()))

    @classmethod
    def read(cls, path: Path) -> ExportConfig:
        """Read a ``config.json``.

        Raises:
            AraeError: It is missing, damaged, incomplete or of a newer format.
        """
        try:
            config = json.loads(path.read_bytes())
        except PermissionError as error:
            from arae_transfer.atomic import explain_read_failure

            raise explain_read_failure(path, error) from error
        except OSError as error:
            raise AraeError(
                f"cannot read {path}: {error.strerror or error}", "give the folder of an exported model."
            ) from error
        except (ValueError, RecursionError) as error:
            raise _damaged(path, "is not valid JSON") from error
        if not isinstance(config, dict) or config.get("format") != FORMAT:
            raise AraeError(
                f'{path} is not the description of an exported model: it lacks "format": "{FORMAT}"',
                "give a folder that `arae export` wrote.",
            )
        version = config.get("format_version")
        if not isinstance(version, int) or isinstance(version, bool) or version < 1:
            raise _damaged(path, f"has an invalid format_version: {version!r}")
        if version > NEWEST_VERSION:
            raise AraeError(
                f"{path} has format version {version}; this arae reads up to {NEWEST_VERSION}",
                "upgrade arae: pip install --upgrade arae-transfer",
            )
        if CHECKSUM in config and config[CHECKSUM] != checksum_of(config):
            raise _damaged(path, "was changed after the export: its checksum differs")
        try:
            return cls.from_dict(config)
        except KeyError as error:
            raise _damaged(path, f"lacks {error}") from error
        except (TypeError, ValueError, AttributeError) as error:
            raise _damaged(path, f"is damaged ({error})") from error

    @classmethod
    def from_dict(cls, config: Mapping[str, Any]) -> ExportConfig:
        """Validate and convert a parsed ``config.json``; informational entries may be missing.

        Raises:
            KeyError: A key is missing. TypeError, ValueError, AttributeError: A value is invalid.
        """
        task = _task(config)
        classes = tuple(as_text(name) for name in config["classes"])
        if not classes or len(set(classes)) != len(classes):
            raise ValueError("classes must be distinct and at least one")
        files = {
            plain_name(name): FileRecord(as_text(record["sha256"]), int(record["bytes"]))
            for name, record in config["files"].items()
        }
        reads_text, decoded = task != IMAGE, () if task == CLASSIFICATION else classes
        classifier = as_table(config["classifier"]) if task == CLASSIFICATION else None
        language_models = config.get("language_models")
        shortlist = config.get("shortlist")
        found = cls(
            name=as_text(config["name"]),
            classes=classes,
            task=task,
            variants=_variants(config, decoded, task),
            files=files,
            maximum_tokens=int(config["maximum_tokens"]) if reads_text else 0,
            form=as_table(config["form"]) if reads_text else {},
            tokenizer=plain_name(config["tokenizer"]) if reads_text else "",
            scorer=optional_name(config.get("scorer")),
            language_models=None
            if language_models is None
            else {name: plain_name(as_table(language_models)[name]) for name in classes},
            words=optional_name(config.get("words")),
            quality=optional_name(config.get("quality")),
            ranking=_ranking(config.get("ranking")),
            beam=_beam(config, task),
            copy_above=_probability(config.get("copy_above", COPY_ABOVE)) if task == EDITING else COPY_ABOVE,
            generator=None if config.get("generator") is None else Generator.from_dict(config["generator"]),
            classifier=None
            if classifier is None
            else Classifier(plain_name(classifier["file"]), bool(classifier["pairs"])),
            image=None if reads_text else ImageShape.from_dict(config["image"]),
            shortlist=None if shortlist is None else as_table(shortlist),
            arae_version=str(config.get("arae_version", "")),
            **{key: as_table(config.get(key, {})) for key in ("special_ids", *_TAIL)},
        )
        if reads_text and found.maximum_tokens < 2:
            raise ValueError(f"maximum_tokens = {found.maximum_tokens}")
        for name in found.file_names:
            if name not in files:
                raise KeyError(f"files.{name}")
        return found

    @property
    def file_names(self) -> list[str]:
        """Return the names of all files that readers use."""
        named = [name or "" for name in (self.tokenizer, self.scorer, self.words, self.quality)]
        named += (self.language_models or {}).values()
        named += [part.file for part in (self.classifier, self.generator) if part is not None]
        named += [name for variant in self.variants.values() for name in variant.file_names]
        return [name for name in named if name]

    def to_dict(self) -> dict[str, Any]:
        """Return the content of ``config.json``, in the order of the file."""
        everything: dict[str, Any] = {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "task": self.task,
            "kind": IMAGE,
            "name": self.name,
            "arae_version": self.arae_version,
            "classes": list(self.classes),
            "maximum_tokens": self.maximum_tokens,
            **self.main.files_to_dict(),
            "scorer": self.scorer,
            "language_models": None if self.language_models is None else dict(self.language_models),
            "words": self.words,
            "quality": self.quality,
            "ranking": None if self.ranking is None else dict(self.ranking),
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
        absent = {"beam"} if self.beam == 1 else set()
        return {key: everything[key] for key in _KEYS[self.task] if key in everything and key not in absent}

    def to_json(self) -> bytes:
        """Return ``config.json`` as text, with its checksum."""
        table = self.to_dict()
        return (json.dumps({**table, CHECKSUM: checksum_of(table)}, indent=2, ensure_ascii=False) + "\n").encode()


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
    """Return the graphs in each precision, in the order of the file; unknown precisions are from a later arae."""
    tables = as_table(config.get("variants", {}))
    if task == EDITING:
        whole = {
            precision: Variant.from_dict(as_table(tables[precision]), classes)
            for precision in tables
            if precision in (FP32, INT8)
        }
        if not whole:
            raise KeyError("variants")
        return whole
    fp32 = Variant.from_dict(config, classes, described=as_table(tables.get(FP32, {})))
    variants = {FP32: fp32}
    for precision in tables:
        if precision in (INT8, FP16):
            variants[precision] = Variant.from_dict(as_table(tables[precision]), classes, fp32)
    return variants


def _beam(config: Mapping[str, Any], task: str) -> int:
    """Return the default beam, which needs a beam search graph and a scorer."""
    beam = int(config.get("beam", 1))
    searches = config.get("scorer") and (task == EDITING or config.get("candidates"))
    if not 1 <= beam <= MOST_CANDIDATES or (beam > 1 and not searches):
        raise ValueError(f"beam = {beam}")
    return beam


def _ranking(value: object) -> dict[str, float] | None:
    """Return the weights of scores by their names."""
    if value is None:
        return None
    weights = {name: float(weight) for name, weight in as_table(value).items()}
    if any(not 0 <= weight < math.inf for weight in weights.values()):
        raise ValueError(f"ranking = {value!r}")
    return weights


def _probability(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError(f"{value!r} is not a probability")
    return float(value)


def _damaged(path: Path, what: str) -> AraeError:
    return AraeError(f"{path} {what}", RESTORE)
