"""The decoder of one class as an ONNX graph that holds the whole greedy decode, one step per turn of a loop."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import TensorProto
from torch import nn

from arae_transfer.export.encoder_graph import array, onnx_gates
from arae_transfer.export.graph import Graph, Storage, make_model, value
from arae_transfer.model.decoder import Decoder
from arae_transfer.tokenizer import BEGIN_ID, END_ID, PAD_ID, UNKNOWN_ID

LOWEST = float(np.finfo(np.float32).min)


def build_decoder(decoder: Decoder, metadata: Mapping[str, str], storage: Storage = "fp32", variant="gemm") -> onnx.ModelProto:
    graph = Graph(storage)
    graph.variant = variant
    _read_code(graph, decoder)
    _first_states(graph, decoder)
    body = _step(graph.body(), decoder, variant)
    layers = range(1 + len(decoder.upper))
    states = [f"{kind}.{number}" for number in layers for kind in ("hidden", "cell")]
    graph.nodes(
        "Loop",
        ["maximum_length", graph.constant("always", True, np.bool_), "token.first", "running.first", *(f"{s}.first" for s in states)],
        ["token.last", "running.last", *(f"{s}.last" for s in states), "tokens.by_step"],
        body=body,
    )
    graph.node("Transpose", ["tokens.by_step"], "tokens", perm=[1, 0])
    size = decoder.first.input_size - decoder.embedding.embedding_dim
    vectors = "vectors" if decoder.attends else 1
    return make_model(
        graph.build(
            "decoder",
            [
                value("code", TensorProto.FLOAT, ["batch", vectors, size]),
                value("code_mask", TensorProto.FLOAT, ["batch", vectors]),
                value("maximum_length", TensorProto.INT64, []),
            ],
            [value("tokens", TensorProto.INT64, ["batch", "steps"])],
        ),
        metadata,
        "Code vectors to greedily decoded token ids.",
    )

def _read_code(graph, decoder):
    column = graph.node("Unsqueeze", ["code_mask", graph.constant("axis.2", [2])], "mask.column")
    weighted = graph.node("Mul", ["code", column], "code.real")
    one = graph.constant("axis.1", [1])
    total = graph.node("ReduceSum", [weighted, one], "code.sum", keepdims=0)
    count = graph.node("ReduceSum", ["code_mask", one], "count", keepdims=1)
    summary = graph.node("Div", [total, count], "summary")
    if graph.variant != "lstm":
        w = onnx_gates(array(decoder.first.weight_ih_l0))[:, decoder.embedding.embedding_dim:]
        b = onnx_gates(array(decoder.first.bias_ih_l0)+array(decoder.first.bias_hh_l0))
        graph.node("Gemm", [summary, graph.weight("layer.0.summary", w), graph.constant("layer.0.bias", b, np.float32)], "layer.0.share", transB=1)
    if decoder.attends:
        graph.node("Transpose", ["code"], "keys", perm=[0,2,1])
        m = graph.node("Sub", ["code_mask", graph.constant("f1", 1.0, np.float32)], "mm")
        m = graph.node("Mul", [m, graph.constant("big", -LOWEST, np.float32)], "mm2")
        graph.node("Unsqueeze", [m, one], "penalty")
    else:
        graph.node("Squeeze", ["code", one], "context.single")

def _first_states(graph, decoder):
    h = decoder.first.hidden_size
    shape = graph.node("Shape", ["code_mask"], "sh")
    b = graph.node("Slice", [shape, graph.constant("s0",[0]), graph.constant("s1",[1])], "batch")
    graph.node("ConstantOfShape", [b], "token.first", value=onnx.helper.make_tensor("v", TensorProto.INT64, [1], [BEGIN_ID]))
    graph.node("ConstantOfShape", [b], "running.first", value=onnx.helper.make_tensor("v", TensorProto.BOOL, [1], [True]))
    bh = graph.node("Concat", [b, graph.constant("h", [h])], "bh", axis=0)
    if graph.variant == "lstm":
        bh = graph.node("Concat", [graph.constant("o1", [1]), b, graph.constant("h", [h])], "bh3", axis=0)
    for n in range(1+len(decoder.upper)):
        for k in ("hidden","cell"):
            graph.node("ConstantOfShape", [bh], f"{k}.{n}.first", value=onnx.helper.make_tensor("v", TensorProto.FLOAT, [1], [0.0]))

def _cell(body, n, read, weights, share, h):
    gates = body.node("Gemm", [read, weights, share], f"gates.{n}", transB=1)
    body.nodes("Split", [gates, body.constant("split", [3*h, h])], [f"s.{n}", f"g.{n}"], axis=1)
    sg = body.node("Sigmoid", [f"s.{n}"], f"sg.{n}")
    body.nodes("Split", [sg, body.constant("split3", [h, h, h])], [f"i.{n}", f"o.{n}", f"f.{n}"], axis=1)
    c = body.node("Tanh", [f"g.{n}"], f"gt.{n}")
    a = body.node("Mul", [f"i.{n}", c], f"ic.{n}")
    b = body.node("Mul", [f"f.{n}", f"cell.{n}"], f"fc.{n}")
    cell = body.node("Add", [a,b], f"cell.{n}.next")
    t = body.node("Tanh", [cell], f"ct.{n}")
    return body.node("Mul", [f"o.{n}", t], f"hidden.{n}.next")

def _lstm(body, n, read, lstm):
    W = onnx_gates(array(lstm.weight_ih_l0))[None]; R = onnx_gates(array(lstm.weight_hh_l0))[None]
    B = np.concatenate([onnx_gates(array(lstm.bias_ih_l0)), onnx_gates(array(lstm.bias_hh_l0))])[None]
    r = body.node("Unsqueeze", [read, body.constant("axis.0",[0])], f"read3.{n}")
    body.nodes("LSTM", [r, body.weight(f"W{n}", W), body.weight(f"R{n}", R), body.constant(f"B{n}", B, np.float32), "", f"hidden.{n}", f"cell.{n}"], ["", f"hidden.{n}.next", f"cell.{n}.next"], hidden_size=lstm.hidden_size)
    return body.node("Squeeze", [f"hidden.{n}.next", body.constant("axis.0",[0])], f"h2.{n}")

def _step(body, decoder, variant):
    h = decoder.first.hidden_size
    E = decoder.embedding.embedding_dim
    table = body.weight("embedding", array(decoder.embedding.weight))
    emb = body.node("Gather", [table if variant!="half" else "embedding.fp16", "token"], "embedded")
    if variant == "half": emb = body.node("Cast", [emb], "embedded32", to=TensorProto.FLOAT)
    if variant == "lstm":
        read = body.node("Concat", [emb, "summary"], "read.0", axis=1)
        states = _lstm(body, 0, read, decoder.first)
    else:
        w = np.concatenate([array(decoder.first.weight_ih_l0)[:, :E], array(decoder.first.weight_hh_l0)], 1)
        read = body.node("Concat", [emb, "hidden.0"], "read.0", axis=1)
        states = _cell(body, 0, read, body.weight("layer.0", onnx_gates(w)), "layer.0.share", h)
    if decoder.attends:
        q = body.node("Gemm", [states, body.weight("query", array(decoder.query.weight))], "query.v", transB=1)
        q = body.node("Unsqueeze", [q, body.constant("axis.1",[1])], "query3")
        sc = body.node("MatMul", [q, "keys"], "scores")
        sc = body.node("Add", [sc, "penalty"], "scores.masked")
        sm = body.node("Softmax", [sc], "att", axis=2)
        c = body.node("MatMul", [sm, "code"], "c3")
        context = body.node("Squeeze", [c, body.constant("axis.1",[1])], "context")
    else:
        context = "context.single"
    for n, layer in enumerate(decoder.upper, 1):
        if variant == "lstm":
            read = body.node("Concat", [states, context], f"read.{n}", axis=1)
            hh = _lstm(body, n, read, layer)
        else:
            read = body.node("Concat", [states, context, f"hidden.{n}"], f"read.{n}", axis=1)
            w = np.concatenate([array(layer.weight_ih_l0), array(layer.weight_hh_l0)], 1)
            b = onnx_gates(array(layer.bias_ih_l0)+array(layer.bias_hh_l0))
            hh = _cell(body, n, read, body.weight(f"layer.{n}", onnx_gates(w)), body.constant(f"layer.{n}.bias", b, np.float32), h)
        states = body.node("Add", [states, hh], f"states.{n}")
    if decoder.attends:
        states = body.node("Concat", [states, context], "features", axis=1)
    if isinstance(decoder.bridge, nn.Linear):
        states = body.node("Gemm", [states, body.weight("bridge", array(decoder.bridge.weight)), body.constant("bridge.bias", array(decoder.bridge.bias), np.float32)], "bridged", transB=1)
        out = table
    else:
        out = body.weight("output", array(decoder.output.weight))
    bias = array(decoder.output.bias).copy()
    bias[[PAD_ID, UNKNOWN_ID, BEGIN_ID]] = LOWEST
    logits = body.node("Gemm", [states, out, body.constant("output.bias", bias, np.float32)], "logits", transB=1)
    best = body.node("ArgMax", [logits], "best", axis=1, keepdims=0)
    t = body.node("Where", ["running", best, body.constant("pad", PAD_ID)], "token.next")
    ne = body.node("Equal", [t, body.constant("end", END_ID)], "is_end")
    ne = body.node("Not", [ne], "not_end")
    run = body.node("And", ["running", ne], "running.next")
    anyr = body.node("ReduceMax", [body.node("Cast", [run], "runi", to=TensorProto.INT32)], "anyi", keepdims=0)
    body.node("Cast", [anyr], "go_on.next", to=TensorProto.BOOL)
    body.node("Identity", [t], "token.out")
    states = [f"{kind}.{number}" for number in range(1+len(decoder.upper)) for kind in ("hidden", "cell")]
    shp = ["batch", h] if variant != "lstm" else [1,"batch",h]
    return body.build("step", [value("step", TensorProto.INT64, [1]), value("go_on", TensorProto.BOOL, [1]), value("token", TensorProto.INT64, ["batch"]), value("running", TensorProto.BOOL, ["batch"]), *(value(s, TensorProto.FLOAT, shp) for s in states)],
      [value("go_on.next", TensorProto.BOOL, []), value("token.next", TensorProto.INT64, ["batch"]), value("running.next", TensorProto.BOOL, ["batch"]), *(value(s+".next", TensorProto.FLOAT, shp) for s in states), value("token.out", TensorProto.INT64, ["batch"])])
