"""Matmuls in fp16 for GPUs; everything else is computed in fp32.

Inputs and outputs of a matmul are rounded to 11 bits; its sums have 32 bits, as on GPUs. Bias additions, gates, cell
states of decoders, attention's softmax, the norm of a code and the choice of a token are computed in fp32. The matrices
are those of the fp32 graphs, in the same files.

onnxruntime's CPU provider has no fp16 matmuls: it casts to fp32 and omits the roundings. To measure the effect of a
GPU's roundings, other graphs have them as casts around fp32 matmuls.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import TensorProto

from arae_transfer.export.graph import Graph, Matrix, Parts

Float32 = npt.NDArray[np.float32]


class HalfGraph(Graph):
    """A graph whose matmuls run in fp16, and which stores all matrices in fp16."""

    # Sizes that change from round to round are what a GPU plans anew for.
    compacts_finished_rows = False

    def __init__(self, parent: HalfGraph | None = None) -> None:
        super().__init__("fp16", parent)

    def multiply(
        self,
        operator: str,
        factors: Sequence[str | Matrix],
        outputs: Sequence[str],
        others: Sequence[str] = (),
        **attributes: Any,  # noqa: ANN401 -- as onnx takes them
    ) -> None:
        """Append the operator in fp16, with casts of its inputs and outputs."""
        inputs = [
            self.node("Cast", [each], f"{outputs[0]}.read.{place}", to=TensorProto.FLOAT16)
            if isinstance(each, str)
            else self.half_weight(*each)
            for place, each in enumerate(factors)
        ]
        halves = [f"{output}.fp16" for output in outputs]
        self.nodes(operator, [*inputs, *others], halves, **attributes)
        for half, output in zip(halves, outputs, strict=True):
            self.node("Cast", [half], output, to=TensorProto.FLOAT)

    def matmul(
        self, read: str | Parts, name: str, values: Float32, added: str | None, output: str, *, rows: bool = False
    ) -> str:
        """Append the matmul in fp16; the addend is added in fp32."""
        product = output if added is None else f"{output}.product"
        self.multiply("Gemm", [self.concatenate(read, output), (name, values)], [product], transB=1)
        return product if added is None else self.node("Add", [product, added], output)

    def gather_rows(self, name: str, values: Float32, places: str) -> str:
        """Append the rows in fp16."""
        return self.node("Gather", [self.half_weight(name, values), places], f"{name}.selected", axis=0)

    def _shortlist_operand(self, read: str, name: str, values: Float32, output: str) -> str:
        return self.node("Cast", [read], f"{output}.read", to=TensorProto.FLOAT16)

    def _shortlist_rows(self, name: str, values: Float32, numbers: Sequence[int]) -> str:
        return self._half_shortlist_rows(name, values, numbers)

    def _matmul_rows(self, read: str, matrix: str, added: str, output: str, *, rows: bool) -> str:
        """Append the matmul in fp16; the addend is added in fp32."""
        product = self.node("Gemm", [read, matrix], f"{output}.fp16", transB=1)
        whole = self.node("Cast", [product], f"{output}.product", to=TensorProto.FLOAT)
        return self.node("Add", [whole, added], output)

    def lookup(self, name: str, values: Float32, places: str, output: str) -> str:
        """Append the look-up of rows in fp16; only these rows are cast, not the whole matrix."""
        rows = self.node("Gather", [self.half_weight(name, values), places], f"{output}.fp16")
        return self.node("Cast", [rows], output, to=TensorProto.FLOAT)


class RoundedGraph(HalfGraph):
    """A graph for the CPU that computes in fp32 and rounds where a GPU does in a ``HalfGraph``.

    LSTM layers are loops, in which also the gates and the states between two steps are rounded: no LSTM operator in
    fp16 rounds more.
    """

    lstm_operator = False

    def multiply(
        self,
        operator: str,
        factors: Sequence[str | Matrix],
        outputs: Sequence[str],
        others: Sequence[str] = (),
        **attributes: Any,  # noqa: ANN401 -- as onnx takes them
    ) -> None:
        """Append the operator in fp32 between roundings."""
        inputs = [
            self._rounded(each, f"{outputs[0]}.read.{place}") if isinstance(each, str) else self.weight(*each)
            for place, each in enumerate(factors)
        ]
        whole = [f"{output}.whole" for output in outputs]
        self.nodes(operator, [*inputs, *others], whole, **attributes)
        for name, output in zip(whole, outputs, strict=True):
            self._rounded(name, output)

    def gather_rows(self, name: str, values: Float32, places: str) -> str:
        """Append the rows in fp32, which represents fp16 values exactly."""
        return self.node("Gather", [self.weight(name, values), places], f"{name}.selected", axis=0)

    def _shortlist_operand(self, read: str, name: str, values: Float32, output: str) -> str:
        return self._rounded(read, f"{output}.read")

    def _shortlist_rows(self, name: str, values: Float32, numbers: Sequence[int]) -> str:
        return Graph._shortlist_rows(self, name, values, numbers)

    def _matmul_rows(self, read: str, matrix: str, added: str, output: str, *, rows: bool) -> str:
        """Append the matmul in fp32 between roundings."""
        product = self.node("Gemm", [read, matrix], f"{output}.whole", transB=1)
        return self.node("Add", [self._rounded(product, f"{output}.product"), added], output)

    def carried_state(self, state: str) -> str:
        """Return the state rounded."""
        return self._rounded(state, f"{state}.rounded")

    def _rounded(self, read: str, output: str) -> str:
        half = self.node("Cast", [read], f"{output}.fp16", to=TensorProto.FLOAT16)
        return self.node("Cast", [half], output, to=TensorProto.FLOAT)
