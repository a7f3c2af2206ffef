"""Compute gradients as soon as a loss exists, to free its graph early.

A step sums the losses of all decoders before the backward pass. Until then each decoder would keep the activations of
all its layers: with four decoders and long sentences 2.2 of 11.1 GB.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


class _Known(torch.autograd.Function):
    """A loss with precomputed gradients."""

    @staticmethod
    def forward(ctx: Any, loss: Tensor, gradients: Sequence[Tensor | None], *inputs: Tensor) -> Tensor:  # noqa: ANN401 -- torch's own
        ctx.gradients = gradients
        return loss.clone()

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> Any:  # noqa: ANN401 -- torch's own
        return None, None, *(None if known is None else known * upstream[0] for known in ctx.gradients)


def take_gradients(loss: Tensor, read: Sequence[Tensor], inputs: Sequence[Tensor]) -> Tensor:
    """Detach a loss from its graph, and keep its precomputed gradients.

    Args:
        loss: A scalar.
        read: The tensors that it was computed from, whose gradients are computed.
        inputs: The tensors that get these gradients, in the same order: the same tensors, or their originals.
    """
    gradients = torch.autograd.grad(loss, read, allow_unused=True)
    known: Tensor = _Known.apply(loss.detach(), gradients, *inputs)  # type: ignore[no-untyped-call]
    return known
