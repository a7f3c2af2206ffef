"""Operators of the graphs of a model that edits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch

from arae_transfer.export.graph import CONTRIBUTED, Graph
from arae_transfer.export.weights import array

Float32 = npt.NDArray[np.float32]


class Builder:
    """Appends operators to a graph.

    Attributes:
        graph: The graph.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._numbers: set[str] = set()

    def product(self, read: str | Mapping[str, int], name: str, values: Float32, bias: Float32 | None, out: str) -> str:
        """Append a matmul with a trained matrix (outputs, inputs)."""
        added = None if bias is None else self.graph.constant(f"{name}.bias", bias, np.float32)
        return self.graph.matmul(read, f"{name}.weight", values, added, out)

    def folded(self, read: str, name: str, values: Float32, bias: Float32 | None, out: str) -> str:
        """Append a matmul with a product of trained matrices, which fp16 cannot store exactly."""
        if self.graph.storage == "fp32":
            return self.product(read, name, values, bias, out)
        weight = self.graph.constant(f"{name}.weight", values, np.float32)
        added = [] if bias is None else [self.graph.constant(f"{name}.bias", bias, np.float32)]
        return self.graph.node("Gemm", [read, weight, *added], out, transB=1)

    def linear(self, read: str | Mapping[str, int], name: str, layer: torch.nn.Module, out: str) -> str:
        """Append a linear layer."""
        assert isinstance(layer, torch.nn.Linear)
        return self.product(read, name, array(layer.weight), array(layer.bias), out)

    def normalize(self, read: str, name: str, norm: torch.nn.Module, out: str) -> str:
        """Append a layer normalization over the last axis."""
        assert isinstance(norm, torch.nn.LayerNorm)
        weight, bias = (
            self.graph.constant(f"{name}.{part}", array(getattr(norm, part)), np.float32) for part in ("weight", "bias")
        )
        return self.graph.node("LayerNormalization", [read, weight, bias], out, axis=-1, epsilon=norm.eps)

    def gelu(self, read: str, out: str) -> str:
        """Append a GELU, as PyTorch computes it by default."""
        self.graph.nodes("Gelu", [read], [out], domain=CONTRIBUTED)
        return out

    def reshape(self, read: str, shape: Sequence[str | int], out: str) -> str:
        """Append a reshape to sizes, each a number or the name of a value [size]."""
        if all(isinstance(size, int) for size in shape):
            return self.graph.node("Reshape", [read, self.graph.constant(f"{out}.shape", shape)], out)
        parts = [size if isinstance(size, str) else self.graph.constant(f"size.{size}", [size]) for size in shape]
        return self.graph.node("Reshape", [read, self.graph.node("Concat", parts, f"{out}.shape", axis=0)], out)

    def column(self, read: str, out: str) -> str:
        """Append an axis of size 1 behind the last one."""
        return self.graph.node("Unsqueeze", [read, self.graph.constant("axis.last", [-1])], out)

    def number(self, number: int) -> str:
        """Return a whole number as a scalar."""
        if f"number.{number}" not in self._numbers:
            self._numbers.add(self.scalar(self.graph.constant(f"number.{number}.row", [number]), f"number.{number}"))
        return f"number.{number}"

    def scalar(self, read: str, out: str) -> str:
        """Append a value [size] as a scalar."""
        return self.graph.node("Squeeze", [read, self.graph.constant("axis.0", [0])], out)
