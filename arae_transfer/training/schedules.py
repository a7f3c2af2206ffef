"""In which order the networks move.

``alternating`` is the paper's Algorithm 2: every network takes its own batch, its own forward pass and its own update.
``joint`` encodes a batch once, gives that code to every network and updates encoder and decoders once with the sum of
their terms.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch

from arae_transfer.corpus.batches import with_end
from arae_transfer.corpus.style_tokens import StyleTokens
from arae_transfer.recipe import InputNoise
from arae_transfer.tasks.task import StepContext
from arae_transfer.tokenizer import END_ID, PAD_ID, UNKNOWN_ID
from arae_transfer.training.batch import Batch, LabelledBatch
from arae_transfer.training.input_noise import add_input_noise
from arae_transfer.training.networks import Metrics, Networks, code_statistics

# Draws a further batch, for the networks that take fresh ones.
DrawBatch = Callable[[], Batch]


class BatchSupply(Protocol):
    """Data that a schedule draws batches from.

    Attributes:
        style: The style-bearing tokens, where there are any.
    """

    style: StyleTokens | None

    def batch(self, step: int, generator: np.random.Generator, device: torch.device) -> Batch:
        """Return the batch of a step."""

    def random_batch(self, generator: np.random.Generator, device: torch.device) -> Batch:
        """Return a batch drawn at random."""

    def parallel_batch(self, step: int, generator: np.random.Generator, device: torch.device) -> Batch | None:
        """Return the parallel examples of a step; None where there are none."""


def scheduled_step(data: BatchSupply, networks: Networks, context: StepContext) -> Metrics:
    """Move every network once, in the order of the recipe's schedule."""
    recipe, step, generator, device = networks.recipe, context.step, context.generator, context.device
    batch = data.batch(step, generator, device)
    scoring = step % recipe.training.scorer_every == 0
    if recipe.training.schedule == "joint":
        cycling = recipe.cycle.weight > 0 and step >= recipe.cycle.start * context.steps
        parallel = data.parallel_batch(step, generator, device)
        return joint_step(networks, batch, data.style, generator, cycling, parallel, scoring=scoring)
    return alternating_step(networks, batch, lambda: data.random_batch(generator, device), scoring=scoring)


def alternating_step(networks: Networks, batch: Batch, draw: DrawBatch, *, scoring: bool = True) -> Metrics:
    """Move every network once as Algorithm 2 states it; the critic ``critic_updates`` times.

    Args:
        networks: The networks.
        batch: Sentences of all classes.
        draw: Draws further ones.
        scoring: Whether the style scorer, which is none of the paper's networks, learns too.

    Differences from the reference code, each a repair: the critic sees all classes in each of its updates (there, class
    1 in three of five), and its gradient reaches the encoder from all classes (there, from class 1 alone).
    """
    recipe = networks.recipe
    # (1) Reconstruct.
    code, mask = networks.encode(batch.noised_tokens, batch.noised_lengths)
    loss = networks.reconstruct(networks.with_code_noise(code, mask), mask, batch)
    metrics = {"reconstruction": float(loss.detach()), **code_statistics("real", code.detach(), mask)}
    metrics["gradient_norm"] = networks.update_autoencoder(loss)
    if recipe.attribute.weight > 0:
        # (2b) The classifier learns the class from the code, then (3b) the encoder learns to hide it.
        # One encoding does for both, since the classifier's update leaves the encoder as it is.
        code, mask = networks.encode(batch.tokens, batch.lengths)
        metrics |= networks.update_classifier(code, mask, batch.classes)
        confusion = networks.confusion_term(code, mask, batch.classes)
        networks.update_autoencoder(recipe.attribute.weight * confusion)
        metrics["confusion"] = float(confusion.detach())
    if recipe.adversary.weight > 0:
        # (2) The critic learns, on fresh batches.
        others = [draw() for _ in range(recipe.adversary.critic_updates)]
        with torch.no_grad():
            codes = networks.encode_together(others)
        for code, mask in codes:
            metrics |= networks.update_critic(code, mask)
        # (3) Generator and encoder move towards each other.
        [(code, mask)] = networks.encode_together([draw()])
        metrics |= networks.update_generator(mask)
        adversarial = networks.adversarial_term(code, mask)
        networks.update_autoencoder(recipe.adversary.weight * adversarial)
        metrics["adversarial"] = float(adversarial.detach())
    return metrics | networks.update_scorer(batch) if scoring else metrics


def classification_step(networks: Networks, examples: LabelledBatch, batch: Batch) -> Metrics:
    """Learn labels from the codes of some examples, and the shape of the code space from all sentences.

    Encoder, decoder and classifier take one update with the sum of the labels' loss, the reconstruction's and the
    critic's; then critic and generator take theirs, as in the joint schedule. Terms of weight 0 are not computed.

    Args:
        networks: The networks.
        examples: Labelled examples.
        batch: Sentences, labelled or not.
    """
    recipe = networks.recipe
    labels, metrics = networks.label_term(examples)
    loss = recipe.labels.weight * labels
    shaping = recipe.training.reconstruction > 0 or recipe.adversary.weight > 0
    if shaping:
        code, mask = networks.encode(batch.noised_tokens, batch.noised_lengths)
        metrics |= code_statistics("real", code.detach(), mask)
    if recipe.training.reconstruction > 0:
        reconstruction = networks.reconstruct(networks.with_code_noise(code, mask), mask, batch)
        loss = loss + recipe.training.reconstruction * reconstruction
        metrics["reconstruction"] = float(reconstruction.detach())
    if recipe.adversary.weight > 0:
        adversarial = networks.adversarial_term(code, mask)
        loss = loss + recipe.adversary.weight * adversarial
        metrics["adversarial"] = float(adversarial.detach())
    networks.optimizers.classifier.zero_grad(set_to_none=True)
    metrics["gradient_norm"] = networks.update_autoencoder(loss)
    networks.optimizers.classifier.step()
    if recipe.adversary.weight > 0:
        for _ in range(recipe.adversary.critic_updates):
            metrics |= networks.update_critic(code, mask)
        metrics |= networks.update_generator(mask)
    return metrics


def joint_step(
    networks: Networks,
    batch: Batch,
    style: StyleTokens | None,
    generator: np.random.Generator,
    cycling: bool,
    parallel: Batch | None = None,
    *,
    scoring: bool = True,
) -> Metrics:
    """Encode once, let every network use that code, and update encoder and decoders once.

    Args:
        networks: The networks.
        batch: Sentences of all classes.
        style: The style-bearing tokens, for noise on rewrites.
        generator: The source of randomness for that noise and for the direction of the cycle.
        cycling: Whether the cycle has begun.
        parallel: Sentences and rewrites of them, where the recipe searches pairs.
        scoring: Whether the style scorer learns too.
    """
    recipe = networks.recipe
    code, mask = networks.encode(batch.noised_tokens, batch.noised_lengths)
    metrics = code_statistics("real", code.detach(), mask)
    loss = 0.0 * code.sum()  # where nothing else asks for anything, nothing changes
    if recipe.training.reconstruction > 0:
        reconstruction = networks.reconstruct(networks.with_code_noise(code, mask), mask, batch)
        loss = recipe.training.reconstruction * reconstruction
        metrics["reconstruction"] = float(reconstruction.detach())
    if recipe.attribute.weight > 0:
        confusion = networks.confusion_term(code, mask, batch.classes)
        loss = loss + recipe.attribute.weight * confusion
        metrics["confusion"] = float(confusion.detach())
    if recipe.adversary.weight > 0:
        adversarial = networks.adversarial_term(code, mask)
        loss = loss + recipe.adversary.weight * adversarial
        metrics["adversarial"] = float(adversarial.detach())
    # With or without a cycle: validation judges rewrites by the scorer.
    if scoring:
        metrics |= networks.update_scorer(batch)
    if parallel is not None:
        read, read_mask = networks.encode(parallel.noised_tokens, parallel.noised_lengths)
        pairs = networks.reconstruct(networks.with_code_noise(read, read_mask), read_mask, parallel, parallel.weights)
        loss = loss + pairs
        metrics["pairs"] = float(pairs.detach())
    if cycling:
        cycle, cycle_metrics = _cycle_term(networks, batch, style, generator)
        loss = loss + cycle
        metrics |= cycle_metrics
    metrics["gradient_norm"] = networks.update_autoencoder(loss)
    if recipe.attribute.weight > 0:
        metrics |= networks.update_classifier(code, mask, batch.classes)
    if recipe.adversary.weight > 0:
        for _ in range(recipe.adversary.critic_updates):
            metrics |= networks.update_critic(code, mask)
        metrics |= networks.update_generator(mask)
    return metrics


def _cycle_term(
    networks: Networks, batch: Batch, style: StyleTokens | None, generator: np.random.Generator
) -> tuple[torch.Tensor, Metrics]:
    """Rewrite, encode the rewrite, and reconstruct the original with its own class's decoder.

    A pair counts as much as the scorer believes its rewrite: a rewrite that kept its style would teach copying.
    """
    recipe, number = networks.recipe, len(networks.model.classes)
    shift = int(generator.integers(1, number))  # the same in all processes
    generator = networks.processes.own_randomness(generator)
    wanted = (batch.classes + shift) % number
    sources, source_lengths = batch.tokens, batch.lengths
    if recipe.cycle.delete > 0:
        deletion = InputNoise(style_share=1.0, style_drop=recipe.cycle.delete)
        sources, source_lengths = _damage(networks, batch.tokens, batch.classes, deletion, style, generator)
    tokens, lengths, belief = networks.rewrites(batch, sources, source_lengths, shift)
    read, read_lengths = _damage(networks, tokens, wanted, recipe.noise, style, generator)
    code, mask = networks.encode(read, read_lengths)
    cycle = networks.reconstruct(networks.with_code_noise(code, mask), mask, batch, belief)
    loss = recipe.cycle.weight * cycle
    time = min(tokens.size(1), batch.tokens.size(1))
    unpadded = batch.tokens.masked_fill(batch.tokens == END_ID, PAD_ID)
    same = (tokens[:, :time] == unpadded[:, :time]).all(1) & (lengths == batch.lengths - 1)
    metrics = {
        "cycle": float(cycle.detach()),
        "rewrite_belief": float(belief.mean()),
        "rewrite_copies": float(same.float().mean()),
    }
    if recipe.cycle.teach > 0 or recipe.cycle.style > 0:
        targets, target_lengths = (
            torch.from_numpy(array).to(networks.device)
            for array in with_end(tokens.cpu().numpy(), lengths.cpu().numpy())
        )
        code, mask = networks.encode(batch.tokens, batch.lengths)
        verdict, entropies = networks.style_of_soft_output(
            networks.with_code_noise(code, mask), mask, batch, targets, target_lengths, shift
        )
        # Only rewrites that the scorer accepts are taught, each as far as it does; one without a word teaches nothing.
        accepted = belief * (belief > 0.5) * ~same * (tokens[:, 0] != UNKNOWN_ID)
        taught = (entropies * accepted).mean()
        loss = loss + recipe.cycle.teach * taught + recipe.cycle.style * verdict
        metrics |= {"taught": float(taught.detach()), "style_verdict": float(verdict.detach())}
    return loss, metrics


def _damage(
    networks: Networks,
    tokens: torch.Tensor,
    classes: torch.Tensor,
    noise: InputNoise,
    style: StyleTokens | None,
    generator: np.random.Generator,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Damage sentences, given with or without end ids, and return them with end ids and their lengths."""
    plain = tokens.masked_fill(tokens == END_ID, PAD_ID).cpu().numpy()
    lengths = (plain != PAD_ID).sum(1)
    noised, noised_lengths = with_end(*add_input_noise(plain, lengths, classes.cpu().numpy(), noise, style, generator))
    # As long in all processes, because noise on codes is drawn for the whole batch.
    missing = networks.processes.maximum(noised.shape[1]) - noised.shape[1]
    if missing:
        noised = np.pad(noised, ((0, 0), (0, missing)), constant_values=PAD_ID)
    return torch.from_numpy(noised).to(networks.device), torch.from_numpy(noised_lengths).to(networks.device)
