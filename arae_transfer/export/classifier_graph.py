"""The classifier of codes as an ONNX graph."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import TensorProto
from torch import nn

from arae_transfer.export.graph import Graph, Storage, make_model, value
from arae_transfer.export.weights import array
from arae_transfer.model.code_space import CodeClassifier

# The prefixes of the inputs for the sentences of an example.
SENTENCES = ("", "second_")


def build_classifier(
    classifier: CodeClassifier, code_size: int, pairs: bool, metadata: Mapping[str, str], storage: Storage = "fp32"
) -> onnx.ModelProto:
    """Build the classifier's graph.

    Inputs: ``code`` float32 (batch, vectors, code_size) and ``code_mask`` float32 (batch, vectors) as the encoder gives
    them; for pairs also ``second_code`` and ``second_code_mask``. Output: ``probabilities`` float32 (batch, classes).

    Args:
        classifier: The trained classifier. With fp16 storage its matrices must be rounded to fp16 already.
        code_size: The dimensions of a code vector.
        pairs: Whether it reads the codes of two sentences.
        metadata: The metadata of the file.
        storage: The precision of stored matrices; arithmetic is fp32.
    """
    graph = Graph(storage)
    inputs, read = [], []
    for prefix in SENTENCES if pairs else SENTENCES[:1]:
        inputs.append(value(f"{prefix}code", TensorProto.FLOAT, ["batch", f"{prefix}vectors", code_size]))
        inputs.append(value(f"{prefix}code_mask", TensorProto.FLOAT, ["batch", f"{prefix}vectors"]))
        read.append(_scaled_mean(graph, prefix, classifier.scale))
    if pairs:
        difference = graph.node("Sub", read, "difference")
        read += [graph.node("Abs", [difference], "distance"), graph.node("Mul", read[:2], "product")]
    states = graph.node("Concat", read, "features", axis=1) if pairs else read[0]
    layers = [layer for layer in [*classifier.layers, classifier.last] if isinstance(layer, nn.Linear)]
    for number, layer in enumerate(layers):
        name = f"layer.{number}"
        bias = graph.constant(f"{name}.bias", array(layer.bias), np.float32)
        states = graph.matmul(states, f"{name}.weight", array(layer.weight), bias, f"{name}.product")
        if number < len(layers) - 1:
            states = graph.node("LeakyRelu", [states], f"{name}.states", alpha=0.2)
    graph.node("Softmax", [states], "probabilities", axis=1)
    outputs = [value("probabilities", TensorProto.FLOAT, ["batch", classifier.last.out_features])]
    return make_model(graph.build("classifier", inputs, outputs), metadata, "Codes to probabilities of classes.")


def _scaled_mean(graph: Graph, prefix: str, scale: float) -> str:
    """Append the mean of a code's real vectors, scaled to about 1 per dimension: (batch, size)."""
    code, mask = f"{prefix}code", f"{prefix}code_mask"
    column = graph.node("Unsqueeze", [mask, graph.constant("axis.2", [2])], f"{mask}.column")
    real = graph.node("Mul", [code, column], f"{code}.real")
    axis = graph.constant("axis.1", [1])
    total = graph.node("ReduceSum", [real, axis], f"{code}.sum", keepdims=0)
    number = graph.node("ReduceSum", [mask, axis], f"{mask}.sum", keepdims=1)
    mean = graph.node("Div", [total, number], f"{code}.mean")
    return graph.node("Mul", [mean, graph.constant("scale", scale, np.float32)], f"{code}.scaled")
