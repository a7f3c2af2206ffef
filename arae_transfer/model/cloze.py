"""A bidirectional language model of a blank: which token stands between what precedes and what follows, in which class.

One LSTM reads a sentence forwards and one backwards, and what both know of a place beside it foretells the token
there (context2vec, Melamud et al. 2016), in the style of a class. It says of each token how well it fits into its whole
sentence, and which others would: n-gram models see three words back and none ahead.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from arae_transfer.model.encoder import reverse_sequences
from arae_transfer.tokenizer import BEGIN_ID, END_ID, PAD_ID, UNKNOWN_ID


class ClozeModel(nn.Module):
    """Foretells tokens from both sides."""

    def __init__(self, vocabulary_size: int, classes: int, embedding_size: int = 256, hidden_size: int = 256) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary_size, embedding_size, padding_idx=PAD_ID)
        self.style = nn.Embedding(classes, embedding_size)
        self.dropout = nn.Dropout(0.1)
        self.forwards = nn.LSTM(embedding_size, hidden_size, batch_first=True)
        self.backwards = nn.LSTM(embedding_size, hidden_size, batch_first=True)
        self.merge = nn.Linear(2 * hidden_size, embedding_size)
        self.bias = nn.Parameter(torch.zeros(vocabulary_size))
        with torch.no_grad():
            self.embedding.weight.normal_(0.0, embedding_size**-0.5)
            self.embedding.weight[PAD_ID] = 0.0
            self.style.weight.normal_(0.0, embedding_size**-0.5)

    def sides(self, tokens: Tensor, lengths: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
        """Read sentences from both sides.

        Args:
            tokens: (batch, time) ids, padded at the right, without begin and end ids.
            lengths: (batch,) numbers of tokens.
            classes: (batch,) the class in whose style each is read.

        Returns:
            (batch, time + 1, hidden) what is known after the first 0, 1, ... tokens, and as much of what is known after
            all tokens but the first 0, 1, ... from the end; of no meaning beyond a sentence's own length.
        """
        begin = torch.full_like(tokens[:, :1], BEGIN_ID)
        end = torch.full_like(tokens[:, :1], END_ID)
        style = self.style(classes)[:, None]  # (batch, 1, embedding)
        ahead = torch.cat([begin, tokens], dim=1)  # (batch, time + 1)
        before, _ = self.forwards(self.dropout(self.embedding(ahead)) + style)
        # The same from the end: the end id, then the tokens from the last to the first.
        reversed_tokens = reverse_sequences(tokens[:, :, None], lengths)[:, :, 0]
        behind = torch.cat([end, reversed_tokens], dim=1)  # (batch, time + 1)
        after, _ = self.backwards(self.dropout(self.embedding(behind)) + style)
        return before, reverse_sequences(after, lengths + 1)

    def features(self, before: Tensor, after: Tensor) -> Tensor:
        """Return what foretells a token between two sides: (batch, places, hidden) each to (batch, places, embedding)."""
        result: Tensor = self.merge(self.dropout(torch.cat([before, after], dim=2)))
        return result

    def token_features(self, tokens: Tensor, lengths: Tensor, classes: Tensor) -> Tensor:
        """Return what foretells each token of sentences: (batch, time, embedding)."""
        before, after = self.sides(tokens, lengths, classes)
        return self.features(before[:, :-1], after[:, 1:])

    def logits(self, features: Tensor, candidates: Tensor | None = None) -> Tensor:
        """Return the logits of all tokens, or of (candidates,) ids: (..., embedding) to (..., tokens)."""
        if candidates is None:
            logits = functional.linear(features, self.embedding.weight, self.bias)
            hidden = torch.tensor([PAD_ID, UNKNOWN_ID, BEGIN_ID, END_ID], device=logits.device)
            return logits.index_fill(-1, hidden, torch.finfo(logits.dtype).min)
        return functional.linear(features, self.embedding.weight[candidates], self.bias[candidates])

    def loss(self, tokens: Tensor, lengths: Tensor, classes: Tensor, candidates: Tensor, offsets: Tensor) -> Tensor:
        """Return the mean cross entropy of the tokens of sentences among candidates that hold all of them."""
        real = tokens != PAD_ID  # (batch, time)
        features = self.token_features(tokens, lengths, classes)[real]  # (real, embedding)
        logits = self.logits(features, candidates) + offsets
        return functional.cross_entropy(logits, torch.searchsorted(candidates, tokens[real]))
