"""Search of edits with a trained model, for training and for comparison; exported models use ``runtime.editing``."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from arae_transfer.editing.edits import apply_edits
from arae_transfer.editing.search import FoundEdits, Rows, Scores, search_edits
from arae_transfer.export_config import COPY_ABOVE
from arae_transfer.model.edit_decoder import NEVER, EditDecoder, EditInputs, States
from arae_transfer.tokenizer import END_ID


@torch.no_grad()
def find_edits_of(
    decoder: EditDecoder, code: Tensor, mask: Tensor, allowed: Tensor, width: int = 1
) -> list[FoundEdits]:
    """Search the most probable edits of sources.

    Args:
        decoder: The decoder of the target class.
        code: (batch, time, size).
        mask: (batch, time).
        allowed: (batch, time).
        width: The hypotheses of a source.
    """
    return search_edits(torch_scorer(decoder, code, mask, allowed), len(code), width)


@torch.no_grad()
def edit_greedily(
    decoder: EditDecoder, tokens: Tensor, code: Tensor, mask: Tensor, allowed: Tensor, copy_above: float = COPY_ABOVE
) -> list[list[int]]:
    """Return sources with greedy edits.

    Args:
        decoder: The decoder of the target class.
        tokens: (batch, time) sources with end ids.
        code: (batch, time, size).
        mask: (batch, time).
        allowed: (batch, time).
        copy_above: The probability that nothing is to change above which a source stays unchanged.

    Returns:
        The ids of each rewrite, without its end id.
    """
    answers = []
    found = find_edits_of(decoder, code, mask, allowed)
    for row, own in zip(tokens.tolist(), found, strict=True):
        source = row[: row.index(END_ID)]
        keeps = not own.hypotheses or math.exp(own.copy) > copy_above
        answers.append(source if keeps else apply_edits(source, own.hypotheses[0].edits))
    return answers


def torch_scorer(decoder: EditDecoder, code: Tensor, mask: Tensor, allowed: Tensor) -> Callable[[Rows], Scores]:
    """Return a scorer of the choices of a search by a decoder; arguments are those of ``find_edits_of``."""
    states: list[States] = []

    def score(rows: Rows) -> Scores:
        lines = torch.from_numpy(np.repeat(rows.lines, rows.token.shape[1])).to(code.device)
        parents = torch.from_numpy(rows.parents).to(code.device)
        begins = bool(rows.parents[0] < 0)
        if begins:
            before = decoder.initial_states(len(parents))
        else:
            hidden1, cell1, hidden2, cell2 = (each[:, parents].contiguous() for each in states[-1])
            before = (hidden1, cell1, hidden2, cell2)
        inputs = (torch.from_numpy(each.reshape(-1, 1)).to(code.device) for each in rows[2:6])
        found = decoder.scores(code[lines], mask[lines], allowed[lines], EditInputs(*inputs), before)
        states[:] = [found.states]
        inside = torch.from_numpy(rows.inside.ravel()).to(code.device)
        words = decoder.network.output(found.features[inside, 0]).float()  # (rows inside, vocabulary)
        words[:, : END_ID + 1] = NEVER
        both = torch.cat([words, found.resume[inside, 0].float()], dim=1).log_softmax(1)
        best, ids = both[:, : words.size(1)].topk(min(rows.words, words.size(1)), dim=1)
        return Scores(
            found.start[:, 0].float().log_softmax(1).cpu().numpy(),
            best.cpu().numpy(),
            ids.cpu().numpy(),
            both[:, words.size(1) :].cpu().numpy(),
        )

    return score
