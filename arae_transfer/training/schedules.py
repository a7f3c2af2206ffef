"""Training schedules: the order of the networks' updates.

``alternating`` is the paper's Algorithm 2: every network takes its own batch, its own forward pass and its own update.
``joint`` encodes a batch once, uses that code in every network, and updates encoder and decoders once with the sum of
their terms.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from arae_transfer.corpus.style_tokens import StyleTokens
from arae_transfer.tasks.task import StepContext
from arae_transfer.training.batch import Batch, LabelledBatch
from arae_transfer.training.batch_parts import Code, Encode, Terms, sum_parts
from arae_transfer.training.code_statistics import code_statistics
from arae_transfer.training.cycle import cycle_terms
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

    Differences from the reference code, which fix errors: each update of the critic reads all classes (there, class 1
    in three of five), and its gradient reaches the encoder from all classes (there, only from class 1).
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
    """Update the networks on labelled examples, and regularize the code space with all sentences.

    Encoder, decoder and classifier are updated once with the sum of the labels' loss, the reconstruction's and the
    critic's; then critic and generator are updated as in the joint schedule. Terms of weight 0 are not computed.

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
        parallel: Parallel examples, if the recipe uses any.
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
        cycle, cycle_metrics = cycle_terms(networks, batch, style, generator)
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
