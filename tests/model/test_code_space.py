"""The networks on the code: shapes, masks, and no coupling of a batch's samples where none may be."""

from __future__ import annotations

from typing import Literal

import pytest
import torch
from torch import Tensor, nn

from arae_transfer.model.code_space import AttributeClassifier, Critic, Generator, StyleScorer
from arae_transfer.recipe import Adversary, Attribute, Model

Kind = Literal["single", "sequence"]
VECTORS = (1, 4, 9, 6, 9, 2)
MAXIMUM = 12

both_codes = pytest.mark.parametrize("code", ["single", "sequence"])


def masks(code: Kind, extra: int = 0) -> Tensor:
    lengths = torch.ones(len(VECTORS), dtype=torch.long) if code == "single" else torch.tensor(VECTORS)
    return torch.arange(int(lengths.max()) + extra * (code == "sequence")) < lengths[:, None]


def random_codes(mask: Tensor) -> Tensor:
    code = torch.randn(*mask.shape, 7, generator=torch.Generator().manual_seed(1))
    return nn.functional.normalize(code, dim=2) * mask[:, :, None]


def judges(code: Kind, classes: int = 3) -> list[nn.Module]:
    torch.manual_seed(2)
    model = Model(code=code, code_size=7)
    critic = Critic(model, Adversary(critic_layers=(5, 6)), MAXIMUM)
    classifier = AttributeClassifier(model, Attribute(layers=(5, 6)), classes, MAXIMUM)
    return [critic, classifier]


# --- generator


@both_codes
@pytest.mark.parametrize("layers", [(), (5,), (5, 6)])
def test_generated_codes_lie_where_real_codes_lie(code: Kind, layers: tuple[int, ...]) -> None:
    torch.manual_seed(2)
    generator = Generator(Model(code=code, code_size=7), Adversary(noise_size=4, generator_layers=layers), MAXIMUM)
    mask = masks(code, extra=2)
    found = generator(torch.randn(len(VECTORS), 4), mask)
    assert found.shape == (*mask.shape, 7)
    torch.testing.assert_close(found[mask].norm(dim=1), torch.ones(int(mask.sum())))
    assert not found[~mask].any()


@both_codes
def test_generated_codes_follow_from_the_noise(code: Kind) -> None:
    torch.manual_seed(2)
    generator = Generator(Model(code=code, code_size=7), Adversary(noise_size=4, generator_layers=(5,)), MAXIMUM)
    noise = torch.randn(1, 4).expand(len(VECTORS), -1).clone()
    noise[0] += 1.0
    found = generator.eval()(noise, masks(code))
    torch.testing.assert_close(found[2], found[4])
    assert not torch.allclose(found[0, 0], found[1, 0], atol=1e-3)


def test_each_place_of_a_generated_sequence_has_its_own_vector() -> None:
    torch.manual_seed(2)
    model = Model(code="sequence", code_size=7)
    generator = Generator(model, Adversary(noise_size=4, generator_layers=(5,)), MAXIMUM)
    found = generator(torch.randn(len(VECTORS), 4), masks("sequence"))
    differences = (found[2, 1:] - found[2, :-1]).norm(dim=1)
    assert bool((differences > 1e-3).all())


# --- critic and classifier


@both_codes
def test_there_is_one_score_and_one_row_of_logits_for_each_sentence(code: Kind) -> None:
    mask = masks(code)
    critic, classifier = judges(code)
    assert critic(random_codes(mask), mask).shape == (len(VECTORS),)
    assert classifier(random_codes(mask), mask).shape == (len(VECTORS), 3)


@both_codes
def test_what_stands_in_the_padding_is_not_judged(code: Kind) -> None:
    mask = masks(code, extra=2)
    real = random_codes(mask)
    garbage = real + 5.0 * ~mask[:, :, None]
    for judge in judges(code):
        torch.testing.assert_close(judge(garbage, mask), judge(real, mask))
        narrow = masks(code)
        torch.testing.assert_close(judge(real[:, : narrow.size(1)], narrow), judge(real, mask))


@both_codes
def test_every_real_vector_is_judged(code: Kind) -> None:
    mask = masks(code)
    for judge in judges(code):
        real = random_codes(mask).requires_grad_()
        judge(real, mask).square().sum().backward()
        assert real.grad is not None
        norms = real.grad.norm(dim=2)
        assert bool((norms[mask] > 0).all())
        assert not norms[~mask].any()


@both_codes
def test_a_sentence_is_judged_alone_as_in_company(code: Kind) -> None:
    """A batch normalisation would break this, and with it the gradient penalty."""
    mask = masks(code)
    real = random_codes(mask)
    for judge in judges(code):
        together = judge.train()(real, mask)
        for number in range(len(VECTORS)):
            alone = judge(real[number : number + 1], mask[number : number + 1])
            torch.testing.assert_close(together[number : number + 1], alone)


def test_the_order_of_a_sequence_is_judged() -> None:
    mask = masks("sequence")
    real = random_codes(mask)[2:3]
    for judge in judges("sequence"):
        forth, back = judge(real, mask[2:3]), judge(real.flip(1), mask[2:3])
        assert not torch.allclose(forth, back, atol=1e-4)


# --- scorer


def test_the_scorer_sees_real_tokens_only() -> None:
    torch.manual_seed(2)
    scorer = StyleScorer(30, 3).eval()
    tokens = torch.randint(4, 30, (5, 8))
    mask = torch.arange(8) < torch.tensor([8, 3, 1, 5, 2])[:, None]
    logits = scorer(tokens, mask)
    assert logits.shape == (5, 3)
    torch.testing.assert_close(scorer(tokens.masked_fill(~mask, 9), mask), logits)
    wider = nn.functional.pad(tokens, (0, 3), value=11), nn.functional.pad(mask, (0, 3))
    torch.testing.assert_close(scorer(*wider), logits)
    for number, length in enumerate([8, 3, 1, 5, 2]):
        alone = scorer(tokens[number : number + 1, :length], mask[number : number + 1, :length])
        torch.testing.assert_close(logits[number : number + 1], alone)


def test_the_scorer_sees_neighbours() -> None:
    torch.manual_seed(2)
    scorer = StyleScorer(30, 2).eval()
    mask = torch.ones(1, 3, dtype=torch.bool)
    forth, back = scorer(torch.tensor([[5, 6, 7]]), mask), scorer(torch.tensor([[7, 6, 5]]), mask)
    assert not torch.allclose(forth, back, atol=1e-4)


def test_the_scorer_takes_an_empty_sentence() -> None:
    scorer = StyleScorer(30, 2).eval()
    assert torch.isfinite(scorer(torch.zeros(1, 4, dtype=torch.long), torch.zeros(1, 4, dtype=torch.bool))).all()
