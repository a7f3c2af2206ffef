"""The quality estimator: from a source and a rewrite to the probability that a reader accepts the rewrite.

It is a classifier over the frozen layers of a model's encoder. These read the source once for all of its rewrites
(MacAvaney et al. 2020); layers of its own read the source with the edits of one rewrite in place: what is kept, what is
deleted and what is new.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from arae_transfer.model.transformer import TransformerEncoder
from arae_transfer.quality.candidates import DELETED, KINDS, NEW
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
        self.inner = nn.Linear(4 * size, size)
        self.dropout = nn.Dropout(dropout)
        self.outer = nn.Linear(size, classes)

    @torch.no_grad()
    def start_from(self, encoder: TransformerEncoder) -> None:
        """Copy the weights of the encoder's layers directly above the frozen ones."""
        for own, layer in zip(self.layers, list(encoder.layers)[encoder.frozen_layers :], strict=False):
            own.load_state_dict(layer.state_dict())

    def forward(self, source: Tensor, embedded: Tensor, kinds: Tensor, places: Tensor, target: Tensor) -> Tensor:
        """Return the logit of acceptance of each rewrite.

        Args:
            source: (batch, time, size) the frozen states of each source.
            embedded: (batch, time', size) the embeddings of the tokens of each candidate, see ``quality.candidates``;
                only those of new tokens are read.
            kinds: (batch, time') the kind of each token; 0 at padding.
            places: (batch, time') its position in the source.
            target: (batch,) the number of the class that is asked for.
        """
        real = kinds > 0
        size = source.size(2)
        of_source = source.gather(1, places[:, :, None].expand(-1, -1, size))
        states = torch.where((kinds == NEW)[:, :, None], embedded, of_source) + self.kind(kinds)
        padding = torch.zeros_like(real, dtype=states.dtype).masked_fill(~real, -1e9)[:, None, None, :]
        for layer in self.layers:
            states = layer(states, padding)
        deleted, new = kinds == DELETED, kinds == NEW
        greatest = states.masked_fill(~real[:, :, None], -1e4).amax(1)
        means = [_mean(states, chosen) for chosen in (real & ~deleted, deleted, new)]
        hidden = nn.functional.gelu(self.inner(torch.cat([*means, greatest], dim=1)))
        logits: Tensor = self.outer(self.dropout(hidden))  # (batch, classes)
        return logits.gather(1, target[:, None])[:, 0]


def _mean(states: Tensor, chosen: Tensor) -> Tensor:
    """Return the mean of the selected positions, (batch, size), or 0 if there are none."""
    weights = chosen.to(states.dtype)[:, :, None]
    return (states * weights).sum(1) / weights.sum(1).clamp(min=1.0)
