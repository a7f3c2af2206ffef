"""The loop over a decoder's steps, which drops finished rows from the batch.

The longest answer of a batch decides the number of steps, and even in batches of similar length an eighth of the work
would be done on finished rows. So steps come in rounds: a round ends when enough rows are finished, and the next one
continues with the others alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper

from arae_transfer.export.graph import Graph, value
from arae_transfer.tokenizer import PAD_ID

# The type of a value's elements, and its axes after the first, which are rows or lines.
Description = tuple[int, Sequence[str | int]]

# A round ends when no more than this share of its lines goes on, less some: leaving takes a part of a step, since what
# the others read is copied, and a few lines take as long as none.
_SHARE = (3, 4)
_SPARED = 2


@dataclass(frozen=True)
class DecodingLoop:
    """A loop of at most ``maximum_length`` steps, which ends when every line is finished.

    Values before the loop: ``maximum_length``; ``row.number.first`` int64 (rows,), the numbers from 0; and
    ``NAME.first`` of each name in ``carried``, ``by_row`` and ``by_line``. Values after it: those of ``collected``,
    (steps, rows), and ``NAME.last`` of those of ``wanted``, (rows,).

    The body of a step reads a carried value as ``NAME`` and returns it as ``NAME.next``; from the outer graph it reads
    the values by row and by line as ``NAME``. There it also finds ``steps.done`` int64 (1,), the number of steps of
    earlier rounds; ``row`` int64 (rows,), the current indices of the rows; ``row.number`` int64 (rows,), their original
    indices; with a ``width`` ``line.start`` int64 (lines, 1), the first row of each line; and ``lines.few`` int32 (1,):
    the step continues while more lines than that are unfinished, see ``count_lines``.

    Attributes:
        build_step: Builds the body of a step in an empty graph. Its outputs: whether to continue; the carried values;
            and the values to collect, int64 (rows,) each.
        carried: The values that steps carry for each row; one is ``running`` bool (rows,), whether the row is
            unfinished.
        by_row: The values that steps read for each row.
        by_line: The values that steps read for each line.
        collected: The names of the collected values. After a line has left the batch, ``parents`` hold the row's own
            index, and all other values the pad id.
        width: A value [width], the number of rows of each line; None: each line is one row.
        wanted: The carried values whose last value is returned; they have no further axes.
    """

    build_step: Callable[[Graph], onnx.GraphProto]
    carried: Mapping[str, Description]
    by_row: Mapping[str, Description]
    by_line: Mapping[str, Description]
    collected: Sequence[str]
    width: str | None = None
    wanted: Sequence[str] = ()

    def append(self, graph: Graph) -> None:
        """Append the loop to a graph, in rounds if its precision allows."""
        if graph.compacts_finished_rows:
            self._append_rounds(graph)
            return
        for name in ("row.number", *self.by_row, *self.by_line):
            graph.node("Identity", [f"{name}.first"], name)
        self._number_rows(graph)
        graph.constant("steps.done", [0])
        graph.constant("lines.few", [0], np.int32)
        self._append_steps(graph, "maximum_length", "first", "last", self.collected)

    def _append_steps(self, graph: Graph, most: str, first: str, last: str, collected: Sequence[str]) -> None:
        inner = graph.body()
        body = self.build_step(inner)
        graph.nodes(
            "Loop",
            [most, graph.constant("always", True, np.bool_), *(f"{name}.{first}" for name in self.carried)],
            [*(f"{name}.{last}" for name in self.carried), *collected, *inner.collected],
            body=body,
        )

    def _number_rows(self, graph: Graph) -> str:
        """Append ``row`` and, with a width, ``line.start``; return the number of rows, [rows]."""
        zero, one = (graph.constant(f"number.{number}", number) for number in (0, 1))
        axis_0, axis_1 = (graph.constant(f"axis.{axis}", [axis]) for axis in (0, 1))
        rows = graph.node("Shape", ["row.number"], "rows.here")
        number = graph.node("Squeeze", [rows, axis_0], "rows.here.number")
        graph.node("Range", [zero, number, one], "row")
        if self.width is not None:
            width = graph.node("Squeeze", [self.width, axis_0], "width.number")
            starts = graph.node("Range", [zero, number, width], "line.start.flat")
            graph.node("Unsqueeze", [starts, axis_1], "line.start")
        return rows

    def _append_rounds(self, graph: Graph) -> None:
        """Append a loop over rounds.

        Names in a round: ``NAME.here``: carried values before its first step, and values that its steps collect;
        ``NAME.after``: carried values after its last step; ``NAME.left``: these, and the values by row and by line, of
        the unfinished lines; ``NAME.so_far`` (original rows, steps): collected values; ``NAME.whole`` (original rows,):
        values of ``wanted``.
        """
        inside = graph.body()
        axis_0, axis_1 = (inside.constant(f"axis.{axis}", [axis]) for axis in (0, 1))
        self._append_few(inside, self._number_rows(inside))
        before = inside.node("Squeeze", ["steps.done", axis_0], "steps.before")
        most = inside.node("Sub", ["maximum_length", before], "steps.most")
        self._append_steps(inside, most, "here", "after", [f"{name}.here" for name in self.collected])
        shape = inside.node("Shape", [f"{self.collected[0]}.here"], "steps.shape")
        steps = inside.node("Slice", [shape, axis_0, axis_1], "steps.here")
        done = inside.node("Add", ["steps.done", steps], "steps.done.next")
        self._collect(inside, steps)
        left = self._leave(inside)
        any_left = inside.node("Greater", [left, inside.constant("lines.none", [0], np.int32)], "lines.any")
        has_room = inside.node("Less", [done, "maximum_length"], "steps.any")
        inside.node("And", [any_left, has_room], "round.go_on.next")
        number = value("round", TensorProto.INT64, [1])
        body = inside.build("round", [number, *self._state("", "here", "")], self._state(".next", "left", ".left"))

        graph.node("Shape", ["row.number.first"], "rows.all")
        graph.node("Unsqueeze", ["row.number.first", graph.constant("axis.1", [1])], "row.number.all")
        none = graph.node("Concat", ["rows.all", axis_0], "nothing.shape", axis=0)
        nothing = helper.make_tensor("no_step", TensorProto.INT64, [1], [0])
        graph.node("ConstantOfShape", [none], "nothing", value=nothing)  # (rows, 0)
        names = ("row.number", *self.by_row, *self.by_line)
        graph.nodes(
            "Loop",
            [
                "maximum_length",
                graph.constant("always", True, np.bool_),
                axis_0,
                *("nothing" for _ in self.collected),
                *(f"{name}.first" for name in (*self.wanted, *self.carried, *names)),
            ],
            [
                "steps.last",
                *(f"{name}.all" for name in self.collected),
                *(f"{name}.last" for name in self.wanted),
                *(f"{name}.unused" for name in (*self.carried, *names)),
            ],
            body=body,
        )
        for name in self.collected:
            graph.node("Transpose", [f"{name}.all"], name, perm=[1, 0])

    def _append_few(self, inside: Graph, rows: str) -> None:
        """Append ``lines.few``: a round ends when no more lines than this are unfinished."""
        lines = rows if self.width is None else inside.node("Div", [rows, self.width], "lines.here")
        numerator, denominator = (inside.constant(f"share.{number}", number) for number in _SHARE)
        times = inside.node("Mul", [lines, numerator], "lines.times")
        share = inside.node("Div", [times, denominator], "lines.share")
        less = inside.node("Sub", [share, inside.constant("lines.spared", _SPARED)], "lines.less")
        few = inside.node("Max", [less, inside.constant("axis.0", [0])], "lines.few.long")
        inside.node("Cast", [few], "lines.few", to=TensorProto.INT32)

    def _collect(self, inside: Graph, steps: str) -> None:
        """Append the results of a round to those of all rows."""
        axis_1 = inside.constant("axis.1", [1])
        size = inside.node("Concat", ["rows.all", steps], "blank.shape", axis=0)
        places = inside.node("Unsqueeze", ["row.number", axis_1], "row.number.column")
        for name in self.collected:
            own = f"{name}.here"
            if name == "parents":
                own = inside.node("Gather", ["row.number", own], "parents.number")
                blank = inside.node("Expand", ["row.number.all", size], "parents.blank")
            else:
                pad = helper.make_tensor("pad.one", TensorProto.INT64, [1], [PAD_ID])
                blank = inside.node("ConstantOfShape", [size], f"{name}.blank", value=pad)
            turned = inside.node("Transpose", [own], f"{name}.turned", perm=[1, 0])
            filled = inside.node("ScatterND", [blank, places, turned], f"{name}.filled")
            inside.node("Concat", [f"{name}.so_far", filled], f"{name}.so_far.next", axis=1)
        for name in self.wanted:
            last = [f"{name}.whole", "row.number", f"{name}.after"]
            inside.node("ScatterElements", last, f"{name}.whole.next", axis=0)

    def _leave(self, inside: Graph) -> str:
        """Append the values of unfinished lines, with which the next round begins; return their number, int32 (1,)."""
        axis_0 = inside.constant("axis.0", [0])
        left = count_lines(inside, "running.after", self.width, "lines.left")
        found = inside.node("NonZero", [f"{left}.by_line"], "lines.found")
        lines = rows = inside.node("Squeeze", [found, axis_0], "lines.kept")
        if self.width is not None:
            square = inside.node("Reshape", ["row", f"{left}.shape"], "rows.square")  # (lines, width)
            kept = inside.node("Gather", [square, lines], "rows.kept.square")
            rows = inside.node("Reshape", [kept, inside.constant("every", [-1])], "rows.kept")
        for name in self.carried:
            inside.node("Gather", [f"{name}.after", rows], f"{name}.left")
        for name in ("row.number", *self.by_row):
            inside.node("Gather", [name, rows], f"{name}.left")
        for name in self.by_line:
            inside.node("Gather", [name, lines], f"{name}.left")
        return left

    def _state(self, end: str, carried: str, read: str) -> list[onnx.ValueInfoProto]:
        """Declare the values that rounds carry.

        Args:
            end: The suffix of the names of counted, collected and wanted values.
            carried: The suffix of the names of the values that steps carry.
            read: The suffix of the names of the values that steps read.
        """
        integer = TensorProto.INT64
        by_row = {"row.number": (integer, ()), **self.by_row}
        return [
            value(f"round.go_on{end}", TensorProto.BOOL, [1]),
            value(f"steps.done{end}", integer, [1]),
            *(value(f"{name}.so_far{end}", integer, ["rows.all", f"steps{end}"]) for name in self.collected),
            *(value(f"{name}.whole{end}", self.carried[name][0], ["rows.all"]) for name in self.wanted),
            *(value(f"{name}.{carried}", kind, ["rows", *axes]) for name, (kind, axes) in self.carried.items()),
            *(value(f"{name}{read}", kind, ["rows", *axes]) for name, (kind, axes) in by_row.items()),
            *(value(f"{name}{read}", kind, ["lines", *axes]) for name, (kind, axes) in self.by_line.items()),
        ]


def count_lines(graph: Graph, running: str, width: str | None, output: str) -> str:
    """Append the number of unfinished lines, int32 (1,), and ``OUTPUT.by_line`` int32 (lines,), 1 for those.

    Args:
        graph: The graph.
        running: Whether each row is unfinished, bool (rows,).
        width: As in ``DecodingLoop``; with one, the shape (lines, width) of the rows is ``OUTPUT.shape``.
        output: The name.
    """
    marks = f"{output}.by_line"
    graph.node("Cast", [running], marks if width is None else f"{output}.by_row", to=TensorProto.INT32)
    if width is not None:
        shape = graph.node("Concat", [graph.constant("every", [-1]), width], f"{output}.shape", axis=0)
        square = graph.node("Reshape", [f"{output}.by_row", shape], f"{output}.square")
        graph.node("ReduceMax", [square], marks, axes=[1], keepdims=0)
    return graph.node("ReduceSum", [marks], output, keepdims=1)
