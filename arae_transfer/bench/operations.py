"""Number of operations of a training step, computed from the sizes of the networks.

Only matrix products count, a multiplication and an addition as two operations, and only at real positions: what is
spent on padding is no use. A backward pass costs twice its forward pass; where a network is only passed through, its
own gradients are spared and it costs once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from arae_transfer.recipe import Recipe

FORWARD, THROUGH, LEARNING = 1, 2, 3


@dataclass(frozen=True)
class NetworkOperations:
    """Forward operations of each network.

    Attributes:
        encoder: Per token.
        decoder: Per token, without the scores of the vocabulary.
        output: Per token, the scores of the vocabulary.
        critic: Per code vector.
        generator: Per code vector.
        classifier: Per code vector.
        scorer: Per token.
    """

    encoder: float
    decoder: float
    output: float
    critic: float
    generator: float
    classifier: float
    scorer: float


def _lstm(read: int, hidden: int) -> float:
    """Return the operations of four gates, each of the input and of the previous state."""
    return 2.0 * 4 * hidden * (read + hidden)


def _perceptron(sizes: Sequence[int]) -> float:
    return sum(2.0 * before * after for before, after in pairwise(sizes))


def count_networks(recipe: Recipe, vocabulary: int, classes: int, length: float) -> NetworkOperations:
    """Count each network's forward operations.

    Args:
        recipe: The sizes.
        vocabulary: The tokens that the decoders choose among.
        classes: The number of classes.
        length: The mean number of tokens of a sentence, the end id included; attention reads so many vectors.
    """
    model, adversary = recipe.model, recipe.adversary
    directions = 2 if model.bidirectional else 1
    encoder, size = 0.0, model.embedding_size
    for _ in range(model.encoder_layers):
        encoder += directions * _lstm(size, model.hidden_size)
        size = directions * model.hidden_size
    attends, attended = model.code != "single", model.attended_size
    if size != attended and attends:
        encoder += 2.0 * size * attended
    decoder = _lstm(model.embedding_size + attended, model.hidden_size)
    decoder += (model.decoder_layers - 1) * _lstm(model.hidden_size + attended, model.hidden_size)
    read = model.hidden_size
    if attends:
        decoder += 2.0 * model.hidden_size * attended + 2 * 2.0 * length * attended
        read += attended
    if model.code == "superposed":
        # Each token is laid into the code and read from it; places beyond the sentence are padding.
        encoder += 2.0 * attended * model.code_size
        decoder += 2.0 * attended * model.code_size
    if model.shared_embeddings:
        decoder += 2.0 * read * model.embedding_size
        read = model.embedding_size
    return NetworkOperations(
        encoder=encoder,
        decoder=decoder,
        output=2.0 * read * vocabulary,
        critic=_perceptron([model.code_size, *adversary.critic_layers, 1]),
        generator=_perceptron([adversary.noise_size, *adversary.generator_layers, model.code_size]),
        classifier=_perceptron([model.code_size, *recipe.attribute.layers, classes]),
        # The sizes of StyleScorer: windows of one, two and three embeddings of 64 to 64 filters each.
        scorer=2.0 * (1 + 2 + 3) * 64 * 64,
    )


def count_sentence(recipe: Recipe, vocabulary: int, classes: int, length: float) -> dict[str, float]:
    """Return the operations per training sentence by network, without the cycle of a joint recipe.

    Args:
        recipe: The sizes and the schedule.
        vocabulary: The tokens that the decoders choose among.
        classes: The number of classes.
        length: The mean number of tokens of a sentence, the end id included.
    """
    networks = count_networks(recipe, vocabulary, classes, length)
    vectors = length if recipe.model.code == "sequence" else 1.0
    alternating = recipe.training.schedule == "alternating"
    # Of a step's sentences, those that one update of critic or generator reads.
    share = 1.0
    if alternating and recipe.adversary.batch_size:
        share = recipe.adversary.batch_size / recipe.training.batch_size
    updates = recipe.adversary.critic_updates
    encode = length * networks.encoder
    counts = {
        "encoder and decoders": LEARNING * (encode + length * (networks.decoder + networks.output)),
        "style scorer": LEARNING * length * networks.scorer,
    }
    if recipe.attribute.weight > 0:
        counts["classifier"] = LEARNING * vectors * networks.classifier
        counts["encoder against classifier"] = THROUGH * vectors * networks.classifier
        counts["encoder against classifier"] += LEARNING * encode if alternating else 0.0
    if recipe.adversary.weight > 0:
        # Real and generated codes; a penalty differentiates the critic twice, which is three passes more.
        passes = 2 * LEARNING + (LEARNING if recipe.adversary.constraint == "gradient-penalty" else 0)
        critic = vectors * (passes * networks.critic + FORWARD * networks.generator)
        counts["critic"] = share * updates * (critic + (FORWARD * encode if alternating else 0.0))
        counts["generator"] = share * vectors * (LEARNING * networks.generator + THROUGH * networks.critic)
        counts["encoder against critic"] = share * THROUGH * vectors * networks.critic
        counts["encoder against critic"] += share * LEARNING * encode if alternating else 0.0
    return counts
