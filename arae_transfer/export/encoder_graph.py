"""The encoder as an ONNX graph: token ids to code vectors on the unit sphere."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import TensorProto
from torch import Tensor, nn

from arae_transfer.export.graph import Float32, Graph, Storage, make_model, value
from arae_transfer.model.encoder import Encoder

# torch.nn.functional.normalize divides by the norm, but never by less than this.
SMALLEST_NORM = 1e-12


def array(tensor: Tensor) -> Float32:
    """Return a parameter as an fp32 array."""
    return tensor.detach().cpu().float().numpy()


def onnx_gates(stacked: Float32) -> Float32:
    """Reorder the gates stacked along the first axis: PyTorch's i, f, g, o to ONNX's i, o, f, g."""
    into, forget, candidate, out = np.split(stacked, 4)
    return np.concatenate([into, out, forget, candidate])


def build_encoder(encoder: Encoder, metadata: Mapping[str, str], storage: Storage = "fp32") -> onnx.ModelProto:
    """Build the encoder's graph.

    Inputs: ``tokens`` int64 (batch, time), each row's piece ids and end id, padded at the right; ``lengths`` int64
    (batch), each at least 1. Outputs: ``code`` float32 (batch, vectors, code_size) and ``code_mask`` float32
    (batch, vectors), 1 at real vectors; ``vectors`` is 1 for a single code and ``time`` for a sequence.

    Args:
        encoder: The trained encoder. With fp16 storage its matrices must be rounded to fp16 already.
        metadata: What the file says about itself.
        storage: How matrices are stored; arithmetic is fp32.
    """
    graph = Graph(storage)
    table = graph.weight("embedding", array(encoder.embedding.weight))  # (vocabulary, embedding)
    lengths = graph.node("Cast", ["lengths"], "lengths.int32", to=TensorProto.INT32)
    # The LSTM operator wants time first.
    by_time = graph.node("Transpose", ["tokens"], "tokens.by_time", perm=[1, 0])  # (time, batch)
    states = graph.node("Gather", [table, by_time], "embedded")  # (time, batch, embedding)
    final = ""
    for number in range(len(encoder.forward_layers)):
        states, final = _lstm_layer(graph, encoder, number, states, lengths)
    if encoder.single:
        ordered = graph.node("Transpose", [final], "final.by_batch", perm=[1, 0, 2])  # (batch, directions, hidden)
    else:
        ordered = graph.node("Transpose", [states], "states.by_batch", perm=[1, 0, 2])
    size = array(encoder.forward_layers[0].weight_hh_l0).shape[1] * (2 if len(encoder.backward_layers) else 1)
    # A single code: the final states of both directions, side by side, as the one vector.
    shape = graph.constant("states.shape", [0, 1 if encoder.single else -1, size])
    vectors = graph.node("Reshape", [ordered, shape], "states.joined")  # (batch, vectors, size)
    if isinstance(encoder.projection, nn.Linear):
        weight = graph.weight("projection.weight", array(encoder.projection.weight))
        turned = graph.node("Transpose", [weight], "projection.turned", perm=[1, 0])
        product = graph.node("MatMul", [vectors, turned], "projection.product")
        bias = graph.constant("projection.bias", array(encoder.projection.bias), np.float32)
        vectors = graph.node("Add", [product, bias], "projected")  # (batch, vectors, code_size)
    norm = graph.node("ReduceL2", [vectors], "norm", axes=[2], keepdims=1)  # (batch, vectors, 1)
    smallest = graph.constant("smallest_norm", SMALLEST_NORM, np.float32)
    divisor = graph.node("Max", [norm, smallest], "norm.clamped")
    zero, one = (graph.constant(f"number.{number}", number) for number in (0, 1))
    axis = graph.constant("axis.1", [1])
    if encoder.single:
        graph.node("Div", [vectors, divisor], "code")
        batch = graph.node("Shape", ["lengths"], "batch")  # [batch]
        ones = graph.node("Concat", [batch, axis], "mask.shape", axis=0)  # [batch, 1]
        filled = onnx.helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0])
        graph.node("ConstantOfShape", [ones], "code_mask", value=filled)
    else:
        sizes = graph.node("Shape", ["tokens"], "tokens.shape")
        time = graph.node("Gather", [sizes, one], "time")
        positions = graph.node("Range", [zero, time, one], "positions")  # (time,)
        column = graph.node("Unsqueeze", ["lengths", axis], "lengths.column")  # (batch, 1)
        real = graph.node("Less", [positions, column], "real")  # (batch, time)
        graph.node("Cast", [real], "code_mask", to=TensorProto.FLOAT)
        last_axis = graph.node("Unsqueeze", ["code_mask", graph.constant("axis.2", [2])], "code_mask.column")
        unit = graph.node("Div", [vectors, divisor], "code.unmasked")
        graph.node("Mul", [unit, last_axis], "code")

    vector_axis = 1 if encoder.single else "time"
    code_size = (
        encoder.projection.out_features if isinstance(encoder.projection, nn.Linear) else size
    )
    return make_model(
        graph.build(
            "encoder",
            [
                value("tokens", TensorProto.INT64, ["batch", "time"]),
                value("lengths", TensorProto.INT64, ["batch"]),
            ],
            [
                value("code", TensorProto.FLOAT, ["batch", vector_axis, code_size]),
                value("code_mask", TensorProto.FLOAT, ["batch", vector_axis]),
            ],
        ),
        metadata,
        "Token ids to code vectors of unit norm.",
    )


def _lstm_layer(graph: Graph, encoder: Encoder, number: int, states: str, lengths: str) -> tuple[str, str]:
    """Append one LSTM layer of one or two directions.

    Returns:
        The states (time, batch, directions x hidden) and the final states (directions, batch, hidden).
    """
    name = f"lstm.{number}"
    layers = [encoder.forward_layers[number]]
    if len(encoder.backward_layers):
        layers.append(encoder.backward_layers[number])
    inputs = np.stack([onnx_gates(array(layer.weight_ih_l0)) for layer in layers])
    recurrent = np.stack([onnx_gates(array(layer.weight_hh_l0)) for layer in layers])
    biases = np.stack(
        [
            np.concatenate([onnx_gates(array(layer.bias_ih_l0)), onnx_gates(array(layer.bias_hh_l0))])
            for layer in layers
        ]
    )
    hidden = recurrent.shape[2]
    graph.nodes(
        "LSTM",
        [
            states,
            graph.weight(f"{name}.input", inputs),
            graph.weight(f"{name}.recurrent", recurrent),
            graph.constant(f"{name}.bias", biases, np.float32),
            lengths,
        ],
        [f"{name}.states", f"{name}.final"],
        direction="bidirectional" if len(layers) == 2 else "forward",
        hidden_size=hidden,
    )
    by_position = graph.node("Transpose", [f"{name}.states"], f"{name}.by_position", perm=[0, 2, 1, 3])
    shape = graph.constant(f"{name}.shape", [0, 0, hidden * len(layers)])
    joined = graph.node("Reshape", [by_position, shape], f"{name}.joined")  # (time, batch, directions x hidden)
    return joined, f"{name}.final"
