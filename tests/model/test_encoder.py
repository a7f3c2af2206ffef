"""Codes: on the unit sphere, and a matter of the sentence alone."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from arae_transfer.model.encoder import Encoder, reverse_sequences
from arae_transfer.recipe import Model

VOCABULARY = 60
LENGTHS = (1, 7, 3, 12, 2, 7)

every_kind = pytest.mark.parametrize(
    ("code", "bidirectional", "layers"),
    [(code, both, layers) for code in ("single", "sequence") for both in (False, True) for layers in (1, 2)],
)


def build(code: str, bidirectional: bool, layers: int, code_size: int = 12, dropout: float = 0.0) -> Encoder:
    torch.manual_seed(3)
    model = Model(
        code="single" if code == "single" else "sequence",
        code_size=code_size,
        embedding_size=10,
        hidden_size=8,
        bidirectional=bidirectional,
        encoder_layers=layers,
        dropout=dropout,
    )
    encoder = Encoder(VOCABULARY, model).eval()
    for parameter in encoder.parameters():
        nn.init.normal_(parameter, 0.0, 0.5)
    return encoder


def sentences() -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randint(4, VOCABULARY, (length,), generator=generator) for length in LENGTHS]


def padded(rows: list[Tensor], extra: int = 0) -> tuple[Tensor, Tensor]:
    lengths = torch.tensor([len(row) for row in rows])
    tokens = torch.zeros(len(rows), int(lengths.max()) + extra, dtype=torch.long)
    for number, row in enumerate(rows):
        tokens[number, : len(row)] = row
    return tokens, lengths


@every_kind
def test_real_vectors_have_unit_norm_and_padding_is_zero(code: str, bidirectional: bool, layers: int) -> None:
    tokens, lengths = padded(sentences(), extra=2)
    found, mask = build(code, bidirectional, layers)(tokens, lengths)
    vectors = 1 if code == "single" else tokens.size(1)
    assert found.shape == (len(LENGTHS), vectors, 12)
    assert mask.shape == (len(LENGTHS), vectors)
    assert mask.dtype == torch.bool
    assert mask.sum(1).tolist() == ([1] * len(LENGTHS) if code == "single" else list(LENGTHS))
    torch.testing.assert_close(found[mask].norm(dim=1), torch.ones(int(mask.sum())))
    assert not found[~mask].any()


@every_kind
def test_padding_and_company_change_nothing(code: str, bidirectional: bool, layers: int) -> None:
    encoder, rows = build(code, bidirectional, layers), sentences()
    together, mask = encoder(*padded(rows))
    wider, wider_mask = encoder(*padded(rows, extra=5))
    torch.testing.assert_close(wider[:, : together.size(1)], together)
    assert torch.equal(wider_mask[:, : together.size(1)], mask)
    for number, row in enumerate(rows):
        alone, _ = encoder(*padded([row]))
        torch.testing.assert_close(together[number][mask[number]], alone[0])


@every_kind
def test_whatever_stands_in_the_padding_changes_nothing(code: str, bidirectional: bool, layers: int) -> None:
    encoder = build(code, bidirectional, layers)
    tokens, lengths = padded(sentences(), extra=3)
    garbage = tokens.masked_fill(torch.arange(tokens.size(1)) >= lengths[:, None], 9)
    torch.testing.assert_close(encoder(garbage, lengths)[0], encoder(tokens, lengths)[0])


def reference(encoder: Encoder, row: Tensor, bidirectional: bool, layers: int) -> tuple[Tensor, Tensor]:
    """Run PyTorch's own many-layered LSTM with the same weights over one unpadded sentence.

    Returns:
        Its states (time, directions x hidden) and its final state (directions x hidden,).
    """
    lstm = nn.LSTM(10, 8, num_layers=layers, bidirectional=bidirectional, batch_first=True)
    with torch.no_grad():
        for number in range(layers):
            directions = [(encoder.forward_layers[number], "")]
            if bidirectional:
                directions.append((encoder.backward_layers[number], "_reverse"))
            for layer, suffix in directions:
                for name, parameter in layer.named_parameters():
                    getattr(lstm, name.replace("_l0", f"_l{number}{suffix}")).copy_(parameter)
    states, (hidden, _) = lstm(encoder.embedding(row)[None])
    return states[0], hidden.view(layers, -1, 8)[-1].reshape(-1)


@every_kind
def test_codes_are_those_of_an_lstm_over_the_bare_sentence(code: str, bidirectional: bool, layers: int) -> None:
    """The single code is the last real state, the sequence code the states, both through one projection."""
    encoder, rows = build(code, bidirectional, layers), sentences()
    found, mask = encoder(*padded(rows, extra=1))
    for number, row in enumerate(rows):
        states, final = reference(encoder, row, bidirectional, layers)
        expected = encoder.projection(final[None] if code == "single" else states)
        expected = expected / expected.norm(dim=1, keepdim=True)
        torch.testing.assert_close(found[number][mask[number]], expected)


def test_the_papers_code_is_the_last_state_itself() -> None:
    encoder = build("single", False, 1, code_size=8)
    assert isinstance(encoder.projection, nn.Identity)
    tokens, lengths = padded(sentences())
    found, _ = encoder(tokens, lengths)
    for number, row in enumerate(sentences()):
        _, final = reference(encoder, row, False, 1)
        torch.testing.assert_close(found[number, 0], final / final.norm())


def test_order_matters() -> None:
    encoder = build("single", True, 1)
    tokens, lengths = padded([torch.tensor([5, 6, 7]), torch.tensor([7, 6, 5])])
    found, _ = encoder(tokens, lengths)
    assert not torch.allclose(found[0], found[1], atol=1e-3)


def test_dropout_acts_in_training_only() -> None:
    encoder = build("sequence", False, 1, dropout=0.5)
    tokens, lengths = padded(sentences())
    assert torch.equal(encoder(tokens, lengths)[0], encoder(tokens, lengths)[0])
    encoder.train()
    assert not torch.equal(encoder(tokens, lengths)[0], encoder(tokens, lengths)[0])


def test_reversing_leaves_padding_in_place() -> None:
    states = torch.tensor([[1.0, 2, 3, 0], [4, 5, 6, 7], [8, 0, 0, 0]])[:, :, None]
    expected = [[3.0, 2, 1, 0], [7, 6, 5, 4], [8, 0, 0, 0]]
    assert reverse_sequences(states, torch.tensor([3, 4, 1]))[:, :, 0].tolist() == expected
