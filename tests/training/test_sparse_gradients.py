"""Sparse gradients move the same weights by the same numbers, and are used where that is so."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from arae_transfer.corpus.batches import TokenizedSentences
from arae_transfer.model.arae import ARAE
from arae_transfer.recipe import Recipe, recipe_from_table
from arae_transfer.training.batch import Batch, make_batch
from arae_transfer.training.networks import Networks
from arae_transfer.training.optimizers import Optimizers
from arae_transfer.training.schedules import alternating_step
from arae_transfer.training.sparse_gradients import gradient_values, has_sparse_gradients, use_sparse_gradients

VOCABULARY, CPU = 60, torch.device("cpu")


def small(**training: Any) -> Recipe:
    return recipe_from_table(
        {
            "data": {"maximum_tokens": 10},
            "model": {"code_size": 8, "embedding_size": 8, "hidden_size": 8, "code_noise": 0.0},
            "adversary": {"noise_size": 4, "generator_layers": [8], "critic_layers": [8], "critic_updates": 2},
            "attribute": {"layers": [8]},
            "training": {"learning_rate": 0.5, **training},
        }
    )


def model_of(recipe: Recipe) -> ARAE:
    torch.manual_seed(3)
    return ARAE(recipe, ("bad", "good"), VOCABULARY)


def batches(recipe: Recipe, token_subset: int) -> list[Batch]:
    """Return batches in which tokens stand several times."""
    random = np.random.default_rng(5)
    corpora = [
        TokenizedSentences(random.integers(10, 20, 200).astype(np.int32), np.arange(0, 201, 5)) for _ in range(2)
    ]
    found = []
    for _ in range(13):
        chosen = [random.integers(0, 40, 6) for _ in corpora]
        batch = make_batch(corpora, chosen, recipe.noise, None, random, CPU)
        found.append(replace(batch, token_subset=torch.arange(token_subset)) if token_subset else batch)
    return found


@pytest.mark.parametrize("token_subset", [0, 30])
@pytest.mark.parametrize("clip", [0.05, 1e9])
def test_the_same_weights_move_by_the_same_numbers(token_subset: int, clip: float) -> None:
    recipe, norms = small(gradient_clip=clip), []
    moved: list[dict[str, torch.Tensor]] = []
    for sparse in (False, True):
        model = model_of(recipe)
        if sparse:
            use_sparse_gradients(model, recipe, CPU, processes=1)
        assert has_sparse_gradients(model) is sparse
        networks = Networks(model, recipe, Optimizers.build(model, recipe), CPU)
        networks.noise = torch.Generator().manual_seed(1)
        torch.manual_seed(9)
        draw = iter(batches(recipe, token_subset)).__next__
        norms.append([alternating_step(networks, draw(), draw)["gradient_norm"] for _ in range(3)])
        batch = draw()
        networks.update_autoencoder(networks.reconstruct(*networks.encode(batch.tokens, batch.lengths), batch))
        assert model.encoder.embedding.weight.grad is not None
        assert model.encoder.embedding.weight.grad.is_sparse is sparse
        output = model.decoder(0).output.weight.grad
        assert output is not None
        assert output.is_sparse is (sparse and token_subset > 0)
        moved.append(model.state_dict())
    assert norms[0] == pytest.approx(norms[1], rel=1e-5)
    assert (min(norms[0]) > clip) is (clip < 1)
    before = model_of(recipe).state_dict()
    for name, weight in moved[0].items():
        torch.testing.assert_close(moved[1][name], weight, rtol=1e-5, atol=1e-6, msg=name)
        if name == "encoder.embedding.weight":
            assert not torch.equal(weight, before[name])


def test_a_token_in_several_places_counts_once_in_the_norm() -> None:
    table = torch.nn.Embedding(5, 2, sparse=True)
    table(torch.tensor([3, 3, 1])).sum().backward()
    [values] = gradient_values(table.parameters())
    assert values.tolist() == [[1.0, 1.0], [2.0, 2.0]]  # of tokens 1 and 3
    values.mul_(0.5)
    assert table.weight.grad is not None
    assert table.weight.grad.to_dense()[3].tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    ("training", "model", "processes"),
    [({"optimizer": "adam"}, {}, 1), ({}, {"shared_embeddings": True}, 1), ({}, {}, 2)],
)
def test_elsewhere_gradients_are_whole(training: dict[str, Any], model: dict[str, Any], processes: int) -> None:
    recipe = recipe_from_table({"model": model, "training": training})
    made = model_of(recipe)
    use_sparse_gradients(made, recipe, CPU, processes)
    assert not has_sparse_gradients(made)
