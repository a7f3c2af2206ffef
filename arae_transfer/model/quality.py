"""The quality estimator: from a source and a rewrite to the probability that a reader accepts the rewrite.

It is a classifier of sentence pairs over the frozen layers of a model's encoder. These read source and rewrite apart,
so that a source is read once for all of its rewrites (MacAvaney et al. 2020); layers of its own read them together.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from arae_transfer.model.transformer import TransformerEncoder
from arae_transfer.quality.candidates import KINDS, NEW
from arae_transfer.recipe import Quality


class QualityEstimator(nn.Module):
    """Probability that a reader accepts a rewrite, for each class."""

    def __init__(self, encoder: TransformerEncoder, quality: Quality, classes: int, dropout: float) -> None:
        super().__init__()
        size = encoder.embedding.embedding_dim
        self.kind = nn.Embedding(KINDS, size)
        nn.init.normal_(self.kind.weight, 0.0, 0.05)
        above = list(encoder.layers)[encoder.frozen_layers :][: quality.layers]
        self.layers = nn.ModuleList(copy.deepcopy(layer) for layer in above)
        self.inner = nn.Linear(3 * size, size)
        self.dropout = nn.Dropout(dropout)
        self.outer = nn.Linear(size, classes)

    @torch.no_grad()
    def start_from(self, encoder: TransformerEncoder) -> None:
        """Copy the weights of the encoder's layers directly above the frozen ones."""
        for own, layer in zip(self.layers, list(encoder.layers)[encoder.frozen_layers :], strict=False):
            own.load_state_dict(layer.state_dict())

    def forward(self, source: Tensor, source_mask: Tensor, rewrite: Tensor, kinds: Tensor, target: Tensor) -> Tensor:
        """Return the logit of acceptance of each rewrite.

        Args:
            source: (batch, time, size) the frozen states of each source.
            source_mask: (batch, time), true at real positions.
            rewrite: (batch, time', size) the frozen states of each rewrite.
            kinds: (batch, time') the kind of each token of a rewrite, see ``quality.candidates``; 0 at padding.
            target: (batch,) the number of the class that is asked for.
        """
        real = kinds > 0
        states = torch.cat([source + self.kind.weight[0], rewrite + self.kind(kinds)], dim=1)
        mask = torch.cat([source_mask, real], dim=1)
        padding = torch.zeros_like(mask, dtype=states.dtype).masked_fill(~mask, -1e9)[:, None, None, :]
        for layer in self.layers:
            states = layer(states, padding)
        read = states[:, source.size(1) :]  # (batch, time', size)
        greatest = read.masked_fill(~real[:, :, None], -1e4).amax(1)
        features = torch.cat([_mean(read, real), _mean(read, kinds == NEW), greatest], dim=1)
        hidden = nn.functional.gelu(self.inner(features))
        logits: Tensor = self.outer(self.dropout(hidden))  # (batch, classes)
        return logits.gather(1, target[:, None])[:, 0]


def _mean(states: Tensor, chosen: Tensor) -> Tensor:
    """Return the mean of the selected positions, (batch, size), or 0 if there are none."""
    weights = chosen.to(states.dtype)[:, :, None]
    return (states * weights).sum(1) / weights.sum(1).clamp(min=1.0)
