"""The discriminator of sentences: what surrounds a sentence in a batch is nothing to it."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from arae_transfer.model.naturalness import SentenceDiscriminator
from arae_transfer.tokenizer import PAD_ID


@pytest.fixture
def discriminator() -> SentenceDiscriminator:
    torch.manual_seed(3)
    model = SentenceDiscriminator(50).eval()
    # A filter that answers to nothing at all would be seen where padding is answered to.
    for layer in model.filters:
        assert isinstance(layer, torch.nn.Linear)
        torch.nn.init.constant_(layer.bias, 2.0)
    return model


def sentences() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(4)
    return [torch.randint(PAD_ID + 1, 50, (length,), generator=generator) for length in (1, 2, 4, 9, 13)]


def test_padding_changes_nothing(discriminator: SentenceDiscriminator) -> None:
    own = sentences()
    alone = torch.cat([discriminator(tokens[None]) for tokens in own])
    for width in (13, 30):
        rows = torch.stack([functional.pad(tokens, (0, width - len(tokens)), value=PAD_ID) for tokens in own])
        torch.testing.assert_close(discriminator(rows), alone)
    assert len(set(alone.tolist())) == len(own)


def test_order_and_ends_are_seen(discriminator: SentenceDiscriminator) -> None:
    tokens = sentences()[-1][None]
    odds = discriminator(tokens)
    assert discriminator(tokens.flip(1)) != odds
    assert discriminator(tokens[:, :-1]) != odds
    assert discriminator(tokens[:, 1:]) != odds
