"""Transformer encoder in the layout of BERT, optionally with pretrained weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from arae_transfer.recipe import Model
from arae_transfer.tokenizer import PAD_ID

NORM_EPSILON = 1e-12


def attend(query: Tensor, key: Tensor, value: Tensor, padding: Tensor) -> Tensor:
    """Return scaled dot-product attention.

    Args:
        query: (batch, heads, time, size).
        key: As ``query``.
        value: As ``query``.
        padding: (batch, 1, 1, time) 0 at real positions and a large negative number at padding.

    Returns:
        (batch, heads, time, size).
    """
    if query.device.type != "cpu":
        return functional.scaled_dot_product_attention(query, key, value, attn_mask=padding.to(query.dtype))
    # PyTorch's own attention is meant for long texts: backwards it takes ten times as long on sentences.
    scores = (query * query.size(3) ** -0.5) @ key.transpose(2, 3) + padding
    attended: Tensor = scores.softmax(3).to(value.dtype) @ value
    return attended


class TransformerLayer(nn.Module):
    """Self-attention and a feed-forward layer, each added to its input and normalized (Vaswani et al. 2017)."""

    def __init__(self, size: int, heads: int, inner_size: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.inputs = nn.Linear(size, 3 * size)  # queries, keys and values
        self.attended = nn.Linear(size, size)
        self.attention_norm = nn.LayerNorm(size, NORM_EPSILON)
        self.inner = nn.Linear(size, inner_size)
        self.outer = nn.Linear(inner_size, size)
        self.output_norm = nn.LayerNorm(size, NORM_EPSILON)
        self.dropout = nn.Dropout(dropout)

    def forward(self, states: Tensor, padding: Tensor) -> Tensor:
        """Return the next states.

        Args:
            states: (batch, time, size).
            padding: (batch, 1, 1, time) 0 at real positions and a large negative number at padding.

        Returns:
            (batch, time, size).
        """
        batch, time, size = states.shape
        inputs = self.inputs(states).view(batch, time, 3, self.heads, size // self.heads)
        query, key, value = inputs.permute(2, 0, 3, 1, 4)  # each (batch, heads, time, size / heads)
        found = attend(query, key, value, padding).transpose(1, 2).reshape(batch, time, size)
        states = self.attention_norm(states + self.dropout(self.attended(found)))
        inner = self.outer(functional.gelu(self.inner(states)))
        result: Tensor = self.output_norm(states + self.dropout(inner))
        return result


class TransformerEncoder(nn.Module):
    """Transformer from token ids to one unit code vector per token, in place of ``encoder.Encoder``.

    Attributes:
        single: False: a code has one vector per token.
        pads: True: sentences of a batch are padded.
        frozen_layers: How many layers, from the first on, do not learn; with the first of them goes the embedding.
    """

    single = False
    pads = True
    last_state = False

    def __init__(self, vocabulary_size: int, model: Model, maximum_vectors: int) -> None:
        super().__init__()
        size = model.code_size
        self.frozen_layers = model.frozen_layers
        self.embedding = nn.Embedding(vocabulary_size, size, padding_idx=PAD_ID)
        self.positions = nn.Parameter(torch.empty(maximum_vectors, size).normal_(0.0, 0.02))
        self.embedding_norm = nn.LayerNorm(size, NORM_EPSILON)
        self.dropout = nn.Dropout(model.dropout)
        self.layers = nn.ModuleList(
            TransformerLayer(size, model.attention_heads, model.inner_size, model.dropout)
            for _ in range(model.encoder_layers)
        )

    def freeze(self) -> None:
        """Freeze the first layers."""
        if self.frozen_layers == 0:
            return
        self.positions.requires_grad_(False)
        for module in (self.embedding, self.embedding_norm, *self.layers[: self.frozen_layers]):
            module.requires_grad_(False)

    @torch.no_grad()
    def frozen_states(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Return the states above the layers that do not learn, without drop-out.

        Args:
            tokens: (batch, time) ids, padded at the right.
            lengths: (batch,) numbers of real ids, each at least 1.

        Returns:
            (batch, time, size).
        """
        learning = self.training
        self.eval()
        _, states, padding = self._embed(tokens, lengths)
        for layer in self.layers[: self.frozen_layers]:
            states = layer(states, padding)
        self.train(learning)
        return states

    def embed(self, tokens: Tensor, places: Tensor) -> Tensor:
        """Return what the first layer would read of tokens at some positions, without drop-out.

        Args:
            tokens: (batch, time) ids.
            places: (batch, time) their positions, or (time,) those of all rows.

        Returns:
            (batch, time, size).
        """
        states: Tensor = self.embedding_norm(self.embedding(tokens) + self.positions[places])
        return states

    def _embed(self, tokens: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the mask, the first layer's input and its padding."""
        places = torch.arange(tokens.size(1), device=tokens.device)
        mask = places < lengths[:, None]  # (batch, time)
        states = self.embed(tokens, places)
        padding = torch.zeros_like(mask, dtype=states.dtype).masked_fill(~mask, -1e9)[:, None, None, :]
        return mask, self.dropout(states), padding  # states: (batch, time, size)

    def forward(self, tokens: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Encode a batch.

        Args:
            tokens: (batch, time) ids, padded at the right.
            lengths: (batch,) numbers of real ids, each at least 1.

        Returns:
            The code (batch, time, code_size), each real vector of unit norm, and its mask (batch, time), true at real
            vectors.
        """
        mask, states, padding = self._embed(tokens, lengths)
        for layer in self.layers:
            states = layer(states, padding)
        code = functional.normalize(states.float(), dim=2)
        return code * mask[:, :, None], mask
