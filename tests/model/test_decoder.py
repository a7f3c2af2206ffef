"""One decoder: what it does step by step is what it learned over whole sentences."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from arae_transfer.model.decoder import FARTHEST, Decoder, mean_of_code
from arae_transfer.recipe import Model
from arae_transfer.tokenizer import BEGIN_ID, END_ID, PAD_ID, UNKNOWN_ID

VOCABULARY = 40
VECTORS = (1, 5, 12, 3, 9, 12, 2, 7) * 3

every_kind = pytest.mark.parametrize(
    ("code", "layers", "shared"),
    [(code, layers, shared) for code in ("single", "sequence") for layers in (1, 2, 3) for shared in (False, True)],
)


def build(code: str, layers: int = 1, shared: bool = False, end: float = 1.0, seed: int = 5) -> Decoder:
    torch.manual_seed(seed)
    model = Model(
        code="single" if code == "single" else "sequence",
        code_size=6,
        embedding_size=10,
        hidden_size=8,
        decoder_layers=layers,
        shared_embeddings=shared,
    )
    embedding = nn.Embedding(VOCABULARY, 10, padding_idx=PAD_ID) if shared else None
    decoder = Decoder(VOCABULARY, model, embedding).eval()
    with torch.no_grad():
        for name, parameter in decoder.named_parameters():
            if not name.endswith("nearness"):
                parameter.normal_(0.0, 0.8)
        # Rows end after different numbers of steps, and special ids would win if they could.
        decoder.output.bias[END_ID] = end
        decoder.output.bias[[PAD_ID, UNKNOWN_ID, BEGIN_ID]] = 3.0
    return decoder


def codes(kind: str) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    lengths = torch.ones(len(VECTORS), dtype=torch.long) if kind == "single" else torch.tensor(VECTORS)
    mask = torch.arange(int(lengths.max())) < lengths[:, None]
    code = torch.randn(*mask.shape, 6, generator=generator)
    return nn.functional.normalize(code, dim=2) * mask[:, :, None], mask


def row_logits(decoder: Decoder, tokens: Tensor, code: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    logits, targets = decoder(tokens, code, mask)
    return logits, targets


# --- greedy


def is_varied(chosen: Tensor) -> bool:
    """Say whether rows differ, end at different places, some of them far, and use several tokens."""
    rows = chosen.tolist()
    ends = {row.index(END_ID) if END_ID in row else None for row in rows}
    different, used = set(map(tuple, rows)), {token for row in rows for token in row}
    return len(ends) > 2 and len(different) > 4 and len(used) > 6 and len(rows[0]) > FARTHEST


@every_kind
def test_greedy_chooses_what_a_teacher_forced_pass_finds_most_probable(code: str, layers: int, shared: bool) -> None:
    vectors, mask = codes(code)
    for seed in range(40):
        decoder = build(code, layers, shared, seed=seed)
        chosen = decoder.greedy(vectors, mask, 20)
        if is_varied(chosen):
            break
    else:
        pytest.fail("no decoder writes sentences that are varied enough for this test to mean something")
    logits, targets = row_logits(decoder, chosen, vectors, mask)
    logits[:, [PAD_ID, UNKNOWN_ID, BEGIN_ID]] = -torch.inf
    assert torch.equal(logits.argmax(1), targets)
    # Not by a hair: the step-by-step logits are the same numbers, not merely the same winners.
    best_two = logits.detach().topk(2).values
    assert float((best_two[:, 0] - best_two[:, 1]).min()) > 1e-5


@every_kind
def test_greedy_stops_and_pads_after_the_end_id(code: str, layers: int, shared: bool) -> None:
    chosen = build(code, layers, shared).greedy(*codes(code), 20)
    assert PAD_ID not in chosen[:, 0].tolist()
    lengths = []
    for row in chosen.tolist():
        length = row.index(END_ID) + 1 if END_ID in row else len(row)
        lengths.append(length)
        assert set(row[length:]) <= {PAD_ID}
        assert not {PAD_ID, UNKNOWN_ID, BEGIN_ID} & set(row[:length])
    assert chosen.size(1) == max(lengths)


@pytest.mark.parametrize("code", ["single", "sequence"])
def test_greedy_keeps_to_its_bound(code: str) -> None:
    never = build(code, end=-100.0)
    chosen = never.greedy(*codes(code), 7)
    assert chosen.shape == (len(VECTORS), 7)
    assert not {PAD_ID, UNKNOWN_ID, BEGIN_ID, END_ID} & set(chosen.flatten().tolist())
    at_once = build(code, end=100.0).greedy(*codes(code), 7)
    assert at_once.tolist() == [[END_ID]] * len(VECTORS)


@every_kind
def test_a_row_decodes_alone_as_in_company(code: str, layers: int, shared: bool) -> None:
    decoder = build(code, layers, shared)
    vectors, mask = codes(code)
    together = decoder.greedy(vectors, mask, 20)
    for number in range(len(VECTORS)):
        real = int(mask[number].sum())
        alone = decoder.greedy(vectors[number : number + 1, :real], mask[number : number + 1, :real], 20)[0].tolist()
        assert together[number].tolist() == alone + [PAD_ID] * (together.size(1) - len(alone))


@pytest.mark.parametrize("code", ["single", "sequence"])
def test_greedy_chooses_among_candidates_only(code: str) -> None:
    decoder = build(code, layers=2)
    vectors, mask = codes(code)
    token_subset = torch.tensor([END_ID, 7, 8, 15, 22, 30, 39])
    chosen = decoder.greedy(vectors, mask, 15, token_subset)
    assert set(chosen.flatten().tolist()) <= {PAD_ID, *token_subset.tolist()}
    logits, targets = row_logits(decoder, chosen, vectors, mask)
    others = torch.ones(VOCABULARY, dtype=torch.bool)
    others[token_subset] = False
    assert torch.equal(logits.masked_fill(others, -torch.inf).argmax(1), targets)


def test_greedy_collects_no_gradient() -> None:
    decoder = build("sequence")
    vectors, mask = codes("sequence")
    assert not decoder.greedy(vectors.requires_grad_(), mask, 5).requires_grad


# --- teacher forcing


def targets_of(lengths: tuple[int, ...]) -> Tensor:
    generator = torch.Generator().manual_seed(4)
    tokens = torch.full((len(lengths), max(lengths)), PAD_ID)
    for number, length in enumerate(lengths):
        tokens[number, : length - 1] = torch.randint(4, VOCABULARY, (length - 1,), generator=generator)
        tokens[number, length - 1] = END_ID
    return tokens


TARGETS = targets_of((4, 1, 11, 2, 6, 3, 8, 5) * 3)


@every_kind
def test_only_real_positions_are_predicted_row_by_row(code: str, layers: int, shared: bool) -> None:
    decoder = build(code, layers, shared)
    vectors, mask = codes(code)
    logits, wanted = decoder(TARGETS, vectors, mask)
    assert logits.shape == (int((TARGETS != PAD_ID).sum()), VOCABULARY)
    assert wanted.tolist() == TARGETS[TARGETS != PAD_ID].tolist()
    place = 0
    for number in range(len(TARGETS)):
        row = TARGETS[number][TARGETS[number] != PAD_ID]
        real = int(mask[number].sum())
        alone, _ = decoder(row[None], vectors[number : number + 1, :real], mask[number : number + 1, :real])
        torch.testing.assert_close(logits[place : place + len(row)], alone)
        place += len(row)


@every_kind
def test_a_prediction_sees_only_what_stands_before_it(code: str, layers: int, shared: bool) -> None:
    decoder = build(code, layers, shared)
    vectors, mask = codes(code)
    changed = TARGETS.clone()
    changed[2, 5] = 4 + (int(TARGETS[2, 5]) - 3) % (VOCABULARY - 4)
    before = decoder.features(torch.cat([TARGETS[:, :1] * 0 + BEGIN_ID, TARGETS[:, :-1]], 1), vectors, mask)
    after = decoder.features(torch.cat([changed[:, :1] * 0 + BEGIN_ID, changed[:, :-1]], 1), vectors, mask)
    differs = ~torch.isclose(before, after).all(2)
    # The token at place 5 is read at place 6, and by the states after it.
    assert not differs[2, :6].any()
    assert differs[2, 6:].all()
    assert not differs[torch.arange(len(TARGETS)) != 2].any()


@pytest.mark.parametrize("shared", [False, True])
def test_candidate_logits_are_columns_of_the_full_ones(shared: bool) -> None:
    decoder = build("sequence", 2, shared)
    vectors, mask = codes("sequence")
    token_subset = torch.tensor(sorted({5, 17, 39, *TARGETS.flatten().tolist()}))
    token_subset = token_subset[token_subset >= END_ID]
    assert len(token_subset) < VOCABULARY - 4
    full, wanted = decoder(TARGETS, vectors, mask)
    part, columns = decoder(TARGETS, vectors, mask, 0.0, token_subset)
    torch.testing.assert_close(part, full[:, token_subset])
    assert torch.equal(token_subset[columns], wanted)
    offsets = torch.linspace(0.0, 3.0, len(token_subset))
    raised, _ = decoder(TARGETS, vectors, mask, 0.0, token_subset, offsets)
    torch.testing.assert_close(raised, part + offsets)


def test_word_dropout_hides_every_token_but_the_begin_id() -> None:
    decoder = build("sequence", 2)
    vectors, mask = codes("sequence")
    full, _ = decoder(TARGETS, vectors, mask)
    none_hidden, _ = decoder(TARGETS, vectors, mask, 0.0)
    all_hidden, _ = decoder(TARGETS, vectors, mask, 1.0)
    torch.testing.assert_close(none_hidden, full)
    previous = torch.full_like(TARGETS, UNKNOWN_ID)
    previous[:, 0] = BEGIN_ID
    expected = decoder.output(decoder.features(previous, vectors, mask)[TARGETS != PAD_ID])
    torch.testing.assert_close(all_hidden, expected)
    assert not torch.allclose(all_hidden, full, atol=1e-3)


@every_kind
def test_the_code_decides_the_sentence(code: str, layers: int, shared: bool) -> None:
    decoder = build(code, layers, shared)
    vectors, mask = codes(code)
    vectors.requires_grad_()
    logits, _ = decoder(TARGETS, vectors, mask)
    logits.square().sum().backward()
    assert vectors.grad is not None
    norms = vectors.grad.norm(dim=2)
    assert bool((norms[mask] > 0).all())
    assert not norms[~mask].any()


# --- attention


def test_attention_starts_out_at_the_same_place() -> None:
    torch.manual_seed(0)
    decoder = Decoder(VOCABULARY, Model(code="sequence", code_size=6, hidden_size=8))
    places = torch.eye(12, 6)[None]  # places 0 to 5 have vectors that tell them apart
    mask = torch.ones(1, 12, dtype=torch.bool)
    read = decoder.attend(torch.zeros(1, 4, 8), places, mask)
    assert read.argmax(2).tolist() == [[0, 1, 2, 3]]
    later = decoder.attend(torch.zeros(1, 1, 8), places, mask, start=3)
    torch.testing.assert_close(later[:, 0], read[:, 3])


def test_attention_gives_weight_to_real_vectors_only() -> None:
    decoder = build("sequence")
    ones = torch.ones(2, 5, 6)
    mask = torch.tensor([[True, True, False, False, False], [True] * 5])
    read = decoder.attend(torch.randn(2, 3, 8), ones * mask[:, :, None] + 100.0 * ~mask[:, :, None], mask)
    torch.testing.assert_close(read, torch.ones(2, 3, 6))


def test_the_mean_of_a_code_is_over_real_vectors() -> None:
    code = torch.tensor([[[1.0, 2], [3, 6], [50, 50]], [[1, 1], [2, 2], [6, 6]]])
    mask = torch.tensor([[True, True, False], [True, True, True]])
    assert mean_of_code(code, mask).tolist() == [[2.0, 4.0], [3.0, 3.0]]
