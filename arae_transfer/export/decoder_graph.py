"""The greedy decoder of one class as an ONNX graph: a loop that writes one token per step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from onnx import TensorProto
from torch import nn

from arae_transfer.export.code_graph import (
    BLOCK,
    LOWEST,
    code_axes,
    first_values,
    output_layer,
    read_by_line,
    read_by_row,
    read_code,
    shares_of,
    state_names,
)
from arae_transfer.export.decoding_loop import DecodingLoop, Description, count_lines
from arae_transfer.export.graph import CONTRIBUTED, Graph, Parts, Storage, make_model, value
from arae_transfer.export.lstm_step import append_lstm_step
from arae_transfer.export.shortlist_graph import listed_choices
from arae_transfer.export.weights import LSTMWeights, array
from arae_transfer.model.decoder import Decoder
from arae_transfer.tokenizer import END_ID, PAD_ID


def build_decoder(
    decoder: Decoder,
    metadata: Mapping[str, str],
    storage: Storage = "fp32",
    graph: Graph | None = None,
    shortlist: Sequence[int] | None = None,
) -> onnx.ModelProto:
    """Build the graph of a decoder, the counterpart of ``Decoder.greedy``.

    Inputs: ``code`` float32 (batch, vectors, code_size), ``code_mask`` float32 (batch, vectors), 1 at real vectors, and
    ``maximum_length`` int64, a scalar; with a shortlist ``source`` int64 (batch, time), the padded ids of the source,
    whose time is 0 without a source. Output: ``tokens`` int64 (batch, steps): greedily chosen ids, the pad id after
    each row's end id. The loop stops when all rows are finished, or after ``maximum_length`` steps.

    Args:
        decoder: The trained decoder. With fp16 storage its matrices must be rounded to fp16 already.
        metadata: The metadata of the file.
        storage: The precision of stored matrices; arithmetic is fp32.
        graph: An empty graph in another precision; None: a graph in fp32, stored as ``storage`` says.
        shortlist: The ids that a row may choose besides those of its source, see ``append_choices``; None: all.
    """
    graph = graph or Graph(storage)
    short = shortlist is not None
    read_code(graph, decoder, shortlist)
    first_values(graph, decoder, "code_mask")
    number = graph.node("Squeeze", ["rows", graph.constant("axis.0", [0])], "rows.number")
    ends = [graph.constant(f"number.{end}", end) for end in (0, 1)]
    graph.node("Range", [ends[0], number, ends[1]], "row.number.first")
    loop = DecodingLoop(
        lambda body: _step(body, decoder, shortlist),
        {"token": (TensorProto.INT64, []), "running": (TensorProto.BOOL, []), **states_of(graph, decoder)},
        read_by_row(graph, decoder, short=short),
        read_by_line(decoder),
        ["written"],
    )
    loop.append(graph)
    graph.node("Transpose", ["written"], "tokens", perm=[1, 0])
    axis, code_size = code_axes(decoder)
    inputs = [
        value("code", TensorProto.FLOAT, ["batch", axis, code_size]),
        value("code_mask", TensorProto.FLOAT, ["batch", axis]),
        value("maximum_length", TensorProto.INT64, []),
        *([] if shortlist is None else [value("source", TensorProto.INT64, ["batch", "source.length"])]),
    ]
    outputs = [value("tokens", TensorProto.INT64, ["batch", "steps"]), *graph.observations()]
    return make_model(graph.build("decoder", inputs, outputs), metadata, "Code vectors to greedily decoded token ids.")


def _step(body: Graph, decoder: Decoder, shortlist: Sequence[int] | None) -> onnx.GraphProto:
    """Build the loop's body: from a token and the states to the next ones, as one step of ``Decoder.greedy``."""
    logits, carried = append_logits(body, decoder, shortlist)
    short = shortlist is not None
    best = _greatest(body, logits, None if short else decoder.output.out_features)
    _end(body, body.node("Gather", ["choices", best], "token.chosen") if short else best)
    return _build_body(body, decoder, carried)


def append_logits(body: Graph, decoder: Decoder, shortlist: Sequence[int] | None) -> tuple[str, dict[str, str]]:
    """Append one step of the network: from the preceding token and the states to the next states and the logits.

    It reads ``token`` (rows,), ``hidden.N`` and ``cell.N`` of each layer, and the values of ``read_code``.

    Returns:
        The name of the logits (rows, vocabulary), which are so low at ids without text that these are never chosen;
        with a shortlist the logits of ``choices`` (rows, choices). And the names of the next states, by the names of
        the states.
    """
    embedding_size = decoder.embedding.embedding_dim
    body.mark_quantized_states(*(f"hidden.{number}" for number in range(1 + len(decoder.upper))))
    embedded = body.lookup("embedding", array(decoder.embedding.weight), "token", "embedded")  # (batch, embedding)
    weights = LSTMWeights.of(decoder.first)
    joined = np.concatenate([weights.inputs[:, :embedding_size], weights.recurrent], axis=1)
    size = weights.hidden_size
    parts = {embedded: embedding_size, "hidden.0": size}
    gates = body.gates(parts, "layer.0.weight", joined, "layer.0.gates", shares=list(shares_of(body, decoder)))
    states, read = _advance(body, 0, gates)
    carried = {"hidden.0": read, "cell.0": "cell.0.next"}
    context = _attend(body, decoder, decoder.query, read) if decoder.query is not None else "context"
    code_size = decoder.first.input_size - embedding_size
    for number, layer in enumerate(decoder.upper, start=1):
        weights = LSTMWeights.of(layer)
        joined = np.concatenate([weights.inputs, weights.recurrent], axis=1)
        bias = (f"layer.{number}.bias", weights.input_bias + weights.recurrent_bias)
        parts = {read: size, context: code_size, f"hidden.{number}": size}
        gates = body.gates(parts, f"layer.{number}.weight", joined, f"layer.{number}.gates", bias=bias)
        higher, carried[f"hidden.{number}"] = _advance(body, number, gates)
        carried[f"cell.{number}"] = f"cell.{number}.next"
        read = states = body.node("Add", [states, higher], f"states.{number}")
    if not isinstance(decoder.bridge, nn.Linear):
        read = states  # what the output layer reads, it reads whole
    features = {read: size, context: code_size} if decoder.attends else read
    return _output(body, decoder, features, context, shortlist), carried


def _advance(body: Graph, number: int, gates: Sequence[str]) -> tuple[str, str]:
    """Append one step of an LSTM layer; return its hidden state, and the same state as a matmul operand."""
    following = (f"hidden.{number}.next", f"cell.{number}.next")
    states, _ = append_lstm_step(body, f"layer.{number}", gates, f"cell.{number}", following)
    return states, body.state_operand(states)


def _attend(body: Graph, decoder: Decoder, query: nn.Linear, states: str) -> str:
    """Append attention from states (rows, hidden) to the codes of their lines; return the context (rows, size)."""
    wanted = body.matmul(states, "query", array(query.weight), None, "query.wanted")
    by_line = body.node("Reshape", [wanted, "query.by_line"], "query.rows")  # (batch, rows of each, size)
    # Each score is the product of two rows, so that what is attended to need not be turned.
    # (batch, rows of each, vectors)
    scores = body.node("FusedMatMul", [by_line, "attended"], "scores", domain=CONTRIBUTED, transB=1)
    place = body.node("Add", ["step", "steps.done"], "step.place")
    near = body.node("Gather", ["nearness.by_step", place], "nearness.here")  # (1, vectors)
    preferred = body.node("Add", [scores, near], "scores.preferred")
    masked = preferred
    if decoder.superposition is None:
        masked = body.node("Add", [preferred, "mask.penalty"], "scores.masked")
    shares = body.node("Softmax", [masked], "attention", axis=2)
    found = body.node("MatMul", [shares, "attended"], "attention.found")  # (batch, rows of each, size)
    every = body.constant("context.shape", [-1, query.out_features])
    return body.node("Reshape", [found, every], "attention.context")


def _output(body: Graph, decoder: Decoder, features: str | Parts, context: str, shortlist: Sequence[int] | None) -> str:
    """Append the output layer; return the logits (rows, vocabulary), or those of the shortlist."""
    if isinstance(decoder.bridge, nn.Linear):
        bias = body.constant("bridge.bias", array(decoder.bridge.bias), np.float32)
        weight = array(decoder.bridge.weight)
        size = len(weight)
        if decoder.residual:
            # What passes the vector attended to is a hundred times as large as all else in the matrix, and would leave
            # the rest no place in 8 bits; it is multiplied by itself.
            weight = weight.copy()
            passing = weight[:, -size:].diagonal().copy()
            weight[:, -size:][np.diag_indices(size)] = 0.0
        states = body.matmul(features, "bridge.weight", weight, bias, "bridge")
        if decoder.residual:
            passed = body.node("Mul", [context, body.constant("bridge.passing", passing, np.float32)], "bridge.passed")
            states = body.node("Add", [states, passed], "bridge.whole")
    else:
        states = body.concatenate(features, "logits")
    name, output_weight, bias_values = output_layer(decoder)
    if shortlist is not None:
        listed = listed_choices(shortlist, BLOCK)
        own = (listed, bias_values[listed])
        return body.matmul_shortlist(states, name, output_weight, own, "choices.added", "logits")
    bias = body.constant("output.bias", bias_values, np.float32)
    return body.matmul(states, name, output_weight, bias, "logits")


def append_blocks(body: Graph, logits: str, vocabulary: int | None) -> tuple[str, str]:
    """Append logits (rows, vocabulary) in blocks, (rows, blocks, BLOCK), and the maximum of each, (rows, blocks).

    Args:
        body: The graph.
        logits: Their name.
        vocabulary: The number of logits in a row; None: it is a multiple of the block size.
    """
    blocks = -1 if vocabulary is None else -(-vocabulary // BLOCK)
    if vocabulary is not None and blocks * BLOCK > vocabulary:
        missing = body.constant("logits.missing", [0, 0, 0, blocks * BLOCK - vocabulary])
        lowest = body.constant("lowest", LOWEST, np.float32)
        logits = body.node("Pad", [logits, missing, lowest], "logits.padded")
    shape = body.constant("logits.shape", [0 if vocabulary is None else -1, blocks, BLOCK])
    by_block = body.node("Reshape", [logits, shape], "logits.by_block")  # (rows, blocks, BLOCK)
    greatest = body.node("ReduceMax", [by_block], "logits.greatest", axes=[2], keepdims=0)  # (rows, blocks)
    return by_block, greatest


def _greatest(body: Graph, logits: str, vocabulary: int | None) -> str:
    """Append the argmax of each row's logits; of equal ones the first.

    ArgMax reads a row element by element, ReduceMax many elements at a time. So this finds the maximum of each block,
    then the first block with the overall maximum, then its position in that block: four to twelve times as fast.
    """
    by_block, greatest = append_blocks(body, logits, vocabulary)
    block = body.node("ArgMax", [greatest], "block", axis=1, keepdims=1)  # (batch, 1)
    inside = body.node("GatherND", [by_block, block], "logits.inside", batch_dims=1)  # (batch, BLOCK)
    place = body.node("ArgMax", [inside], "block.place", axis=1, keepdims=0)  # (batch,)
    number = body.node("Squeeze", [block, body.constant("axis.1", [1])], "block.number")
    start = body.node("Mul", [number, body.constant("block.size", BLOCK)], "block.start")
    return body.node("Add", [start, place], "token.best")


def _end(body: Graph, best: str) -> None:
    """Append the end of a step: padding for finished rows, and whether enough rows are unfinished."""
    token = body.node("Where", ["running", best, body.constant("pad", PAD_ID)], "token.next")
    # The ids of text are greater than the end id, the pad id is less; what has no text besides is never chosen.
    end = body.constant("end", END_ID)
    running = body.node("Greater", [token, end], "running.next")
    body.node("Greater", [count_lines(body, running, None, "lines.running"), "lines.few"], "go_on.next")
    # A value cannot be carried to the next step and collected at the same time.
    body.node("Identity", [token], "token.collected")


def states_of(graph: Graph, decoder: Decoder) -> dict[str, Description]:
    """Return the names, types and further axes of the LSTM states."""
    size = decoder.first.hidden_size
    types = {"hidden": graph.state_type, "cell": TensorProto.FLOAT}
    return {name: (types[name.partition(".")[0]], [size]) for name in state_names(decoder)}


def state_values(body: Graph, decoder: Decoder, names: Mapping[str, str]) -> list[onnx.ValueInfoProto]:
    """Declare the LSTM states of a loop under new names."""
    return [value(names[name], kind, ["rows", *axes]) for name, (kind, axes) in states_of(body, decoder).items()]


def _build_body(body: Graph, decoder: Decoder, carried: Mapping[str, str]) -> onnx.GraphProto:
    tokens, flags = TensorProto.INT64, TensorProto.BOOL
    inputs = [
        # Scalars in effect; onnx's shape inference and onnxruntime both take them to have one axis.
        value("step", TensorProto.INT64, [1]),
        value("go_on", flags, [1]),
        value("token", tokens, ["batch"]),
        value("running", flags, ["batch"]),
        *state_values(body, decoder, {name: name for name in carried}),
    ]
    outputs = [
        value("go_on.next", flags, [1]),
        value("token.next", tokens, ["batch"]),
        value("running.next", flags, ["batch"]),
        *state_values(body, decoder, carried),
        value("token.collected", tokens, ["batch"]),
        *body.collections(),
    ]
    return body.build("step", inputs, outputs)
