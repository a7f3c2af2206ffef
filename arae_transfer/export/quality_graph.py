"""The graph of the quality estimator: sources and rewrites to the log-odds that a reader accepts each rewrite.

``source.tokens`` int64 (lines, time), ``source.lengths`` int64 (lines,), ``tokens`` int64 (rows, time'), ``lengths``
int64 (rows,) and ``kinds`` int64 (rows, time') of rewrites, see ``quality.candidates``, 0 at padding; ``line`` int64
(rows,), the source of each rewrite; ``target`` int64, the number of the class. All times are multiples of ``TIMES``. It
returns ``log_odds`` float32 (rows,).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import TensorProto

from arae_transfer.export.edit_builder import Builder
from arae_transfer.export.edit_encoder_graph import Embedded, append_layer, append_padding, embed
from arae_transfer.export.graph import Graph, make_model, value
from arae_transfer.export.weights import array
from arae_transfer.model.quality import QualityEstimator
from arae_transfer.model.transformer import TransformerEncoder, TransformerLayer
from arae_transfer.quality.candidates import NEW, SOURCE


def build_quality_estimator(
    estimator: QualityEstimator, encoder: TransformerEncoder, metadata: Mapping[str, str], graph: Graph
) -> onnx.ModelProto:
    """Build the graph of an estimator, the counterpart of ``QualityEstimator.forward`` and the frozen layers below it.

    Args:
        estimator: The estimator, in evaluation mode.
        encoder: The encoder whose frozen layers it reads.
        metadata: The metadata of the file.
        graph: An empty graph, whose class decides the precision.
    """
    build = Builder(graph)
    size = encoder.embedding.embedding_dim
    source, rewrite = (_frozen_states(build, encoder, prefix) for prefix in ("source.", ""))
    table = array(estimator.kind.weight)
    line = graph.constant("kind.source", table[SOURCE], np.float32)
    lines = build.reshape(source.states, [*source.shape, size], "source.vectors")
    marked = graph.node("Add", [lines, line], "source.marked")
    of_rows = graph.node("Gather", [marked, "line"], "source.rows", axis=0)  # (rows, time, size)
    kinds = graph.node("Gather", [graph.constant("kind", table, np.float32), "kinds"], "kinds.vectors")
    rows = graph.node("Add", [build.reshape(rewrite.states, [*rewrite.shape, size], "vectors"), kinds], "marked")
    graph.node("Concat", [of_rows, rows], "both", axis=1)  # (rows, time + time', size)
    zero = build.number(0)
    real = graph.node("Cast", [graph.node("Greater", ["kinds", zero], "told")], "told.mask", to=TensorProto.FLOAT)
    source_mask = graph.node("Gather", ["source.code_mask", "line"], "source.mask.rows", axis=0)
    mask = graph.node("Concat", [source_mask, real], "both.mask", axis=1)
    padding = append_padding(build, mask, "both.")
    time = graph.node("Shape", ["both"], "both.time", start=1, end=2)
    shape = (rewrite.shape[0], time)
    states = build.reshape("both", [-1, size], "quality.layer.0.in")
    for number, layer in enumerate(estimator.layers):
        assert isinstance(layer, TransformerLayer)
        name = f"quality.layer.{number}"
        states = append_layer(build, layer, name, states, padding, shape, f"{name}.out")
    whole = build.reshape(states, [*shape, size], "read.both")
    end = graph.constant("greatest", [np.iinfo(np.int64).max])
    axis = graph.constant("axis.1", [1])
    graph.node("Slice", [whole, source.shape[1], end, axis], "read")  # (rows, time', size)
    new = graph.node(
        "Cast", [graph.node("Equal", ["kinds", build.number(NEW)], "new")], "new.mask", to=TensorProto.FLOAT
    )
    features = [_mean(build, "read", real, "all"), _mean(build, "read", new, "new"), _greatest(build, "read", real)]
    inner = build.linear(dict.fromkeys(features, size), "quality.inner", estimator.inner, "quality.inner")
    hidden = build.gelu(inner, "quality.hidden")
    outer = estimator.outer
    weight = graph.constant("quality.outer.weight", array(outer.weight), np.float32)
    bias = graph.constant("quality.outer.bias", array(outer.bias), np.float32)
    logits = graph.node("Gemm", [hidden, weight, bias], "logits", transB=1)  # (rows, classes)
    graph.node("Gather", [logits, "target"], "log_odds", axis=1)
    inputs = [
        value("source.tokens", TensorProto.INT64, ["lines", "source_time"]),
        value("source.lengths", TensorProto.INT64, ["lines"]),
        value("tokens", TensorProto.INT64, ["rows", "time"]),
        value("lengths", TensorProto.INT64, ["rows"]),
        value("kinds", TensorProto.INT64, ["rows", "time"]),
        value("line", TensorProto.INT64, ["rows"]),
        value("target", TensorProto.INT64, []),
    ]
    outputs = [value("log_odds", TensorProto.FLOAT, ["rows"])]
    return make_model(graph.build("quality", inputs, outputs), metadata, "Sources and rewrites to log-odds.")


def _frozen_states(build: Builder, encoder: TransformerEncoder, prefix: str) -> Embedded:
    """Append the embedding and the frozen layers."""
    found = embed(build, encoder, prefix)
    states = found.states
    for number in range(encoder.frozen_layers):
        layer = encoder.layers[number]
        assert isinstance(layer, TransformerLayer)
        out = f"{prefix}layer.{number + 1}"
        states = append_layer(build, layer, f"layer.{number}", states, found.padding, found.shape, out, prefix)
    return found._replace(states=states)


def _mean(build: Builder, states: str, mask: str, name: str) -> str:
    """Append the mean of the chosen positions: (rows, time, size) and (rows, time) to (rows, size)."""
    graph = build.graph
    column = build.column(mask, f"mean.{name}.column")
    axis = graph.constant("axis.1", [1])
    chosen = graph.node("Mul", [states, column], f"mean.{name}.chosen")
    total = graph.node("ReduceSum", [chosen, axis], f"mean.{name}.sum", keepdims=0)
    count = graph.node("ReduceSum", [column, axis], f"mean.{name}.count", keepdims=0)
    least = graph.constant("one.float", 1.0, np.float32)
    return graph.node("Div", [total, graph.node("Max", [count, least], f"mean.{name}.least")], f"mean.{name}")


def _greatest(build: Builder, states: str, mask: str) -> str:
    """Append the maximum over the real positions: (rows, time, size) and (rows, time) to (rows, size)."""
    graph = build.graph
    half = graph.constant("half", 0.5, np.float32)
    real = build.column(graph.node("Greater", [mask, half], "greatest.real"), "greatest.column")
    low = graph.constant("low", -1e4, np.float32)
    return graph.node(
        "ReduceMax", [graph.node("Where", [real, states, low], "greatest.read")], "greatest.found", axes=[1], keepdims=0
    )
