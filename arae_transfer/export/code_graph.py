"""The part of a decoder's graph before its loop: values that depend only on the code, computed once per sentence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from onnx import TensorProto, helper

from arae_transfer.export.decoding_loop import Description
from arae_transfer.export.graph import GATES, Graph
from arae_transfer.export.shortlist_graph import append_choices
from arae_transfer.export.weights import Float32, LSTMWeights, array
from arae_transfer.model.decoder import Decoder
from arae_transfer.model.superposition import Superposition
from arae_transfer.tokenizer import BEGIN_ID, PAD_ID, UNKNOWN_ID

LOWEST = float(np.finfo(np.float32).min)
# Logits in a block, see append_blocks: about the root of usual vocabularies, and whole vector registers.
BLOCK = 64


def code_axes(decoder: Decoder) -> tuple[str | int, int]:
    """Return the last two axes of a code: a name or a number of vectors, and their dimensions."""
    if decoder.superposition is not None:
        return 1, decoder.superposition.read.in_features
    return "vectors" if decoder.attends else 1, decoder.first.input_size - decoder.embedding.embedding_dim


def state_names(decoder: Decoder) -> list[str]:
    """Return the names of the LSTM states."""
    return [f"{kind}.{number}" for number in range(1 + len(decoder.upper)) for kind in ("hidden", "cell")]


def read_code(
    graph: Graph,
    decoder: Decoder,
    shortlist: Sequence[int] | None,
    lines: str | None = None,
) -> None:
    """Append the values that depend only on the code or the source, and are computed once per sentence.

    The loop begins with these values as ``NAME.first``: those of ``shares_of``, the part of the first layer's gates
    that comes from the mean of the code and the biases; with attention ``attended`` (batch, vectors, size), and
    ``mask.penalty`` (batch, 1, vectors) if vectors may be padding; otherwise ``context`` (rows, code_size); with a
    shortlist ``choices.added`` and the other values of ``append_choices``. With attention also ``nearness.by_step``
    (maximum_length, vectors), and the shape ``query.by_line``.

    Args:
        graph: The graph.
        decoder: The decoder.
        shortlist: As in ``build_decoder``.
        lines: A value (rows,), the index in the batch of each row's code; the rows of a code are consecutive, and
            equally many for each. None: one row for each code.
    """

    def for_rows(append: Callable[[str], object], output: str) -> None:
        append(output if lines is None else f"line.{output}")
        if lines is not None:
            graph.node("Gather", [f"line.{output}", lines], output)

    if shortlist is not None:
        name, matrix, biases = output_layer(decoder)
        for_rows(partial(append_choices, graph, name, matrix, biases, shortlist, BLOCK), "choices.added.first")
    axis_1 = graph.constant("axis.1", [1])
    mean = _mean_of_code(graph) if decoder.superposition is None else _unbind(graph, decoder.superposition)
    weights = LSTMWeights.of(decoder.first)
    for_mean = weights.inputs[:, decoder.embedding.embedding_dim :]  # (4 x hidden, code_size)
    bias = ("layer.0.bias", weights.input_bias + weights.recurrent_bias)
    if graph.splits_gates:
        found = graph.gates(mean, "layer.0.mean", for_mean, "code.share", bias=bias)
    else:
        found = [graph.matmul(mean, "layer.0.mean", for_mean, graph.constant(*bias, np.float32), "code.share")]
    for share, name in zip(found, shares_of(graph, decoder), strict=True):
        if lines is None:
            graph.node("Identity", [share], f"{name}.first")
        else:
            graph.node("Gather", [share, lines], f"{name}.first")
    if decoder.query is not None and decoder.nearness is not None:
        _nearness_by_step(
            graph, array(decoder.nearness), "code_mask" if decoder.superposition is None else "code.places"
        )
        graph.node("Identity", ["code" if decoder.superposition is None else "code.places"], "attended.first")
        sizes = [graph.constant("every", [-1]), graph.constant("query.size", [decoder.query.out_features])]
        width = graph.constant("axis.1", [1]) if lines is None else "width.axis"
        graph.node("Concat", [sizes[0], width, sizes[1]], "query.by_line", axis=0)
    if decoder.attends and decoder.superposition is None:
        # 0 at real vectors and the lowest number at padding, which leaves it no weight.
        padding = graph.node("Sub", ["code_mask", graph.constant("one", 1.0, np.float32)], "padding")
        lowest = graph.node("Mul", [padding, graph.constant("highest", -LOWEST, np.float32)], "padding.lowest")
        graph.node("Unsqueeze", [lowest, axis_1], "mask.penalty.first")
    elif not decoder.attends:
        for_rows(lambda output: graph.node("Squeeze", ["code", axis_1], output), "context.first")


def shares_of(graph: Graph, decoder: Decoder) -> dict[str, int]:
    """Return the names of the addends of the first layer's gates that differ by row, and their last axis."""
    size = decoder.first.hidden_size
    if not graph.splits_gates:
        return {"layer.0.share": len(GATES) * size}
    return {f"layer.0.share.{gate}": size for gate in GATES}


def read_by_row(graph: Graph, decoder: Decoder, *, short: bool) -> dict[str, Description]:
    """Return the names, types and further axes of the values of ``read_code`` for each row."""
    real = TensorProto.FLOAT
    values: dict[str, Description] = {name: (real, [size]) for name, size in shares_of(graph, decoder).items()}
    if short:
        values["choices.added"] = (real, ["further"])
    if not decoder.attends:
        values["context"] = (real, [code_axes(decoder)[1]])
    return values


def read_by_line(decoder: Decoder) -> dict[str, Description]:
    """Return the names, types and further axes of the values of ``read_code`` for each line."""
    if decoder.query is None:
        return {}
    real = TensorProto.FLOAT
    values: dict[str, Description] = {"attended": (real, ["vectors", decoder.query.out_features])}
    if decoder.superposition is None:
        values["mask.penalty"] = (real, [1, "vectors"])
    return values


def _mean_of_code(graph: Graph) -> str:
    """Append the mean of the real vectors, (batch, code_size)."""
    axis_1 = graph.constant("axis.1", [1])
    row = graph.node("Unsqueeze", ["code_mask", axis_1], "code_mask.row")  # (batch, 1, vectors)
    added = graph.node("MatMul", [row, "code"], "code.added")  # (batch, 1, code_size)
    total = graph.node("Squeeze", [added, axis_1], "code.sum")
    count = graph.node("ReduceSum", ["code_mask", axis_1], "code.count", keepdims=1)  # (batch, 1)
    return graph.node("Div", [total, count], "code.mean")


def _unbind(graph: Graph, superposition: Superposition) -> str:
    """Append the unbound vectors of a superposed code, ``code.places`` (batch, positions, size); return its summary."""
    size, code_size = superposition.read.weight.shape
    weight = array(superposition.read.weight)
    flat = graph.node("Squeeze", ["code", graph.constant("axis.1", [1])], "code.flat")  # (batch, code)
    order = graph.constant("inverse_permutations", superposition.inverse_permutations.numpy().ravel(), np.int32)
    turned = graph.node("Gather", [flat, order], "code.turned", axis=1)  # (batch, places x code)
    rows = graph.node("Reshape", [turned, graph.constant("code.rows.shape", [-1, code_size])], "code.turned.rows")
    # The summary is read by the same matrix, from the code as it is.
    both = graph.node("Concat", [flat, rows], "code.read", axis=0)  # (batch x (1 + places), code)
    product = graph.matmul(both, "superposition.read", weight, None, "code.lifted")
    batch = graph.node("Shape", ["code"], "code.shape")
    number = graph.node("Slice", [batch, graph.constant("axis.0", [0]), graph.constant("axis.1", [1])], "code.batch")
    zero, end = graph.constant("axis.0", [0]), graph.constant("axis.end", [np.iinfo(np.int64).max])
    summary = graph.node("Slice", [product, zero, number], "code.summary")  # (batch, size)
    rest = graph.node("Slice", [product, number, end], "code.lifted.places")
    shape = graph.constant("code.places.shape", [-1, superposition.places, size])
    graph.node("Reshape", [rest, shape], "code.places")
    return summary


def _nearness_by_step(graph: Graph, nearness: Float32, vectors_of: str) -> None:
    """Append the positional bias of attention at each step: (maximum_length, vectors).

    Args:
        graph: The graph.
        nearness: (2 x farthest + 1,) for the distances of a vector from the step, -farthest to farthest.
        vectors_of: A value whose second axis are the vectors.
    """
    zero, one = (graph.constant(f"number.{number}", number) for number in (0, 1))
    shape = graph.node("Shape", [vectors_of], "places.shape")
    vectors = graph.node("Gather", [shape, one], "places.number")
    places = graph.node("Range", [zero, vectors, one], "places")  # (vectors,)
    steps = graph.node("Range", [zero, "maximum_length", one], "steps")  # (maximum_length,)
    column = graph.node("Unsqueeze", [steps, graph.constant("axis.1", [1])], "steps.column")
    distance = graph.node("Sub", [places, column], "distance")  # (maximum_length, vectors)
    farthest = len(nearness) // 2
    bounds = [graph.constant(f"distance.{bound}", bound) for bound in (-farthest, farthest)]
    clipped = graph.node("Clip", [distance, *bounds], "distance.clipped")
    entry = graph.node("Add", [clipped, bounds[1]], "distance.entry")
    graph.node("Gather", [graph.constant("nearness", nearness, np.float32), entry], "nearness.by_step")


def first_values(graph: Graph, decoder: Decoder, rows: str) -> None:
    """Append the initial values of the loop: the begin id, every row unfinished, and zero states.

    Args:
        graph: The graph.
        decoder: The decoder.
        rows: A value whose first axis are the rows.
    """
    shape = graph.node("Shape", [rows], "rows.shape")
    batch = graph.node("Slice", [shape, graph.constant("axis.0", [0]), graph.constant("axis.1", [1])], "rows")  # [rows]
    begin = helper.make_tensor("begin", TensorProto.INT64, [1], [BEGIN_ID])
    graph.node("ConstantOfShape", [batch], "token.first", value=begin)
    true = helper.make_tensor("true", TensorProto.BOOL, [1], [True])
    graph.node("ConstantOfShape", [batch], "running.first", value=true)
    hidden = graph.constant("hidden_size", [decoder.first.hidden_size])
    state_shape = graph.node("Concat", [batch, hidden], "state.shape", axis=0)
    zero = helper.make_tensor("zero", TensorProto.FLOAT, [1], [0.0])
    first = {"hidden": helper.make_tensor("nothing", graph.state_type, [1], [graph.first_state]), "cell": zero}
    for name in state_names(decoder):
        graph.node("ConstantOfShape", [state_shape], f"{name}.first", value=first[name.partition(".")[0]])


def output_layer(decoder: Decoder) -> tuple[str, Float32, Float32]:
    """Return the name of the output matrix, the matrix (vocabulary, inputs) and its biases (vocabulary,)."""
    tied = decoder.output.weight is decoder.embedding.weight
    # A bias so low that these are never chosen: they have no text.
    bias = array(decoder.output.bias).copy()
    bias[[PAD_ID, UNKNOWN_ID, BEGIN_ID]] = LOWEST
    return "embedding" if tied else "output.weight", array(decoder.output.weight), bias
