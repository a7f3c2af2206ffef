"""The part of the vocabulary that a decoder chooses among when it rewrites, as nodes of its graph.

A rewrite says again what its source says, and some of the words that its class likes; no other token is ever written.
So a row may choose among its own source's tokens and a list of the class, a tenth of the vocabulary, and each step
multiplies by that much less (vocabulary selection: L'Hostis et al. 2016; Bogoychev et al. 2020 for CPUs). The rows of a
batch share one list, all their sources' tokens with it, but each may take its own and the class's alone: a line's
answer does not depend on its neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from arae_transfer.export.graph import Graph
from arae_transfer.export.weights import Float32
from arae_transfer.tokenizer import BEGIN_ID, PAD_ID, UNKNOWN_ID

_LOWEST = float(np.finfo(np.float32).min)


def append_choices(
    graph: Graph, name: str, weight: Float32, bias: Float32, shortlist: Sequence[int], block: int
) -> None:
    """Append what the rows of a batch choose among.

    It reads ``source`` int64 (rows, time): the ids of what is rewritten, padded with the pad id; where ``time`` is 0,
    the whole vocabulary may be chosen. It makes ``choices`` int64 (choices,): ascending ids, filled up at the end with
    pad ids to whole blocks; ``choices.added`` (rows, choices): their biases, and the lowest number where a row may not
    take one; and the rows of the output matrix, for ``Graph.selected_product``.

    Args:
        graph: The outermost graph.
        name: The name of the output matrix.
        weight: The output matrix, (vocabulary, inputs).
        bias: Its biases, (vocabulary,).
        shortlist: The ids that every row may choose, the end id among them.
        block: The size of a block.
    """
    vocabulary = len(bias)
    axis_0, axis_1 = (graph.constant(f"axis.{axis}", [axis]) for axis in (0, 1))
    zero, one = (graph.constant(f"number.{number}", number) for number in (0, 1))
    text = np.ones(vocabulary, np.float32)
    text[[PAD_ID, UNKNOWN_ID, BEGIN_ID]] = 0.0
    listed = np.zeros(vocabulary, np.float32)
    listed[list(shortlist)] = 1.0
    shape = graph.node("Shape", ["source"], "choices.source.shape")
    rows = graph.node("Slice", [shape, axis_0, axis_1], "choices.rows")
    size = graph.constant("choices.vocabulary", [vocabulary])
    table = graph.node("Concat", [rows, size], "choices.table.shape", axis=0)
    nothing, marks = (numpy_helper.from_array(np.array([mark], np.float32)) for mark in (0.0, 1.0))
    empty = graph.node("ConstantOfShape", [table], "choices.none", value=nothing)
    marked = graph.node("ConstantOfShape", [shape], "source.marks", value=marks)
    own = graph.node("ScatterElements", [empty, "source", marked], "choices.source", axis=1)  # (rows, vocabulary)
    time = graph.node("Slice", [shape, axis_1, graph.constant("axis.2", [2])], "choices.source.time")
    without = graph.node("Equal", [time, graph.constant("choices.nothing", [0])], "source.missing")
    everything = graph.node("Cast", [without], "source.missing.number", to=TensorProto.FLOAT)
    ours = graph.node("Max", [own, graph.constant("shortlist", listed, np.float32), everything], "choices.any")
    allowed = graph.node("Mul", [ours, graph.constant("choices.text", text, np.float32)], "choices.allowed")
    used = graph.node("ReduceMax", [allowed], "choices.used", axes=[0], keepdims=0)  # (vocabulary,)
    found = graph.node("NonZero", [used], "choices.found")
    flat = graph.node("Squeeze", [found, axis_0], "choices.flat")
    number = graph.node("Gather", [graph.node("Shape", [flat], "choices.shape"), zero], "choices.number")
    # To a whole number of blocks: minus the number, modulo the block.
    negative = graph.node("Sub", [zero, number], "choices.negative")
    missing = graph.node("Mod", [negative, graph.constant("block.size", block)], "choices.missing")
    axis_missing = graph.node("Reshape", [missing, one], "choices.missing.axis")
    pad = helper.make_tensor("choices.pad", TensorProto.INT64, [1], [PAD_ID])
    filling = graph.node("ConstantOfShape", [axis_missing], "choices.filling", value=pad)
    choices = graph.node("Concat", [flat, filling], "choices", axis=0)
    mine = graph.node("Gather", [allowed, choices], "choices.mine", axis=1)  # (rows, choices)
    refused = graph.node("Sub", [mine, graph.constant("one", 1.0, np.float32)], "choices.refused")
    lowest = graph.node("Mul", [refused, graph.constant("highest", -_LOWEST, np.float32)], "choices.lowest")
    # What has no text is refused once already; twice would be no number any more.
    stored = graph.constant("output.bias", np.where(text > 0, bias, 0.0), np.float32)
    biases = graph.node("Gather", [stored, choices], "choices.biases")
    graph.node("Add", [lowest, biases], "choices.added")
    graph.selected(name, weight, choices)
