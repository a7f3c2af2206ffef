"""The losses of the paper as pure functions.

Signs follow Algorithm 1 of Zhao et al. (2018): the critic f scores real codes c higher than generated codes c~; the
generator raises the score of its codes, and the encoder lowers the score of its codes, until both are alike.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional


def reconstruction_loss(
    logits: Tensor, targets: Tensor, weights: Tensor | None = None, label_smoothing: float = 0.0
) -> Tensor:
    """L_rec = -log p_psi(x | c), averaged over tokens (paper, Equation 2; Algorithm 1, step 1).

    Args:
        logits: (tokens, vocabulary).
        targets: (tokens,).
        weights: (tokens,) the weight of each token; None: equal weights. The mean is over all tokens, so a batch of
            doubtful pairs has less effect than a batch of good ones.
        label_smoothing: The probability spread over the whole vocabulary.
    """
    if weights is None:
        return functional.cross_entropy(logits, targets, label_smoothing=label_smoothing)
    losses = functional.cross_entropy(logits, targets, label_smoothing=label_smoothing, reduction="none")
    return (losses * weights).mean()


def critic_loss(real_scores: Tensor, generated_scores: Tensor) -> Tensor:
    """-mean f(c) + mean f(c~), which the critic minimises (Algorithm 1, step 2). Both (batch,)."""
    return generated_scores.mean() - real_scores.mean()


def generator_loss(generated_scores: Tensor) -> Tensor:
    """-mean f(c~), which the generator minimises (Algorithm 1, step 3). (batch,)."""
    return -generated_scores.mean()


def encoder_adversarial_loss(real_scores: Tensor) -> Tensor:
    """Mean f(c), which the encoder minimises (Algorithm 1, step 3). (batch,)."""
    return real_scores.mean()


def classifier_loss(logits: Tensor, classes: Tensor) -> Tensor:
    """-mean log p_u(y | c), which the classifier minimises (Algorithm 2, step 2b).

    Args:
        logits: (batch, classes).
        classes: (batch,) indices.
    """
    return functional.cross_entropy(logits, classes)


def classifier_confusion_loss(logits: Tensor, classes: Tensor) -> Tensor:
    """-mean log p_u(1 - y | c), which the encoder minimises (Algorithm 2, step 3b).

    With more than two classes, the target is uniform over the other classes; for two this is the paper's loss.

    Args:
        logits: (batch, classes).
        classes: (batch,) indices of the true classes.
    """
    number = logits.size(1)
    others = 1.0 - functional.one_hot(classes, number).to(logits.dtype)  # (batch, classes)
    return -(logits.log_softmax(1) * others).sum(1).mean() / (number - 1)


def gradient_penalty(
    critic: Callable[[Tensor, Tensor], Tensor],
    real: Tensor,
    generated: Tensor,
    mask: Tensor,
    mixture: Tensor,
) -> Tensor:
    """(||grad f(c^)|| - 1)^2 on points between real and generated codes (Gulrajani et al. 2017, Equation 3).

    The norm is that of each sample's own gradient, over all vectors of its code.

    Args:
        critic: The critic.
        real: (batch, vectors, size).
        generated: (batch, vectors, size).
        mask: (batch, vectors).
        mixture: (batch,) uniform in [0, 1).
    """
    share = mixture[:, None, None]
    between = (share * real.detach() + (1 - share) * generated.detach()).requires_grad_()
    # The sum's gradient holds every sample's own gradient, since the critic does not couple samples.
    (gradient,) = torch.autograd.grad(critic(between, mask).sum(), between, create_graph=True)
    # The root is not differentiable at zero, where a critic may well start.
    norms = (gradient.square().sum(dim=(1, 2)) + 1e-12).sqrt()  # (batch,)
    return (norms - 1).square().mean()


def clip_weights(critic: torch.nn.Module, bound: float) -> None:
    """Clip the critic's weights to [-bound, bound] (Algorithm 1, step 2)."""
    with torch.no_grad():
        for parameter in critic.parameters():
            parameter.clamp_(-bound, bound)
