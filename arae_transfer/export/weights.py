"""Trained parameters as arrays in ONNX's order, and models rounded to the precision of their files."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from arae_transfer.errors import AraeError
from arae_transfer.export.graph import Storage
from arae_transfer.model.arae import ARAE

Float32 = npt.NDArray[np.float32]


def array(parameter: Tensor | nn.Module) -> Float32:
    """Return a parameter as an fp32 array."""
    assert isinstance(parameter, Tensor)  # PyTorch types every attribute of a module as tensor or module
    values: Float32 = parameter.detach().cpu().float().numpy()
    return values


@dataclass(frozen=True)
class LSTMWeights:
    """One LSTM layer of one direction, its gates stacked in ONNX's order: input, output, forget, candidate.

    Attributes:
        inputs: (4 x hidden, input size).
        recurrent: (4 x hidden, hidden).
        input_bias: (4 x hidden,).
        recurrent_bias: (4 x hidden,).
    """

    inputs: Float32
    recurrent: Float32
    input_bias: Float32
    recurrent_bias: Float32

    @classmethod
    def of(cls, layer: nn.Module) -> LSTMWeights:
        """Read them from a PyTorch LSTM of one layer and one direction."""
        return cls(
            _onnx_gates(array(layer.weight_ih_l0)),
            _onnx_gates(array(layer.weight_hh_l0)),
            _onnx_gates(array(layer.bias_ih_l0)),
            _onnx_gates(array(layer.bias_hh_l0)),
        )

    @property
    def hidden_size(self) -> int:
        """The size of the state."""
        return int(self.recurrent.shape[1])


def _onnx_gates(stacked: Float32) -> Float32:
    """Reorder gates stacked along the first axis from PyTorch's order: input, forget, candidate, output."""
    into, forget, candidate, out = np.split(stacked, 4)
    return np.concatenate([into, out, forget, candidate])


def torch_gates(stacked: Float32) -> Float32:
    """Reorder gates stacked along the first axis from ONNX's order to PyTorch's."""
    into, out, forget, candidate = np.split(stacked, 4)
    return np.concatenate([into, forget, candidate, out])


@torch.no_grad()
def round_weights_for_storage(model: ARAE, storage: Storage) -> ARAE:
    """Return a copy of a model on the CPU, in evaluation mode, with the weights that its graphs store.

    With fp16 storage the matrices of encoder, decoders and style scorer are rounded to fp16; biases keep fp32.

    Raises:
        AraeError: A weight is not a finite number, or is too large for fp16.
    """
    copied = copy.deepcopy(model).cpu().float().eval()
    for parameter in [*copied.autoencoder_parameters(), *copied.scorer.parameters()]:
        if not bool(parameter.isfinite().all()):
            raise AraeError(
                "the model has weights that are not finite numbers: its training diverged",
                "export another checkpoint of the run, or train again with a smaller learning rate.",
            )
        if storage == "fp16" and parameter.dim() > 1:
            parameter.copy_(parameter.half().float())
            if not bool(parameter.isfinite().all()):
                raise AraeError("the model has weights that are too large for fp16", "use --weights fp32.")
    return copied
