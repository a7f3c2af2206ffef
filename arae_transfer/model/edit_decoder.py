"""Decoders that write a rewrite as edits of its source: they point to what is replaced and write what replaces it.

The decoder of a class is a language model over the actions of ``editing.actions``: an LSTM that reads the last action
and the code around the position that it has reached, attends to the whole code, and chooses. Where an edit starts and
where the source goes on are chosen by pointing at vectors of the code (pointer networks, Vinyals et al. 2015).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from arae_transfer.recipe import Model

FARTHEST = 12
"""Places between the position reached and a vector of the code, beyond which they count as equally far."""

NEVER = -1e9
"""The score of what must not be chosen."""


class EditInputs(NamedTuple):
    """What a decoder knows before each action; see ``editing.actions.Actions``.

    Attributes:
        token: (batch, steps).
        pointer: (batch, steps).
        cursor: (batch, steps).
        inside: (batch, steps).
    """

    token: Tensor
    pointer: Tensor
    cursor: Tensor
    inside: Tensor


States = tuple[Tensor, Tensor, Tensor, Tensor]
"""Hidden state and cell of the first and of the second layer, each (1, batch, hidden)."""


class EditScores(NamedTuple):
    """What a decoder scores its choices by.

    Attributes:
        features: (batch, steps, size) what the output layer reads.
        start: (batch, steps, 1 + time) of finishing, and of starting an edit at each position.
        resume: (batch, steps, time) of letting the source go on at each position.
        states: The states after the last step.
    """

    features: Tensor
    start: Tensor
    resume: Tensor
    states: States


@dataclass(frozen=True)
class EditLogits:
    """Logits of the actions of given rewrites, with their targets, outside of edits and inside.

    Attributes:
        outside: (actions, 1 + time).
        outside_wanted: (actions,).
        inside: (actions', vocabulary + time).
        inside_wanted: (actions',).
    """

    outside: Tensor
    outside_wanted: Tensor
    inside: Tensor
    inside_wanted: Tensor


class EditNetwork(nn.Module):
    """What the edit decoders of all classes share: everything but their class."""

    def __init__(self, vocabulary_size: int, model: Model, embedding: nn.Embedding) -> None:
        super().__init__()
        size, hidden = model.code_size, model.hidden_size
        self.vocabulary_size = vocabulary_size
        self.scale = math.sqrt(size)  # a vector of unit norm to dimensions of about 1
        self.embedding = embedding
        self.inside = nn.Embedding(2, size)
        self.before = nn.Parameter(torch.zeros(size))  # what stands before the first token
        self.dropout = nn.Dropout(model.dropout)
        self.first = nn.LSTM(4 * size, hidden, batch_first=True)
        self.second = nn.LSTM(hidden + size, hidden, batch_first=True)
        self.query = nn.Linear(hidden, size, bias=False)
        self.key = nn.Linear(size, size, bias=False)
        self.nearness = nn.Parameter(torch.zeros(2 * FARTHEST + 1))
        self.bridge = nn.Linear(hidden + 3 * size, size)
        self.norm = nn.LayerNorm(size)
        self.output = nn.Linear(size, vocabulary_size)
        self.pointer_key = nn.Linear(size, size, bias=False)
        self.start_query = nn.Linear(size, size)
        self.resume_query = nn.Linear(size, size)
        self.start_nearness = nn.Parameter(torch.zeros(2 * FARTHEST + 1))
        self.resume_nearness = nn.Parameter(torch.zeros(2 * FARTHEST + 1))
        self.finish = nn.Linear(size, 1)

    def forward(
        self,
        code: Tensor,
        mask: Tensor,
        allowed: Tensor,
        style: Tensor,
        inputs: EditInputs,
        states: States,
        steps: Tensor | None = None,
    ) -> EditScores:
        """Score the choices of each step.

        Args:
            code: (batch, time, size) of unit norm; the last real vector is that of the end id.
            mask: (batch, time), true at real vectors.
            allowed: (batch, time), true where a word begins, and at the end id: only there edits start and end.
            style: (size,), or (batch, 1, size), what says which class is written.
            inputs: What is known before each step.
            states: The states before the first step.
            steps: (batch,) the number of steps of each row, at least 1, on the CPU; None: all have as many.
        """
        read = code * self.scale
        left = torch.cat([self.before.expand(len(read), 1, -1), read[:, :-1]], dim=1)
        behind, ahead = _at(left, inputs.cursor), _at(read, inputs.cursor)  # (batch, steps, size)
        pointed = _at(read, (inputs.pointer - 1).clamp(min=0)) * (inputs.pointer > 0)[:, :, None]
        last = self.embedding(inputs.token) * (inputs.pointer == 0)[:, :, None] + pointed
        last = last + self.inside(inputs.inside.long())
        class_read = style.expand(*behind.shape[:2], -1)
        states_read = self.dropout(torch.cat([last, behind, ahead, class_read], dim=2))
        first, (hidden1, cell1) = _run(self.first, states_read, (states[0], states[1]), steps)  # (batch, steps, hidden)
        distance = torch.arange(code.size(1), device=code.device) - inputs.cursor[:, :, None]
        near = distance.clamp(-FARTHEST, FARTHEST) + FARTHEST  # (batch, steps, time)
        scores = self.query(first) @ self.key(read).transpose(1, 2) / self.scale + self.nearness[near]
        found = scores.masked_fill(~mask[:, None], NEVER).softmax(2) @ read  # (batch, steps, size)
        states_read = torch.cat([self.dropout(first), found], dim=2)
        second, (hidden2, cell2) = _run(self.second, states_read, (states[2], states[3]), steps)
        joined = torch.cat([first + second, found, behind, ahead], dim=2)
        features = self.norm(functional.gelu(self.bridge(self.dropout(joined))))  # (batch, steps, size)
        keys = self.pointer_key(read).transpose(1, 2) / self.scale
        # Right behind a position that was chosen, choosing it again would change nothing: no edit is empty, and none
        # begins where another has ended.
        least = (inputs.pointer > 0).long()[:, :, None]
        barred = (distance < least) | ~(mask & allowed)[:, None]
        start = (self.start_query(features) @ keys + self.start_nearness[near]).masked_fill(barred, NEVER)
        resume = (self.resume_query(features) @ keys + self.resume_nearness[near]).masked_fill(barred, NEVER)
        start = torch.cat([self.finish(features), start], dim=2)
        return EditScores(features, start, resume, (hidden1, cell1, hidden2, cell2))


class EditDecoder(nn.Module):
    """The decoder of one class: what the classes share, and what tells it which class to write."""

    def __init__(self, network: EditNetwork, model: Model) -> None:
        super().__init__()
        self.network = network
        self.style = nn.Parameter(torch.empty(model.code_size).normal_(0.0, 0.1))
        self.initial = nn.Parameter(torch.empty(4, model.hidden_size).normal_(0.0, 0.02))

    def initial_states(self, batch: int) -> States:
        """Return the states before the first action."""
        first, cell, second, upper_cell = (row.expand(1, batch, -1).contiguous() for row in self.initial)
        return first, cell, second, upper_cell

    def scores(self, code: Tensor, mask: Tensor, allowed: Tensor, inputs: EditInputs, states: States) -> EditScores:
        """Score the choices of each step; see ``EditNetwork.forward``."""
        found: EditScores = self.network(code, mask, allowed, self.style, inputs, states)
        return found


def predict_edits(
    decoders: Sequence[EditDecoder],
    numbers: Sequence[int],
    code: Tensor,
    mask: Tensor,
    allowed: Tensor,
    inputs: EditInputs,
    choice: Tensor,
    real: Tensor,
) -> EditLogits:
    """Predict given actions (teacher forcing), those of all classes at once.

    Args:
        decoders: The decoders of all classes, which share a network.
        numbers: How many rows each of them writes; the rows stand in the order of the decoders.
        code: (batch, time, size).
        mask: (batch, time).
        allowed: (batch, time).
        inputs: What is known before each action.
        choice: (batch, steps) the actions.
        real: (batch, steps) which of them are there.
    """
    network = decoders[0].network
    writers = list(zip(decoders, numbers, strict=True))
    style = torch.cat([decoder.style.expand(number, 1, -1) for decoder, number in writers])  # (batch, 1, size)
    initial = zip(*(decoder.initial_states(number) for decoder, number in writers), strict=True)
    first, cell, second, upper_cell = (torch.cat(parts, dim=1) for parts in initial)  # each (1, batch, hidden)
    states = (first, cell, second, upper_cell)
    found: EditScores = network(code, mask, allowed, style, inputs, states, real.sum(1).cpu())
    outside, inside = real & ~inputs.inside, real & inputs.inside
    words = network.output(found.features[inside])  # (actions', vocabulary)
    return EditLogits(
        found.start[outside],
        choice[outside],
        torch.cat([words, found.resume[inside].to(words.dtype)], dim=1),
        choice[inside],
    )


def _run(
    layer: nn.LSTM, read: Tensor, states: tuple[Tensor, Tensor], steps: Tensor | None
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Run an LSTM over (batch, steps, size); with the numbers of steps, padding costs nothing."""
    if steps is None:
        found: tuple[Tensor, tuple[Tensor, Tensor]] = layer(read, states)
        return found
    packed = pack_padded_sequence(read, steps, batch_first=True, enforce_sorted=False)
    output, last = layer(packed, states)
    return pad_packed_sequence(output, batch_first=True, total_length=read.size(1))[0], last


def _at(vectors: Tensor, positions: Tensor) -> Tensor:
    """Return the vectors at some positions: (batch, time, size) and (batch, steps) to (batch, steps, size)."""
    return vectors.gather(1, positions[:, :, None].expand(-1, -1, vectors.size(2)))
