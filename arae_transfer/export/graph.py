"""A small builder for ONNX graphs: named values, weights stored once in fp32 or fp16, reproducible bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

Storage = Literal["fp16", "fp32"]
# A trained matrix with its name.
Matrix = tuple[str, npt.NDArray[np.float32]]
# Values (rows, inputs) to be put side by side, each with the number of its inputs.
Parts = Mapping[str, int]

# An LSTM's gates, in ONNX's order.
GATES = ("input", "output", "forget", "candidate")

# Both are older than every onnxruntime that is supported here, and nothing newer is needed.
OPSET = 17
IR_VERSION = 8
# onnxruntime's own operators, which every build of it has.
CONTRIBUTED = "com.microsoft"
_OPSETS = {"": OPSET, CONTRIBUTED: 1}


class Graph:
    """Nodes, weights and constants of a graph, or of the body of a loop in it.

    A body refers to values of the outer graph by name, so its weights and constants are stored in the outermost graph:
    there they exist once, and onnxruntime can prepare them when it opens the file.
    """

    # Whether layers of an encoder are ONNX's LSTM operator; otherwise they are loops.
    lstm_operator = True
    # Whether each of an LSTM's gates is a product of its own, see ``gates``.
    splits_gates = False
    # The type of hidden states as steps carry them, and what they begin with.
    state_type: int = TensorProto.FLOAT
    first_state = 0

    def __init__(self, storage: Storage = "fp32", parent: Self | None = None) -> None:
        self.storage: Storage = storage if parent is None else parent.storage
        self._root: Self = self if parent is None else parent._root
        # The graph around a loop's body: no further out does onnxruntime look for matrices that it can prepare for the
        # body's products when it opens the file.
        self._around: Self = self if parent is None else parent
        self._nodes: list[onnx.NodeProto] = []
        self._derived: set[str] = set()
        self._initializers: dict[str, onnx.TensorProto] = {}

    @property
    def compacts_finished_rows(self) -> bool:
        """Whether finished rows leave the batch of a decoder, whose loop is then a loop in a loop.

        True only if the matrices of matmuls are derived from stored values, so that onnxruntime prepares them.
        """
        return self.storage == "fp16"

    def body(self) -> Self:
        """Return an empty graph for the body of a loop inside this one."""
        return type(self)(parent=self)

    @property
    def collected(self) -> list[str]:
        """The further values that a loop with this body collects: none by default."""
        return []

    def observations(self) -> list[onnx.ValueInfoProto]:
        """Return further outputs of the graph: none by default."""
        return []

    def collections(self) -> list[onnx.ValueInfoProto]:
        """Return the further values that this body gives to its loop: none by default."""
        return []

    def matmul(
        self,
        read: str | Parts,
        name: str,
        values: npt.NDArray[np.float32],
        added: str | None,
        output: str,
        *,
        rows: bool = False,
    ) -> str:
        """Append the matmul of a value with a trained matrix; other precisions override it.

        Args:
            read: The value, (rows, inputs), or its parts, which are concatenated.
            name: The name of the matrix.
            values: The matrix, (outputs, inputs).
            added: The addend: (outputs,), or (rows, outputs) with ``rows``; None: there is none.
            output: The name of the product, (rows, outputs).
            rows: Whether the addend differs by row.
        """
        addends = [] if added is None else [added]
        return self.node(
            "Gemm", [self.concatenate(read, output), self.weight(name, values), *addends], output, transB=1
        )

    def gates(
        self,
        read: str | Parts,
        name: str,
        values: npt.NDArray[np.float32],
        output: str,
        *,
        bias: tuple[str, npt.NDArray[np.float32]] | None = None,
        shares: Sequence[str] = (),
    ) -> list[str]:
        """Append the gates of an LSTM before their activations: the matmul of a value with a trained matrix.

        Args:
            read: As ``matmul`` takes it.
            name: The name of the matrix.
            values: The matrix, (4 x hidden, inputs), its parts in the order of ``GATES``.
            output: The prefix of the names of the gates.
            bias: The addend, (4 x hidden,), and its name; or
            shares: the addend of each row: a value (rows, hidden) for each gate with ``splits_gates``, otherwise one
                (rows, 4 x hidden) for all.

        Returns:
            The names of the gates, (rows, hidden) each.
        """
        added = shares[0] if bias is None else self.constant(*bias, np.float32)
        self.matmul(read, name, values, added, output, rows=bias is None)
        gates = [f"{output}.{gate}" for gate in GATES]
        self.nodes("Split", [output, self.constant("gates.sizes", [len(values) // 4] * 4)], gates, axis=1)
        return gates

    def concatenate(self, read: str | Parts, output: str) -> str:
        """Concatenate the parts of the operand of the matmul ``output``; a single value is returned unchanged."""
        parts = [read] if isinstance(read, str) else list(read)
        return parts[0] if len(parts) == 1 else self.node("Concat", parts, f"{output}.joined", axis=1)

    def operand(self, values: str, name: str, inputs: slice) -> str:
        """Return a value as an operand of matmuls: unchanged here; other precisions convert it.

        Args:
            values: The value, (..., inputs).
            name: The name of a matrix that it is multiplied by.
            inputs: The inputs of the matrix that it provides.
        """
        return values

    def state_operand(self, hidden: str) -> str:
        """Return an LSTM's hidden states, all within -1 and 1, as an operand of matmuls, which steps carry."""
        return hidden

    def mark_quantized_states(self, *names: str) -> None:
        """Mark values as hidden states that ``state_operand`` returned; in int8 they are quantized."""

    def share_scale(self, name: str, *others: str) -> None:
        """Let values use the scale of another one, if values have scales."""

    def element_type(self, name: str) -> int:
        """Return the element type of a value: fp32, or that of matmul operands."""
        return TensorProto.FLOAT

    def gather_rows(self, name: str, values: npt.NDArray[np.float32], places: str) -> str:
        """Gather some rows of a trained matrix, (outputs, inputs), in this outermost graph, for ``matmul_shortlist``.

        Args:
            name: The name of the matrix.
            values: The matrix.
            places: (selected,) the indices of the rows, a value of this graph.

        Returns:
            The name of the rows.
        """
        return self.node("Gather", [self.weight(name, values), places], f"{name}.selected", axis=0)

    def matmul_shortlist(
        self,
        read: str,
        name: str,
        values: npt.NDArray[np.float32],
        listed: tuple[Sequence[int], npt.NDArray[np.float32]],
        added: str,
        output: str,
    ) -> str:
        """Append the matmul of a value (rows, inputs) with a shortlist of rows of a trained matrix, (outputs, inputs).

        Args:
            read: The value.
            name: The name of the matrix.
            values: The matrix, whole.
            listed: The indices of the first rows, and their addends, (listed,).
            added: The addends of further rows, which ``gather_rows`` appended to the outermost graph: (rows, selected).
            output: The name of the product, (rows, listed + selected).
        """
        numbers, biases = listed
        bias = self.constant(f"{name}.listed.bias", biases, np.float32)
        read = self._shortlist_operand(read, name, values, output)
        parts = [
            self._matmul_rows(read, self._shortlist_rows(name, values, numbers), bias, f"{output}.listed", rows=False),
            self._matmul_rows(read, f"{name}.selected", added, f"{output}.further", rows=True),
        ]
        return self.node("Concat", parts, output, axis=1)

    def _shortlist_operand(self, read: str, name: str, values: npt.NDArray[np.float32], output: str) -> str:
        """Return a value as an operand of ``_matmul_rows``; arguments are those of ``matmul_shortlist``."""
        return read

    def _shortlist_rows(self, name: str, values: npt.NDArray[np.float32], numbers: Sequence[int]) -> str:
        """Return some rows of a trained matrix, which onnxruntime finds and prepares when it opens the file."""
        if self.storage == "fp32":
            rows = self.constant(f"{name}.listed.rows", numbers)
            return self._around._derive("Gather", [self.weight(name, values), rows], f"{name}.listed", axis=0)
        half = self._half_shortlist_rows(name, values, numbers)
        return self._around._derive("Cast", [half], f"{name}.listed", to=TensorProto.FLOAT)

    def _half_shortlist_rows(self, name: str, values: npt.NDArray[np.float32], numbers: Sequence[int]) -> str:
        """Return these rows as stored, in fp16."""
        rows = self.constant(f"{name}.listed.rows", numbers)
        return self._around._derive("Gather", [self.half_weight(name, values), rows], f"{name}.listed.fp16", axis=0)

    def _matmul_rows(self, read: str, matrix: str, added: str, output: str, *, rows: bool) -> str:
        """Append the product with rows of a matrix as ``gather_rows`` and ``_shortlist_rows`` return them.

        Args:
            read: The value.
            matrix: The rows.
            added: The addend: (outputs,), or (rows, outputs) with ``rows``.
            output: The name of the product.
            rows: Whether the addend differs by row.
        """
        return self.node("Gemm", [read, matrix, added], output, transB=1)

    def multiply(
        self,
        operator: str,
        factors: Sequence[str | Matrix],
        outputs: Sequence[str],
        others: Sequence[str] = (),
        **attributes: Any,  # noqa: ANN401 -- as onnx takes them
    ) -> None:
        """Append an operator that multiplies by trained matrices; other precisions override it.

        Args:
            operator: The operator.
            factors: Its first inputs: values, and trained matrices with their names.
            outputs: The names of its outputs.
            others: Its further inputs, which are not multiplied.
            attributes: Its attributes.
        """
        inputs = [each if isinstance(each, str) else self.weight(*each) for each in factors]
        self.nodes(operator, [*inputs, *others], outputs, **attributes)

    def carried_state(self, state: str) -> str:
        """Return an LSTM's state as steps carry it: unchanged here."""
        return state

    def lookup(self, name: str, values: npt.NDArray[np.float32], places: str, output: str) -> str:
        """Append a look-up of some rows of a trained matrix, as of embeddings."""
        return self.node("Gather", [self._root.weight(name, values), places], output)

    def node(self, operator: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:  # noqa: ANN401 -- as onnx takes them
        """Append a node with one output, and return the output's name."""
        self.nodes(operator, inputs, [output], **attributes)
        return output

    def nodes(
        self,
        operator: str,
        inputs: Sequence[str],
        outputs: Sequence[str],
        **attributes: Any,  # noqa: ANN401 -- as onnx takes them
    ) -> None:
        """Append a node with any number of outputs; an empty name omits an optional one."""
        name = next(output for output in outputs if output)
        self._nodes.append(
            helper.make_node(operator, list(inputs), list(outputs), name=f"{name}/{operator}", **attributes)
        )

    def weight(self, name: str, values: npt.NDArray[np.float32]) -> str:
        """Store a trained matrix and return the name of its fp32 value.

        With fp16 storage it is stored as fp16 and cast to fp32 once, when the file is opened. Biases are small: store
        them as fp32 constants.

        Raises:
            ValueError: Storing would change a value, because the model was not rounded to the storage first.
        """
        if self.storage == "fp32":
            self._root._store(name, values)
            return name
        # A name that no graph around has: the outermost one may look up rows of the same matrix.
        own = name if self._around is self._root else f"{name}.inside"
        return self._around._derive("Cast", [self.half_weight(name, values)], own, to=TensorProto.FLOAT)

    def half_weight(self, name: str, values: npt.NDArray[np.float32]) -> str:
        """Store a trained matrix as fp16 and return the name of its fp16 value.

        Raises:
            ValueError: As ``weight`` does.
        """
        halves = values.astype(np.float16)
        if not np.array_equal(halves.astype(np.float32), values):
            raise ValueError(f"{name} is not representable in {self._root.storage}: round the model first")
        self._root._store(f"{name}.fp16", halves)
        return f"{name}.fp16"

    def constant(self, name: str, values: npt.ArrayLike, dtype: npt.DTypeLike = np.int64) -> str:
        """Store a constant, once for each name, and return the name."""
        self._root._store(name, np.asarray(values, dtype=dtype))
        return name

    def _derive(self, operator: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:  # noqa: ANN401 -- as onnx takes them
        """Append a value computed from stored values only, once for each name; onnxruntime computes it at opening."""
        if output not in self._derived:
            self._derived.add(output)
            self.node(operator, inputs, output, **attributes)
        return output

    def build(
        self, name: str, inputs: Sequence[onnx.ValueInfoProto], outputs: Sequence[onnx.ValueInfoProto]
    ) -> onnx.GraphProto:
        """Return the graph with the given inputs and outputs."""
        return helper.make_graph(
            self._nodes, name, list(inputs), list(outputs), initializer=list(self._initializers.values())
        )

    def _store(self, name: str, values: npt.NDArray[Any]) -> None:
        tensor = numpy_helper.from_array(np.ascontiguousarray(values), name)
        stored = self._initializers.setdefault(name, tensor)
        if stored is not tensor and stored != tensor:
            raise ValueError(f"two different values are named {name}")


def value(name: str, element_type: int, shape: Sequence[str | int]) -> onnx.ValueInfoProto:
    """Declare an input or an output; strings name dynamic axes."""
    return helper.make_tensor_value_info(name, element_type, list(shape))


def make_model(graph: onnx.GraphProto, metadata: Mapping[str, str], description: str) -> onnx.ModelProto:
    """Wrap a graph as a checked model with metadata.

    The bytes depend only on the arguments, so exporting the same model twice gives the same file.
    """
    used = {"", *_domains(graph)}
    model: onnx.ModelProto = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid(domain, version) for domain, version in _OPSETS.items() if domain in used],
        ir_version=IR_VERSION,
        producer_name="arae",
        producer_version=metadata.get("arae_version", ""),
        doc_string=description,
    )
    helper.set_model_props(model, dict(metadata))
    onnx.checker.check_model(model, full_check=True)
    return model


def _domains(graph: onnx.GraphProto) -> set[str]:
    """Return the domains of the operators of a graph and of the bodies inside it."""
    bodies = [attribute.g for node in graph.node for attribute in node.attribute if attribute.HasField("g")]
    return {node.domain for node in graph.node}.union(*map(_domains, bodies))
