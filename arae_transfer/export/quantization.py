"""Matrix products in 8-bit integers: what the graphs read is observed first, then quantised with fixed scales.

Weights have a scale for each output, what they multiply has 8 bits around 128. The usual dynamic quantisation takes
one scale for a whole batch, so that a sentence's answer would depend on its neighbours; here scales are fixed, and what
is added up are integers, so that the answer is the same in every batch, order and number of threads. The other ways to
have that, one scale for each row or block of a row, were measured slower.

Weights use 7 of their 8 bits: where a processor lacks instructions that add up 8-bit products in 32 bits (x86 before
VNNI), onnxruntime adds pairs of them in 16 bits, which 255 x 127 x 2 would overflow without a word. 255 x 63 x 2 fits.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto

from arae_transfer.export.graph import CONTRIBUTED, Graph, value

Float32 = npt.NDArray[np.float32]

_ZERO = 128
_GREATEST = 127
_GREATEST_WEIGHT = 63
# How a wide input's difficulty is shared between it and the weights that read it (Xiao et al., SmoothQuant, 2023,
# equation 4): 0 leaves all of it to the input, 1 moves all of it into the weights.
_SMOOTHING = 0.5
# An input that was never seen to move still needs a scale.
_LEAST_RANGE = 1e-3


class ObservingGraph(Graph):
    """A graph that also tells, for each product, the greatest absolute value of each input it read.

    The outputs are named ``range.NAME`` after the matrix; those from inside a loop have a row for each step.
    """

    lstm_operator = False

    def __init__(self, parent: ObservingGraph | None = None) -> None:
        super().__init__("fp32", parent)
        self._ranges: list[onnx.ValueInfoProto] = []
        self._bodies: list[ObservingGraph] = []
        if parent is not None:
            self._root._bodies.append(self)

    def product(
        self, read: str, name: str, values: Float32, added: str | None, output: str, *, rows: bool = False
    ) -> str:
        """Append the product and the range of what it reads."""
        size = self.node("Abs", [read], f"size.{name}")
        self.node("ReduceMax", [size], f"range.{name}", axes=[0], keepdims=0)
        self._ranges.append(value(f"range.{name}", TensorProto.FLOAT, [values.shape[1]]))
        return super().product(read, name, values, added, output, rows=rows)

    @property
    def collected(self) -> list[str]:
        """The names under which a loop collects the ranges of this body, its own."""
        return [f"{each.name}.by_step" for each in self._ranges]

    def observations(self) -> list[onnx.ValueInfoProto]:
        """Return the ranges as outputs."""
        inside = [
            value(f"{each.name}.by_step", TensorProto.FLOAT, ["steps", each.type.tensor_type.shape.dim[0].dim_value])
            for body in self._bodies
            for each in body._ranges
        ]
        return [*self._ranges, *inside]

    def collections(self) -> list[onnx.ValueInfoProto]:
        """Return the ranges inside this body."""
        return list(self._ranges)


class QuantizedGraph(Graph):
    """A graph whose products run in 8-bit integers, and which stores all matrices so."""

    lstm_operator = False

    def __init__(self, ranges: Mapping[str, Float32] | None = None, parent: QuantizedGraph | None = None) -> None:
        """Begin a graph.

        Args:
            ranges: The greatest absolute value of each input of each product, by the name of its matrix.
            parent: The graph around this one.
        """
        super().__init__("fp32", parent)
        self._ranges: Mapping[str, Float32] = (ranges or {}) if parent is None else parent._ranges
        self.shared: frozenset[str] = frozenset({"embedding"})

    def product(
        self, read: str, name: str, values: Float32, added: str | None, output: str, *, rows: bool = False
    ) -> str:
        """Append the product: inputs scaled to 8 bits, whole numbers multiplied and added up, then scaled back."""
        zero = self.constant("int8.zero", _ZERO, np.uint8)
        quantized, scale, values = self._quantize(read, name, values, output)
        matrix, scales = self._store_int8(name, values)
        # Stored as (outputs, inputs), as a look-up needs it; turned once, when the file is opened.
        turned = self._root._derive("Transpose", [matrix], f"{name}.turned", perm=[1, 0])
        bias = ["", added] if added is not None and not rows else []
        self.nodes(
            "MatMulIntegerToFloat",
            [quantized, turned, scale, scales, zero, *bias],
            [f"{output}.product" if rows else output],
            domain=CONTRIBUTED,
        )
        return self.node("Add", [f"{output}.product", str(added)], output) if rows else output

    def selected(self, name: str, values: Float32, places: str) -> str:
        """Append the rows in 8 bits, turned for the product, and their scales."""
        if name not in self.shared:
            values = values * smoothing(np.maximum(self._ranges[name], _LEAST_RANGE), values)
        matrix, scales = self._store_int8(name, values)
        rows = self.node("Gather", [matrix, places], f"{name}.selected.rows", axis=0)
        self.node("Gather", [scales, places], f"{name}.selected.scales")
        return self.node("Transpose", [rows], f"{name}.selected", perm=[1, 0])

    def selected_product(self, read: str, name: str, values: Float32, added: str, output: str) -> str:
        """Append the product as ``product`` does."""
        quantized, scale, _ = self._quantize(read, name, values, output)
        zero = self.constant("int8.zero", _ZERO, np.uint8)
        self.nodes(
            "MatMulIntegerToFloat",
            [quantized, f"{name}.selected", scale, f"{name}.selected.scales", zero],
            [f"{output}.product"],
            domain=CONTRIBUTED,
        )
        return self.node("Add", [f"{output}.product", added], output)

    def _quantize(self, read: str, name: str, values: Float32, output: str) -> tuple[str, str, Float32]:
        """Append what a product reads in 8 bits; return it, its scale, and the matrix that it is multiplied with."""
        ranges = np.maximum(self._ranges[name], _LEAST_RANGE)
        zero = self.constant("int8.zero", _ZERO, np.uint8)
        if name in self.shared:
            # A look-up reads the same matrix, so that it has to stay as it is.
            scale = self.constant(f"{name}.read.scale", ranges.max() / _GREATEST, np.float32)
        else:
            divisors = smoothing(ranges, values)
            values = values * divisors
            factors = self.constant(f"{name}.read.factors", 1 / divisors, np.float32)
            read = self.node("Mul", [read, factors], f"{output}.scaled")
            scale = self.constant("int8.one", 1.0, np.float32)
        return self.node("QuantizeLinear", [read, scale, zero], f"{output}.read"), scale, values

    def rows_of(self, name: str, values: Float32, places: str, output: str) -> str:
        """Append the look-up: 8-bit rows, each with its own scale."""
        matrix, scales = self._store_int8(name, values)
        whole = self.node("Gather", [matrix, places], f"{output}.int8")
        as_float = self.node("Cast", [whole], f"{output}.whole", to=TensorProto.FLOAT)
        scale = self.node("Gather", [scales, places], f"{output}.scale")
        last = self.constant("axis.last", [-1])
        column = self.node("Unsqueeze", [scale, last], f"{output}.scale.column")
        return self.node("Mul", [as_float, column], output)

    def weight(self, name: str, values: Float32) -> str:
        """Store a matrix in 8 bits for arithmetic in fp32: it is scaled back once, when the file is opened."""
        root = self._root
        rows = values.reshape(-1, values.shape[-1])
        matrix, scales = root._store_int8(name, rows)
        # DequantizeLinear would be left to each run.
        as_float = root._derive("Cast", [matrix], f"{name}.whole", to=TensorProto.FLOAT)
        last = root.constant("axis.last", [-1])
        column = root._derive("Unsqueeze", [scales, last], f"{name}.scales.column")
        scaled = root._derive("Mul", [as_float, column], f"{name}.scaled")
        return root._derive("Reshape", [scaled, root.constant(f"{name}.shape", values.shape)], name)

    def _store_int8(self, name: str, values: Float32) -> tuple[str, str]:
        """Store a matrix, (outputs, inputs), in 8 bits and return its name and that of its (outputs,) scales."""
        # The least normal number: a smaller one is 0 where a training has told the processor to flush such numbers.
        scales = np.maximum(np.abs(values).max(axis=1) / _GREATEST_WEIGHT, np.finfo(np.float32).tiny)
        whole = np.rint(values / scales[:, None]).astype(np.int8)
        return self.constant(f"{name}.int8", whole, np.int8), self.constant(f"{name}.scales", scales, np.float32)


def smoothing(ranges: Float32, values: Float32) -> Float32:
    """Return by what each input is divided, and its column of weights multiplied, so that both fit 8 bits well.

    Args:
        ranges: (inputs,) the greatest absolute value of each input.
        values: (outputs, inputs) the weights.

    Returns:
        (inputs,) divisors; divided, the widest input reaches 127.
    """
    widths = np.maximum(np.abs(values).max(axis=0), np.finfo(np.float32).tiny)
    divisors = ranges**_SMOOTHING / widths ** (1 - _SMOOTHING)
    result: Float32 = (divisors * (ranges / divisors).max() / _GREATEST).astype(np.float32)
    return result
