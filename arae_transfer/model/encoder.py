"""The shared encoder: from token ids to code vectors on the unit sphere."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from arae_transfer.model.superposition import Superposition
from arae_transfer.recipe import Model
from arae_transfer.tokenizer import PAD_ID


def reverse_sequences(states: Tensor, lengths: Tensor) -> Tensor:
    """Reverse each row's real positions, and keep its padding in place.

    Args:
        states: (batch, time, size).
        lengths: (batch,) numbers of real positions.
    """
    positions = torch.arange(states.size(1), device=states.device)  # (time,)
    reversed_positions = lengths[:, None] - 1 - positions  # (batch, time)
    index = torch.where(reversed_positions >= 0, reversed_positions, positions)  # (batch, time)
    return states.gather(1, index[:, :, None].expand_as(states))  # (batch, time, size)


class Encoder(nn.Module):
    """LSTM encoder of a sentence to one code vector, or to one per token (paper, Section 2: enc_phi).

    One vector is the last state, as in the paper, or those of all tokens laid over each other.

    Each code vector is divided by its L2 norm, so the code space is the unit sphere.
    Padding stands at the right and never reaches a real position: the forward direction reads it last, and the
    backward direction runs over sequences that were reversed up to their own length.

    With ``model.residual`` a token's embedding is added to its vector before the division (He et al. 2016): the layers
    learn what a word means where it stands, and not also which word it is.

    Attributes:
        pads: True: rows of a batch may be padded, and are encoded as if they were not.
    """

    pads = True

    def __init__(
        self,
        vocabulary_size: int,
        model: Model,
        embedding: nn.Embedding | None = None,
        superposition: Superposition | None = None,
    ) -> None:
        super().__init__()
        self.single = model.one_vector
        self.last_state = model.code == "single"  # the code is the last state itself (the paper)
        self.superposition = superposition
        self.embedding = embedding or nn.Embedding(vocabulary_size, model.embedding_size, padding_idx=PAD_ID)
        self.dropout = nn.Dropout(model.dropout)
        self.residual = model.residual
        directions = 2 if model.bidirectional else 1
        self.forward_layers = nn.ModuleList()
        self.backward_layers = nn.ModuleList()
        size = model.embedding_size
        for _ in range(model.encoder_layers):
            self.forward_layers.append(nn.LSTM(size, model.hidden_size, batch_first=True))
            if model.bidirectional:
                self.backward_layers.append(nn.LSTM(size, model.hidden_size, batch_first=True))
            size = model.hidden_size * directions
        # The paper's code is the last state itself; a projection only where the sizes differ.
        wanted = model.attended_size
        self.projection = nn.Identity() if size == wanted else nn.Linear(size, wanted)

    def forward(self, tokens: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Encode a batch.

        Args:
            tokens: (batch, time) ids, padded at the right.
            lengths: (batch,) numbers of real ids, each at least 1.

        Returns:
            The code (batch, vectors, code_size), each real vector of unit norm, and its mask (batch, vectors), true
            at real vectors; ``vectors`` is 1 for a single code and ``time`` for a sequence.
        """
        embedded = self.embedding(tokens)  # (batch, time, embedding)
        states = self.dropout(embedded)
        final = states
        for number, layer in enumerate(self.forward_layers):
            if number:
                states = self.dropout(states)
            ahead, _ = layer(states)  # (batch, time, hidden)
            last = (lengths - 1)[:, None, None].expand(-1, 1, ahead.size(2))  # (batch, 1, hidden)
            final = ahead.gather(1, last)  # (batch, 1, hidden)
            if len(self.backward_layers):
                behind, _ = self.backward_layers[number](reverse_sequences(states, lengths))
                final = torch.cat([final, behind.gather(1, last)], dim=2)  # (batch, 1, 2 x hidden)
                behind = reverse_sequences(behind, lengths)  # (batch, time, hidden)
                states = torch.cat([ahead, behind], dim=2)  # (batch, time, 2 x hidden)
            else:
                states = ahead
        if self.last_state:
            mask = torch.ones(tokens.size(0), 1, dtype=torch.bool, device=tokens.device)  # (batch, 1)
            return functional.normalize(self.projection(final).float(), dim=2), mask
        positions = torch.arange(tokens.size(1), device=tokens.device)
        mask = positions < lengths[:, None]  # (batch, time)
        vectors = self.projection(states)  # (batch, time, code)
        if self.residual:
            vectors = vectors + embedded
        if self.superposition is not None:
            # Vectors of one length weigh alike in the sum.
            code = self.superposition.bind(functional.normalize(vectors.float(), dim=2), mask)
            return code, torch.ones_like(mask[:, :1])
        code = functional.normalize(vectors.float(), dim=2)
        return code * mask[:, :, None], mask
