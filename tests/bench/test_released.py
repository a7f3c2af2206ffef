"""The released code's iteration: its passes and updates, in a process of its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from arae_transfer.bench.released import ReleasedIteration, ReleasedProcess
from arae_transfer.corpus.batches import TokenizedSentences
from arae_transfer.recipe import Recipe, recipe_from_table

VOCABULARY = 60
BATCH = 8


def recipe() -> Recipe:
    return recipe_from_table(
        {
            "model": {"code_size": 8, "embedding_size": 6, "hidden_size": 8},
            "adversary": {"noise_size": 4, "generator_layers": [8, 8], "critic_layers": [8, 8], "critic_updates": 5},
            "attribute": {"layers": [8, 8]},
            "training": {"batch_size": BATCH},
        }
    )


def corpora() -> list[TokenizedSentences]:
    generator = np.random.default_rng(3)
    return [
        TokenizedSentences.join([generator.integers(low, low + 20, length).tolist() for length in range(1, 11)])
        for low in (5, 30)
    ]


def test_an_iteration_makes_the_released_codes_updates(monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[type] = []
    encodings: list[int] = []

    def count_steps(kind: type[torch.optim.Optimizer]) -> None:
        plain = kind.step

        def step(own: torch.optim.Optimizer) -> None:
            steps.append(type(own))
            plain(own)

        monkeypatch.setattr(kind, "step", step)

    count_steps(torch.optim.SGD)
    count_steps(torch.optim.Adam)
    lstm = nn.LSTM.forward

    def forward(own: nn.LSTM, *read: Any) -> Any:
        encodings.append(own.input_size)
        return lstm(own, *read)

    monkeypatch.setattr(nn.LSTM, "forward", forward)
    ReleasedIteration(recipe(), corpora(), VOCABULARY)()
    assert steps.count(torch.optim.SGD) == 2 + 2 + 1
    assert steps.count(torch.optim.Adam) == 2 + 5 + 1
    # Reconstruction, classifier and encoder against it for each class; five for the critic, one against it.
    assert encodings.count(6) == 6 + 5 + 1
    assert encodings.count(6 + 8) == 2


def test_it_learns_to_reconstruct(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(1)
    losses: list[float] = []
    plain = nn.functional.cross_entropy

    def note(*given: Any) -> Tensor:
        loss = plain(*given)
        losses.append(float(loss.detach()))
        return loss

    monkeypatch.setattr(nn.functional, "cross_entropy", note)
    iteration = ReleasedIteration(recipe(), corpora(), VOCABULARY)
    for _ in range(40):
        iteration()
    assert losses[0] == pytest.approx(np.log(VOCABULARY), rel=0.05)
    assert losses[-1] < 0.9 * losses[0]


def test_it_runs_in_a_process_of_its_own_and_ends_with_it() -> None:
    with ReleasedProcess(recipe(), corpora(), VOCABULARY) as released:
        assert 0 < released.iterate() < 60
        process = released._process
        assert process.is_alive()
    assert not process.is_alive()
