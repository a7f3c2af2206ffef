"""Plain implementation of a training step of the paper's algorithm, the baseline of ``arae bench train``.

It moves the same networks by the same losses as ``alternating_step`` (Zhao et al. 2018, Algorithm 2; the schedule of
the authors' released code with this project's repairs), without anything that only serves speed:

- a batch is drawn at random, so it holds sentences of all lengths, and is padded to its longest;
- every network encodes its own batch itself, padding included;
- the decoders run to the longest sentence of the batch, and the whole vocabulary is scored at every position, padding
  included; padding is then left out of the loss;
- single precision, and optimizers that go from parameter to parameter.

On the same batches it moves every weight as ``alternating_step`` does, up to rounding.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from arae_transfer.model.arae import ARAE
from arae_transfer.recipe import Recipe
from arae_transfer.tokenizer import BEGIN_ID, PAD_ID
from arae_transfer.training.batch import Batch
from arae_transfer.training.networks import Metrics, Networks
from arae_transfer.training.optimizers import Optimizers


def reference_optimizers(model: ARAE, recipe: Recipe) -> Optimizers:
    """Return optimizers like those of ``Optimizers.build``, in plain PyTorch."""
    optimizers = Optimizers.build(model, recipe)
    for optimizer in optimizers.by_name().values():
        for group in optimizer.param_groups:
            group["fused"], group["foreach"] = False, False
    return optimizers


def _padded_reconstruction(networks: Networks, code: Tensor, mask: Tensor, batch: Batch) -> Tensor:
    """Decode with each class's decoder, including padding, and return the mean loss over tokens and classes."""
    total = code.new_zeros(())
    for index in range(len(networks.model.classes)):
        rows, decoder = batch.rows_of(index), networks.model.decoder(index)
        targets = batch.tokens[rows]  # (rows, time)
        previous = torch.cat([torch.full_like(targets[:, :1], BEGIN_ID), targets[:, :-1]], dim=1)
        features = decoder.features(previous, code[rows], mask[rows])  # (rows, time, features)
        logits = decoder.output(features)  # (rows, time, vocabulary)
        total = total + nn.functional.cross_entropy(
            logits.flatten(0, 1),
            targets.flatten(),
            ignore_index=PAD_ID,
            label_smoothing=networks.recipe.training.label_smoothing,
        )
    return total / len(networks.model.classes)


def reference_step(networks: Networks, batch: Batch, draw: Callable[[], Batch]) -> Metrics:
    """Update every network once, the critic ``critic_updates`` times; see ``alternating_step``.

    Args:
        networks: The networks.
        batch: The sentences to reconstruct.
        draw: Gives the further batches of generator and critic.
    """
    recipe = networks.recipe
    code, mask = networks.encode(batch.noised_tokens, batch.noised_lengths)
    loss = _padded_reconstruction(networks, networks.with_code_noise(code, mask), mask, batch)
    metrics = {"reconstruction": float(loss.detach())}
    networks.update_autoencoder(loss)
    if recipe.attribute.weight > 0:
        with torch.no_grad():
            code, mask = networks.encode(batch.tokens, batch.lengths)
        metrics |= networks.update_classifier(code, mask, batch.classes)
        code, mask = networks.encode(batch.tokens, batch.lengths)
        networks.update_autoencoder(recipe.attribute.weight * networks.confusion_term(code, mask, batch.classes))
    if recipe.adversary.weight > 0:
        for _ in range(recipe.adversary.critic_updates):
            other = draw()
            with torch.no_grad():
                code, mask = networks.encode(other.tokens, other.lengths)
            metrics |= networks.update_critic(code, mask)
        other = draw()
        code, mask = networks.encode(other.tokens, other.lengths)
        metrics |= networks.update_generator(mask)
        networks.update_autoencoder(recipe.adversary.weight * networks.adversarial_term(code, mask))
    return metrics | networks.update_scorer(batch)
