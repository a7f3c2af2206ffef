"""Diagnostics for the collapse guard: gradients, updates, and the use of codes on held-out sentences.

Nothing here draws a random number or changes a weight, so diagnostics do not change a run.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from arae_transfer.corpus.batches import BatchSource
from arae_transfer.model.arae import ARAE
from arae_transfer.model.decoder import mean_of_code
from arae_transfer.training import losses
from arae_transfer.training.networks import Metrics
from arae_transfer.training.optimizers import Optimizers
from arae_transfer.training.validation import length_batches

# Held-out sentences of each class that a watch reads: two batches.
DIAGNOSTIC_SENTENCES = 256
_RIDGE = 1e-2


@torch.no_grad()
def optimizer_statistics(optimizers: Optimizers) -> Metrics:
    """Return the gradient norm of each network on the code, and its update relative to its weights.

    Gradients are those of each network's latest update. The size of an update is computed only from Adam's moments, so
    it is the same in a resumed run.
    """
    figures: Metrics = {}
    for name, optimizer in optimizers.by_name().items():
        if name == "autoencoder":  # its gradient norm is measured before it is clipped, at every update
            continue
        gradients = [weight.grad for group in optimizer.param_groups for weight in group["params"]]
        found = [gradient for gradient in gradients if gradient is not None]
        if not found:
            continue
        figures[f"{name}_gradient_norm"] = float(torch.stack(torch._foreach_norm(found)).norm())
        if name != "scorer":
            figures[f"{name}_update_ratio"] = _update_ratio(optimizer)
    return figures


def _update_ratio(optimizer: torch.optim.Optimizer) -> float:
    """Return ||lr m / (sqrt(v) + epsilon)|| / ||w|| for Adam (Kingma and Ba 2015, Algorithm 1)."""
    updates, weights = [], []
    for group in optimizer.param_groups:
        beta1, beta2 = group["betas"]
        for weight in group["params"]:
            state = optimizer.state.get(weight)
            if not state:
                continue
            step = float(state["step"])
            first = state["exp_avg"] / (1 - beta1**step)
            second = state["exp_avg_sq"] / (1 - beta2**step)
            updates.append((group["lr"] * first / (second.sqrt() + group["eps"])).norm())
            weights.append(weight.norm())
    if not updates:
        return 0.0
    return float(torch.stack(updates).norm() / torch.stack(weights).norm().clamp(min=1e-30))


@torch.no_grad()
def code_diagnostics(model: ARAE, sentences: Sequence[BatchSource], device: torch.device) -> Metrics:
    """Measure on held-out sentences how much decoders and classifier learn from the codes.

    Args:
        model: The model (its averaged weights, where the recipe averages).
        sentences: Held-out sentences of each class, in the order of the classes.
        device: Where the model is.

    Returns:
        ``code_use``: the share by which the reconstruction's loss rises when each sentence gets the code of another
        one of about its length; ``critic_spread``: the standard deviation of the critic's scores;
        ``class_readable``: the accuracy of a linear classifier fitted to half of the mean codes, on the other half.
    """
    was_training = model.training
    model.eval()
    right, shuffled, batches = 0.0, 0.0, 0
    scores: list[Tensor] = []
    means: list[Tensor] = []
    classes: list[Tensor] = []
    for index, corpus in enumerate(sentences):
        for chosen in length_batches(corpus, min(DIAGNOSTIC_SENTENCES, len(corpus))):
            tokens, lengths = (torch.from_numpy(array).to(device) for array in corpus.whole(chosen))
            code, mask = model.encoder(tokens, lengths)
            scores.append(model.critic(code, mask))
            means.append(mean_of_code(code, mask))
            classes.append(torch.full_like(lengths, index))
            if len(tokens) == 1:
                continue
            decoder = model.decoders[index]
            right += float(losses.reconstruction_loss(*decoder(tokens, code, mask)))
            # Rows stand in the order of their lengths, so the neighbour's code differs in content, not in length.
            shuffled += float(losses.reconstruction_loss(*decoder(tokens, code.roll(1, 0), mask.roll(1, 0))))
            batches += 1
    model.train(was_training)
    figures = {
        "critic_spread": float(torch.cat(scores).std()),
        "class_readable": _linear_accuracy(torch.cat(means), torch.cat(classes), len(sentences)),
    }
    if batches:
        figures["code_use"] = shuffled / max(right, 1e-9) - 1.0
    return figures


def _linear_accuracy(features: Tensor, classes: Tensor, number: int) -> float:
    """Fit ridge regression of the classes to the even rows; return its accuracy on the odd ones."""
    ones = features.new_ones(len(features), 1)
    features = torch.cat([features, ones], dim=1).double()  # (rows, size + 1)
    targets = nn.functional.one_hot(classes, number).double()  # (rows, classes)
    even, odd = features[::2], features[1::2]
    if len(odd) == 0:
        return 1.0 / number
    penalty = _RIDGE * torch.eye(features.size(1), dtype=features.dtype, device=features.device)
    weights = torch.linalg.solve(even.T @ even + penalty, even.T @ targets[::2])  # (size + 1, classes)
    return float(((odd @ weights).argmax(1) == classes[1::2]).float().mean())
