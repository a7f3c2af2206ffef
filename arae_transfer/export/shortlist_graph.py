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
from onnx import TensorProto, helper

from arae_transfer.export.graph import Graph
from arae_transfer.export.weights import Float32
from arae_transfer.tokenizer import BEGIN_ID, PAD_ID, UNKNOWN_ID

_LOWEST = float(np.finfo(np.float32).min)


def append_choices(
    graph: Graph, name: str, weight: Float32, bias: Float32, shortlist: Sequence[int], block: int, output: str
) -> None:
    """Append what the lines of a batch choose among.

    It reads ``source`` int64 (lines, time): the ids of what is rewritten, padded with the pad id; where ``time`` is 0,
    the whole vocabulary may be chosen. It makes ``choices`` int64 (choices,): ascending ids, filled up at the end with
    pad ids to whole blocks; ``output`` (lines, choices): their biases, and the lowest number where a line may not
    take one; and the rows of the output matrix, for ``Graph.selected_product``.

    Args:
        graph: The outermost graph.
        name: The name of the output matrix.
        weight: The output matrix, (vocabulary, inputs).
        bias: Its biases, (vocabulary,).
        shortlist: The ids that every line may choose, the end id among them.
        block: The size of a block.
        output: The name of the biases.
    """
    vocabulary = len(bias)
    axis_0, axis_1 = (graph.constant(f"axis.{axis}", [axis]) for axis in (0, 1))
    zero = graph.constant("number.0", 0)
    # What has no text is never chosen; all other ids are greater than these, and the least of all is the end id, which
    # is in every list.
    text = np.ones(vocabulary, np.int32)
    text[[PAD_ID, UNKNOWN_ID, BEGIN_ID]] = 0
    listed = np.zeros(vocabulary, np.int32)
    listed[list(shortlist)] = 1
    shape = graph.node("Shape", ["source"], "choices.source.shape")
    time = graph.node("Slice", [shape, axis_1, graph.constant("axis.2", [2])], "choices.source.time")
    without = graph.node("Equal", [time, graph.constant("choices.nothing", [0])], "source.missing")
    everything = graph.node("Cast", [without], "source.missing.number", to=TensorProto.INT32)
    ours = graph.node("Max", [graph.constant("shortlist", listed, np.int32), everything], "choices.any_line")
    for_all = graph.node("Mul", [ours, graph.constant("choices.text", text, np.int32)], "choices.for_all")
    tokens = graph.node("Reshape", ["source", graph.constant("every", [-1])], "choices.source.flat")
    of_source = graph.node("Gather", [graph.constant("choices.text", text, np.int32), tokens], "choices.source.text")
    # A scattered id comes once or often with the same mark: 1, or 0 where it has no text.
    used = graph.node("ScatterElements", [for_all, tokens, of_source], "choices.used")  # (vocabulary,)
    found = graph.node("NonZero", [used], "choices.found")
    flat = graph.node("Squeeze", [found, axis_0], "choices.flat")
    number = graph.node("Gather", [graph.node("Shape", [flat], "choices.shape"), zero], "choices.number")
    # To a whole number of blocks: minus the number, modulo the block.
    negative = graph.node("Sub", [zero, number], "choices.negative")
    missing = graph.node("Mod", [negative, graph.constant("block.size", block)], "choices.missing")
    axis_missing = graph.node("Reshape", [missing, graph.constant("every", [-1])], "choices.missing.axis")
    pad = helper.make_tensor("choices.pad", TensorProto.INT64, [1], [PAD_ID])
    filling = graph.node("ConstantOfShape", [axis_missing], "choices.filling", value=pad)
    choices = graph.node("Concat", [flat, filling], "choices", axis=0)
    # What all lines may take has its bias, then each line's own tokens have theirs.
    stored = graph.constant("output.bias", np.where(text > 0, bias, _LOWEST), np.float32)
    biases = graph.node("Gather", [stored, choices], "choices.biases")
    marks = graph.node("Gather", [for_all, choices], "choices.marks")
    open_to_all = graph.node("Cast", [marks], "choices.open", to=TensorProto.BOOL)
    lowest = graph.constant("lowest", _LOWEST, np.float32)
    common = graph.node("Where", [open_to_all, biases, lowest], "choices.common")  # (choices,)
    lines = graph.node("Slice", [shape, axis_0, axis_1], "choices.lines")
    width = graph.node("Shape", [choices], "choices.width")
    table = graph.node("Concat", [lines, width], "choices.table.shape", axis=0)
    for_lines = graph.node("Expand", [common, table], "choices.for_lines")
    # The place of each id among the choices; of ids without text that of the end id, the first.
    counted = graph.node("CumSum", [used, zero], "choices.counted")
    places = graph.node("Max", [counted, graph.constant("choices.first", 1, np.int32)], "choices.places")
    mine = graph.node("Gather", [places, "source"], "choices.source.counted")
    mine = graph.node("Sub", [mine, graph.constant("choices.first", 1, np.int32)], "choices.source.places")
    own = graph.node("Gather", [biases, mine], "choices.source.biases")  # (lines, time)
    graph.node("ScatterElements", [for_lines, mine, own], output, axis=1)
    graph.selected(name, weight, choices)
