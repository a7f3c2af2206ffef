"""File names of runs and exported models, and the folders of models and recipes."""

from __future__ import annotations

import difflib
import os
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal
from urllib.parse import quote

from arae_transfer.errors import AraeError

PACKAGE = Path(__file__).resolve().parent
DEFAULT_MODEL = "yelp-sentiment"
MODEL_VARIABLE = "ARAE_MODEL"
HUB_PREFIX = "hf://"
CACHE_VARIABLE = "ARAE_CACHE"
DEFAULT_RECIPE_VARIANT = "recipe"

# The checkpoints that a run keeps.
WhichCheckpoint = Literal["best", "latest"]


@dataclass(frozen=True)
class RunLayout:
    """The files of a training run.

    Attributes:
        root: The folder of the run, ``runs/RECIPE/TIME``.
    """

    MODEL: ClassVar[str] = "model.safetensors"
    AVERAGE: ClassVar[str] = "average.safetensors"
    OPTIMIZERS: ClassVar[str] = "optimizers.safetensors"
    STATE: ClassVar[str] = "state.json"

    root: Path

    @property
    def recipe(self) -> Path:
        """Return the path of the resolved recipe."""
        return self.root / "recipe.toml"

    @property
    def lock(self) -> Path:
        """Return the path of the file that locks the run for one training process."""
        return self.root / ".lock"

    @property
    def environment(self) -> Path:
        """Return the path of the record of machine and library versions."""
        return self.root / "environment.json"

    @property
    def metrics(self) -> Path:
        """Return the path of the metrics, one JSON object per line."""
        return self.root / "metrics.jsonl"

    @property
    def samples(self) -> Path:
        """Return the path of the sample rewrites."""
        return self.root / "samples.txt"

    @property
    def sample_pictures(self) -> Path:
        """Return the folder of the pictures from validations of an image model."""
        return self.root / "samples"

    def sample_picture(self, step: int) -> Path:
        """Return the path of the picture of a step: held-out images, reconstructions, generated images."""
        return self.sample_pictures / f"{step:08d}.png"

    @property
    def tensorboard(self) -> Path:
        """Return the folder of the metrics for TensorBoard."""
        return self.root / "tensorboard"

    @property
    def pairs(self) -> Path:
        """Return the path of the parallel examples."""
        return self.root / "pairs.tsv"

    @property
    def ratings(self) -> Path:
        """Return the path of the readers' ratings for the quality estimator."""
        return self.root / "ratings.tsv"

    @property
    def tokenizer(self) -> Path:
        """Return the path of the SentencePiece model."""
        return self.root / "tokenizer.model"

    @property
    def diagnosis(self) -> Path:
        """Return the folder of the run's diagnosis."""
        return self.root / "diagnosis"

    @property
    def checkpoints(self) -> Path:
        """Return the folder of the checkpoints."""
        return self.root / "checkpoints"

    @property
    def latest(self) -> Path:
        """Return the path of the pointer to the latest checkpoint."""
        return self.root / "latest.json"

    @property
    def best(self) -> Path:
        """Return the path of the pointer to the best checkpoint."""
        return self.root / "best.json"

    def checkpoint(self, step: int) -> Path:
        """Return the folder of the checkpoint of a step; names sort by step."""
        return self.checkpoints / f"{step:08d}"


@dataclass(frozen=True)
class CorpusCacheLayout:
    """The files of a tokenized corpus in the cache.

    Attributes:
        root: Its folder, ``CACHE/corpora/HASH``.
    """

    BUILDING: ClassVar[str] = ".building-"

    root: Path

    @property
    def contents(self) -> Path:
        """Return the path of the list of classes and sizes."""
        return self.root / "contents.json"

    def ids(self, index: int) -> Path:
        """Return the path of the token ids of a class, concatenated."""
        return self.root / f"{index}.ids.npy"

    def starts(self, index: int) -> Path:
        """Return the path of the start positions of a class's sentences."""
        return self.root / f"{index}.starts.npy"


@dataclass(frozen=True)
class ExportLayout:
    """The files of an exported model.

    Attributes:
        root: The folder of the model, ``exported/NAME``.
    """

    CONFIG: ClassVar[str] = "config.json"

    root: Path

    @property
    def encoder(self) -> Path:
        """Return the path of the encoder's graph."""
        return self.root / "encoder.onnx"

    @property
    def generator(self) -> Path:
        """Return the path of the generator's graph, which models without an adversary do not have."""
        return self.root / "generator.onnx"

    @property
    def quality(self) -> Path:
        """Return the path of the quality estimator's graph."""
        return self.root / "quality.int8.onnx"

    @property
    def scorer(self) -> Path:
        """Return the path of the style scorer's graph."""
        return self.root / "scorer.onnx"

    @property
    def classifier(self) -> Path:
        """Return the path of the classifier of codes, which classification models have instead of decoders."""
        return self.root / "classifier.onnx"

    @property
    def tokenizer(self) -> Path:
        """Return the path of the SentencePiece model."""
        return self.root / "tokenizer.model"

    @property
    def config(self) -> Path:
        """Return the path of the model's description."""
        return self.root / self.CONFIG

    @property
    def card(self) -> Path:
        """Return the path of the model card."""
        return self.root / "README.md"

    @property
    def license(self) -> Path:
        """Return the path of the model's licence, as text."""
        return self.root / "LICENSE"

    @property
    def encoder_int8(self) -> Path:
        """Return the path of the encoder's graph in int8."""
        return self.encoder_in("int8")

    def encoder_in(self, precision: str) -> Path:
        """Return the path of the encoder's graph in a precision."""
        return _in_precision(self.encoder, precision)

    @property
    def weights(self) -> Path:
        """Return the path of the weights that encoder and decoders share."""
        return self.weights_in("fp32")

    def weights_in(self, precision: str) -> Path:
        """Return the path of the weights that encoder and decoders of a precision share; fp16 reads those of fp32."""
        return _in_precision(self.root / "weights.bin", "int8" if precision == "int8" else "fp32")

    def class_weights_in(self, precision: str, class_name: str) -> Path:
        """Return the path of the weights that the decoder of a class reads alone, beside those of ``weights_in``."""
        path = self.decoder(class_name).with_suffix(".bin")
        return _in_precision(path, "int8" if precision == "int8" else "fp32")

    @property
    def weights_packed(self) -> Path:
        """Return the path of all 8-bit weights of a model that edits, see ``packing``."""
        return self.root / "weights.int8.7bit"

    @property
    def edit_decoder(self) -> Path:
        """Return the path of the decoder of a model that edits, one for all classes."""
        return self.root / "decoder.onnx"

    @property
    def edit_decoder_int8(self) -> Path:
        """Return the path of the edit decoder in 8-bit integers."""
        return self.root / "decoder.int8.onnx"

    def decoder(self, class_name: str, precision: str = "fp32") -> Path:
        """Return the path of a class's decoder; characters that a file name cannot have are percent-encoded."""
        return _in_precision(self._of_class("decoder", class_name), precision)

    def candidates(self, class_name: str, precision: str = "fp32") -> Path:
        """Return the path of the beam search graph of a class in a precision."""
        return _in_precision(self._of_class("candidates", class_name), precision)

    def language_model(self, class_name: str) -> Path:
        """Return the path of the language model of a class's text."""
        return self._of_class("language", class_name).with_suffix(".npz")

    def _of_class(self, part: str, class_name: str) -> Path:
        name = quote(class_name, safe="")
        # Not to be taken for the 8-bit or fp16 graph of another class.
        name = re.sub(r"\.(int8|fp16)$", r"%2E\1", name)
        return self.root / f"{part}.{name}.onnx"


def _in_precision(path: Path, precision: str) -> Path:
    """Put a precision before the ending of a file's name; fp32 is not named."""
    return path if precision == "fp32" else path.with_suffix(f".{precision}{path.suffix}")


def _beside_the_package(folder: str) -> Path | None:
    """Return a folder of the checkout, if this package is installed from one in editable mode, or None."""
    checkout = PACKAGE.parent
    return checkout / folder if (checkout / "pyproject.toml").is_file() else None


def expanded(path: str | os.PathLike[str]) -> Path:
    """Return a path with ``~`` expanded, or unchanged if there is no such home folder."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 -- Path's own raises there


def split_checkpoint(wish: str) -> tuple[Path, WhichCheckpoint]:
    """Return the run and the checkpoint of ``RUN:best`` or ``RUN:latest``; any other text is only a path."""
    name, _, which = wish.rpartition(":")
    if name and not expanded(wish).exists():
        if which == "latest":
            return expanded(name), "latest"
        if which == "best":
            return expanded(name), "best"
    return expanded(wish), "best"


def cache_directory() -> Path:
    """Return the cache folder: ``ARAE_CACHE``, or ``arae`` in the user's cache folder.

    Raises:
        AraeError: The user has no folder.
    """
    if wish := os.environ.get(CACHE_VARIABLE):
        return expanded(wish)
    if sys.platform == "win32":
        parent = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    elif sys.platform == "darwin":
        parent = "~/Library/Caches"
    else:
        parent = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    folder = expanded(parent)
    if folder.parts[:1] == ("~",):
        raise AraeError("there is no home folder to cache the corpus's tokens in", f"set {CACHE_VARIABLE} to a folder.")
    return folder / "arae"


def corpus_cache_directory() -> Path:
    """Return the folder of tokenized corpora."""
    return cache_directory() / "corpora"


def model_directories() -> list[Path]:
    """Return the folders to search for exported models, in order."""
    checkout = _beside_the_package("exported")
    candidates = [Path("exported"), *([checkout] if checkout else []), PACKAGE / "exported"]
    distinct: dict[Path, Path] = {}
    for candidate in candidates:
        distinct.setdefault(candidate.absolute(), candidate)
    return list(distinct.values())


def list_models() -> dict[str, Path]:
    """Return all exported models that have a name, with their folders, sorted by name."""
    found: dict[str, Path] = {}
    for directory in model_directories():
        for config in _glob(directory, f"*/{ExportLayout.CONFIG}"):
            found.setdefault(config.parent.name, config.parent)
    return dict(sorted(found.items()))


def find_model(wish: str | os.PathLike[str] | None = None) -> Path:
    """Return the folder of a model.

    Args:
        wish: A name or a path; None: the environment variable ``ARAE_MODEL``, else the shipped default. What
            holds a path separator is a path; anything else is a name first and a path second.

    Raises:
        AraeError: There is no such model; the hint lists those that exist.
    """
    variable = os.environ.get(MODEL_VARIABLE) if wish is None else None
    text = os.fspath(wish) if wish is not None else variable or DEFAULT_MODEL
    origin = f" (from {MODEL_VARIABLE})" if variable else ""
    separators = [separator for separator in (os.sep, os.altsep) if separator]
    models = list_models()
    if text in models and not isinstance(wish, Path):
        return models[text]
    path = expanded(text)
    if (path / ExportLayout.CONFIG).is_file():
        return path
    if path.name == ExportLayout.CONFIG and path.is_file():
        return path.parent
    if path.is_dir():
        raise AraeError(
            f"{path} is not an exported model: it has no {ExportLayout.CONFIG}",
            f"export a run into it with `arae export`, or choose another: {_names(models)}.",
        )
    if any(separator in text for separator in separators):
        raise AraeError(f"there is no model at {path}{origin}", f"give another path, or a name: {_names(models)}.")
    raise AraeError(f"there is no model named {text!r}{origin}", _suggest(text, models, "models", "a path"))


def hub_address(wish: str | os.PathLike[str] | None = None) -> str | None:
    """Return the Hub address in a model's name, or None for a name or a path.

    Args:
        wish: As ``find_model`` takes it. Only the prefix leads to the Hub: ``owner/name`` alone is a path.
    """
    text = os.environ.get(MODEL_VARIABLE) if wish is None else wish
    return text if isinstance(text, str) and text.startswith(HUB_PREFIX) else None


def recipes_directory() -> Path:
    """Return the folder of the recipes: in the checkout, or inside the installed package."""
    checkout = _beside_the_package("recipes")
    return checkout if checkout is not None else PACKAGE / "recipes"


def list_recipes() -> dict[str, Path]:
    """Return the recipes by name: ``FOLDER`` for ``recipe.toml`` and ``FOLDER/VARIANT`` for the others."""
    root = recipes_directory()
    recipes = {}
    for path in _glob(root, "*/*.toml"):
        name = path.parent.name if path.stem == DEFAULT_RECIPE_VARIANT else f"{path.parent.name}/{path.stem}"
        recipes[name] = path
    return dict(sorted(recipes.items()))


def find_recipe(wish: str | os.PathLike[str]) -> Path:
    """Return the path of a recipe, from its name, its file, or a folder with ``recipe.toml``.

    Raises:
        AraeError: There is no such recipe; the hint lists those that exist.
    """
    text = os.fspath(wish)
    recipes = list_recipes()
    path = expanded(text)
    if path.is_file():
        return path
    if (path / f"{DEFAULT_RECIPE_VARIANT}.toml").is_file():
        return path / f"{DEFAULT_RECIPE_VARIANT}.toml"
    if text in recipes:
        return recipes[text]
    raise AraeError(f"there is no recipe named {text!r}", _suggest(text, recipes, "recipes", "a file"))


def nearest(text: str, names: Iterable[str]) -> str | None:
    """Return the most similar name, ignoring case, or None."""
    by_folded = {name.casefold(): name for name in names}
    matches = difflib.get_close_matches(text.casefold(), by_folded, n=1)
    return by_folded[matches[0]] if matches else None


def _glob(directory: Path, pattern: str) -> list[Path]:
    """Return the sorted matches, or an empty list for a missing or unreadable folder."""
    try:
        return sorted(directory.glob(pattern))
    except OSError:
        return []


def _names(things: Mapping[str, Path]) -> str:
    return ", ".join(things) or "none found"


def _suggest(text: str, things: Mapping[str, Path], kind: str, alternative: str) -> str:
    likely = nearest(text, things)
    question = f"did you mean {likely}? " if likely else ""
    return f"{question}{kind}: {_names(things)}; or give {alternative}."
