"""Teacher forcing of edit decoders: a batch of all classes is scored as each row alone, step by step."""

from __future__ import annotations

from typing import Any

import torch

from arae_transfer.editing.actions import Actions, stack_actions
from arae_transfer.editing.edits import Edit
from arae_transfer.model.edit_decoder import EditDecoder, EditInputs, predict_edits
from arae_transfer.runtime.batching import pad

# Rows of unlike lengths and of one to eight actions; the first two are for one class, the others for the other.
EDITS = [[Edit(1, 2, (265, 270))], [], [Edit(0, 1, (270,)), Edit(3, 3, (266,))], [Edit(2, 4, ())]]
ROWS = [[262, 263, 264, 265, 3], [266, 267, 3], [268, 262, 263, 264, 265, 266, 3], [262, 270, 271, 272, 3]]


def inputs_of(actions: Actions) -> EditInputs:
    columns = (actions.token, actions.pointer, actions.cursor, actions.inside)
    return EditInputs(*map(torch.from_numpy, columns))


@torch.no_grad()
def losses_one_by_one(model: Any) -> list[torch.Tensor]:
    """Return the log-probabilities of each row's actions, with nothing padded, one step after the other."""
    found = []
    for number, (row, edits) in enumerate(zip(ROWS, EDITS, strict=True)):
        tokens, lengths = (torch.from_numpy(each) for each in pad([row]))
        code, mask = model.encoder(tokens, lengths)
        decoder = model.decoders[number // 2]
        assert isinstance(decoder, EditDecoder)
        actions = stack_actions([edits], model.vocabulary_size)
        inputs, states = inputs_of(actions), decoder.initial_states(1)
        logs = []
        for step, choice in enumerate(actions.choice[0].tolist()):
            one = EditInputs(*(each[:, step : step + 1] for each in inputs))
            scores = decoder.scores(code, mask, mask, one, states)
            states = scores.states
            words = decoder.network.output(scores.features)[0, 0]
            inside = bool(actions.inside[0, step])
            logits = torch.cat([words, scores.resume[0, 0]]) if inside else scores.start[0, 0]
            logs.append(logits.log_softmax(0)[choice])
        found.append(torch.stack(logs))
    return found


@torch.no_grad()
def test_a_batch_is_scored_as_its_rows_are(editor: Any) -> None:
    model, _, _ = editor
    wanted = losses_one_by_one(model)
    tokens, lengths = (torch.from_numpy(each) for each in pad(ROWS))
    code, mask = model.encoder(tokens, lengths)
    actions = stack_actions(EDITS, model.vocabulary_size)
    choice, real = torch.from_numpy(actions.choice), torch.from_numpy(actions.real)
    found = predict_edits(list(model.decoders), [2, 2], code, mask, mask, inputs_of(actions), choice, real)
    outside = found.outside.log_softmax(1).gather(1, found.outside_wanted[:, None])[:, 0]
    inside = found.inside.log_softmax(1).gather(1, found.inside_wanted[:, None])[:, 0]
    places = real & torch.from_numpy(actions.inside)
    for number, each in enumerate(wanted):
        own = torch.empty(len(each))
        own[places[number, : len(each)]] = inside[_rows(places) == number]
        own[~places[number, : len(each)]] = outside[_rows(real & ~places) == number]
        torch.testing.assert_close(own, each, atol=1e-4, rtol=1e-4)


def _rows(chosen: torch.Tensor) -> torch.Tensor:
    """Return the row of each chosen place."""
    return chosen.nonzero()[:, 0]
