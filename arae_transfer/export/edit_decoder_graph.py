"""The graph of a model that edits: one step of the decoders of all classes.

For rows (lines, width) in the order of their lines it reads ``code``, ``code_mask`` and ``allowed`` of the lines, see
``edit_encoder_graph``; ``target`` int64, the number of the class; ``token``, ``pointer``, ``cursor`` and ``inside``
int64 (lines, width) as in ``editing.actions.Actions``; ``states`` float32 (earlier rows, 4 x hidden) and ``parents``
int64 (rows,), the earlier row that each row continues, or -1 at the start; ``inside_rows`` int64 (rows inside,), the
rows inside of an edit; ``most_words`` int64 (1,). It returns ``start`` (rows, 1 + time), ``words`` and ``word_ids``
(rows inside, most words), ``resume`` (rows inside, time), see ``editing.search.Scores``, and ``next_states`` (rows, 4 x
hidden).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto

from arae_transfer.export.edit_builder import Builder
from arae_transfer.export.graph import Graph, make_model, value
from arae_transfer.export.weights import array
from arae_transfer.model.edit_decoder import FARTHEST, NEVER, EditDecoder
from arae_transfer.tokenizer import END_ID

Float32 = npt.NDArray[np.float32]


def build_edit_decoder(decoders: Sequence[EditDecoder], metadata: Mapping[str, str], graph: Graph) -> onnx.ModelProto:
    """Build the graph of one step of all decoders, the counterpart of ``EditNetwork.forward``.

    Consecutive matmuls are multiplied into one, and the addend of a class to the first layer's gates is a constant.

    Args:
        decoders: The decoders in the order of their classes, in evaluation mode; they share a network.
        metadata: The metadata of the file.
        graph: An empty graph, whose class decides the precision.
    """
    step = _Step(Builder(graph), decoders)
    step.append()
    size, hidden = step.size, step.hidden
    integers = [value(name, TensorProto.INT64, ["lines", "width"]) for name in ("token", "pointer", "cursor", "inside")]
    inputs = [
        value("code", TensorProto.FLOAT, ["lines", "time", size]),
        value("code_mask", TensorProto.FLOAT, ["lines", "time"]),
        value("allowed", TensorProto.FLOAT, ["lines", "time"]),
        value("target", TensorProto.INT64, []),
        *integers,
        value("parents", TensorProto.INT64, ["rows"]),
        value("states", TensorProto.FLOAT, ["earlier", 4 * hidden]),
        value("inside_rows", TensorProto.INT64, ["inside"]),
        value("most_words", TensorProto.INT64, [1]),
    ]
    outputs = [
        value("start", TensorProto.FLOAT, ["rows", "choices"]),
        value("words", TensorProto.FLOAT, ["inside", "words"]),
        value("word_ids", TensorProto.INT64, ["inside", "words"]),
        value("resume", TensorProto.FLOAT, ["inside", "time"]),
        value("next_states", TensorProto.FLOAT, ["rows", 4 * hidden]),
    ]
    return make_model(graph.build("decoder", inputs, outputs), metadata, "A step of writing edits.")


class _Step:
    """One step of the decoders."""

    def __init__(self, build: Builder, decoders: Sequence[EditDecoder]) -> None:
        self.build, self.graph = build, build.graph
        self.decoders = decoders
        self.network = decoders[0].network
        self.size = self.network.embedding.embedding_dim
        self.hidden = self.network.second.hidden_size

    def append(self) -> None:
        """Append the whole step."""
        graph, network = self.graph, self.network
        self._prepare()
        hidden1, cell1, hidden2, cell2 = self._states()
        last, behind, ahead = self._read()
        first_bias = self._class_bias()
        weights = [array(network.first.weight_ih_l0)[:, : 3 * self.size], array(network.first.weight_hh_l0)]
        parts = {last: self.size, behind: self.size, ahead: self.size, hidden1: self.hidden}
        first, next1 = self._cell(parts, "first", np.concatenate(weights, axis=1), first_bias, cell1)
        found = self._attend(first)
        weights = [array(network.second.weight_ih_l0), array(network.second.weight_hh_l0)]
        bias = array(network.second.bias_ih_l0) + array(network.second.bias_hh_l0)
        parts = {first: self.hidden, found: self.size, hidden2: self.hidden}
        second_bias = graph.constant("second.bias", bias, np.float32)
        second, next2 = self._cell(parts, "second", np.concatenate(weights, axis=1), second_bias, cell2)
        graph.node("Concat", [first, next1, second, next2], "next_states", axis=1)
        joined = {graph.node("Add", [first, second], "both"): self.hidden}
        joined |= dict.fromkeys((found, behind, ahead), self.size)
        bridged = self.build.linear(joined, "bridge", network.bridge, "bridge")
        features = self.build.normalize(self.build.gelu(bridged, "bridge.active"), "norm", network.norm, "features")
        self._choices(features)

    def _prepare(self) -> None:
        """Append sizes, and the index of each row's first vector among all vectors of the code, (rows,)."""
        graph, build = self.graph, self.build
        self.lines = graph.node("Shape", ["code"], "lines", start=0, end=1)
        self.time = graph.node("Shape", ["code"], "time", start=1, end=2)
        self.width = graph.node("Shape", ["token"], "width", start=1, end=2)
        self.zero, self.one = build.number(0), build.number(1)
        self.flat = build.reshape("code", [-1, self.size], "code.flat")  # (lines x time, size)
        numbers = graph.node("Range", [self.zero, build.scalar(self.lines, "lines.scalar"), self.one], "line.numbers")
        offsets = build.column(graph.node("Mul", [numbers, self.time], "line.offsets"), "line.offsets.column")
        self.cursor = build.reshape("cursor", [-1], "cursor.flat")
        self.pointer = build.reshape("pointer", [-1], "pointer.flat")
        self.places = build.reshape(graph.node("Add", [offsets, "cursor"], "places"), [-1], "places.flat")
        self.pointed = build.column(graph.node("Greater", [self.pointer, self.zero], "pointed"), "pointed.column")
        steps = graph.node("Range", [self.zero, build.scalar(self.time, "time.scalar"), self.one], "steps")
        distance = graph.node("Sub", [steps, build.column("cursor", "cursor.column")], "distance")
        limits = build.number(-FARTHEST), build.number(FARTHEST)
        near = graph.node("Clip", [distance, *limits], "distance.near")
        self.near = graph.node("Add", [near, limits[1]], "near")  # (lines, width, time)
        opened = graph.node("Greater", ["pointer", self.zero], "opened")
        least = build.column(graph.node("Cast", [opened], "opened.whole", to=TensorProto.INT64), "least")
        open_places = graph.node("GreaterOrEqual", [distance, least], "reachable")
        half = graph.constant("half", 0.5, np.float32)
        allowed = graph.node("Greater", [graph.node("Mul", ["allowed", "code_mask"], "allowed.real"), half], "may")
        axis_1 = graph.constant("axis.1", [1])
        may = graph.node("Unsqueeze", [allowed, axis_1], "may.row")  # (lines, 1, time)
        self.open_places = graph.node("And", [open_places, may], "open")  # (lines, width, time)
        real = graph.node("Greater", ["code_mask", half], "real")
        self.real = graph.node("Unsqueeze", [real, axis_1], "real.row")

    def _states(self) -> list[str]:
        """Append the states that each row continues."""
        graph = self.graph
        initial = np.stack([array(decoder.initial).reshape(-1) for decoder in self.decoders])  # (classes, 4 x hidden)
        own = graph.node("Gather", [graph.constant("initial", initial, np.float32), "target"], "initial.own", axis=0)
        first = graph.node("Unsqueeze", [own, graph.constant("axis.0", [0])], "initial.row")
        table = graph.node("Concat", [first, "states"], "states.all", axis=0)
        places = graph.node("Add", ["parents", self.one], "parents.places")
        rows = graph.node("Gather", [table, places], "states.own", axis=0)
        names = ["hidden1", "cell1", "hidden2", "cell2"]
        graph.nodes("Split", [rows], names, axis=1)
        return names

    def _read(self) -> tuple[str, str, str]:
        """Append the inputs of the first layer: the last action, and the code on both sides of the cursor."""
        graph, build = self.graph, self.build
        scale = graph.constant("scale", self.network.scale, np.float32)

        def at(places: str, name: str) -> str:
            return graph.node("Mul", [graph.node("Gather", [self.flat, places], f"{name}.unit", axis=0), scale], name)

        ahead = at(self.places, "ahead")
        before = graph.node("Max", [graph.node("Sub", [self.places, self.one], "left"), self.zero], "left.safe")
        anywhere = build.column(graph.node("Greater", [self.cursor, self.zero], "not.first"), "not.first.column")
        begin = graph.constant("before", array(self.network.before), np.float32)
        behind = graph.node("Where", [anywhere, at(before, "left.read"), begin], "behind")
        # After a position was chosen, it is the one that the cursor stands at.
        token = build.reshape("token", [-1], "token.flat")
        written = graph.lookup("embedding", array(self.network.embedding.weight), token, "written")
        last = graph.node("Where", [self.pointed, ahead, written], "last.action")
        kinds = graph.constant("inside.kinds", array(self.network.inside.weight), np.float32)
        kind = graph.node("Gather", [kinds, build.reshape("inside", [-1], "inside.flat")], "kind", axis=0)
        return graph.node("Add", [last, kind], "last"), behind, ahead

    def _class_bias(self) -> str:
        """Append the addend of the class to the first layer's gates, with their bias: (4 x hidden,)."""
        layer = self.network.first
        weight = array(layer.weight_ih_l0)[:, 3 * self.size :].astype(np.float64)
        bias = array(layer.bias_ih_l0) + array(layer.bias_hh_l0)
        table = np.stack([weight @ array(decoder.style) + bias for decoder in self.decoders])
        classes = self.graph.constant("classes", table, np.float32)
        return self.graph.node("Gather", [classes, "target"], "first.bias", axis=0)

    def _cell(self, parts: Mapping[str, int], name: str, weight: Float32, bias: str, cell: str) -> tuple[str, str]:
        """Append a step of an LSTM with gates in PyTorch's order; return its hidden state and its cell."""
        graph = self.graph
        gates = graph.matmul(parts, f"{name}.weight", weight, bias, f"{name}.gates")
        names = [f"{name}.{gate}" for gate in ("input", "forget", "candidate", "output")]
        graph.nodes("Split", [gates], names, axis=1)
        into, forget, out = (graph.node("Sigmoid", [names[place]], f"{names[place]}.open") for place in (0, 1, 3))
        candidate = graph.node("Tanh", [names[2]], f"{names[2]}.new")
        kept = graph.node("Mul", [forget, cell], f"{name}.kept")
        state = graph.node("Add", [kept, graph.node("Mul", [into, candidate], f"{name}.added")], f"{name}.cell")
        return graph.node("Mul", [out, graph.node("Tanh", [state], f"{name}.cell.seen")], f"{name}.hidden"), state

    def _scores(self, queries: str, number: str, name: str) -> str:
        """Append the products of queries with all vectors of the code: (lines, number, time)."""
        graph = self.graph
        rows = self.build.reshape(queries, [self.lines, number, self.size], f"{name}.rows")
        turned = graph.node("Transpose", [rows], f"{name}.turned", perm=[0, 2, 1])
        # The code is far larger than the queries, and stays as it lies.
        products = graph.node("MatMul", ["code", turned], f"{name}.products")  # (lines, time, number)
        return graph.node("Transpose", [products], f"{name}.scores", perm=[0, 2, 1])

    def _attend(self, first: str) -> str:
        """Append attention to the code: (rows, size)."""
        graph, network = self.graph, self.network
        weight = array(network.key.weight).T.astype(np.float64) @ array(network.query.weight)
        query = self.build.folded(first, "query", weight.astype(np.float32), None, "query")
        table = graph.constant("nearness", array(network.nearness), np.float32)
        scores = self._scores(query, self.width, "attention")
        near = graph.node("Add", [scores, graph.node("Gather", [table, self.near], "nearness.own")], "attention.near")
        never = graph.constant("never", NEVER, np.float32)
        real = graph.node("Where", [self.real, near, never], "attention.real")
        shares = graph.node("Softmax", [real], "attention.shares", axis=-1)
        found = graph.node("MatMul", [shares, "code"], "attention.found")
        scale = graph.constant("scale", network.scale, np.float32)
        return self.build.reshape(graph.node("Mul", [found, scale], "found.scaled"), [-1, self.size], "found")

    def _choices(self, features: str) -> None:
        """Append the log-probabilities of the choices."""
        graph, build, network = self.graph, self.build, self.network
        key = array(network.pointer_key.weight).T.astype(np.float64)
        queries = [network.start_query, network.resume_query]
        weight = np.concatenate([key @ array(query.weight) for query in queries]).astype(np.float32)
        bias = np.concatenate([key @ array(query.bias) for query in queries]).astype(np.float32)
        pointing = build.folded(features, "pointing", weight, bias, "pointing")  # (rows, 2 x size)
        two = graph.constant("two", [2])
        doubled = graph.node("Mul", [self.width, two], "width.doubled")
        scores = self._scores(pointing, doubled, "pointing")  # (lines, width x 2, time)
        apart = build.reshape(scores, [self.lines, self.width, 2, self.time], "pointing.apart")
        never = graph.constant("never", NEVER, np.float32)
        names = ("start", "resume")
        graph.nodes("Split", [apart], [f"{name}.one" for name in names], axis=2)
        found = []
        for name in names:
            own = graph.node("Squeeze", [f"{name}.one", two], f"{name}.raw")
            table = graph.constant(f"{name}.nearness", array(getattr(network, f"{name}_nearness")), np.float32)
            near = graph.node("Gather", [table, self.near], f"{name}.nearness.own")
            summed = graph.node("Add", [own, near], f"{name}.near")
            real = graph.node("Where", [self.open_places, summed, never], f"{name}.real")
            found.append(build.reshape(real, [-1, self.time], f"{name}.places"))  # (rows, time)
        shares = graph.constant("finish.weight", array(network.finish.weight)[0], np.float32)
        weighted = graph.node("Mul", [features, shares], "finish.parts")
        total = graph.node("ReduceSum", [weighted, graph.constant("axis.1", [1])], "finish.sum", keepdims=1)
        finish_bias = graph.constant("finish.bias", array(network.finish.bias), np.float32)
        finish = graph.node("Add", [total, finish_bias], "finish")  # (rows, 1)
        graph.node("LogSoftmax", [graph.node("Concat", [finish, found[0]], "start.all", axis=1)], "start", axis=1)

        inside = graph.node("Gather", [features, "inside_rows"], "features.inside", axis=0)
        bias = array(network.output.bias).copy()
        bias[: END_ID + 1] = NEVER
        kept = np.flatnonzero(bias > NEVER / 2)
        words = build.product(inside, "output", array(network.output.weight)[kept], bias[kept], "output")
        resume = graph.node("Gather", [found[1], "inside_rows"], "resume.inside", axis=0)
        sums = [
            self._log_sum_exp(words, "words"),
            graph.node("ReduceLogSumExp", [resume], "resume.sum", axes=[1], keepdims=1),
        ]
        both = graph.node("Concat", sums, "inside.sums", axis=1)
        total = graph.node("ReduceLogSumExp", [both], "inside.total", axes=[1], keepdims=1)
        # Scorers ask for as many words as there are hypotheses, which may be more than decoders write.
        most = graph.node("Min", ["most_words", graph.constant("words.kept", [len(kept)])], "words.most")
        graph.nodes("TopK", [words, most], ["words.best", "words.places"], axis=1)
        graph.node("Gather", [graph.constant("words.ids", kept), "words.places"], "word_ids")
        graph.node("Sub", ["words.best", total], "words")
        graph.node("Sub", [resume, total], "resume")

    def _log_sum_exp(self, read: str, name: str) -> str:
        """Append the logarithm of summed exponentials, (rows, 1): faster than ``ReduceLogSumExp`` on long rows."""
        graph = self.graph
        shares = graph.node("LogSoftmax", [read], f"{name}.shares", axis=1)
        one = [graph.constant("begin", [0]), graph.constant("one.row", [1]), graph.constant("axis.1", [1])]
        first, share = (graph.node("Slice", [each, *one], f"{each}.first") for each in (read, shares))
        return graph.node("Sub", [first, share], f"{name}.sum")
