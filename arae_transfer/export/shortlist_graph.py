"""The vocabulary shortlist of a decoder, as nodes of its graph.

A rewrite consists of tokens of its source and of some tokens typical of its class. So a row may choose among its
source's tokens and a list of the class, a tenth of the vocabulary, and the output layer of each step is smaller
(vocabulary selection: L'Hostis et al. 2016; Bogoychev et al. 2020 for CPUs). The rows of a batch share the class's
list, whose part of the output matrix is prepared when the file is opened, and the tokens of all their sources. A row
may choose only its own source's tokens, so a line's answer does not depend on the other lines.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from onnx import TensorProto, helper

from arae_transfer.export.graph import Graph
from arae_transfer.export.weights import Float32
from arae_transfer.tokenizer import BEGIN_ID, PAD_ID, UNKNOWN_ID

_LOWEST = float(np.finfo(np.float32).min)


def listed_choices(shortlist: Sequence[int], block: int) -> list[int]:
    """Return the ids of a list in ascending order, padded at the end to a multiple of the block size."""
    listed = sorted(shortlist)
    return [*listed, *[PAD_ID] * (-len(listed) % block)]


def append_choices(
    graph: Graph, name: str, weight: Float32, bias: Float32, shortlist: Sequence[int], block: int, output: str
) -> None:
    """Append the choices of the lines of a batch.

    It reads ``source`` int64 (lines, time): the padded ids of the sources; if ``time`` is 0, the whole vocabulary may
    be chosen. It appends ``choices`` int64 (choices,): those of ``listed_choices``, then further ones, ascending ids
    padded to at least one block and to a multiple of the block size; ``output`` (lines, further): the biases of the
    further ones, and the lowest number where a line may not choose one; and their rows of the output matrix, for
    ``Graph.matmul_shortlist``.

    Args:
        graph: The outermost graph.
        name: The name of the output matrix.
        weight: The output matrix, (vocabulary, inputs).
        bias: Its biases, (vocabulary,), which are so low at ids without text that these are never chosen.
        shortlist: The ids that every line may choose, with the end id.
        block: The size of a block.
        output: The name of the biases.
    """
    axis_0, axis_1 = (graph.constant(f"axis.{axis}", [axis]) for axis in (0, 1))
    zero = graph.constant("number.0", 0)
    # What may be a further choice: it has text, and is in no line's list anyway.
    open_ids = np.ones(len(bias), np.int32)
    open_ids[[PAD_ID, UNKNOWN_ID, BEGIN_ID, *shortlist]] = 0
    unlisted = graph.constant("choices.unlisted", open_ids, np.int32)
    shape = graph.node("Shape", ["source"], "choices.source.shape")
    time = graph.node("Slice", [shape, axis_1, graph.constant("axis.2", [2])], "choices.source.time")
    without = graph.node("Equal", [time, graph.constant("choices.nothing", [0])], "source.missing")
    everything = graph.node("Cast", [without], "source.missing.number", to=TensorProto.INT32)
    for_all = graph.node("Mul", [unlisted, everything], "choices.for_all")
    tokens = graph.node("Reshape", ["source", graph.constant("every", [-1])], "choices.source.flat")
    of_source = graph.node("Gather", [unlisted, tokens], "choices.source.unlisted")
    # A scattered id comes once or often with the same mark: 1, or 0 where it is no further choice.
    used = graph.node("ScatterElements", [for_all, tokens, of_source], "choices.used")  # (vocabulary,)
    found = graph.node("NonZero", [used], "choices.found")
    flat = graph.node("Squeeze", [found, axis_0], "choices.flat")
    number = graph.node("Gather", [graph.node("Shape", [flat], "choices.shape"), zero], "choices.number")
    # To a whole number of blocks, and by one pad id at least.
    size = graph.constant("block.size", block)
    last = graph.node("Mod", [number, size], "choices.last")
    missing = graph.node("Sub", [size, last], "choices.missing")
    axis_missing = graph.node("Reshape", [missing, graph.constant("every", [-1])], "choices.missing.axis")
    pad = helper.make_tensor("choices.pad", TensorProto.INT64, [1], [PAD_ID])
    filling = graph.node("ConstantOfShape", [axis_missing], "choices.filling", value=pad)
    further = graph.node("Concat", [flat, filling], "choices.further", axis=0)
    listed = graph.constant("choices.listed", listed_choices(shortlist, block))
    graph.node("Concat", [listed, further], "choices", axis=0)
    # What all lines may take has its bias, then each line's own tokens have theirs.
    stored = graph.constant("output.bias", bias, np.float32)
    biases = graph.node("Gather", [stored, further], "choices.biases")
    marks = graph.node("Gather", [for_all, further], "choices.marks")
    open_to_all = graph.node("Cast", [marks], "choices.open", to=TensorProto.BOOL)
    lowest = graph.constant("lowest", _LOWEST, np.float32)
    common = graph.node("Where", [open_to_all, biases, lowest], "choices.common")  # (further,)
    lines = graph.node("Slice", [shape, axis_0, axis_1], "choices.lines")
    width = graph.node("Shape", [further], "choices.width")
    table = graph.node("Concat", [lines, width], "choices.table.shape", axis=0)
    for_lines = graph.node("Expand", [common, table], "choices.for_lines")
    # The place of each id among the further choices; of other ids that of the first pad id, which is never chosen.
    counted = graph.node("CumSum", [used, zero], "choices.counted")
    as_long = graph.node("Cast", [counted], "choices.counted.long", to=TensorProto.INT64)
    before = graph.node("Sub", [as_long, graph.constant("number.1", 1)], "choices.before")
    is_used = graph.node("Cast", [used], "choices.is_used", to=TensorProto.BOOL)
    places = graph.node("Where", [is_used, before, number], "choices.places")
    mine = graph.node("Gather", [places, "source"], "choices.source.places")
    own = graph.node("Gather", [biases, mine], "choices.source.biases")  # (lines, time)
    graph.node("ScatterElements", [for_lines, mine, own], output, axis=1)
    graph.gather_rows(name, weight, further)
