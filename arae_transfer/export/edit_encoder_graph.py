"""The graph of the encoder of a model that edits, a Transformer.

``tokens`` int64 (batch, time), a multiple of ``TIMES``, and ``lengths`` int64 (batch,) to ``code`` float32 (batch,
time, size), ``code_mask`` float32 (batch, time) and ``allowed`` float32 (batch, time), 1 where edits may start and end.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import onnx
from onnx import TensorProto

from arae_transfer.editing.batches import TIMES
from arae_transfer.export.edit_builder import Builder
from arae_transfer.export.graph import Graph, make_model, value
from arae_transfer.export.weights import array
from arae_transfer.model.edit_decoder import NEVER
from arae_transfer.model.transformer import NORM_EPSILON, TransformerEncoder, TransformerLayer


def build_edit_encoder(
    encoder: TransformerEncoder, begins_word: Sequence[bool], metadata: Mapping[str, str], graph: Graph
) -> onnx.ModelProto:
    """Build the graph of an encoder, the counterpart of ``TransformerEncoder.forward``.

    Args:
        encoder: The encoder, in evaluation mode.
        begins_word: (vocabulary,) whether each token begins a word.
        metadata: The metadata of the file.
        graph: An empty graph, whose class decides the precision.
    """
    build = Builder(graph)
    size = encoder.embedding.embedding_dim
    read = embed(build, encoder)
    zero = build.number(0)
    begins = graph.constant("begins_word", np.array(begins_word), np.bool_)
    first = graph.node("Equal", [read.places, zero], "first")
    begun = graph.node("Or", [graph.node("Gather", [begins, "tokens"], "begins"), first], "begun")
    graph.node("Cast", [graph.node("And", [begun, read.real], "begun.real")], "allowed", to=TensorProto.FLOAT)
    states, batch, time = read.states, *read.shape
    for number, layer in enumerate(encoder.layers):
        assert isinstance(layer, TransformerLayer)
        states = append_layer(build, layer, f"layer.{number}", states, read.padding, read.shape, f"layer.{number + 1}")
    norm = graph.node("ReduceL2", [states], "norm", axes=[1], keepdims=1)
    least = graph.constant("norm.least", NORM_EPSILON, np.float32)
    unit = graph.node("Div", [states, graph.node("Max", [norm, least], "norm.safe")], "unit")
    vectors = build.reshape(unit, [batch, time, size], "vectors")
    graph.node("Mul", [vectors, build.column("code_mask", "code_mask.column")], "code")
    outputs = [
        value("code", TensorProto.FLOAT, ["batch", "time", size]),
        value("code_mask", TensorProto.FLOAT, ["batch", "time"]),
        value("allowed", TensorProto.FLOAT, ["batch", "time"]),
    ]
    inputs = [value("tokens", TensorProto.INT64, ["batch", "time"]), value("lengths", TensorProto.INT64, ["batch"])]
    return make_model(graph.build("encoder", inputs, outputs), metadata, "Token ids to one vector each.")


class Embedded(NamedTuple):
    """Names of values.

    Attributes:
        states: (batch x time, size) the input of the first layer.
        padding: (batch, 1, 1, time) 0 at real positions and a large negative number at others.
        real: (batch, time) which positions are real.
        places: (time,) the indices of the positions.
        shape: The sizes batch and time, each [1].
    """

    states: str
    padding: str
    real: str
    places: str
    shape: tuple[str, str]


def embed(build: Builder, encoder: TransformerEncoder, prefix: str = "") -> Embedded:
    """Append the input of an encoder's first layer, from ``tokens`` and ``lengths``.

    Args:
        build: Builds the graph.
        encoder: The encoder.
        prefix: The prefix of the names of the inputs and of all values.
    """
    graph = build.graph

    def named(name: str) -> str:
        return prefix + name

    batch = graph.node("Shape", [named("tokens")], named("batch"), start=0, end=1)
    time = graph.node("Shape", [named("tokens")], named("time"), start=1, end=2)
    zero, one = build.number(0), build.number(1)
    places = graph.node("Range", [zero, build.scalar(time, named("time.scalar")), one], named("places"))  # (time,)
    column = build.column(named("lengths"), named("lengths.column"))
    real = graph.node("Less", [places, column], named("real"))  # (batch, time)
    mask = graph.node("Cast", [real], named("code_mask"), to=TensorProto.FLOAT)
    embedded = graph.lookup("embedding", array(encoder.embedding.weight), named("tokens"), named("embedded"))
    positions = array(encoder.positions)
    # Batches are filled up to a multiple, which may be longer than any sentence.
    filled = np.pad(positions, ((0, -len(positions) % TIMES), (0, 0)))
    table = graph.constant("positions", filled, np.float32)
    own = graph.node("Slice", [table, graph.constant("begin", [0]), time, graph.constant("axis.0", [0])], named("own"))
    summed = graph.node("Add", [embedded, own], named("embedded.summed"))
    normal = build.normalize(summed, "embedding_norm", encoder.embedding_norm, named("embedded.normal"))
    states = build.reshape(normal, [-1, encoder.embedding.embedding_dim], named("layer.0"))  # (batch x time, size)
    return Embedded(states, append_padding(build, mask, prefix), real, places, (batch, time))


def append_padding(build: Builder, mask: str, prefix: str = "") -> str:
    """Append the mask that attention adds to its scores: (batch, time), 1 at real positions, to (batch, 1, 1, time)."""
    graph = build.graph
    absent = graph.node("Sub", [mask, graph.constant("one.float", 1.0, np.float32)], f"{prefix}absent")
    barred = graph.node("Mul", [absent, graph.constant("never", -NEVER, np.float32)], f"{prefix}barred")
    return graph.node("Unsqueeze", [barred, graph.constant("axes.1.2", [1, 2])], f"{prefix}padding")


def append_layer(
    build: Builder,
    layer: TransformerLayer,
    name: str,
    states: str,
    padding: str,
    shape: tuple[str, str],
    out: str,
    prefix: str = "",
) -> str:
    """Append a layer of a Transformer: states (batch x time, size) to (batch x time, size).

    Args:
        build: Builds the graph.
        layer: The layer.
        name: The prefix of the names of its weights.
        states: Its input.
        padding: As in ``Embedded``.
        shape: As in ``Embedded``.
        out: The name of its output.
        prefix: The prefix of the names of values, so that a layer may be used twice in a graph.
    """
    graph, heads = build.graph, layer.heads
    size = layer.attended.in_features
    value = prefix + name
    inputs = build.linear(states, f"{name}.inputs", layer.inputs, f"{value}.read")
    split = build.reshape(inputs, [*shape, 3, heads, size // heads], f"{value}.heads")
    turned = graph.node("Transpose", [split], f"{value}.turned", perm=[2, 0, 3, 1, 4])
    parts = [f"{value}.{part}" for part in ("query", "key", "value")]
    graph.nodes("Split", [turned], [f"{part}.one" for part in parts], axis=0)
    axis = graph.constant("axis.0", [0])
    query, key, values = (graph.node("Squeeze", [f"{part}.one", axis], part) for part in parts)
    scale = graph.constant("heads.scale", 1 / math.sqrt(size // heads), np.float32)
    scaled = graph.node("Mul", [query, scale], f"{value}.query.scaled")
    keys = graph.node("Transpose", [key], f"{value}.key.turned", perm=[0, 1, 3, 2])
    scores = graph.node("MatMul", [scaled, keys], f"{value}.scores")  # (batch, heads, time, time)
    shares = graph.node("Softmax", [graph.node("Add", [scores, padding], f"{value}.real")], f"{value}.shares", axis=-1)
    found = graph.node("MatMul", [shares, values], f"{value}.found")  # (batch, heads, time, size / heads)
    joined = graph.node("Transpose", [found], f"{value}.found.turned", perm=[0, 2, 1, 3])
    flat = build.reshape(joined, [-1, size], f"{value}.found.flat")
    attended = build.linear(flat, f"{name}.attended", layer.attended, f"{value}.attended")
    summed = graph.node("Add", [states, attended], f"{value}.sum")
    middle = build.normalize(summed, f"{name}.attention_norm", layer.attention_norm, f"{value}.middle")
    inner = build.gelu(build.linear(middle, f"{name}.inner", layer.inner, f"{value}.inner"), f"{value}.inner.active")
    outer = build.linear(inner, f"{name}.outer", layer.outer, f"{value}.outer")
    return build.normalize(
        graph.node("Add", [middle, outer], f"{value}.last"), f"{name}.output_norm", layer.output_norm, out
    )
