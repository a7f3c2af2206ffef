"""Parity of graphs that edit with the trained model: both rewrite the same sentences, compared edit by edit."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch

from arae_transfer.editing.actions import Actions, stack_actions
from arae_transfer.editing.edits import Edit, apply_edits
from arae_transfer.editing.search import FoundEdits
from arae_transfer.export.parity import NEAR_TIE, Parity, Row, code_difference, compositions, open_graph
from arae_transfer.export_config import COPY_ABOVE
from arae_transfer.model.arae import ARAE
from arae_transfer.model.edit_decoder import NEVER, EditDecoder, EditInputs
from arae_transfer.model.edit_search import find_edits_of
from arae_transfer.runtime.batching import pad
from arae_transfer.runtime.editing import search_rows
from arae_transfer.tokenizer import END_ID

GREATEST_COPY_DIFFERENCE = 1e-3
"""Of the probability that nothing is to change; fp32 sums in another order move it by about 1e-6."""

_BATCH = 64

Bool = npt.NDArray[np.bool_]
Found = Mapping[str, Sequence[FoundEdits]]


class EditGraphs:
    """The opened graphs of an encoder and a decoder."""

    def __init__(self, encoder: bytes, decoder: bytes, weights: tuple[str, bytes] | None, hidden: int) -> None:
        self.encoder = open_graph(encoder, weights)
        self.decoder = open_graph(decoder, weights)
        self._hidden = hidden

    def search(self, rows: Sequence[Row], target: int, width: int = 1) -> list[FoundEdits]:
        """Search the edits of rows of ids with end ids, as exported models do."""
        return search_rows(self.encoder.run, self.decoder.run, rows, target, width, self._hidden)


def edit_decoder(model: ARAE, index: int) -> EditDecoder:
    """Return the decoder of a class."""
    decoder = model.decoders[index]
    assert isinstance(decoder, EditDecoder)
    return decoder


def places_of(tokens: npt.NDArray[np.int64], begins_word: Bool) -> Bool:
    """Return where edits may start and end: (rows, time) to (rows, time)."""
    found = begins_word[tokens]
    found[:, 0] = True
    return found


@torch.no_grad()
def edits_of(model: ARAE, rows: Sequence[Row], begins_word: Bool) -> dict[str, list[FoundEdits]]:
    """Return the greedy edits of rows to every class, by PyTorch."""
    found: dict[str, list[FoundEdits]] = {name: [FoundEdits([], 0.0)] * len(rows) for name in model.classes}
    order = sorted(range(len(rows)), key=lambda number: len(rows[number]))
    for start in range(0, len(order), _BATCH):
        chosen = order[start : start + _BATCH]
        tokens, lengths = pad([rows[number] for number in chosen])
        code, mask = model.encoder(torch.from_numpy(tokens), torch.from_numpy(lengths))
        allowed = torch.from_numpy(places_of(tokens, begins_word))
        for index, name in enumerate(model.classes):
            own = find_edits_of(edit_decoder(model, index), code, mask, allowed)
            for number, answer in zip(chosen, own, strict=True):
                found[name][number] = answer
    return found


def answers_of(rows: Sequence[Row], found: Found) -> dict[str, list[Row]]:
    """Return the rewrites, with end ids, that ``arae transfer`` answers with by default."""
    return {
        name: [
            list(row)
            if math.exp(each.copy) > COPY_ABOVE or not each.hypotheses
            else apply_edits(row, each.hypotheses[0].edits)
            for row, each in zip(rows, own, strict=True)
        ]
        for name, own in found.items()
    }


def compare_edits(
    model: ARAE, graphs: EditGraphs, rows: Sequence[Row], given: int, begins_word: Bool, unrounded: float
) -> Parity:
    """Edit rows to every class with graphs, on the CPU in onnxruntime, and with the model.

    Args:
        model: The model with the weights that the graphs store, in evaluation mode on the CPU.
        graphs: The graphs.
        rows: Ids with end ids, as ``parity.probe_rows`` gives them.
        given: How many of the rows come from given lines.
        begins_word: (vocabulary,) whether a token begins a word.
        unrounded: The share of rewrites that rounding the weights for storage does not change.
    """
    expected = edits_of(model, rows, begins_word)
    differences: list[float] = []
    identical = near_ties = compared = 0
    for chosen in compositions(rows):
        own = [rows[number] for number in chosen]
        tokens, lengths = pad(own, least=-(-max(map(len, own)) // 8) * 8)
        code, mask = graphs.encoder.run(["code", "code_mask"], {"tokens": tokens, "lengths": lengths})
        differences.append(code_difference(model, tokens, lengths, code, mask))
        for index, name in enumerate(model.classes):
            for number, answer in zip(chosen, graphs.search(own, index), strict=True):
                compared += 1
                wanted = expected[name][number]
                # Written so that what is not a number is no answer of the model.
                if not abs(math.exp(answer.copy) - math.exp(wanted.copy)) <= GREATEST_COPY_DIFFERENCE:
                    continue
                if _edits(answer) == _edits(wanted):
                    identical += 1
                else:
                    margin = _margin(model, index, rows[number], (_edits(wanted), _edits(answer)), begins_word)
                    near_ties += abs(margin) <= NEAR_TIE
    return Parity(
        probe_lines=given,
        random_lines=len(rows) - given,
        compared=compared,
        identical=identical,
        near_ties=near_ties,
        code_difference=float(np.max(differences)),  # unlike max(), this keeps what is not a number
        unrounded_identical=unrounded,
    )


def same_edits(one: Found, other: Found) -> float:
    """Return the share of rows whose greedy edits are the same."""
    pairs = [pair for name in one for pair in zip(one[name], other[name], strict=True)]
    return sum(_edits(a) == _edits(b) for a, b in pairs) / len(pairs)


def _edits(found: FoundEdits) -> list[Edit]:
    return found.hypotheses[0].edits if found.hypotheses else []


@torch.no_grad()
def _margin(model: ARAE, target: int, row: Row, edits: tuple[list[Edit], list[Edit]], begins_word: Bool) -> float:
    """Return by how much the model prefers its own choice where an answer first differs."""
    wanted, answer = (stack_actions([each], model.vocabulary_size) for each in edits)
    place = next(
        (number for number, (a, b) in enumerate(zip(wanted.choice[0], answer.choice[0], strict=False)) if a != b), None
    )
    if place is None:
        return math.inf
    scores = _logits(model, target, row, wanted, place, begins_word)
    return float(scores[wanted.choice[0, place]] - scores[answer.choice[0, place]])


def _logits(model: ARAE, target: int, row: Row, actions: Actions, place: int, begins_word: Bool) -> torch.Tensor:
    """Return the model's logits of the choices after some actions."""
    tokens, lengths = pad([row])
    code, mask = model.encoder(torch.from_numpy(tokens), torch.from_numpy(lengths))
    decoder = edit_decoder(model, target)
    columns = (actions.token, actions.pointer, actions.cursor, actions.inside)
    inputs = EditInputs(*(torch.from_numpy(each[:, : place + 1]) for each in columns))
    allowed = torch.from_numpy(places_of(tokens, begins_word))
    found = decoder.scores(code, mask, allowed, inputs, decoder.initial_states(1))
    if not actions.inside[0, place]:
        return found.start[0, place]
    words = decoder.network.output(found.features[0, place])
    words[: END_ID + 1] = NEVER
    return torch.cat([words, found.resume[0, place]])
