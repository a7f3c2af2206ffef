"""The generator as an ONNX graph: noise to code vectors on the unit sphere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto
from torch import nn

from arae_transfer import export_config
from arae_transfer.errors import AraeError
from arae_transfer.export.encoder_graph import SMALLEST_NORM
from arae_transfer.export.graph import Graph, make_model, value
from arae_transfer.export.parity import GREATEST_CODE_DIFFERENCE
from arae_transfer.export.weights import Float32, array
from arae_transfer.model.arae import ARAE
from arae_transfer.model.code_space import Generator
from arae_transfer.recipe import Recipe
from arae_transfer.tokenizer import Tokenizer

_PROBES = 32
_SEED = 1111


def build_generator(generator: Generator, metadata: Mapping[str, str]) -> onnx.ModelProto:
    """Build the generator's graph; batch normalisation, at its running statistics, is folded into the layers.

    Inputs: ``noise`` float32 (batch, noise_size), standard normal; ``code_mask`` float32 (batch, vectors), 1 where a
    vector is generated. Output: ``code`` float32 (batch, vectors, code_size), of unit norm where a vector is generated
    and zero elsewhere. Weights are stored as fp32: the graph is small.

    Args:
        generator: The trained generator, in evaluation mode.
        metadata: The metadata of the file.
    """
    graph = Graph("fp32")
    row = graph.constant("axis.1", [1])
    states = graph.node("Unsqueeze", ["noise", row], "noise.row")  # (batch, 1, noise)
    if generator.places is not None:
        # The place of each vector is added to the noise, which all vectors of a sentence share.
        table = graph.constant("places", array(generator.places.weight), np.float32)  # (maximum vectors, noise)
        shape = graph.node("Shape", ["code_mask"], "code_mask.shape")
        vectors = graph.node("Slice", [shape, row, graph.constant("end", [2])], "vectors")
        own = graph.node("Slice", [table, graph.constant("begin", [0]), vectors], "places.own")  # (vectors, noise)
        states = graph.node("Add", [states, own], "noise.placed")  # (batch, vectors, noise)
    unit = unit_norm(graph, append_perceptron(graph, states, generator), axis=2)
    column = graph.node("Unsqueeze", ["code_mask", graph.constant("axis.2", [2])], "code_mask.column")
    graph.node("Mul", [unit, column], "code")
    axis = 1 if generator.single else "vectors"
    inputs = [
        value("noise", TensorProto.FLOAT, ["batch", generator.noise_size]),
        value("code_mask", TensorProto.FLOAT, ["batch", axis]),
    ]
    outputs = [value("code", TensorProto.FLOAT, ["batch", axis, generator.last.out_features])]
    return make_model(graph.build("generator", inputs, outputs), metadata, "Noise to code vectors of unit norm.")


class Perceptron(Protocol):
    """Linear layers, each with its normalisation and activation, and a last linear layer."""

    layers: nn.Sequential
    last: nn.Linear


def append_perceptron(graph: Graph, states: str, network: Perceptron) -> str:
    """Append the layers of a network in fp32; return the name of the last one's output: (..., in) to (..., out).

    Batch normalisation, at its running statistics, is folded into the layers.
    """
    for number, (weight, bias) in enumerate(_folded_layers(network)):
        name = f"layer.{number}"
        product = graph.node(
            "MatMul", [states, graph.constant(f"{name}.weight", weight.T, np.float32)], f"{name}.product"
        )
        states = graph.node("Add", [product, graph.constant(f"{name}.bias", bias, np.float32)], f"{name}.sum")
        if number < len(network.layers) // 3:
            states = graph.node("Relu", [states], f"{name}.state")
    return states


def unit_norm(graph: Graph, states: str, *, axis: int) -> str:
    """Append vectors divided by their norms; return their name."""
    norm = graph.node("ReduceL2", [states], "norm", axes=[axis], keepdims=1)
    divisor = graph.node("Max", [norm, graph.constant("smallest_norm", SMALLEST_NORM, np.float32)], "norm.clamped")
    return graph.node("Div", [states, divisor], "code.unmasked")


def _folded_layers(network: Perceptron) -> list[tuple[Float32, Float32]]:
    """Return weight (out, in) and bias (out,) of each linear layer, with the normalisation that follows it inside."""
    folded = []
    modules = list(network.layers)
    for linear, normalisation in zip(modules[0::3], modules[1::3], strict=True):
        assert isinstance(linear, nn.Linear)
        assert isinstance(normalisation, nn.BatchNorm1d)
        variance = array(normalisation.get_buffer("running_var")).astype(np.float64)
        mean = array(normalisation.get_buffer("running_mean")).astype(np.float64)
        scale = array(normalisation.weight) / np.sqrt(variance + normalisation.eps)  # (out,)
        weight = array(linear.weight) * scale[:, np.newaxis]
        bias = (array(linear.bias) - mean) * scale + array(normalisation.bias)
        folded.append((weight.astype(np.float32), bias.astype(np.float32)))
    return [*folded, (array(network.last.weight), array(network.last.bias))]


def export_generator(
    model: ARAE,
    recipe: Recipe,
    tokenizer: Tokenizer | None,
    lines: Sequence[str],
    file: str,
    metadata: Mapping[str, str],
) -> tuple[dict[str, bytes], export_config.Generator | None]:
    """Return the file of a trained generator and its description in ``config.json``.

    Args:
        model: The model, on the CPU in evaluation mode.
        recipe: Its recipe.
        tokenizer: Its tokenizer; None: a model of images.
        lines: Held-out sentences in the corpus's text format; none of a model of images.
        file: The name of the file.
        metadata: The metadata of the file.

    Returns:
        An empty mapping and None if the recipe trains no generator.

    Raises:
        AraeError: The codes of the graph differ from the generator's, or its weights are not finite.
    """
    if recipe.adversary.weight == 0:
        return {}, None
    content = build_generator(model.generator, metadata).SerializeToString()
    maximum_vectors = 1 if model.generator.single else model.maximum_vectors
    _require_parity(model.generator, content, maximum_vectors)
    most = recipe.data.maximum_tokens
    encoded = tokenizer.encode_lines(list(lines)) if tokenizer is not None else []
    lengths = [len(ids) + 1 for ids in encoded if ids and len(ids) < most]
    counts = np.bincount(lengths, minlength=2)[1:].tolist() if lengths else []
    description = export_config.Generator(file, model.generator.noise_size, maximum_vectors, tuple(counts))
    return {file: content}, description


@torch.no_grad()
def _require_parity(generator: Generator, content: bytes, maximum_vectors: int) -> None:
    """Raise an error for a graph whose codes differ from the generator's."""
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    random = torch.Generator().manual_seed(_SEED)
    noise = torch.randn(_PROBES, generator.noise_size, generator=random)
    lengths = torch.randint(1, maximum_vectors + 1, (_PROBES,), generator=random)
    mask = torch.arange(maximum_vectors) < lengths[:, None]  # (probes, vectors)
    wanted = generator(noise, mask).numpy()
    (code,) = session.run(["code"], {"noise": noise.numpy(), "code_mask": mask.float().numpy()})
    difference = float(np.abs(code - wanted).max())
    # Written so that a difference that is not a number is refused too.
    if difference <= GREATEST_CODE_DIFFERENCE:
        return
    raise AraeError(
        f"the exported generator does not answer as the model's: codes differ by up to {difference:.1g}",
        "export another checkpoint of the run: its training may have diverged.",
    )
