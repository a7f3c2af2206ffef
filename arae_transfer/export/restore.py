"""Read an exported model back as networks, for `arae train --from exported/NAME` and for `arae export` to rebuild.

Encoder, decoders and style scorer come out of the graphs with the weights that these store, rounded where they are.
The other networks are in no export, or only folded into other weights; they begin anew and catch up within some hundred
steps.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from onnx import numpy_helper
from torch import nn

from arae_transfer.errors import AraeError
from arae_transfer.export.external_weights import load_whole_graph
from arae_transfer.export.weights import Float32, torch_gates
from arae_transfer.export_config import EDITING, REWRITING
from arae_transfer.layout import ExportLayout
from arae_transfer.model.arae import ARAE
from arae_transfer.model.code_space import Generator
from arae_transfer.model.decoder import Decoder
from arae_transfer.model.encoder import Encoder
from arae_transfer.recipe import Recipe, recipe_from_table
from arae_transfer.runtime.model_folder import ModelFolder
from arae_transfer.tokenizer import BEGIN_ID, PAD_ID, UNKNOWN_ID

NEVER_WRITTEN = -20.0
"""A bias under which a token is never chosen; graphs hold a number too low to learn from."""


class StoredWeights:
    """The weights that a graph stores, by the names that they have in it."""

    def __init__(self, folder: ModelFolder, file: str) -> None:
        graph = load_whole_graph(folder, file)
        self._file = folder.root / file
        self._values = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.graph.initializer}

    def __getitem__(self, name: str) -> Float32:
        """Return the values of a name in fp32; 8-bit ones with the scale of each row."""
        for stored in (name, f"{name}.fp16"):
            if stored in self._values:
                return self._values[stored].astype(np.float32)
        if f"{name}.int8" in self._values:
            scales: Float32 = self._values[f"{name}.scales"]
            return self._values[f"{name}.int8"].astype(np.float32) * scales[:, np.newaxis]
        raise AraeError(
            f"{self._file} holds no {name}: the model was exported by another version of arae",
            "start from a run, or export the model's run again.",
        )

    def numbers(self, name: str) -> npt.NDArray[np.int64]:
        """Return the whole numbers of a name."""
        return self._values[name].astype(np.int64)

    def put_layer(self, layer: nn.Module, name: str) -> None:
        """Copy the weight and the bias of a name into a layer."""
        for part in ("weight", "bias"):
            self.put(getattr(layer, part), f"{name}.{part}")

    def put(self, parameter: torch.Tensor | nn.Module, values: Float32 | str) -> None:
        """Copy values, or those of a name, into a parameter.

        Raises:
            AraeError: They have another shape.
        """
        assert isinstance(parameter, torch.Tensor)
        array = self[values] if isinstance(values, str) else values
        if array.shape != tuple(parameter.shape):
            raise AraeError(
                f"{self._file} has weights of another shape than its recipe says", "start from a run instead."
            )
        parameter.copy_(torch.from_numpy(np.ascontiguousarray(array)))


@torch.no_grad()
def restore_weights(model: ARAE, root: Path) -> None:
    """Put the weights of an exported model of text into networks of its recipe.

    Args:
        model: Networks of the recipe that the export names, with as many ids as its tokenizer has; encoder,
            decoders and scorer are overwritten.
        root: The folder of the export.

    Raises:
        AraeError: The export is damaged, or of another kind or version.
    """
    folder = ModelFolder.find(root)
    layout = ExportLayout(root)
    _restore_encoder(model.encoder, StoredWeights(folder, layout.encoder.name))
    for index, label in enumerate(model.classes):
        _restore_decoder(model.decoder(index), StoredWeights(folder, layout.decoder(label).name))
    restore_scorer(model, folder)


def restore_scorer(model: ARAE, folder: ModelFolder) -> None:
    """Put the weights of an exported style scorer into a model's, if there is one."""
    if folder.scorer is None:
        return
    stored = StoredWeights(folder, folder.scorer)
    scorer = model.scorer
    stored.put(scorer.embedding.weight, "embedding")
    for width, window in enumerate(scorer.windows, start=1):
        stored.put_layer(window, f"window.{width}")
    stored.put_layer(scorer.last, "last")


@torch.no_grad()
def restore_generator(generator: Generator, root: Path) -> None:
    """Put the weights of an exported generator into one of its recipe, in evaluation mode as the export's.

    Normalisations, which the export has folded into the layers before them, become ones that change nothing.

    Raises:
        AraeError: The export is damaged, or of another version.
    """
    stored = StoredWeights(ModelFolder.find(root), ExportLayout(root).generator.name)
    if generator.places is not None:
        stored.put(generator.places.weight, "places")
    modules = list(generator.layers)
    for number, (linear, normalisation) in enumerate(zip(modules[0::3], modules[1::3], strict=True)):
        assert isinstance(linear, nn.Linear)
        assert isinstance(normalisation, nn.BatchNorm1d)
        stored.put(linear.weight, stored[f"layer.{number}.weight"].T)
        stored.put(linear.bias, f"layer.{number}.bias")
        normalisation.reset_running_stats()
        normalisation.weight.fill_((1 + normalisation.eps) ** 0.5)
        normalisation.bias.zero_()
    last = len(modules) // 3
    stored.put(generator.last.weight, stored[f"layer.{last}.weight"].T)
    stored.put(generator.last.bias, f"layer.{last}.bias")


def exported_recipe(root: Path) -> tuple[Recipe, tuple[str, ...]]:
    """Return the recipe and the classes of an exported model that rewrites.

    Raises:
        AraeError: It cannot, or it is damaged.
    """
    folder = ModelFolder.find(root)
    if folder.config.task not in (REWRITING, EDITING):
        raise AraeError(
            f"{root} does not rewrite, and only models that do hold all that is needed for this",
            "give the folder of its training run, such as runs/RECIPE/NAME.",
        )
    config, table = ExportLayout(root).config, folder.config.recipe
    if not table:
        raise AraeError(f"{config} does not say by which recipe the model was trained", "start from a run instead.")
    # The tokenizer lies in the export, whatever file it was once made from.
    table = {**table, "tokenizer": {**table.get("tokenizer", {}), "model": ""}}
    return recipe_from_table(table, source=str(config), recorded=True), folder.classes


def _restore_encoder(encoder: Encoder, stored: StoredWeights) -> None:
    stored.put(encoder.embedding.weight, "embedding")
    for number, forward in enumerate(encoder.forward_layers):
        layers = [forward]
        if len(encoder.backward_layers):
            layers.append(encoder.backward_layers[number])
        inputs, recurrent, bias = (stored[f"lstm.{number}.{part}"] for part in ("inputs", "recurrent", "bias"))
        for place, layer in enumerate(layers):
            _restore_lstm(stored, layer, inputs[place], recurrent[place], *np.split(bias[place], 2))
    if isinstance(encoder.projection, nn.Linear):
        stored.put(encoder.projection.weight, "projection.weight")
        stored.put(encoder.projection.bias, "projection.bias")
    if encoder.superposition is not None:
        stored.put(encoder.superposition.spread.weight, "spread")


def _restore_decoder(decoder: Decoder, stored: StoredWeights) -> None:
    stored.put(decoder.embedding.weight, "embedding")
    size = decoder.embedding.embedding_dim
    read, recurrent = np.split(stored["layer.0.weight"], [size], axis=1)
    _restore_lstm(
        stored, decoder.first, np.concatenate([read, stored["layer.0.mean"]], axis=1), recurrent, stored["layer.0.bias"]
    )
    for number, layer in enumerate(decoder.upper, start=1):
        assert isinstance(layer, nn.LSTM)
        inputs, recurrent = np.split(stored[f"layer.{number}.weight"], [layer.input_size], axis=1)
        _restore_lstm(stored, layer, inputs, recurrent, stored[f"layer.{number}.bias"])
    if decoder.query is not None and decoder.nearness is not None:
        stored.put(decoder.query.weight, "query")
        stored.put(decoder.nearness, "nearness")
    if decoder.superposition is not None:
        stored.put(decoder.superposition.read.weight, "superposition.read")
    if isinstance(decoder.bridge, nn.Linear):
        weight = stored["bridge.weight"].copy()
        if decoder.residual:
            # Stored beside the matrix, because it is so much larger than the rest of it.
            passing = stored["bridge.passing"]
            weight[:, -len(passing) :][np.diag_indices(len(passing))] = passing
        stored.put(decoder.bridge.weight, weight)
        stored.put(decoder.bridge.bias, "bridge.bias")
    bias = stored["output.bias"].copy()
    bias[[PAD_ID, UNKNOWN_ID, BEGIN_ID]] = NEVER_WRITTEN
    stored.put(decoder.output.bias, bias)
    if decoder.output.weight is not decoder.embedding.weight:
        stored.put(decoder.output.weight, "output.weight")


def _restore_lstm(
    stored: StoredWeights,
    layer: nn.Module,
    inputs: Float32,
    recurrent: Float32,
    bias: Float32,
    recurrent_bias: Float32 | None = None,
) -> None:
    """Put gates in ONNX's order into a layer; a bias that was added up lies in the input's, and the other one is 0."""
    stored.put(layer.weight_ih_l0, torch_gates(inputs))
    stored.put(layer.weight_hh_l0, torch_gates(recurrent))
    stored.put(layer.bias_ih_l0, torch_gates(bias))
    stored.put(layer.bias_hh_l0, torch_gates(np.zeros_like(bias) if recurrent_bias is None else recurrent_bias))
