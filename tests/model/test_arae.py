"""The model that owns the networks: who shares what, and how it starts."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from arae_transfer.model.arae import ARAE
from arae_transfer.recipe import recipe_from_table
from arae_transfer.tokenizer import END_ID, PAD_ID

CLASSES = ("bad", "good", "so-so")
VOCABULARY = 50


def build(**sections: dict[str, Any]) -> ARAE:
    table: dict[str, Any] = {
        "data": {"maximum_tokens": 12},
        "model": {"code_size": 8, "embedding_size": 6, "hidden_size": 8},
        "adversary": {"noise_size": 4, "generator_layers": [5], "critic_layers": [5]},
        "attribute": {"layers": [5]},
    }
    for name, changes in sections.items():
        table[name] = table.get(name, {}) | changes
    torch.manual_seed(1)
    return ARAE(recipe_from_table(table), CLASSES, VOCABULARY)


def addresses(model: torch.nn.Module) -> set[int]:
    return {parameter.data_ptr() for parameter in model.parameters()}


def test_each_class_has_a_decoder_and_all_share_the_output_layer() -> None:
    model = build()
    assert len(model.decoders) == len(CLASSES)
    shared = set.intersection(*(addresses(decoder) for decoder in model.decoders))
    assert shared == addresses(model.decoder(0).output)
    assert len(addresses(model.decoder(0)) - shared) == 5  # an embedding and the four tensors of an LSTM


@pytest.mark.parametrize("code", ["single", "sequence"])
def test_embeddings_are_one_table_when_shared(code: str) -> None:
    model = build(model={"shared_embeddings": True, "code": code})
    table = model.encoder.embedding.weight.data_ptr()
    for index in range(len(CLASSES)):
        assert model.decoder(index).embedding.weight.data_ptr() == table
        assert model.decoder(index).output.weight.data_ptr() == table
    large = [parameter for parameter in model.autoencoder_parameters() if parameter.shape[0] == VOCABULARY]
    assert len([parameter for parameter in large if parameter.dim() == 2]) == 1


def test_the_autoencoder_is_encoder_and_decoders_each_parameter_once() -> None:
    model = build(model={"shared_embeddings": True})
    found = model.autoencoder_parameters()
    assert len({parameter.data_ptr() for parameter in found}) == len(found)
    assert {parameter.data_ptr() for parameter in found} == addresses(model.encoder) | addresses(model.decoders)
    for network in (model.generator, model.critic, model.classifier, model.scorer):
        assert not addresses(network) & {parameter.data_ptr() for parameter in found}


@pytest.mark.parametrize("shared", [False, True])
def test_uniform_initialization_is_the_reference_codes(shared: bool) -> None:
    model = build(model={"shared_embeddings": shared}, training={"initialization": "uniform"})
    for parameter in model.autoencoder_parameters():
        assert float(parameter.detach().abs().max()) <= 0.1
    weight = model.encoder.forward_layers[0].get_parameter("weight_hh_l0")
    assert float(weight.detach().std()) == pytest.approx(0.2 / 12**0.5, rel=0.1)


def test_uniform_initialization_keeps_the_prior_of_attention() -> None:
    model = build(model={"code": "sequence"}, training={"initialization": "uniform"})
    nearness = model.decoder(1).nearness
    assert nearness is not None
    assert nearness.tolist() == [-abs(place) for place in range(-8, 9)]


@pytest.mark.parametrize("scheme", ["uniform", "scaled"])
def test_a_residual_model_says_what_it_reads_before_it_has_learnt_anything(scheme: str) -> None:
    sizes = {"code": "sequence", "shared_embeddings": True, "code_size": 128, "embedding_size": 128, "hidden_size": 128}
    right = []
    for residual in (False, True):
        model = build(model=sizes | {"residual": residual}, training={"initialization": scheme}).eval()
        tokens = torch.arange(10, 20).repeat(2, 1)
        lengths = torch.tensor([10, 7])
        code, mask = model.encoder(tokens, lengths)
        torch.testing.assert_close(code.norm(dim=2), mask.float())
        assert not code[1, 7:].any()
        said = model.decoder(1).greedy(code, mask, 10)
        right.append(float((said[0] == tokens[0]).float().mean()))
    assert right[1] > 0.8 > 0.3 > right[0]


@pytest.mark.parametrize("scheme", ["uniform", "scaled", "open"])
@pytest.mark.parametrize("shared", [False, True])
def test_the_padding_embedding_is_zero(scheme: str, shared: bool) -> None:
    model = build(model={"shared_embeddings": shared}, training={"initialization": scheme})
    tables = [module for module in model.modules() if isinstance(module, torch.nn.Embedding)]
    padded = [table for table in tables if table.padding_idx == PAD_ID]
    assert len({table.weight.data_ptr() for table in padded}) == (1 if shared else 4)
    for table in padded:
        assert not table.weight[PAD_ID].any()
        assert bool(table.weight[1:].any(1).all())


def test_codes_of_an_open_model_differ_from_the_start() -> None:
    spread = {}
    for scheme in ("uniform", "scaled", "open"):
        sizes = {"code": "single", "code_size": 128, "embedding_size": 128, "hidden_size": 128}
        model = build(model=sizes, training={"initialization": scheme})
        random = torch.Generator().manual_seed(3)
        tokens = torch.randint(4, model.vocabulary_size, (64, 10), generator=random)
        tokens[:, -1] = END_ID
        code, _ = model.encoder(tokens, torch.full((64,), 10))
        spread[scheme] = float(code.detach()[:, 0].var(0).sum())
    assert spread["open"] > 0.5 > 5 * max(spread["uniform"], spread["scaled"])


def test_the_seed_decides_the_weights() -> None:
    first, second = build(), build()
    for left, right in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(left, right)


def test_a_rewrite_comes_from_the_decoder_of_the_class() -> None:
    model = build().eval()
    with torch.no_grad():
        for index, answer in enumerate((7, 8, 9)):
            # This decoder alone turns its code into this token: its states saturate one unit of the output.
            model.decoder(index).output = torch.nn.Linear(8, VOCABULARY)
            model.decoder(index).output.bias[answer] = 100.0
    tokens = torch.tensor([[5, 6, END_ID], [6, END_ID, PAD_ID]])
    for index, answer in enumerate((7, 8, 9)):
        assert model.rewrite(tokens, torch.tensor([3, 2]), index, 4).tolist() == [[answer] * 4] * 2
