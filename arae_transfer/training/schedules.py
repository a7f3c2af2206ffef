"""Training schedules: the order of the networks' updates.

``alternating`` is the paper's Algorithm 2: every network takes its own batch, its own forward pass and its own update.
``joint`` encodes a batch once, gives that code to every network and updates encoder and decoders once with the sum of
their terms.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from arae_transfer.corpus.batches import with_end
from arae_transfer.corpus.style_tokens import StyleTokens
from arae_transfer.recipe import InputNoise
from arae_transfer.tasks.task import StepContext
from arae_transfer.tokenizer import END_ID, PAD_ID, UNKNOWN_ID
from arae_transfer.training.batch import Batch, LabelledBatch
from arae_transfer.training.batch_parts import Code, Encode, Terms, sum_parts
from arae_transfer.training.code_statistics import code_statistics
from arae_transfer.training.input_noise import add_input_noise
from arae_transfer.training.networks import Metrics, Networks

# Draws a further batch, for the networks that take fresh ones.
DrawBatch = Callable[[], Batch]


class BatchSupply(Protocol):
    """Source of a schedule's batches.

    Attributes:
        style: The style-bearing tokens, where there are any.
    """

    style: StyleTokens | None

    def batch(self, step: int, generator: np.random.Generator, device: torch.device) -> Batch:
        """Return the batch of a step."""

    def random_batch(self, generator: np.random.Generator, device: torch.device) -> Batch:
        """Return a random batch."""

    def parallel_batch(self, step: int, generator: np.random.Generator, device: torch.device) -> Batch | None:
        """Return the parallel examples of a step, or None."""


def scheduled_step(data: BatchSupply, networks: Networks, context: StepContext) -> Metrics:
    """Update every network once, in the order of the recipe's schedule."""
    recipe, step, generator, device = networks.recipe, context.step, context.generator, context.device
    batch = data.batch(step, generator, device)
    scoring = step % recipe.training.scorer_every == 0
    if recipe.training.schedule == "joint":
        cycling = recipe.cycle.weight > 0 and step >= recipe.cycle.start * context.steps
        parallel = data.parallel_batch(step, generator, device)
        return joint_step(networks, batch, data.style, generator, cycling, parallel, scoring=scoring)
    return alternating_step(networks, batch, lambda: data.random_batch(generator, device), scoring=scoring)


def alternating_step(networks: Networks, batch: Batch, draw: DrawBatch, *, scoring: bool = True) -> Metrics:
    """Update every network once in the order of Algorithm 2, the critic ``critic_updates`` times.

    Args:
        networks: The networks.
        batch: Sentences of all classes.
        draw: Draws further ones.
        scoring: Whether the style scorer, which is none of the paper's networks, learns too.

    Differences from the reference code, each a repair: the critic sees all classes in each of its updates (there, class
    1 in three of five), and its gradient reaches the encoder from all classes (there, from class 1 alone).
    """
    recipe = networks.recipe

    def encode(part: Batch) -> Code:
        return networks.encode(part.tokens, part.lengths)

    # (1) Reconstruct.
    found = sum_parts(networks, batch, _encode_noised(networks), _reconstruction(networks, 1.0))
    metrics = {**found.metrics, **code_statistics("real", found.code, found.mask)}
    metrics["gradient_norm"] = networks.update_autoencoder(found.loss)
    if recipe.attribute.weight > 0:
        # (2b) The classifier learns the class from the code, then (3b) the encoder learns to hide it.
        # One encoding does for both, since the classifier's update leaves the encoder as it is.
        def learn_class(code: Tensor, mask: Tensor) -> None:
            metrics.update(networks.update_classifier(code, mask, batch.classes))

        found = sum_parts(networks, batch, encode, _confusion(networks), before=learn_class)
        networks.update_autoencoder(found.loss)
        metrics |= found.metrics
    if recipe.adversary.weight > 0:
        # (2) The critic learns, on fresh batches.
        others = [draw() for _ in range(recipe.adversary.critic_updates)]
        with torch.no_grad():
            codes = networks.encode_together(others)
        for code, mask in codes:
            metrics |= networks.update_critic(code, mask)

        # (3) Generator and encoder move towards each other.
        def generate(_: Tensor, mask: Tensor) -> None:
            metrics.update(networks.update_generator(mask))

        found = sum_parts(
            networks, draw(), lambda part: networks.encode_together([part])[0], _adversarial(networks), before=generate
        )
        networks.update_autoencoder(found.loss)
        metrics |= found.metrics
    return metrics | networks.update_scorer(batch) if scoring else metrics


def _encode_noised(networks: Networks) -> Encode:
    return lambda part: networks.encode(part.noised_tokens, part.noised_lengths)


def _reconstruction(networks: Networks, weight: float, name: str = "reconstruction") -> Terms:
    """Return the weighted reconstruction term of a part of a batch."""

    def terms(part: Batch, code: Code) -> Iterator[tuple[str, float, Tensor]]:
        if weight > 0:
            yield name, weight, networks.reconstruct(networks.with_code_noise(*code), code[1], part, part.weights)

    return terms


def _confusion(networks: Networks) -> Terms:
    """Return the classifier's term in the encoder's loss."""
    weight = networks.recipe.attribute.weight

    def terms(part: Batch, code: Code) -> Iterator[tuple[str, float, Tensor]]:
        if weight > 0:
            yield "confusion", weight, networks.confusion_term(*code, part.classes) * part.row_share

    return terms


def _adversarial(networks: Networks) -> Terms:
    """Return the critic's term in the encoder's loss."""
    weight = networks.recipe.adversary.weight

    def terms(part: Batch, code: Code) -> Iterator[tuple[str, float, Tensor]]:
        if weight > 0:
            yield "adversarial", weight, networks.adversarial_term(*code) * part.row_share

    return terms


def _all_of(*several: Terms) -> Terms:
    """Return the concatenated terms."""
    return lambda part, code: chain.from_iterable(terms(part, code) for terms in several)


def classification_step(networks: Networks, examples: LabelledBatch, batch: Batch) -> Metrics:
    """Update on the labels of some examples, and shape the code space with all sentences.

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
        terms = _all_of(_reconstruction(networks, recipe.training.reconstruction), _adversarial(networks))
        found = sum_parts(networks, batch, _encode_noised(networks), terms)
        loss = loss + found.loss
        metrics |= found.metrics | code_statistics("real", found.code, found.mask)
    networks.optimizers.classifier.zero_grad(set_to_none=True)
    metrics["gradient_norm"] = networks.update_autoencoder(loss)
    networks.optimizers.classifier.step()
    if recipe.adversary.weight > 0:
        for _ in range(recipe.adversary.critic_updates):
            metrics |= networks.update_critic(found.code, found.mask)
        metrics |= networks.update_generator(found.mask)
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
    """Encode once, use the code in every network, and update encoder and decoders once.

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
    read = _encode_noised(networks)
    terms = _all_of(
        _reconstruction(networks, recipe.training.reconstruction), _confusion(networks), _adversarial(networks)
    )
    found = sum_parts(networks, batch, read, terms)
    code, mask, loss = found.code, found.mask, found.loss
    metrics = code_statistics("real", code, mask) | found.metrics
    # With or without a cycle: validation judges rewrites by the scorer.
    if scoring:
        metrics |= networks.update_scorer(batch)
    if parallel is not None:
        found = sum_parts(networks, parallel, read, _reconstruction(networks, 1.0, "pairs"))
        loss = loss + found.loss
        metrics |= found.metrics
    if cycling:
        cycle, cycle_metrics = _cycle_terms(networks, batch, style, generator)
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


def _cycle_terms(
    networks: Networks, batch: Batch, style: StyleTokens | None, generator: np.random.Generator
) -> tuple[Tensor, Metrics]:
    """Return the cycle's loss on a batch and its figures, by parts; see ``sum_parts``."""
    parts = batch.parts(networks.tokens_at_once)
    shift = int(generator.integers(1, len(networks.model.classes)))  # the same in all processes
    generator = networks.processes.own_randomness(generator)
    if len(parts) == 1:
        return _cycle_term(networks, batch, style, generator, shift)
    total, metrics = torch.zeros((), device=networks.device), Counter[str]()
    for part in parts:
        loss, found = _cycle_term(networks, part.batch, style, generator, shift)
        total = total + networks.collect_gradients(loss)
        metrics.update(found)
    return total, dict(metrics)


def _cycle_term(
    networks: Networks, batch: Batch, style: StyleTokens | None, generator: np.random.Generator, shift: int
) -> tuple[Tensor, Metrics]:
    """Rewrite, encode the rewrite, and reconstruct the original with its own class's decoder.

    A pair counts as much as the scorer believes its rewrite: a rewrite that kept its style would teach copying.
    """
    recipe, number = networks.recipe, len(networks.model.classes)
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
        "rewrite_belief": float(belief.mean()) * batch.row_share,
        "rewrite_copies": float(same.float().mean()) * batch.row_share,
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
        taught = (entropies * accepted).mean() * batch.row_share
        verdict = verdict * batch.row_share
        loss = loss + recipe.cycle.teach * taught + recipe.cycle.style * verdict
        metrics |= {"taught": float(taught.detach()), "style_verdict": float(verdict.detach())}
    return loss, metrics


def _damage(
    networks: Networks,
    tokens: Tensor,
    classes: Tensor,
    noise: InputNoise,
    style: StyleTokens | None,
    generator: np.random.Generator,
) -> tuple[Tensor, Tensor]:
    """Add noise to sentences, with or without end ids, and return them with end ids and lengths."""
    plain = tokens.masked_fill(tokens == END_ID, PAD_ID).cpu().numpy()
    lengths = (plain != PAD_ID).sum(1)
    noised, noised_lengths = with_end(*add_input_noise(plain, lengths, classes.cpu().numpy(), noise, style, generator))
    # As long in all processes, because noise on codes is drawn for the whole batch.
    missing = networks.processes.maximum(noised.shape[1]) - noised.shape[1]
    if missing:
        noised = np.pad(noised, ((0, 0), (0, missing)), constant_values=PAD_ID)
    return torch.from_numpy(noised).to(networks.device), torch.from_numpy(noised_lengths).to(networks.device)
