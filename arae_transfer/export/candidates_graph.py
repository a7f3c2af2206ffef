"""The decoder of one class as an ONNX graph that writes several hypotheses for each line, by beam search or sampling.

It differs from the greedy decoder in how a step chooses its tokens, and has the same weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper

from arae_transfer.export.code_graph import (
    BLOCK,
    code_axes,
    first_values,
    read_by_line,
    read_by_row,
    read_code,
    state_names,
)
from arae_transfer.export.decoder_graph import append_blocks, append_logits, state_values, states_of
from arae_transfer.export.decoding_loop import DecodingLoop, Description, count_lines
from arae_transfer.export.graph import Graph, Storage, make_model, value
from arae_transfer.model.decoder import Decoder
from arae_transfer.tokenizer import END_ID, PAD_ID

# The log-probability of what must not be chosen: far below any sentence's, and still a number after many additions.
_DEAD = -1e30
# The logarithm of a share that counts as nothing; e to its power is still a normal number.
_NOTHING = -80.0
# What the search carries from step to step for each row, beside the states.
_CARRIED: Mapping[str, Description] = {
    "token": (TensorProto.INT64, []),
    "running": (TensorProto.BOOL, []),
    "total": (TensorProto.FLOAT, []),
    "count": (TensorProto.INT64, []),
}


def build_candidates(
    decoder: Decoder,
    metadata: Mapping[str, str],
    storage: Storage = "fp32",
    graph: Graph | None = None,
    shortlist: Sequence[int] | None = None,
) -> onnx.ModelProto:
    """Build the graph that writes ``width`` hypotheses for each line; ``rows`` below is lines x width.

    With ``temperature`` 0 it runs a beam search. The score of a hypothesis is the mean log-probability of its tokens,
    with the end id, so that long ones are not at a disadvantage. At each step the beam keeps the ``width`` best of its
    finished hypotheses and of all continuations of the others; a line is done when all its hypotheses are. A beam of
    one is greedy decoding. With a higher temperature each hypothesis is sampled token by token: a given uniform number
    selects the token in the cumulative distribution of softmax(logits / temperature).

    Inputs: ``line.code`` float32 (lines, vectors, code_size); ``line.code_mask`` float32 (lines, vectors), 1 at real
    vectors; ``maximum_length`` int64, a scalar; ``limits`` int64 (lines,), the length limit of each line's hypotheses;
    ``width`` int64, a scalar; ``temperature`` float32, a scalar; ``uniforms`` float32 (steps, rows) in [0, 1), which
    beam search does not read; with a shortlist ``line.source`` int64 (lines, time), as ``source`` of ``build_decoder``.

    Outputs: ``tokens`` and ``parents`` int64 (steps, rows): the tokens written at each step, padding after an end, and
    the rows whose hypotheses they continue; ``totals`` float32 (rows,), the log-probability of each hypothesis at the
    last step, at temperature 1; ``counts`` int64 (rows,), its number of tokens.

    Args:
        decoder: The trained decoder. With fp16 storage its matrices must be rounded to fp16 already.
        metadata: The metadata of the file.
        storage: How matrices are stored; arithmetic is fp32.
        graph: As in ``build_decoder``.
        shortlist: As in ``build_decoder``.
    """
    graph = graph or Graph(storage)
    short = shortlist is not None
    _rows_of_lines(graph)
    for name in ("code", "code_mask", *([] if shortlist is None else ["source"])):
        graph.node("Identity", [f"line.{name}"], name)
    read_code(graph, decoder, shortlist, "row.line")
    first_values(graph, decoder, "row.number.first")
    _first_totals(graph)
    loop = DecodingLoop(
        lambda body: _step(body, decoder, shortlist),
        {**_CARRIED, **states_of(graph, decoder)},
        {**read_by_row(graph, decoder, short=short), "limit": (TensorProto.INT64, [])},
        read_by_line(decoder),
        ["tokens", "parents"],
        width="width.axis",
        wanted=["total", "count"],
    )
    loop.append(graph)
    for name in ("total", "count"):
        graph.node("Identity", [f"{name}.last"], f"{name}s")
    axis, code_size = code_axes(decoder)
    inputs = [
        value("line.code", TensorProto.FLOAT, ["lines", axis, code_size]),
        value("line.code_mask", TensorProto.FLOAT, ["lines", axis]),
        value("maximum_length", TensorProto.INT64, []),
        value("limits", TensorProto.INT64, ["lines"]),
        value("width", TensorProto.INT64, []),
        value("temperature", TensorProto.FLOAT, []),
        value("uniforms", TensorProto.FLOAT, ["uniforms.steps", "uniforms.rows"]),
        *([] if shortlist is None else [value("line.source", TensorProto.INT64, ["lines", "source.length"])]),
    ]
    outputs = [
        value("tokens", TensorProto.INT64, ["steps", "rows"]),
        value("parents", TensorProto.INT64, ["steps", "rows"]),
        value("totals", TensorProto.FLOAT, ["rows"]),
        value("counts", TensorProto.INT64, ["rows"]),
    ]
    return make_model(graph.build("candidates", inputs, outputs), metadata, "Code vectors to candidates' token ids.")


def _rows_of_lines(graph: Graph) -> None:
    """Append ``row.number.first``, the numbers of the rows, ``row.line``, those of their lines, and ``limit.first``."""
    zero, one = (graph.constant(f"number.{number}", number) for number in (0, 1))
    shape = graph.node("Shape", ["limits"], "lines.axis")  # [lines]
    width = graph.node("Reshape", ["width", graph.constant("one.axis", [1])], "width.axis")  # [width]
    graph.node("Concat", [shape, width], "lines.by_width", axis=0)
    number = graph.node("Gather", [shape, zero], "lines.number")
    rows = graph.node("Mul", [number, "width"], "rows.number")
    numbers = graph.node("Range", [zero, rows, one], "row.number.first")
    graph.node("Div", [numbers, "width"], "row.line")
    graph.node("Gather", ["limits", "row.line"], "limit.first")


def _first_totals(graph: Graph) -> None:
    """Append the initial values of hypotheses, and constants of the search.

    ``total.first`` (rows,): in beam search only the first hypothesis of each line is alive at the start, or all would
    be equal; ``count.first`` (rows,); ``lone`` (1, width): 0 and then _DEAD, the gains of a finished hypothesis, which
    has a single continuation.
    """
    zero, one = (graph.constant(f"number.{number}", number) for number in (0, 1))
    every, axis_0 = graph.constant("every", [-1]), graph.constant("axis.0", [0])
    nothing = graph.constant("zero", 0.0, np.float32)
    sampling = graph.node("Greater", ["temperature", nothing], "sampling")
    places = graph.node("Range", [zero, "width", one], "width.places")
    is_first = graph.node("Equal", [places, zero], "width.first")
    lone = graph.node("Where", [is_first, nothing, graph.constant("dead", _DEAD, np.float32)], "lone.flat")
    graph.node("Unsqueeze", [lone, axis_0], "lone")
    begun = graph.node("Where", [sampling, nothing, "lone"], "totals.begun")  # (1, width)
    by_line = graph.node("Expand", [begun, "lines.by_width"], "totals.by_line")  # (lines, width)
    graph.node("Reshape", [by_line, every], "total.first")
    none = helper.make_tensor("none", TensorProto.INT64, [1], [0])
    graph.node("ConstantOfShape", ["rows"], "count.first", value=none)


def _step(body: Graph, decoder: Decoder, shortlist: Sequence[int] | None) -> onnx.GraphProto:
    """Build the loop's body: choose tokens and the hypotheses that they extend, and reorder the states."""
    logits, carried = append_logits(body, decoder, shortlist)
    short = shortlist is not None
    vocabulary = None if short else decoder.output.out_features
    axis_1 = body.constant("axis.1", [1])
    by_block, greatest = append_blocks(body, logits, vocabulary)
    # What is far below the greatest adds nothing, but would be added up in numbers below the least normal one, at a
    # tenth of the speed; and what must not be chosen is that far below.
    top = body.node("ReduceMax", [greatest], "logits.top", axes=[1], keepdims=1)  # (rows, 1)
    floor = body.node("Add", [top, body.constant("gains.floor", _NOTHING, np.float32)], "logits.floor")
    raised = body.node("Max", [logits, floor], "logits.raised")
    # One operator reads each row once, while it is near; its parts one after the other would read all rows five times.
    body.node("LogSoftmax", [raised], "gains.all", axis=1)  # (rows, vocabulary)
    body.node("Unsqueeze", ["running", axis_1], "running.column")
    body.nodes(
        "If",
        ["sampling"],
        ["token.next", "parent", "total.next"],
        then_branch=_draw(body.body(), logits, short=short),
        else_branch=_search(body.body(), by_block, greatest, short=short),
    )
    written = body.node("Cast", ["running"], "running.number", to=TensorProto.INT64)
    counted = body.node("Add", ["count", written], "count.own")
    body.node("Gather", [counted, "parent"], "count.next")
    _end(body)
    for name, following in carried.items():
        body.node("Gather", [following, "parent"], f"{name}.kept")
    # A value cannot be carried to the next step and collected at the same time.
    body.node("Identity", ["token.next"], "token.collected")
    body.node("Identity", ["parent"], "parent.collected")
    return _build_body(body, decoder)


def _draw(branch: Graph, logits: str, *, short: bool) -> onnx.GraphProto:
    """Build the sampling step: each row draws a token from its distribution and extends itself."""
    axis_1, one = branch.constant("axis.1", [1]), branch.constant("number.1", 1)
    sizes = branch.node("Shape", [logits], "drawn.sizes")
    number = branch.node("Gather", [sizes, one], "drawn.number")
    last = branch.node("Sub", [number, one], "drawn.last")
    tempered = branch.node("Div", [logits, "temperature"], "logits.tempered")
    shares = branch.node("Softmax", [tempered], "shares", axis=1)
    cumulative = branch.node("CumSum", [shares, branch.constant("number.1", 1)], "shares.cumulative")
    # Rounding may leave the sum beside 1.
    place = branch.node("Reshape", [last, branch.constant("one.axis", [1])], "drawn.last.axis")
    whole = branch.node("Gather", [cumulative, place], "whole", axis=1)
    step = branch.node("Add", ["step", "steps.done"], "uniform.step")
    uniforms = branch.node("Gather", ["uniforms", step], "uniform.all")  # (1, rows in the beginning)
    uniform = branch.node("Gather", [uniforms, "row.number"], "uniform.row", axis=1)
    column = branch.node("Reshape", [uniform, branch.constant("rows.column", [-1, 1])], "uniform")  # (rows, 1)
    bound = branch.node("Mul", [column, whole], "uniform.bound")
    # Ids without text have no share, so that the sum is not less before them: they are never chosen.
    passed = branch.node("LessOrEqual", [cumulative, bound], "passed")
    as_number = branch.node("Cast", [passed], "passed.number", to=TensorProto.INT64)
    place = branch.node("ReduceSum", [as_number, axis_1], "passed.sum", keepdims=1)  # (rows, 1)
    drawn = branch.node("Min", [place, last], "drawn")
    gain = branch.node("GatherElements", ["gains.all", drawn], "drawn.gain", axis=1)
    lived = branch.node("Where", ["running.column", gain, branch.constant("zero", 0.0, np.float32)], "drawn.lived")
    flat_gain = branch.node("Squeeze", [lived, axis_1], "drawn.gain.flat")
    branch.node("Add", ["total", flat_gain], "total.drawn")
    flat = _token_of(branch, branch.node("Squeeze", [drawn, axis_1], "drawn.flat"), short=short)
    branch.node("Where", ["running", flat, branch.constant("pad", PAD_ID)], "token.drawn")
    branch.node("Identity", ["row"], "parent.drawn")
    return branch.build("draw", [], _choice("drawn"))


def _token_of(branch: Graph, places: str, *, short: bool) -> str:
    """Return the tokens at some positions of the logits; append a look-up if there is a shortlist."""
    return branch.node("Gather", ["choices", places], f"{places}.chosen") if short else places


def _search(branch: Graph, by_block: str, greatest: str, *, short: bool) -> onnx.GraphProto:
    """Build the beam search step: keep the best ``width`` of a line's width x width extensions, best first."""
    axis_1, every = branch.constant("axis.1", [1]), branch.constant("every", [-1])
    # The best of a line are among the best of its hypotheses.
    best = _best_tokens(branch, by_block, greatest)
    gains = branch.node("GatherElements", ["gains.all", best], "best.gains", axis=1)
    gains = branch.node("Where", ["running.column", gains, "lone"], "gains")
    chosen = _token_of(branch, best, short=short)
    tokens = branch.node("Where", ["running.column", chosen, branch.constant("pad", PAD_ID)], "continuations")
    before = branch.node("Unsqueeze", ["total", axis_1], "total.column")
    totals = branch.node("Add", [before, gains], "totals.continued")  # (rows, width)
    written = branch.node("Cast", ["running"], "running.own", to=TensorProto.INT64)
    count = branch.node("Add", ["count", written], "count.continued")
    column = branch.node("Unsqueeze", [count, axis_1], "count.column")
    as_float = branch.node("Cast", [column], "count.float", to=TensorProto.FLOAT)
    worth = branch.node("Div", [totals, as_float], "worth")  # (rows, width)
    squared = branch.node("Mul", ["width", "width"], "width.squared")
    square = branch.node("Reshape", [squared, branch.constant("one.axis", [1])], "width.squared.axis")
    shape = branch.node("Concat", [every, square], "lines.by_square", axis=0)
    by_line = branch.node("Reshape", [worth, shape], "worth.by_line")  # (lines, width x width)
    branch.nodes("TopK", [by_line, "width.axis"], ["kept.worth", "kept.places"], axis=1)  # (lines, width)
    beam = branch.node("Div", ["kept.places", "width"], "kept.beam")
    parents = branch.node("Add", [beam, "line.start"], "kept.parents")
    branch.node("Reshape", [parents, every], "parent.searched")
    start = branch.node("Mul", ["line.start", "width"], "line.square.start")
    flat_places = branch.node("Add", ["kept.places", start], "kept.flat")
    kept = branch.node("Reshape", [flat_places, every], "kept.rows")
    for values, name in ((tokens, "token"), (totals, "total")):
        flat = branch.node("Reshape", [values, every], f"{name}.continuations")
        branch.node("Gather", [flat, kept], f"{name}.searched")
    return branch.build("search", [], _choice("searched"))


def _best_tokens(branch: Graph, by_block: str, greatest: str) -> str:
    """Append the positions of the ``width`` largest logits of each row, the largest first: (rows, width).

    TopK reads a row element by element, ReduceMax many elements at a time. The largest logits lie in the ``width``
    blocks with the largest maxima, and only these are searched.
    """
    axis_1 = branch.constant("axis.1", [1])
    sizes = branch.node("Shape", [greatest], "best.sizes")
    blocks = branch.node("Slice", [sizes, axis_1, branch.constant("axis.2", [2])], "blocks")
    size = branch.constant("block.size", BLOCK)
    most = branch.node("Min", ["width.axis", blocks], "blocks.chosen")
    branch.nodes("TopK", [greatest, most], ["best.greatest", "best.blocks"], axis=1)  # (rows, chosen)
    column = branch.node("Unsqueeze", ["best.blocks", branch.constant("axis.2", [2])], "best.blocks.column")
    inside = branch.node("GatherND", [by_block, column], "best.inside", batch_dims=1)  # (rows, chosen, BLOCK)
    flat = branch.node("Flatten", [inside], "best.flat", axis=1)
    branch.nodes("TopK", [flat, "width.axis"], ["best.logits", "best.places"], axis=1)  # (rows, width)
    number = branch.node("Div", ["best.places", size], "best.number")
    place = branch.node("Mod", ["best.places", size], "best.place")
    block = branch.node("GatherElements", ["best.blocks", number], "best.block", axis=1)
    start = branch.node("Mul", [block, size], "best.start")
    return branch.node("Add", [start, place], "best.tokens")


def _choice(name: str) -> list[onnx.ValueInfoProto]:
    """Return the outputs that sampling and beam search share, in order."""
    kinds = {"token": TensorProto.INT64, "parent": TensorProto.INT64, "total": TensorProto.FLOAT}
    return [value(f"{kind}.{name}", element, ["rows"]) for kind, element in kinds.items()]


def _end(body: Graph) -> None:
    """Append which hypotheses are unfinished: without end id so far, and shorter than their limit."""
    went_on = body.node("Gather", ["running", "parent"], "running.parent")
    is_end = body.node("Equal", ["token.next", body.constant("end", END_ID)], "token.is_end")
    goes_on = body.node("Not", [is_end], "token.is_not_end")
    unended = body.node("And", [went_on, goes_on], "running.unended")
    has_room = body.node("Less", ["count.next", "limit"], "count.has_room")
    running = body.node("And", [unended, has_room], "running.next")
    body.node("Greater", [count_lines(body, running, "width.axis", "lines.running"), "lines.few"], "go_on.next")


def _build_body(body: Graph, decoder: Decoder) -> onnx.GraphProto:
    integer, flag = TensorProto.INT64, TensorProto.BOOL
    states = state_names(decoder)
    inputs = [
        # Scalars in effect; onnx's shape inference and onnxruntime both take them to have one axis.
        value("step", integer, [1]),
        value("go_on", flag, [1]),
        *(value(name, kind, ["rows"]) for name, (kind, _) in _CARRIED.items()),
        *state_values(body, decoder, {name: name for name in states}),
    ]
    outputs = [
        value("go_on.next", flag, [1]),
        *(value(f"{name}.next", kind, ["rows"]) for name, (kind, _) in _CARRIED.items()),
        *state_values(body, decoder, {name: f"{name}.kept" for name in states}),
        value("token.collected", integer, ["rows"]),
        value("parent.collected", integer, ["rows"]),
    ]
    return body.build("step", inputs, outputs)
