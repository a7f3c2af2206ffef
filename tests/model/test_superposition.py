"""Vectors laid over each other in one: what was laid down can be read again, and nothing else matters."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from arae_transfer.model.arae import ARAE
from arae_transfer.model.superposition import Superposition
from arae_transfer.recipe import recipe_from_table
from arae_transfer.tokenizer import END_ID, PAD_ID

SIZE, CODE, PLACES = 64, 1024, 12


@pytest.fixture
def superposition() -> Superposition:
    torch.manual_seed(4)
    superposition = Superposition(SIZE, CODE, PLACES)
    superposition.start()
    return superposition


def vectors(rows: int = 20, time: int = PLACES) -> Tensor:
    generator = torch.Generator().manual_seed(5)
    return nn.functional.normalize(torch.randn(rows, time, SIZE, generator=generator), dim=2)


@torch.no_grad()
def test_every_vector_is_read_at_its_place_and_at_no_other(superposition: Superposition) -> None:
    laid = vectors()
    code = superposition.bind(laid, torch.ones(20, PLACES, dtype=torch.bool))
    assert code.shape == (20, 1, CODE)
    torch.testing.assert_close(code.norm(dim=2), torch.ones(20, 1))
    summary, read = superposition.unbind(code)
    assert summary.shape == (20, SIZE)
    assert read.shape == (20, PLACES, SIZE)
    likeness = read @ laid.transpose(1, 2)  # (rows, places, vectors)
    torch.testing.assert_close(likeness.argmax(2), torch.arange(PLACES).expand(20, -1))
    own = likeness.diagonal(dim1=1, dim2=2)
    others = likeness.masked_fill(torch.eye(PLACES, dtype=torch.bool), 0.0)
    assert float(own.mean()) > 8 * float(others.abs().mean())
    # The summary is like all of them.
    assert float(nn.functional.cosine_similarity(summary, laid.mean(1)).min()) > 0.5


def test_padding_leaves_no_trace(superposition: Superposition) -> None:
    laid = vectors(time=5)
    mask = torch.arange(5) < 3
    short = superposition.bind(laid[:, :3], torch.ones(20, 3, dtype=torch.bool))
    long = superposition.bind(laid, mask.expand(20, -1))
    torch.testing.assert_close(short, long)


@torch.no_grad()
def test_the_order_of_the_vectors_is_in_the_code(superposition: Superposition) -> None:
    laid, mask = vectors(), torch.ones(20, PLACES, dtype=torch.bool)
    likeness = nn.functional.cosine_similarity(
        superposition.bind(laid, mask)[:, 0], superposition.bind(laid.flip(1), mask)[:, 0]
    )
    assert float(likeness.max()) < 0.5


def test_all_models_of_one_size_permute_alike() -> None:
    first, second = Superposition(SIZE, CODE, PLACES), Superposition(SIZE, CODE, PLACES + 3)
    torch.testing.assert_close(first.permutations, second.permutations[:PLACES])
    rows = torch.arange(CODE).expand(PLACES, -1)
    torch.testing.assert_close(first.permutations.gather(1, first.inverse_permutations), rows)


def test_an_untrained_model_gives_most_words_back() -> None:
    model = {"code": "superposed", "code_size": 1024, "embedding_size": 128, "hidden_size": 32, "decoder_layers": 2}
    model |= {"shared_embeddings": True, "residual": True, "bidirectional": True}
    recipe = recipe_from_table(
        {"data": {"maximum_tokens": 12}, "model": model, "training": {"initialization": "scaled"}}
    )
    torch.manual_seed(6)
    arae = ARAE(recipe, ("a", "b"), 500).eval()
    generator = torch.Generator().manual_seed(7)
    tokens = torch.randint(END_ID + 1, 500, (40, 10), generator=generator)
    lengths = torch.randint(3, 11, (40,), generator=generator)
    tokens = tokens.masked_fill(torch.arange(10) >= lengths[:, None], PAD_ID)
    tokens[torch.arange(40), lengths - 1] = END_ID
    written = arae.rewrite(tokens, lengths, 1, 10)
    written = nn.functional.pad(written, (0, 10 - written.size(1)))
    real = tokens != PAD_ID
    assert float((written == tokens)[real].float().mean()) > 0.8


@torch.no_grad()
def test_greedy_decoding_is_what_teacher_forcing_foretells() -> None:
    model = {"code": "superposed", "code_size": 96, "embedding_size": 24, "hidden_size": 16, "decoder_layers": 2}
    recipe = recipe_from_table({"data": {"maximum_tokens": 12}, "model": model | {"shared_embeddings": True}})
    torch.manual_seed(8)
    arae = ARAE(recipe, ("a", "b"), 90).eval()
    for parameter in arae.autoencoder_parameters():
        parameter.normal_(0.0, 0.4)
    tokens = torch.randint(END_ID + 1, 90, (16, 9), generator=torch.Generator().manual_seed(9))
    code, mask = arae.encoder(tokens, torch.full((16,), 9))
    decoder = arae.decoder(1)
    written = decoder.greedy(code, mask, 9)
    logits, columns = decoder(written, code, mask)
    allowed = logits.clone()
    allowed[:, :END_ID] = -torch.inf
    torch.testing.assert_close(allowed.argmax(1), columns)
    assert len(columns.unique()) > 5
