"""File names of runs, exported models and cached corpora."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal
from urllib.parse import quote

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
    def words(self) -> Path:
        """Return the path of the word list of the corpus."""
        return self.root / "words.z"

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
