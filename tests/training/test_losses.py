"""Each loss against a case worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from arae_transfer.model.code_space import Critic
from arae_transfer.recipe import Adversary, Model
from arae_transfer.training.losses import (
    classifier_confusion_loss,
    classifier_loss,
    clip_weights,
    critic_loss,
    encoder_adversarial_loss,
    generator_loss,
    gradient_penalty,
    reconstruction_loss,
)

LN2, LN3 = math.log(2), math.log(3)

# The softmax of (0, ln 3) is (1/4, 3/4), that of (0, 0) is (1/2, 1/2).
LOGITS = torch.tensor([[0.0, LN3], [0.0, 0.0]])


# --- reconstruction


def test_reconstruction_is_the_mean_surprise_of_tokens() -> None:
    # -ln 3/4 = 0.28768 and -ln 1/2 = 0.69315: the mean is 0.49041.
    assert float(reconstruction_loss(LOGITS, torch.tensor([1, 0]))) == pytest.approx(0.49041, abs=1e-5)


def test_weights_lower_a_tokens_part_of_the_mean() -> None:
    # (1 x 0.28768 + 0.5 x 0.69315) / 2 = 0.31713: the mean stays over all tokens.
    found = reconstruction_loss(LOGITS, torch.tensor([1, 0]), torch.tensor([1.0, 0.5]))
    assert float(found) == pytest.approx(0.31713, abs=1e-5)
    assert float(reconstruction_loss(LOGITS, torch.tensor([1, 0]), torch.zeros(2))) == 0.0


def test_weights_of_one_change_nothing() -> None:
    targets = torch.tensor([1, 0])
    found = reconstruction_loss(LOGITS, targets, torch.ones(2), label_smoothing=0.2)
    torch.testing.assert_close(found, reconstruction_loss(LOGITS, targets, label_smoothing=0.2))


def test_label_smoothing_spreads_probability_over_the_vocabulary() -> None:
    # 0.2 over two tokens: 0.9 on the target, 0.1 on the other.
    # Row 1: 0.9 x 0.28768 + 0.1 x 1.38629 = 0.39754; row 2: 0.69315; the mean is 0.54535.
    found = reconstruction_loss(LOGITS, torch.tensor([1, 0]), label_smoothing=0.2)
    assert float(found) == pytest.approx(0.54535, abs=1e-5)


# --- critic, generator, encoder


def test_the_critic_wants_real_scores_above_generated_ones() -> None:
    # 0.5 - 2 = -1.5
    assert float(critic_loss(torch.tensor([1.0, 3.0]), torch.tensor([0.0, 1.0]))) == -1.5


def test_the_generator_wants_its_scores_high() -> None:
    assert float(generator_loss(torch.tensor([0.0, 1.0]))) == -0.5


def test_the_encoder_wants_its_scores_low() -> None:
    assert float(encoder_adversarial_loss(torch.tensor([1.0, 3.0]))) == 2.0


# --- classifier


def test_the_classifier_wants_the_true_class() -> None:
    # -ln 1/4 = 1.38629 and -ln 1/2 = 0.69315: the mean is 1.03972.
    assert float(classifier_loss(LOGITS, torch.tensor([0, 1]))) == pytest.approx(1.03972, abs=1e-5)


def test_with_two_classes_confusion_wants_the_other_class() -> None:
    # -ln p(1 - y): -ln 3/4 = 0.28768 and -ln 1/2 = 0.69315: the mean is 0.49041.
    found = classifier_confusion_loss(LOGITS, torch.tensor([0, 1]))
    assert float(found) == pytest.approx(0.49041, abs=1e-5)
    torch.testing.assert_close(found, classifier_loss(LOGITS, torch.tensor([1, 0])))


def test_with_three_classes_confusion_wants_all_others_evenly() -> None:
    # The softmax of (ln 6, ln 3, ln 1) is (0.6, 0.3, 0.1).
    logits = torch.tensor([[math.log(6), LN3, 0.0]] * 2)
    # True class 0: -(ln 0.3 + ln 0.1) / 2 = (1.20397 + 2.30259) / 2 = 1.75328
    # True class 2: -(ln 0.6 + ln 0.3) / 2 = (0.51083 + 1.20397) / 2 = 0.85740; the mean is 1.30534.
    found = classifier_confusion_loss(logits, torch.tensor([0, 2]))
    assert float(found) == pytest.approx(1.30534, abs=1e-5)


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_confusion_is_least_where_only_the_other_classes_are_likely(classes: int) -> None:
    logits = torch.zeros(1, classes)
    logits[0, 1] = -50.0
    least = float(classifier_confusion_loss(logits, torch.tensor([1])))
    assert least == pytest.approx(math.log(classes - 1), abs=1e-5)
    for nudge in (0, classes - 1):
        if nudge != 1 and classes > 2:
            other = logits.clone()
            other[0, nudge] += 0.5
            assert float(classifier_confusion_loss(other, torch.tensor([1]))) > least


# --- gradient penalty


def linear_critic(weight: Tensor, code: str = "single") -> Critic:
    """Return f(c) = w . mean(c), whose gradient at a single vector is w wherever it is."""
    model = Model(code="single" if code == "single" else "sequence", code_size=len(weight))
    critic = Critic(model, Adversary(critic_layers=()), 16)
    with torch.no_grad():
        critic.last.weight.copy_(weight)
    return critic


def penalty(critic: nn.Module, real: Tensor, generated: Tensor, mask: Tensor | None = None) -> Tensor:
    mask = torch.ones(real.shape[:2], dtype=torch.bool) if mask is None else mask
    return gradient_penalty(critic, real, generated, mask, torch.full((len(real),), 0.25))


@pytest.mark.parametrize("batch", [1, 2, 64])
@pytest.mark.parametrize(("norm", "expected"), [(1.0, 0.0), (3.0, 4.0), (0.5, 0.25)])
def test_the_norm_is_each_samples_own_whatever_the_batch(batch: int, norm: float, expected: float) -> None:
    """A critic that averages over its batch would show |w| / batch (the reference code does)."""
    weight = torch.tensor([0.6, -0.8, 0.0]) * norm
    real, generated = torch.randn(2, batch, 1, 3)
    assert float(penalty(linear_critic(weight), real, generated).detach()) == pytest.approx(expected, abs=1e-5)


def test_samples_with_different_gradients_are_penalised_one_by_one() -> None:
    # f(c) = |c|^2 / 2 has the gradient c. Points: a quarter of the real and three quarters of the generated code.
    def critic(code: Tensor, mask: Tensor) -> Tensor:
        return code.square().sum((1, 2)) / 2

    real = torch.tensor([[[4.0, 0.0]], [[0.0, 8.0]]], requires_grad=True)
    generated = torch.tensor([[[0.0, 0.0]], [[0.0, 4.0]]], requires_grad=True)
    # The points are (1, 0) and (0, 5): ((1 - 1)^2 + (5 - 1)^2) / 2 = 8.
    mask = torch.ones(2, 1, dtype=torch.bool)
    found = gradient_penalty(critic, real, generated, mask, torch.full((2,), 0.25))
    assert float(found.detach()) == pytest.approx(8.0)
    torch.autograd.backward(found)
    assert real.grad is None, "the penalty is the critic's, and nobody else learns from it"
    assert generated.grad is None


def test_the_norm_is_over_all_real_vectors_of_a_code() -> None:
    # f(c) = w . mean over n vectors: the gradient is w / n at each, and its norm |w| / sqrt(n): 2 and 1 here.
    weight = torch.tensor([0.0, 2.0, 0.0])
    mask = torch.tensor([[True, False, False, False, False], [True, True, True, True, False]])
    real, generated = torch.randn(2, 2, 5, 3)
    found = penalty(linear_critic(weight, "sequence"), real, generated, mask)
    assert float(found.detach()) == pytest.approx(((2 - 1) ** 2 + (1 - 1) ** 2) / 2, abs=1e-5)


def test_the_penalty_teaches_the_critic() -> None:
    # d (|w| - 1)^2 / dw = 2 (|w| - 1) w / |w| = 2 x 2 x (0.6, -0.8) for |w| = 3.
    critic = linear_critic(torch.tensor([1.8, -2.4]))
    torch.autograd.backward(penalty(critic, *torch.randn(2, 4, 1, 2)))
    assert critic.last.weight.grad is not None
    torch.testing.assert_close(critic.last.weight.grad, torch.tensor([[2.4, -3.2]]))


def test_a_flat_critic_has_a_finite_gradient() -> None:
    critic = linear_critic(torch.zeros(2))
    found = penalty(critic, *torch.randn(2, 4, 1, 2))
    torch.autograd.backward(found)
    assert float(found.detach()) == pytest.approx(1.0, abs=1e-5)
    assert critic.last.weight.grad is not None
    assert bool(torch.isfinite(critic.last.weight.grad).all())


def test_clipping_bounds_every_weight_and_leaves_the_small_ones() -> None:
    critic = Critic(Model(code="sequence", code_size=4), Adversary(critic_layers=(6,)), 5)
    before = [parameter.detach().clone() for parameter in critic.parameters()]
    clip_weights(critic, 0.1)
    for old, new in zip(before, critic.parameters(), strict=True):
        assert new.requires_grad
        assert torch.equal(new.detach(), old.clamp(-0.1, 0.1))
    assert any(bool((old.abs() > 0.1).any()) for old in before)
    assert any(bool((old.abs() < 0.1).any()) for old in before)
