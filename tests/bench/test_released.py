"""The released code's iteration: its passes and updates, in a process of its own."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook
from torch.optim.optimizer import register_optimizer_step_post_hook

from arae_transfer.bench.released import ReleasedIteration, ReleasedProcess
from arae_transfer.corpus.batches import TokenizedSentences
from arae_transfer.recipe import Recipe, recipe_from_table

VOCABULARY = 60
BATCH = 8


def recipe(critic_updates: int = 5) -> Recipe:
    return recipe_from_table(
        {
            "model": {"code_size": 8, "embedding_size": 6, "hidden_size": 8},
            "adversary": {
                "noise_size": 4,
                "generator_layers": [8, 8],
                "critic_layers": [8, 8],
                "critic_updates": critic_updates,
            },
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


def count(critic_updates: int) -> Counter[str]:
    """Return how often an iteration moves its networks, by optimizer, and how often LSTMs read, by their input."""
    found: Counter[str] = Counter()

    def note_read(module: nn.Module, *_: object) -> None:
        if isinstance(module, nn.LSTM):
            found[f"LSTM of {module.input_size}"] += 1

    hooks = [
        register_optimizer_step_post_hook(lambda optimizer, *_: found.update([type(optimizer).__name__])),
        register_module_forward_hook(note_read),
    ]
    try:
        ReleasedIteration(recipe(critic_updates), corpora(), VOCABULARY)()
    finally:
        for hook in hooks:
            hook.remove()
    return found


def test_an_iteration_makes_the_released_codes_updates() -> None:
    found = count(critic_updates=5)
    assert found["SGD"] == 2 + 2 + 1
    assert found["Adam"] == 2 + 5 + 1
    # Reconstruction, classifier and encoder against it for each class; five for the critic, one against it.
    assert found["LSTM of 6"] == 6 + 5 + 1
    assert found["LSTM of 14"] == 2
    # Each of the critic's updates is one move, on a code of its own.
    assert found - count(critic_updates=2) == {"Adam": 3, "LSTM of 6": 3}


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
