"""Read an exported model that edits back as networks, see ``restore``.

Products that the export multiplied into one come back as one of the two and an identity: they compute the same.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from torch import nn

from arae_transfer.export.edit_parity import edit_decoder
from arae_transfer.export.restore import NEVER_WRITTEN, StoredWeights, restore_scorer
from arae_transfer.model.arae import ARAE
from arae_transfer.model.edit_decoder import EditNetwork
from arae_transfer.model.quality import QualityEstimator
from arae_transfer.model.transformer import TransformerEncoder, TransformerLayer
from arae_transfer.runtime.model_folder import ModelFolder
from arae_transfer.tokenizer import END_ID

# How much less probable tokens begin that the export cannot write, in nats.
_RARER = 5.0


@torch.no_grad()
def restore_editor(model: ARAE, root: Path) -> None:
    """Put the weights of an exported model that edits into networks of its recipe.

    Args:
        model: Networks of the recipe that the export names, with as many ids as its tokenizer has; encoder, decoders
            and scorer are overwritten, and the quality estimator if both have one.
        root: The folder of the export.

    Raises:
        AraeError: The export is damaged, or of another kind or version.
    """
    folder = ModelFolder.find(root)
    variant = next(iter(folder.variants.values()))
    encoder, network = model.encoder, edit_decoder(model, 0).network
    assert isinstance(encoder, TransformerEncoder)
    _restore_encoder(encoder, StoredWeights(folder, variant.encoder))
    stored = StoredWeights(folder, variant.decoders[model.classes[0]])
    _restore_network(network, stored)
    for number in range(len(model.classes)):
        decoder = edit_decoder(model, number)
        # The export holds what each class adds to the gates, not by which vector: each gets a place of its own.
        decoder.style.zero_()
        decoder.style[number] = 1.0
        stored.put(decoder.initial, stored["initial"][number].reshape(4, -1))
    restore_scorer(model, folder)
    if model.quality is not None and folder.quality is not None:
        _restore_estimator(model.quality, StoredWeights(folder, folder.quality))


def _restore_encoder(encoder: TransformerEncoder, stored: StoredWeights) -> None:
    stored.put(encoder.embedding.weight, "embedding")
    stored.put(encoder.positions, stored["positions"][: len(encoder.positions)])
    stored.put_layer(encoder.embedding_norm, "embedding_norm")
    for number, layer in enumerate(encoder.layers):
        _restore_layer(layer, f"layer.{number}", stored)


def _restore_layer(layer: nn.Module, name: str, stored: StoredWeights) -> None:
    assert isinstance(layer, TransformerLayer)
    for part in ("inputs", "attended", "attention_norm", "inner", "outer", "output_norm"):
        stored.put_layer(getattr(layer, part), f"{name}.{part}")


def _restore_network(network: EditNetwork, stored: StoredWeights) -> None:
    size, hidden = network.embedding.embedding_dim, network.second.hidden_size
    stored.put(network.inside.weight, "inside.kinds")
    stored.put(network.before, "before")
    read, recurrent = np.split(stored["first.weight"], [3 * size], axis=1)
    added = stored["classes"]  # (classes, 4 x hidden), the bias included
    bias = added.mean(axis=0)
    by_class = np.zeros((4 * hidden, size), dtype=np.float32)
    by_class[:, : len(added)] = (added - bias).T
    _restore_lstm(network.first, np.concatenate([read, by_class], axis=1), recurrent, bias, stored)
    read, recurrent = np.split(stored["second.weight"], [hidden + size], axis=1)
    _restore_lstm(network.second, read, recurrent, stored["second.bias"], stored)
    nn.init.eye_(network.key.weight)
    stored.put(network.query.weight, "query.weight")
    nn.init.eye_(network.pointer_key.weight)
    weights, biases = np.split(stored["pointing.weight"], 2), np.split(stored["pointing.bias"], 2)
    for query, weight, own in zip((network.start_query, network.resume_query), weights, biases, strict=True):
        stored.put(query.weight, weight)
        stored.put(query.bias, own)
    for name in ("nearness", "start_nearness", "resume_nearness"):
        stored.put(getattr(network, name), name.replace("_", "."))
    stored.put_layer(network.bridge, "bridge")
    stored.put_layer(network.norm, "norm")
    stored.put(network.finish.weight, stored["finish.weight"][np.newaxis])
    stored.put(network.finish.bias, "finish.bias")
    kept, output_bias = stored.numbers("words.ids"), torch.from_numpy(stored["output.bias"])
    # Tokens that the export cannot write begin anew, and improbable: they are many.
    table = network.embedding.weight
    network.output.weight.copy_(table / (table.std() * math.sqrt(size)))
    network.output.bias.fill_(float(output_bias.min()) - _RARER)
    network.output.bias[: END_ID + 1] = NEVER_WRITTEN
    network.output.weight[kept] = torch.from_numpy(stored["output.weight"])
    network.output.bias[kept] = output_bias


def _restore_lstm(
    layer: nn.LSTM, inputs: np.ndarray, recurrent: np.ndarray, bias: np.ndarray, stored: StoredWeights
) -> None:
    stored.put(layer.weight_ih_l0, inputs)
    stored.put(layer.weight_hh_l0, recurrent)
    stored.put(layer.bias_ih_l0, bias)
    stored.put(layer.bias_hh_l0, np.zeros_like(bias))


def _restore_estimator(estimator: QualityEstimator, stored: StoredWeights) -> None:
    stored.put(estimator.kind.weight, "kind")
    for number, layer in enumerate(estimator.layers):
        _restore_layer(layer, f"quality.layer.{number}", stored)
    stored.put_layer(estimator.inner, "quality.inner")
    stored.put_layer(estimator.outer, "quality.outer")
