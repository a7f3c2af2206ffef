"""Matmuls in 8-bit integers with fixed scales, which come from observed inputs.

Weights have a scale for each output; inputs have 8 bits around 128. The usual dynamic quantization uses one scale for a
whole batch, so a sentence's answer would depend on the other sentences. Here scales are fixed and sums are integers, so
the answer is the same in every batch, order and number of threads. A scale for each row, or for each block of a row,
would do the same but was measured slower.

Weights use 7 of their 8 bits: on processors without instructions that sum 8-bit products in 32 bits (x86 before VNNI),
onnxruntime sums pairs of them in 16 bits, which 255 x 127 x 2 would silently overflow. 255 x 63 x 2 fits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto

from arae_transfer.export.graph import CONTRIBUTED, GATES, Graph, Parts, value

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
    """A graph that also outputs, for each matmul, the maximum absolute value of each input.

    The outputs are named ``range.NAME`` after the matrix; those of a loop have a row for each step.
    """

    lstm_operator = False

    def __init__(self, parent: ObservingGraph | None = None) -> None:
        super().__init__("fp32", parent)
        self._ranges: list[onnx.ValueInfoProto] = []
        self._bodies: list[ObservingGraph] = []
        if parent is not None:
            self._root._bodies.append(self)

    def matmul(
        self, read: str | Parts, name: str, values: Float32, added: str | None, output: str, *, rows: bool = False
    ) -> str:
        """Append the matmul and the range of its inputs."""
        read = self.concatenate(read, output)
        size = self.node("Abs", [read], f"size.{name}")
        self.node("ReduceMax", [size], f"range.{name}", axes=[0], keepdims=0)
        self._ranges.append(value(f"range.{name}", TensorProto.FLOAT, [values.shape[1]]))
        return super().matmul(read, name, values, added, output, rows=rows)

    @property
    def collected(self) -> list[str]:
        """The names of the ranges that a loop with this body collects."""
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
    """A graph whose matmuls run in 8-bit integers, and which stores all matrices in 8 bits.

    Operands in several parts, and hidden states, have one scale for each part, are quantized once for all matmuls that
    read them, and are carried from step to step as quantized. Other operands have a scale for each input, see
    ``smoothing``.
    """

    lstm_operator = False
    compacts_finished_rows = True
    splits_gates = True
    state_type = TensorProto.UINT8
    first_state = _ZERO

    def __init__(self, ranges: Mapping[str, Float32] | None = None, parent: QuantizedGraph | None = None) -> None:
        """Begin a graph.

        Args:
            ranges: The maximum absolute value of each input of each matmul, by the name of its matrix.
            parent: The outer graph; None: this is the outermost.
        """
        super().__init__("fp32", parent)
        self._ranges: Mapping[str, Float32] = (ranges or {}) if parent is None else parent._ranges
        self.shared: frozenset[str] = frozenset({"embedding"})
        # The scales of quantized values, by their names, and the quantized name of each value.
        self._scales: dict[str, float] = {} if parent is None else parent._scales
        self._reads: dict[str, str] = {}
        # The scales of what is read by products with chosen rows.
        self._scale_of_read: dict[str, str] = {}

    def matmul(
        self, read: str | Parts, name: str, values: Float32, added: str | None, output: str, *, rows: bool = False
    ) -> str:
        """Append the matmul: inputs are scaled to 8 bits, multiplied and summed as integers, then scaled back."""
        quantized, scale, values = self._read_in_8_bits(read, name, values, output)
        return self._product(quantized, scale, name, values, added, output, rows=rows)

    def gates(
        self,
        read: str | Parts,
        name: str,
        values: Float32,
        output: str,
        *,
        bias: tuple[str, Float32] | None = None,
        shares: Sequence[str] = (),
    ) -> list[str]:
        """Append a matmul for each gate: four are faster than one that is split afterwards."""
        quantized, scale, values = self._read_in_8_bits(read, name, values, output)
        if bias is not None:
            shares = [
                self.constant(f"{bias[0]}.{gate}", part, np.float32)
                for gate, part in zip(GATES, np.split(bias[1], len(GATES)), strict=True)
            ]
        return [
            self._product(quantized, scale, f"{name}.{gate}", part, share, f"{output}.{gate}", rows=bias is None)
            for gate, part, share in zip(GATES, np.split(values, len(GATES)), shares, strict=True)
        ]

    def _read_in_8_bits(self, read: str | Parts, name: str, values: Float32, output: str) -> tuple[str, str, Float32]:
        """Append the quantized operand of a matmul; return it, its scale, and the matrix to multiply it by."""
        if isinstance(read, str) and read not in self._scales:
            return self._quantize(read, name, values, output)
        parts = {read: values.shape[1]} if isinstance(read, str) else read
        return self._quantize_parts(parts, name, values, output)

    def _product(
        self, quantized: str, scale: str, name: str, values: Float32, added: str | None, output: str, *, rows: bool
    ) -> str:
        """Append the matmul of a quantized operand, and its addend."""
        matrix, scales = self._store_int8(name, values)
        # Stored as (outputs, inputs), as a look-up needs it; turned once, when the file is opened.
        turned = self._around._derive("Transpose", [matrix], f"{name}.turned", perm=[1, 0])
        return self._multiply_int8((quantized, scale), (turned, scales), added, output, rows=rows)

    def _multiply_int8(
        self, read: tuple[str, str], matrix: tuple[str, str], added: str | None, output: str, *, rows: bool
    ) -> str:
        """Append the matmul of a quantized operand with a quantized transposed matrix, each with its scales."""
        zero = self.constant("int8.zero", _ZERO, np.uint8)
        bias = ["", added] if added is not None and not rows else []
        self.nodes(
            "MatMulIntegerToFloat",
            [read[0], matrix[0], read[1], matrix[1], zero, *bias],
            [f"{output}.product" if rows else output],
            domain=CONTRIBUTED,
        )
        return self.node("Add", [f"{output}.product", str(added)], output) if rows else output

    def operand(self, values: str, name: str, inputs: slice) -> str:
        """Return a quantized value, with one scale from the observed range of these inputs of the matrix."""
        if values in self._scales:
            return values
        if values not in self._reads:
            self._reads[values] = self._in_8_bits(values, max(float(self._ranges[name][inputs].max()), _LEAST_RANGE))
        return self._reads[values]

    def state_operand(self, hidden: str) -> str:
        """Return quantized hidden states, with a scale for numbers within -1 and 1."""
        return self._in_8_bits(hidden, 1.0)

    def mark_quantized_states(self, *names: str) -> None:
        """Mark values as quantized hidden states."""
        self._scales.update(dict.fromkeys(names, 1 / _GREATEST))

    def share_scale(self, name: str, *others: str) -> None:
        """Let values share the scale of another one, if that is quantized."""
        if name in self._scales:
            self._scales.update(dict.fromkeys(others, self._scales[name]))

    def element_type(self, name: str) -> int:
        """Return the element type of a value."""
        return TensorProto.UINT8 if name in self._scales else TensorProto.FLOAT

    def _in_8_bits(self, values: str, greatest: float) -> str:
        scale = self.constant(f"{values}.in_8_bits.scale", greatest / _GREATEST, np.float32)
        zero = self.constant("int8.zero", _ZERO, np.uint8)
        output = self.node("QuantizeLinear", [values, scale, zero], f"{values}.in_8_bits")
        self._scales[output] = greatest / _GREATEST
        return output

    def _quantize_parts(self, parts: Parts, name: str, values: Float32, output: str) -> tuple[str, str, Float32]:
        """Concatenate quantized parts; return them, their scale, and the matrix to multiply them by.

        Each part's scale is multiplied into its columns of the matrix.
        """
        if name in self.shared:
            raise ValueError(f"{name} is looked up, too, and cannot take the scales of parts")
        reads: dict[str, int] = {}
        begin = 0
        for part, size in parts.items():
            reads[self.operand(part, name, slice(begin, begin + size))] = size
            begin += size
        scales = np.repeat(np.array([self._scales[read] for read in reads], np.float32), list(reads.values()))
        return self.concatenate(reads, output), self.constant("int8.one", 1.0, np.float32), values * scales

    def gather_rows(self, name: str, values: Float32, places: str) -> str:
        """Append the quantized rows, transposed for the matmul, and their scales."""
        matrix, scales = self._store_int8(name, self._smoothed(name, values))
        rows = self.node("Gather", [matrix, places], f"{name}.selected.rows", axis=0)
        self.node("Gather", [scales, places], f"{name}.selected.scales")
        return self.node("Transpose", [rows], f"{name}.selected", perm=[1, 0])

    def _shortlist_operand(self, read: str, name: str, values: Float32, output: str) -> str:
        quantized, self._scale_of_read[f"{output}.read"], _ = self._quantize(read, name, values, output)
        return quantized

    def _shortlist_rows(self, name: str, values: Float32, numbers: Sequence[int]) -> str:
        matrix, scales = self._store_int8(name, self._smoothed(name, values))
        rows = self.constant(f"{name}.listed.rows", numbers)
        chosen = self._around._derive("Gather", [matrix, rows], f"{name}.listed.int8", axis=0)
        self._around._derive("Gather", [scales, rows], f"{name}.listed.scales")
        return self._around._derive("Transpose", [chosen], f"{name}.listed", perm=[1, 0])

    def _matmul_rows(self, read: str, matrix: str, added: str, output: str, *, rows: bool) -> str:
        """Append the matmul as ``matmul`` does."""
        scale = self._scale_of_read[read]
        return self._multiply_int8((read, scale), (matrix, f"{matrix}.scales"), added, output, rows=rows)

    def _smoothed(self, name: str, values: Float32) -> Float32:
        """Return a matrix scaled for operands of ``_quantize``."""
        if name in self.shared:
            return values
        return values * smoothing(np.maximum(self._ranges[name], _LEAST_RANGE), values)

    def _quantize(self, read: str, name: str, values: Float32, output: str) -> tuple[str, str, Float32]:
        """Append the quantized operand of a matmul; return it, its scale, and the matrix to multiply it by."""
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

    def lookup(self, name: str, values: Float32, places: str, output: str) -> str:
        """Append the look-up of 8-bit rows, each with its own scale."""
        matrix, scales = self._store_int8(name, values)
        whole = self.node("Gather", [matrix, places], f"{output}.int8")
        as_float = self.node("Cast", [whole], f"{output}.whole", to=TensorProto.FLOAT)
        scale = self.node("Gather", [scales, places], f"{output}.scale")
        last = self.constant("axis.last", [-1])
        column = self.node("Unsqueeze", [scale, last], f"{output}.scale.column")
        return self.node("Mul", [as_float, column], output)

    def weight(self, name: str, values: Float32) -> str:
        """Store a quantized matrix for use in fp32: it is scaled back once, when the file is opened."""
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
        """Store a quantized matrix, (outputs, inputs), and return its name and that of its (outputs,) scales."""
        whole, scales = in_8_bits(values)
        return self.constant(f"{name}.int8", whole, np.int8), self.constant(f"{name}.scales", scales, np.float32)


def in_8_bits(values: Float32) -> tuple[npt.NDArray[np.int8], Float32]:
    """Return a matrix, (outputs, inputs), as 7-bit integers, and the scale of each row, (outputs,)."""
    # The least normal number: a smaller one is 0 where a training has told the processor to flush such numbers.
    scales: Float32 = np.maximum(np.abs(values).max(axis=1) / _GREATEST_WEIGHT, np.finfo(np.float32).tiny)
    return np.rint(values / scales[:, None]).astype(np.int8), scales


def smoothing(ranges: Float32, values: Float32) -> Float32:
    """Return the factors that divide inputs and multiply their columns of weights, so that both fit 8 bits well.

    Args:
        ranges: (inputs,) the maximum absolute value of each input.
        values: (outputs, inputs) the weights.

    Returns:
        (inputs,) divisors; divided, the widest input reaches 127.
    """
    widths = np.maximum(np.abs(values).max(axis=0), np.finfo(np.float32).tiny)
    divisors = ranges**_SMOOTHING / widths ** (1 - _SMOOTHING)
    result: Float32 = (divisors * (ranges / divisors).max() / _GREATEST).astype(np.float32)
    return result
