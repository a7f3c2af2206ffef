"""Greedy decoding of edits, for validation while training; exported models search with ``runtime.editing``."""

from __future__ import annotations

import torch
from torch import Tensor

from arae_transfer.editing.actions import FINISH
from arae_transfer.model.edit_decoder import NEVER, EditDecoder, EditInputs
from arae_transfer.tokenizer import END_ID

LONGEST_EDIT = 12
"""Tokens that are written in one edit at most."""


@torch.no_grad()
def edit_greedily(
    decoder: EditDecoder, tokens: Tensor, code: Tensor, mask: Tensor, allowed: Tensor, most_edits: int = 8
) -> list[list[int]]:
    """Return sources as the decoder edits them, choosing what is most probable at each step.

    Args:
        decoder: The decoder of the target class.
        tokens: (batch, time) sources with end ids.
        code: (batch, time, size).
        mask: (batch, time).
        allowed: (batch, time).
        most_edits: The greatest number of edits of a sentence.

    Returns:
        The ids of each rewrite, without its end id.
    """
    batch, vocabulary = len(tokens), decoder.network.vocabulary_size
    state = torch.zeros(4, batch, 1, dtype=torch.long, device=code.device)  # token, pointer, cursor, inside
    states = decoder.initial_states(batch)
    sources = tokens.tolist()
    written: list[list[int]] = [[] for _ in sources]
    cursors, lengths, opened = [0] * batch, [0] * batch, [0] * batch
    open_rows = set(range(batch))
    for _ in range(most_edits * (LONGEST_EDIT + 2)):
        inputs = EditInputs(state[0], state[1], state[2], state[3].bool())
        found = decoder.scores(code, mask, allowed, inputs, states)
        states = found.states
        words = decoder.network.output(found.features[:, 0])  # (batch, vocabulary)
        words[:, : END_ID + 1] = NEVER
        inside = torch.cat([words, found.resume[:, 0].to(words.dtype)], dim=1)
        starts, best_inside = found.start[:, 0].argmax(1).tolist(), inside.argmax(1).tolist()
        pointed = found.resume[:, 0].argmax(1).tolist()
        for row in sorted(open_rows):
            if not bool(state[3, row, 0]):
                choice = starts[row]
                if choice == FINISH or opened[row] == most_edits:
                    open_rows.discard(row)
                    continue
                opened[row] += 1
                lengths[row] = 0
                written[row] += sources[row][cursors[row] : choice - 1]
                cursors[row] = choice - 1
                state[:, row, 0] = torch.tensor([0, choice, cursors[row], 1])
                continue
            choice = best_inside[row]
            if choice < vocabulary and lengths[row] < LONGEST_EDIT:
                lengths[row] += 1
                written[row].append(choice)
                state[:, row, 0] = torch.tensor([choice, 0, cursors[row], 1])
                continue
            cursors[row] = pointed[row] if choice < vocabulary else choice - vocabulary
            state[:, row, 0] = torch.tensor([0, 1 + cursors[row], cursors[row], 0])
        if not open_rows:
            break
    ends = (tokens == END_ID).long().argmax(1).tolist()
    return [own + source[cursor:end] for own, source, cursor, end in zip(written, sources, cursors, ends, strict=True)]
