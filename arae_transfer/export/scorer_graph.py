"""The style scorer as an ONNX graph: token ids to the log-probability of each class."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Literal

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto

from arae_transfer.errors import AraeError
from arae_transfer.export.graph import Graph, Storage, make_model, value
from arae_transfer.export.quantization import in_8_bits
from arae_transfer.export.row_quantization import LookupGraph
from arae_transfer.export.weights import array
from arae_transfer.model.code_space import StyleScorer

# fp32 sums in another order move a log-probability by about 1e-6.
GREATEST_DIFFERENCE = 1e-3
_PROBES = 64
_LONGEST = 32
_SEED = 1111


def build_scorer(
    scorer: StyleScorer, metadata: Mapping[str, str], storage: Storage = "fp32", graph: Graph | None = None
) -> onnx.ModelProto:
    """Build the graph of a scorer, the counterpart of ``StyleScorer.forward`` with a softmax.

    Inputs: ``tokens`` int64 (batch, time), padded; ``mask`` float32 (batch, time), 1 at real tokens but not at the end
    id. Output: ``log_probabilities`` float32 (batch, classes). Padding does not change it.

    Args:
        scorer: The trained scorer, in evaluation mode. With fp16 storage its matrices must be rounded already.
        metadata: The metadata of the file.
        storage: The precision of stored matrices; arithmetic is fp32.
        graph: An empty graph that stores matrices in another precision; None: one that stores them as ``storage`` says.
    """
    graph = graph or Graph(storage)
    column = graph.node("Unsqueeze", ["mask", graph.constant("axis.2", [2])], "mask.column")  # (batch, time, 1)
    embedded = graph.lookup("embedding", array(scorer.embedding.weight), "tokens", "embedded")
    real = graph.node("Mul", [embedded, column], "embedded.real")  # (batch, time, size)
    widest = len(scorer.windows)
    after = graph.constant("padding", [0, 0, 0, 0, widest - 1, 0])
    padded = graph.node("Pad", [real, after], "embedded.padded")  # (batch, time + widest - 1, size)
    shape = graph.node("Shape", ["tokens"], "tokens.shape")
    axis_1 = graph.constant("axis.1", [1])
    time = graph.node("Gather", [shape, axis_1], "time")  # [time]
    shifted = []
    for shift in range(widest):
        start = graph.constant(f"shift.{shift}", [shift])
        end = graph.node("Add", [time, start], f"shift.{shift}.end")
        shifted.append(graph.node("Slice", [padded, start, end, axis_1], f"embedded.{shift}"))
    found = []
    for width, window in enumerate(scorer.windows, start=1):
        grams = graph.node("Concat", shifted[:width], f"grams.{width}", axis=2)  # (batch, time, width x size)
        weight = graph.weight(f"window.{width}.weight", array(window.weight))  # (filters, width x size)
        turned = graph.node("Transpose", [weight], f"window.{width}.turned", perm=[1, 0])
        product = graph.node("MatMul", [grams, turned], f"window.{width}.product")
        bias = graph.constant(f"window.{width}.bias", array(window.bias), np.float32)
        summed = graph.node("Add", [product, bias], f"window.{width}.sum")
        states = graph.node("Relu", [summed], f"window.{width}.state")
        masked = graph.node("Mul", [states, column], f"window.{width}.masked")
        found.append(graph.node("ReduceMax", [masked], f"window.{width}.found", axes=[1], keepdims=0))
    features = graph.node("Concat", found, "features", axis=1)
    last = graph.weight("last.weight", array(scorer.last.weight))
    bias = graph.constant("last.bias", array(scorer.last.bias), np.float32)
    logits = graph.node("Gemm", [features, last, bias], "logits", transB=1)
    graph.node("LogSoftmax", [logits], "log_probabilities", axis=1)
    inputs = [
        value("tokens", TensorProto.INT64, ["batch", "time"]),
        value("mask", TensorProto.FLOAT, ["batch", "time"]),
    ]
    outputs = [value("log_probabilities", TensorProto.FLOAT, ["batch", scorer.last.out_features])]
    return make_model(graph.build("scorer", inputs, outputs), metadata, "Token ids to log-probabilities of classes.")


@torch.no_grad()
def export_scorer(scorer: StyleScorer, metadata: Mapping[str, str], storage: Storage | Literal["int8"]) -> bytes:
    """Return the serialized graph of a scorer, after comparing its scores with the scorer's.

    With int8 storage the embedding is rounded first; it is nearly all of a scorer.

    Raises:
        AraeError: They differ.
    """
    content: bytes
    if storage == "int8":
        scorer = copy.deepcopy(scorer)
        whole, scales = in_8_bits(array(scorer.embedding.weight))
        scorer.embedding.weight.copy_(torch.from_numpy(whole * scales[:, None]))
        content = build_scorer(scorer, metadata, graph=LookupGraph()).SerializeToString()
    else:
        content = build_scorer(scorer, metadata, storage).SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    random = torch.Generator().manual_seed(_SEED)
    tokens = torch.randint(0, scorer.embedding.num_embeddings, (_PROBES, _LONGEST), generator=random)
    lengths = torch.randint(1, _LONGEST + 1, (_PROBES, 1), generator=random)
    mask = torch.arange(_LONGEST) < lengths  # (probes, time)
    wanted = scorer(tokens, mask).log_softmax(1).numpy()
    (found,) = session.run(["log_probabilities"], {"tokens": tokens.numpy(), "mask": mask.float().numpy()})
    difference = float(np.abs(found - wanted).max())
    # Written so that a difference that is not a number is refused too.
    if difference <= GREATEST_DIFFERENCE:
        return content
    raise AraeError(
        f"the exported style scorer does not judge as the model's: log-probabilities differ by up to {difference:.1g}",
        "export another checkpoint of the run: its training may have diverged.",
    )
