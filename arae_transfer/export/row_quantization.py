"""Matmuls in 8-bit integers with a scale for each input row, computed when they run.

A row holds the inputs of one token or one hypothesis. Its scale depends only on the row itself, and sums are integers,
so answers are the same in every batch, order and number of threads. Fixed scales, see ``quantization``, suit LSTMs,
whose states lie within -1 and 1; the layers of a Transformer differ more from token to token.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from arae_transfer.export.graph import CONTRIBUTED, Graph, Parts
from arae_transfer.export.quantization import QuantizedGraph

Float32 = npt.NDArray[np.float32]

_ZERO = 128
_GREATEST = 127
# What is all but nothing is read as nothing.
_LEAST_SIZE = 1e-6


class LookupGraph(QuantizedGraph):
    """A graph that stores in 8 bits only the matrices of look-ups."""

    def weight(self, name: str, values: Float32) -> str:
        """Store a trained matrix in fp32."""
        return Graph.weight(self, name, values)


class RowQuantizedGraph(QuantizedGraph):
    """A graph whose matmuls have a scale for each input row, and which stores all matrices in 8 bits."""

    splits_gates = False

    def matmul(
        self, read: str | Parts, name: str, values: Float32, added: str | None, output: str, *, rows: bool = False
    ) -> str:
        """Append the matmul: each row is divided by its maximum before, and multiplied by it afterwards."""
        joined = self.concatenate(read, output)
        sizes = self.node("Abs", [joined], f"{output}.sizes")
        greatest = self.node("ReduceMax", [sizes], f"{output}.greatest", axes=[1], keepdims=1)
        least = self.constant("rows.least", _LEAST_SIZE, np.float32)
        size = self.node("Max", [greatest, least], f"{output}.size")
        ones = self.node("Div", [joined, size], f"{output}.ones")
        scale = self.constant("rows.scale", 1 / _GREATEST, np.float32)
        zero = self.constant("int8.zero", _ZERO, np.uint8)
        quantized = self.node("QuantizeLinear", [ones, scale, zero], f"{output}.read")
        matrix, scales = self._store_int8(name, values)
        # Stored as (outputs, inputs), as a look-up needs it; turned once, when the file is opened.
        turned = self._around._derive("Transpose", [matrix], f"{name}.turned", perm=[1, 0])
        product = f"{output}.product"
        self.nodes("MatMulIntegerToFloat", [quantized, turned, scale, scales, zero], [product], domain=CONTRIBUTED)
        if added is None:
            return self.node("Mul", [product, size], output)
        return self.node("Add", [self.node("Mul", [product, size], f"{output}.scaled"), added], output)
