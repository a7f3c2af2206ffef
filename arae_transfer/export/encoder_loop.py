"""The encoder's LSTM layers as loops, whose products other arithmetic than ONNX's LSTM operator's can compute.

onnxruntime's own LSTM of 8-bit weights takes one scale for a whole batch, which would let a sentence's answer depend
on its neighbours.
"""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper

from arae_transfer.export.graph import Graph, value
from arae_transfer.export.lstm_step import append_lstm_step
from arae_transfer.export.weights import LSTMWeights


def append_lstm_layer(
    graph: Graph, name: str, states: str, directions: list[LSTMWeights], *, hold: bool
) -> tuple[str, str]:
    """Append a layer that reads forwards, or forwards and backwards.

    It reads the values ``lengths`` int64 (batch) and ``zero.state`` (batch, hidden) of the graph.

    Args:
        graph: The graph.
        name: The layer.
        states: (time, batch, inputs) what it reads.
        directions: The weights of the forward direction and, if it reads backwards too, of the backward one.
        hold: Whether a row keeps its state after its own end, so that final states can be told.

    Returns:
        Its states (time, batch, directions x hidden), in the order of the sentence and of no meaning after a row's
        end, and its final states (directions, batch, hidden), of no meaning without ``hold``.
    """
    hidden = directions[0].hidden_size
    body = graph.body()
    inputs = [value("step", TensorProto.INT64, [1]), value("go_on", TensorProto.BOOL, [1])]
    carried, collected = [], []
    body.node("Identity", ["go_on"], f"{name}.go_on.next")
    for number, weights in enumerate(directions):
        part = f"{name}.{('forward', 'backward')[number]}"
        # In the backward direction each row begins at its own last token.
        read = _reversed(graph, states, f"{part}.read") if number else states
        _input_shares(graph, part, read, weights)
        here = body.node("Gather", [f"{part}.shares", "step"], f"{part}.share")
        here = body.node("Squeeze", [here, body.constant("axis.0", [0])], f"{part}.share.here")  # (batch, 4 x hidden)
        gates = body.product(f"{part}.hidden", f"{part}.recurrent", weights.recurrent, here, f"{part}.gates", rows=True)
        cell = body.between_steps(f"{part}.cell")
        following = (f"{part}.hidden.next", f"{part}.cell.next")
        if hold:
            moved = (f"{part}.hidden.moved", f"{part}.cell.moved")
            append_lstm_step(body, part, gates, cell, hidden, moved)
            running = _running(body, part)
            body.node("Where", [running, moved[0], f"{part}.hidden"], following[0])
            body.node("Where", [running, moved[1], f"{part}.cell"], following[1])
        else:
            append_lstm_step(body, part, gates, cell, hidden, following)
        carried += [f"{part}.hidden", f"{part}.cell"]
        collected.append(body.node("Identity", [following[0]], f"{part}.collected"))
    state_shape: list[str | int] = ["batch", hidden]
    inputs += [value(each, TensorProto.FLOAT, state_shape) for each in carried]
    outputs = [
        value(f"{name}.go_on.next", TensorProto.BOOL, [1]),
        *(value(f"{each}.next", TensorProto.FLOAT, state_shape) for each in carried),
        *(value(each, TensorProto.FLOAT, state_shape) for each in collected),
        *body.collections(),
    ]
    graph.nodes(
        "Loop",
        ["time", graph.constant("always", True, np.bool_), *["zero.state"] * len(carried)],
        [
            *(f"{each}.last" for each in carried),
            *(f"{each}.by_step" for each in collected),
            *body.collected,
        ],
        body=body.build(name, inputs, outputs),
    )
    by_step = [f"{each}.by_step" for each in collected]
    axis_0 = graph.constant("axis.0", [0])
    finals = [graph.node("Unsqueeze", [f"{each}.last", axis_0], f"{each}.final") for each in carried[::2]]
    if len(directions) == 1:
        return by_step[0], finals[0]
    backward = _reversed(graph, by_step[1], f"{name}.backward.by_place")
    joined = graph.node("Concat", [by_step[0], backward], f"{name}.joined", axis=2)
    return joined, graph.node("Concat", finals, f"{name}.final", axis=0)


def append_zero_state(graph: Graph, hidden_size: int) -> None:
    """Append what every layer begins with: ``zero.state`` (batch, hidden), and the number of steps, ``time``."""
    shape = graph.node("Shape", ["tokens"], "tokens.shape")
    graph.node("Gather", [shape, graph.constant("number.1", 1)], "time")
    batch = graph.node("Slice", [shape, graph.constant("axis.0", [0]), graph.constant("axis.1", [1])], "batch.size")
    state_shape = graph.node("Concat", [batch, graph.constant("hidden_size", [hidden_size])], "state.shape", axis=0)
    zero = helper.make_tensor("zero", TensorProto.FLOAT, [1], [0.0])
    graph.node("ConstantOfShape", [state_shape], "zero.state", value=zero)


def _reversed(graph: Graph, states: str, output: str) -> str:
    """Append the states with the real places of each row in reverse order."""
    return graph.node("ReverseSequence", [states, "lengths"], output, time_axis=0, batch_axis=1)


def _input_shares(graph: Graph, part: str, read: str, weights: LSTMWeights) -> None:
    """Append what the inputs give to the gates, for all places at once: ``shares`` (time, batch, 4 x hidden)."""
    flat = graph.constant(f"{part}.flat", [-1, weights.inputs.shape[1]])
    rows = graph.node("Reshape", [read, flat], f"{part}.rows")  # (time x batch, inputs)
    bias = graph.constant(f"{part}.bias", weights.input_bias + weights.recurrent_bias, np.float32)
    product = graph.product(rows, f"{part}.inputs", weights.inputs, bias, f"{part}.product")
    sizes = graph.node("Shape", [read], f"{part}.sizes")
    two = graph.node("Slice", [sizes, graph.constant("axis.0", [0]), graph.constant("axis.2", [2])], f"{part}.places")
    shape = graph.node("Concat", [two, graph.constant("axis.last", [-1])], f"{part}.shape", axis=0)
    graph.node("Reshape", [product, shape], f"{part}.shares")


def _running(body: Graph, part: str) -> str:
    """Append whether each row goes on at this step: (batch, 1)."""
    before_end = body.node("Less", ["step", "lengths"], f"{part}.running")
    return body.node("Unsqueeze", [before_end, body.constant("axis.1", [1])], f"{part}.running.column")
