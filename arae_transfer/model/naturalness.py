"""A discriminator that tells sentences that people wrote from rewrites of them.

Filters of several widths over the token embeddings, the largest answer of each anywhere in the sentence, and a layer on
top (Kim, "Convolutional Neural Networks for Sentence Classification", 2014). Discriminators of this kind steer what a
model says towards text that reads as written (Holtzman et al., "Learning to Write with Cooperative Discriminators",
2018).
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from arae_transfer.tokenizer import PAD_ID

_EMBEDDING, _FILTERS, _HIDDEN = 128, 128, 128
# How many tokens each kind of filter sees.
_WIDTHS = (2, 3, 5)
_INPUT_DROPOUT, _DROPOUT = 0.2, 0.3


class SentenceDiscriminator(nn.Module):
    """Says how surely somebody wrote a sentence."""

    def __init__(self, vocabulary_size: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary_size, _EMBEDDING, padding_idx=PAD_ID)
        # One product over the embeddings of so many tokens side by side, which is a convolution, and faster on a CPU.
        self.filters = nn.ModuleList(nn.Linear(width * _EMBEDDING, _FILTERS) for width in _WIDTHS)
        self.output = nn.Sequential(
            nn.Dropout(_DROPOUT),
            nn.Linear(len(_WIDTHS) * _FILTERS, _HIDDEN),
            nn.ReLU(),
            nn.Dropout(_DROPOUT),
            nn.Linear(_HIDDEN, 1),
        )

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return the log-odds that somebody wrote each sentence: float (rows,).

        Args:
            tokens: int (rows, time), padded behind the sentences; how much is padded changes nothing.
        """
        embedded = functional.dropout(self.embedding(tokens), _INPUT_DROPOUT, self.training)
        lengths = (tokens != PAD_ID).sum(1, keepdim=True)
        answers = []
        for width, layer in zip(_WIDTHS, self.filters, strict=True):
            # Begin and end are seen as such: the first window holds the first token alone, the last one the last.
            padded = functional.pad(embedded, (0, 0, width - 1, width - 1))
            windows = padded.unfold(1, width, 1).transpose(2, 3).flatten(2)
            # Windows behind the last one of a sentence hold only padding, and zero is the least that a filter answers.
            behind = torch.arange(windows.shape[1], device=tokens.device) >= lengths + width - 1
            answers.append(functional.relu(layer(windows)).masked_fill(behind[..., None], 0.0).amax(1))
        odds: torch.Tensor = self.output(torch.cat(answers, 1)).squeeze(1)
        return odds
