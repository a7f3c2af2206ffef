"""Sparse gradients of the token embeddings: only the rows in a batch.

A step of the paper's model reads a few hundred of 9,000 tokens. With dense gradients, every update of the encoder would
fill, sum, measure and subtract each whole table: a tenth of the step's time. Plain gradient descent changes the same
rows by the same numbers; an optimizer with moments changes all rows and keeps dense gradients.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from arae_transfer.model.arae import ARAE
from arae_transfer.recipe import Recipe


def use_sparse_gradients(model: ARAE, recipe: Recipe, device: torch.device, processes: int) -> None:
    """Use sparse gradients of the embeddings where they change only the speed.

    Tables that are also output layers have dense gradients. A GPU fills tables faster than it sorts rows, and processes
    exchange dense gradients.
    """
    if recipe.training.optimizer != "sgd" or recipe.model.shared_embeddings or device.type != "cpu" or processes > 1:
        return
    for part in (model.encoder, model.decoders):
        for module in part.modules():
            if isinstance(module, nn.Embedding):
                module.sparse = True


def has_sparse_gradients(model: ARAE) -> bool:
    """Return whether any gradient of encoder or decoders is sparse."""
    parts = [*model.encoder.modules(), *model.decoders.modules()]
    return any(isinstance(module, nn.Embedding) and module.sparse for module in parts)


def gradient_values(parameters: Iterable[nn.Parameter]) -> list[Tensor]:
    """Return views of the gradient values, each once; in-place changes change the gradients."""
    values = []
    for parameter in parameters:
        if parameter.grad is not None and parameter.grad.is_sparse:
            parameter.grad = parameter.grad.coalesce()  # a token may stand in many places
            values.append(parameter.grad.values())
        elif parameter.grad is not None:
            values.append(parameter.grad)
    return values
