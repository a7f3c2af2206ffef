"""The graph of the quality estimator: sources and rewrites of them to the log-odds that a reader accepts each.

``source.tokens`` int64 (lines, time), ``source.lengths`` int64 (lines,); ``tokens``, ``kinds`` and ``places`` int64
(rows, time') of candidates, see ``quality.candidates``, 0 at padding; ``line`` int64 (rows,), the source of each
candidate; ``target`` int64, the number of the class. All times are multiples of ``TIMES``. It gives ``log_odds``
float32 (rows,).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import TensorProto

from arae_transfer.export.edit_builder import Builder
from arae_transfer.export.edit_encoder_graph import append_layer, append_padding, embed
from arae_transfer.export.graph import Graph, make_model, value
from arae_transfer.export.weights import array
from arae_transfer.model.quality import QualityEstimator
from arae_transfer.model.transformer import TransformerEncoder, TransformerLayer
from arae_transfer.quality.candidates import DELETED, NEW


def build_quality_estimator(
    estimator: QualityEstimator, encoder: TransformerEncoder, metadata: Mapping[str, str], graph: Graph
) -> onnx.ModelProto:
    """Build the graph of an estimator, the counterpart of ``QualityEstimator.forward`` and the frozen layers below it.

    Args:
        estimator: The estimator, in evaluation mode.
        encoder: The encoder whose frozen layers it reads.
        metadata: What the file says about itself.
        graph: An empty graph, which decides the arithmetic.
    """
    build = Builder(graph)
    size = encoder.embedding.embedding_dim
    source, source_time = _frozen_states(build, encoder)
    rows, time = (
        graph.node("Shape", ["kinds"], f"candidate.{name}", start=axis, end=axis + 1)
        for axis, name in enumerate(("rows", "time"))
    )
    new = graph.node("Equal", ["kinds", build.number(NEW)], "new")
    first = build.column(graph.node("Mul", ["line", source_time], "line.first"), "line.first.column")
    of_source = graph.node("Gather", [source, graph.node("Add", ["places", first], "candidate.places")], "kept", axis=0)
    embedded = graph.lookup("embedding", array(encoder.embedding.weight), "tokens", "embedded")
    positions = graph.node("Gather", ["positions", "places"], "embedded.positions", axis=0)
    summed = graph.node("Add", [embedded, positions], "embedded.summed")
    written = build.normalize(summed, "embedding_norm", encoder.embedding_norm, "embedded.normal")
    merged = graph.node("Where", [build.column(new, "new.column"), written, of_source], "merged")
    table = graph.constant("kind", array(estimator.kind.weight), np.float32)
    marked = graph.node("Add", [merged, graph.node("Gather", [table, "kinds"], "kinds.vectors")], "marked")
    real = graph.node("Greater", ["kinds", build.number(0)], "real.kinds")
    padding = append_padding(build, _as_float(build, real, "real.mask"), "candidate.")
    states = build.reshape(marked, [-1, size], "quality.layer.0.in")
    for number, layer in enumerate(estimator.layers):
        assert isinstance(layer, TransformerLayer)
        name = f"quality.layer.{number}"
        states = append_layer(build, layer, name, states, padding, (rows, time), f"{name}.out")
    read = build.reshape(states, [rows, time, size], "read")  # (rows, time', size)
    deleted = graph.node("Equal", ["kinds", build.number(DELETED)], "deleted")
    rewrite = graph.node("And", [real, graph.node("Not", [deleted], "undeleted")], "rewrite")
    masks = {"rewrite": rewrite, "deleted": deleted, "new": new}
    features = [_mean(build, read, _as_float(build, mask, f"{name}.chosen"), name) for name, mask in masks.items()]
    features.append(_greatest(build, read, real))
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
        *(value(name, TensorProto.INT64, ["rows", "time"]) for name in ("tokens", "kinds", "places")),
        value("line", TensorProto.INT64, ["rows"]),
        value("target", TensorProto.INT64, []),
    ]
    outputs = [value("log_odds", TensorProto.FLOAT, ["rows"])]
    return make_model(graph.build("quality", inputs, outputs), metadata, "Sources and rewrites to log-odds.")


def _frozen_states(build: Builder, encoder: TransformerEncoder) -> tuple[str, str]:
    """Append the embedding and the frozen layers of the sources: (lines x time, size), and the time, [1]."""
    prefix = "source."
    found = embed(build, encoder, prefix)
    states = found.states
    for number in range(encoder.frozen_layers):
        layer = encoder.layers[number]
        assert isinstance(layer, TransformerLayer)
        out = f"{prefix}layer.{number + 1}"
        states = append_layer(build, layer, f"layer.{number}", states, found.padding, found.shape, out, prefix)
    return states, found.shape[1]


def _as_float(build: Builder, mask: str, out: str) -> str:
    return build.graph.node("Cast", [mask], out, to=TensorProto.FLOAT)


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
    """Append the greatest of the real positions: (rows, time, size) and (rows, time) to (rows, size)."""
    graph = build.graph
    real = build.column(mask, "greatest.column")
    low = graph.constant("low", -1e4, np.float32)
    return graph.node(
        "ReduceMax", [graph.node("Where", [real, states, low], "greatest.read")], "greatest.found", axes=[1], keepdims=0
    )
