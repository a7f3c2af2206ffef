"""The encoder as an ONNX graph: token ids to code vectors on the unit sphere."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import TensorProto, helper
from torch import nn

from arae_transfer.export.encoder_loop import append_lstm_layer, append_zero_state
from arae_transfer.export.graph import Graph, Storage, make_model, value
from arae_transfer.export.weights import LSTMWeights, array
from arae_transfer.model.encoder import Encoder
from arae_transfer.model.superposition import Superposition

# torch.nn.functional.normalize never divides by less than this.
SMALLEST_NORM = 1e-12


def build_encoder(
    encoder: Encoder, metadata: Mapping[str, str], storage: Storage = "fp32", graph: Graph | None = None
) -> onnx.ModelProto:
    """Build the encoder's graph.

    Inputs: ``tokens`` int64 (batch, time), each row's token ids and end id, padded at the right; ``lengths`` int64
    (batch), each at least 1. Outputs: ``code`` float32 (batch, vectors, code_size) and ``code_mask`` float32 (batch,
    vectors), 1 at real vectors; ``vectors`` is 1 for a single code and ``time`` for a sequence.

    Args:
        encoder: The trained encoder. With fp16 storage its matrices must be rounded to fp16 already.
        metadata: The metadata of the file.
        storage: The precision of stored matrices; arithmetic is fp32.
        graph: An empty graph in another precision; None: a graph in fp32, stored as ``storage`` says.
    """
    graph = graph or Graph(storage)
    states, final, size = (_read_tokens if graph.lstm_operator else _read_in_loops)(graph, encoder)
    # ONNX's LSTM puts time (or, for final states, direction) before batch.
    chosen = final if encoder.last_state else states
    by_batch = graph.node("Transpose", [chosen], "states.by_batch", perm=[1, 0, 2])
    # A single code: the final states of both directions, side by side, as the one vector.
    shape = graph.constant("states.shape", [0, 1 if encoder.last_state else -1, size])
    vectors = graph.node("Reshape", [by_batch, shape], "states.vectors")  # (batch, vectors, size)
    graph.share_scale(chosen, "projection.read")
    if isinstance(encoder.projection, nn.Linear):
        rows = graph.node("Reshape", [vectors, graph.constant("rows.shape", [-1, size])], "projection.read")
        bias = graph.constant("projection.bias", array(encoder.projection.bias), np.float32)
        weight = array(encoder.projection.weight)
        product = graph.matmul(rows, "projection.weight", weight, bias, "projection.product")
        size = encoder.projection.out_features
        batch = graph.node("Shape", ["lengths"], "projection.batch")
        places = graph.constant("projection.places", [1 if encoder.last_state else -1, size])
        by_row = graph.node("Concat", [batch, places], "projection.shape", axis=0)
        vectors = graph.node("Reshape", [product, by_row], "projection")  # (batch, vectors, code_size)
    if encoder.residual:
        embedded = graph.node("Transpose", ["embedded"], "embedded.by_batch", perm=[1, 0, 2])
        vectors = graph.node("Add", [vectors, embedded], "vectors.residual")
    if encoder.last_state:
        _divide_by_norm(graph, vectors, "code")
        _mask_of_ones(graph)
    elif encoder.superposition is None:
        unit = _divide_by_norm(graph, vectors, "code.unmasked")
        _mask_of_lengths(graph, "code_mask")
        column = graph.node("Unsqueeze", ["code_mask", graph.constant("axis.2", [2])], "code_mask.column")
        graph.node("Mul", [unit, column], "code")
    else:
        unit = _divide_by_norm(graph, vectors, "vectors.unit")
        size = _superpose(graph, encoder.superposition, unit)
        _mask_of_ones(graph)
    axis = 1 if encoder.single else "time"
    inputs = [
        value("tokens", TensorProto.INT64, ["batch", "time"]),
        value("lengths", TensorProto.INT64, ["batch"]),
    ]
    outputs = [
        value("code", TensorProto.FLOAT, ["batch", axis, size]),
        value("code_mask", TensorProto.FLOAT, ["batch", axis]),
        *graph.observations(),
    ]
    return make_model(graph.build("encoder", inputs, outputs), metadata, "Token ids to code vectors of unit norm.")


def _read_tokens(graph: Graph, encoder: Encoder) -> tuple[str, str, int]:
    """Append embedding and LSTM layers.

    Returns:
        The last layer's states (time, batch, directions x hidden), its final states (directions, batch, hidden),
        and directions x hidden.
    """
    lengths = graph.node("Cast", ["lengths"], "lengths.int32", to=TensorProto.INT32)
    by_time = graph.node("Transpose", ["tokens"], "tokens.by_time", perm=[1, 0])  # (time, batch)
    # (time, batch, embedding)
    states = graph.lookup("embedding", array(encoder.embedding.weight), by_time, "embedded")
    final, size = "", 0
    for number in range(len(encoder.forward_layers)):
        name = f"lstm.{number}"
        directions = [LSTMWeights.of(encoder.forward_layers[number])]
        if len(encoder.backward_layers):
            directions.append(LSTMWeights.of(encoder.backward_layers[number]))
        biases = [np.concatenate([each.input_bias, each.recurrent_bias]) for each in directions]
        size = directions[0].hidden_size * len(directions)
        final = f"{name}.final"
        graph.multiply(
            "LSTM",
            [
                states,
                (f"{name}.inputs", np.stack([each.inputs for each in directions])),
                (f"{name}.recurrent", np.stack([each.recurrent for each in directions])),
                graph.constant(f"{name}.bias", np.stack(biases), np.float32),
            ],
            [f"{name}.states", final],  # (time, directions, batch, hidden), (directions, batch, hidden)
            # The backward direction of a row begins at the row's own last token.
            [lengths],
            direction="bidirectional" if len(directions) == 2 else "forward",
            hidden_size=directions[0].hidden_size,
        )
        by_place = graph.node("Transpose", [f"{name}.states"], f"{name}.by_place", perm=[0, 2, 1, 3])
        shape = graph.constant("lstm.shape", [0, 0, size])
        states = graph.node("Reshape", [by_place, shape], f"{name}.joined")
    return states, final, size


def _read_in_loops(graph: Graph, encoder: Encoder) -> tuple[str, str, int]:
    """Append embedding and LSTM layers as ``_read_tokens`` does, as loops instead of LSTM operators."""
    by_time = graph.node("Transpose", ["tokens"], "tokens.by_time", perm=[1, 0])  # (time, batch)
    states = graph.lookup("embedding", array(encoder.embedding.weight), by_time, "embedded")
    append_zero_state(graph, int(LSTMWeights.of(encoder.forward_layers[0]).hidden_size))
    if encoder.last_state:
        real = _real_places(graph, "running")
        by_time = graph.node("Transpose", [real], "running.rows", perm=[1, 0])  # (time, batch)
        graph.node("Unsqueeze", [by_time, graph.constant("axis.2", [2])], "running.by_step")
    final, size = "", 0
    for number, layer in enumerate(encoder.forward_layers):
        directions = [LSTMWeights.of(layer)]
        if len(encoder.backward_layers):
            directions.append(LSTMWeights.of(encoder.backward_layers[number]))
        last = number + 1 == len(encoder.forward_layers)
        # Whether nothing but products, of the next layer or of the projection, reads the states.
        as_read = not last or isinstance(encoder.projection, nn.Linear)
        states, final = append_lstm_layer(
            graph, f"lstm.{number}", states, directions, hold=encoder.last_state, as_read=as_read
        )
        size = directions[0].hidden_size * len(directions)
    return states, final, size


def _mask_of_ones(graph: Graph) -> None:
    """Append the mask of a single code, whose one vector is always real."""
    batch = graph.node("Shape", ["lengths"], "batch")  # [batch]
    shape = graph.node("Concat", [batch, graph.constant("one.vector", [1])], "code_mask.shape", axis=0)
    one = helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0])
    graph.node("ConstantOfShape", [shape], "code_mask", value=one)


def _divide_by_norm(graph: Graph, vectors: str, output: str) -> str:
    """Append vectors divided by their norms: (batch, vectors, size) to the same."""
    norm = graph.node("ReduceL2", [vectors], f"{output}.norm", axes=[2], keepdims=1)  # (batch, vectors, 1)
    smallest = graph.constant("smallest_norm", SMALLEST_NORM, np.float32)
    divisor = graph.node("Max", [norm, smallest], f"{output}.norm.clamped")
    return graph.node("Div", [vectors, divisor], output)


def _superpose(graph: Graph, superposition: Superposition, vectors: str) -> int:
    """Append ``code``, the sum of (batch, time, size) vectors, each permuted by its position; return its dimensions."""
    code_size, size = superposition.spread.weight.shape
    axis_1 = graph.constant("axis.1", [1])
    _mask_of_lengths(graph, "real")
    axis_0, axis_2 = graph.constant("axis.0", [0]), graph.constant("axis.2", [2])
    # A batch may be padded beyond the places.
    bounds = [axis_0, graph.constant("places.end", [superposition.places]), axis_1]
    vectors = graph.node("Slice", [vectors, *bounds], "vectors.placed")
    mask = graph.node("Slice", ["real", *bounds], "real.placed")
    column = graph.node("Unsqueeze", [mask, axis_2], "real.column")  # (batch, time, 1)
    kept = graph.node("Mul", [vectors, column], "vectors.kept")
    rows = graph.node("Reshape", [kept, graph.constant("spread.rows.shape", [-1, size])], "spread.read")
    product = graph.matmul(rows, "spread", array(superposition.spread.weight), None, "spread.product")
    sizes = graph.node("Shape", [vectors], "vectors.sizes")
    places = graph.node("Slice", [sizes, axis_0, axis_2], "vectors.places")
    width = graph.constant("code_size", [code_size])
    shape = graph.node("Concat", [places, width], "spread.shape", axis=0)
    wide = graph.node("Reshape", [product, shape], "spread.wide")  # (batch, time, code)
    time = graph.node("Slice", [sizes, axis_1, axis_2], "vectors.time")
    orders = graph.constant("permutations", superposition.permutations.numpy(), np.int32)  # (places, code)
    own = graph.node("Slice", [orders, axis_0, time], "turned.own")
    everywhere = graph.node("Expand", [own, shape], "turned.everywhere")
    turned = graph.node("GatherElements", [wide, everywhere], "turned.wide", axis=2)
    summed = graph.node("ReduceSum", [turned, axis_1], "turned.sum", keepdims=1)  # (batch, 1, code)
    whole = graph.node("ReduceSum", [wide, axis_1], "summary.sum", keepdims=1)
    count = graph.node("ReduceSum", [column, axis_1], "summary.count", keepdims=1)  # (batch, 1, 1)
    summary = graph.node("Div", [whole, graph.node("Sqrt", [count], "summary.root")], "summary")
    _divide_by_norm(graph, graph.node("Add", [summed, summary], "code.sum"), "code")
    return int(code_size)


def _mask_of_lengths(graph: Graph, output: str) -> None:
    """Append the mask of a sequence: positions before each row's length are real."""
    graph.node("Cast", [_real_places(graph, output)], output, to=TensorProto.FLOAT)


def _real_places(graph: Graph, name: str) -> str:
    """Append a mask of the positions before each row's length, (batch, time)."""
    zero, one = (graph.constant(f"number.{number}", number) for number in (0, 1))
    sizes = graph.node("Shape", ["tokens"], f"{name}.sizes")
    time = graph.node("Gather", [sizes, one], f"{name}.time")
    places = graph.node("Range", [zero, time, one], "places")  # (time,)
    column = graph.node("Unsqueeze", ["lengths", graph.constant("axis.1", [1])], "lengths.column")  # (batch, 1)
    return graph.node("Less", [places, column], "places.real")
