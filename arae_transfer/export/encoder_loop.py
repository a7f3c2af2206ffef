"""The encoder's LSTM layers as loops, for precisions that ONNX's LSTM operator lacks.

onnxruntime's own LSTM of 8-bit weights uses one scale for a whole batch, so a sentence's answer would depend on the
other sentences.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper

from arae_transfer.export.graph import Graph, value
from arae_transfer.export.lstm_step import append_lstm_step
from arae_transfer.export.weights import LSTMWeights


def append_lstm_layer(
    graph: Graph, name: str, states: str, directions: list[LSTMWeights], *, hold: bool, as_read: bool
) -> tuple[str, str]:
    """Append a layer that reads forwards, or forwards and backwards.

    It reads ``lengths`` int64 (batch), the values of ``append_zero_state`` and, with ``hold``, ``running.by_step`` bool
    (time, batch, 1), whether a row continues.

    Args:
        graph: The graph.
        name: The layer.
        states: (time, batch, inputs) its input.
        directions: The weights of the forward direction and, if it reads backwards too, of the backward one.
        hold: Whether a row keeps its state after its own end, so that the final states can be returned.
        as_read: Whether the returned states are only operands of matmuls, as ``Graph.state_operand`` returns them.

    Returns:
        Its states (time, batch, directions x hidden), in the order of the sentence and undefined after a row's end, and
        its final states (directions, batch, hidden), undefined without ``hold``.
    """
    ways = ("forward", "backward")[: len(directions)]
    hidden, size = directions[0].hidden_size, directions[0].inputs.shape[1]
    body = graph.body()
    read = [graph.operand(states, f"{name}.forward.weight", slice(size))]
    if len(directions) == 2:
        # In the backward direction each row begins at its own last token.
        read.append(_reversed(graph, read[0], f"{name}.backward.read"))
    carried, following, collected = [], [], []
    for way, weights in zip(ways, directions, strict=True):
        part = f"{name}.{way}"
        here, before = f"{part}.here", f"{part}.hidden"
        body.share_scale(read[0], here)
        if hold:
            before = body.state_operand(before)
        else:
            body.mark_quantized_states(before)
        bias = (f"{part}.bias", weights.input_bias + weights.recurrent_bias)
        joined = np.concatenate([weights.inputs, weights.recurrent], axis=1)
        gates = body.gates({here: size, before: hidden}, f"{part}.weight", joined, f"{part}.gates", bias=bias)
        cell = body.carried_state(f"{part}.cell")
        new, new_cell = append_lstm_step(body, part, gates, cell, (f"{part}.hidden.new", f"{part}.cell.new"))
        if hold:
            new = body.node("Where", ["running", new, f"{part}.hidden"], f"{part}.hidden.next")
            new_cell = body.node("Where", ["running", new_cell, f"{part}.cell"], f"{part}.cell.next")
        kept = new if hold else body.state_operand(new)
        shown = kept if as_read else new
        if shown == kept:
            # A value cannot be carried to the next step and collected at the same time.
            shown = body.node("Identity", [kept], f"{part}.collected")
            body.share_scale(kept, shown)
        carried += [f"{part}.hidden", f"{part}.cell"]
        following += [kept, new_cell]
        collected.append(shown)
        graph.share_scale(shown, f"{shown}.by_step")
    if hold:
        read.append("running.by_step")
    zero = "zero.cell" if hold else "zero.state"
    graph.nodes(
        "Scan",
        [*[zero, "zero.cell"] * len(directions), *read],
        [*(f"{each}.last" for each in carried), *(f"{each}.by_step" for each in collected), *body.collected],
        body=_build_body(body, name, ways, (size, hidden), carried, following, collected, hold=hold),
        num_scan_inputs=len(read),
    )
    by_step = [f"{each}.by_step" for each in collected]
    axis_0 = graph.constant("axis.0", [0])
    finals = [graph.node("Unsqueeze", [f"{each}.last", axis_0], f"{each}.final") for each in carried[::2]]
    if len(directions) == 1:
        return by_step[0], finals[0]
    backward = _reversed(graph, by_step[1], f"{name}.backward.by_place")
    output = graph.node("Concat", [by_step[0], backward], f"{name}.joined", axis=2)
    graph.share_scale(backward, output)
    return output, graph.node("Concat", finals, f"{name}.final", axis=0)


def _build_body(
    body: Graph,
    name: str,
    ways: Sequence[str],
    sizes: tuple[int, int],
    carried: Sequence[str],
    following: Sequence[str],
    collected: Sequence[str],
    *,
    hold: bool,
) -> onnx.GraphProto:
    size, hidden = sizes
    read = [value(f"{name}.{way}.here", body.element_type(f"{name}.{way}.here"), ["batch", size]) for way in ways]
    running = [value("running", TensorProto.BOOL, ["batch", 1])] if hold else []

    def states(names: Sequence[str]) -> list[onnx.ValueInfoProto]:
        return [value(each, body.element_type(each), ["batch", hidden]) for each in names]

    outputs = [*states(following), *states(collected), *body.collections()]
    return body.build(name, [*states(carried), *read, *running], outputs)


def append_zero_state(graph: Graph, hidden_size: int) -> None:
    """Append the initial states of all layers: ``zero.state``, as steps carry it, and ``zero.cell`` (batch, hidden)."""
    shape = graph.node("Shape", ["lengths"], "batch.size")  # [batch]
    state_shape = graph.node("Concat", [shape, graph.constant("hidden_size", [hidden_size])], "state.shape", axis=0)
    for name, kind, first in (("state", graph.state_type, graph.first_state), ("cell", TensorProto.FLOAT, 0)):
        tensor = helper.make_tensor(f"{name}.first", kind, [1], [first])
        graph.node("ConstantOfShape", [state_shape], f"zero.{name}", value=tensor)


def _reversed(graph: Graph, states: str, output: str) -> str:
    """Append the states with the real positions of each row in reverse order."""
    graph.share_scale(states, output)
    return graph.node("ReverseSequence", [states, "lengths"], output, time_axis=0, batch_axis=1)
