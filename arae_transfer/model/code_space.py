"""Networks on the code: generator, Wasserstein critic and attribute classifier."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from arae_transfer.model.decoder import mean_of_code
from arae_transfer.recipe import Adversary, Attribute, Labels, Model


def perceptron(sizes: Sequence[int], activation: type[nn.Module], *, batch_norm: bool) -> nn.Sequential:
    """Build linear layers, each followed by normalisation and activation."""
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers.append(nn.Linear(before, after))
        if batch_norm:
            layers.append(nn.BatchNorm1d(after))
        layers.append(nn.LeakyReLU(0.2) if activation is nn.LeakyReLU else activation())
    return nn.Sequential(*layers)


class Positions(nn.Module):
    """Learned position embeddings for codes of several vectors; none for a single vector."""

    def __init__(self, model: Model, maximum_vectors: int) -> None:
        super().__init__()
        self.table = nn.Embedding(maximum_vectors, model.code_size) if not model.one_vector else None

    def forward(self, code: Tensor) -> Tensor:
        """Add position embeddings: (batch, vectors, size) to the same shape."""
        if self.table is None:
            return code
        places: Tensor = self.table.weight[: code.size(1)]  # (vectors, size)
        return code + places


class Generator(nn.Module):
    """Generator from noise to codes on the encoder's unit sphere (paper, Section 3: g_theta).

    The reference code leaves the generated code unbounded and the paper bounds it by tanh; normalising matches the
    space that the encoder uses, so the critic cannot separate the two by their norm.
    """

    def __init__(self, model: Model, adversary: Adversary, maximum_vectors: int) -> None:
        super().__init__()
        self.noise_size = adversary.noise_size
        self.single = model.one_vector
        self.places = None if self.single else nn.Embedding(maximum_vectors, adversary.noise_size)
        sizes = [adversary.noise_size, *adversary.generator_layers]
        self.layers = perceptron(sizes, nn.ReLU, batch_norm=True)
        self.last = nn.Linear(sizes[-1], model.code_size)

    def forward(self, noise: Tensor, mask: Tensor) -> Tensor:
        """Generate codes.

        Args:
            noise: (batch, noise_size) standard normal.
            mask: (batch, vectors), true where a vector is generated.

        Returns:
            (batch, vectors, code_size), unit norm where a vector is generated, zero elsewhere.
        """
        batch, vectors = mask.shape
        read = noise[:, None, :].expand(-1, vectors, -1)  # (batch, vectors, noise)
        if self.places is not None:
            read = read + self.places.weight[:vectors]
        states = self.layers(read.reshape(batch * vectors, -1))  # (batch x vectors, hidden)
        code = nn.functional.normalize(self.last(states), dim=1).view(batch, vectors, -1)
        return code * mask[:, :, None]


class Critic(nn.Module):
    """Critic from codes to one score per sentence (paper, Section 3: f_w).

    It has no batch normalization, which would couple the samples of a batch, while the gradient penalty is about single
    samples; and its scores are not averaged over the batch, so that the penalty uses each sample's own gradient. (The
    reference code does both.)
    """

    def __init__(self, model: Model, adversary: Adversary, maximum_vectors: int) -> None:
        super().__init__()
        self.positions = Positions(model, maximum_vectors)
        sizes = [model.code_size, *adversary.critic_layers]
        self.layers = perceptron(sizes, nn.LeakyReLU, batch_norm=False)
        self.last = nn.Linear(sizes[-1], 1)

    def forward(self, code: Tensor, mask: Tensor) -> Tensor:
        """Score codes: (batch, vectors, size) and (batch, vectors) to (batch,)."""
        states = self.layers(self.positions(code))  # (batch, vectors, hidden)
        score: Tensor = self.last(mean_of_code(states, mask))  # (batch, 1)
        return score[:, 0]


class AttributeClassifier(nn.Module):
    """Classifier from codes to class logits (paper, Section 4: p_u(y | c))."""

    def __init__(self, model: Model, attribute: Attribute, classes: int, maximum_vectors: int) -> None:
        super().__init__()
        self.positions = Positions(model, maximum_vectors)
        sizes = [model.code_size, *attribute.layers]
        self.layers = perceptron(sizes, nn.LeakyReLU, batch_norm=False)
        self.last = nn.Linear(sizes[-1], classes)

    def forward(self, code: Tensor, mask: Tensor) -> Tensor:
        """Classify codes: (batch, vectors, size) and (batch, vectors) to (batch, classes)."""
        states = self.layers(self.positions(code))  # (batch, vectors, hidden)
        logits: Tensor = self.last(mean_of_code(states, mask))
        return logits


class CodeClassifier(nn.Module):
    """Classifier from the code of a sentence or of a sentence pair to class logits (paper, semi-supervision).

    The input of a pair is both codes, their distance and their product, dimension by dimension (Mou et al. 2016;
    InferSent), because inference is about what two sentences share.
    """

    def __init__(self, model: Model, attribute: Attribute, labels: Labels, classes: int) -> None:
        super().__init__()
        # A dimension of a unit vector is small; brought to about 1, products of two are not lost beside them.
        self.scale = model.code_size**0.5
        self.dropout = nn.Dropout(labels.dropout)
        sizes = [model.code_size * (4 if labels.sentence_pairs else 1), *attribute.layers]
        self.layers = perceptron(sizes, nn.LeakyReLU, batch_norm=False)
        self.last = nn.Linear(sizes[-1], classes)

    def forward(self, codes: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
        """Classify examples.

        Args:
            codes: For each sentence of an example its code (batch, vectors, size) and its mask (batch, vectors).

        Returns:
            (batch, classes) logits.
        """
        means = [mean_of_code(code, mask) * self.scale for code, mask in codes]  # each (batch, size)
        if len(means) == 2:
            first, second = means
            means += [(first - second).abs(), first * second]
        logits: Tensor = self.last(self.layers(self.dropout(torch.cat(means, dim=1))))
        return logits


class StyleScorer(nn.Module):
    """Convolutional text classifier (Kim 2014), which scores the style of rewrites in training.

    It reads tokens, not codes, and is trained on real sentences only. Its maximum over time makes one strong phrase
    enough, and windows of up to three tokens see "not good".
    """

    def __init__(self, vocabulary_size: int, classes: int, size: int = 64, filters: int = 64) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary_size, size)
        self.dropout = nn.Dropout(0.3)
        self.windows = nn.ModuleList(nn.Linear(width * size, filters) for width in (1, 2, 3))
        self.last = nn.Linear(3 * filters, classes)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Classify sentences: tokens and mask (batch, time) to logits (batch, classes)."""
        return self.classify(self.embedding(tokens), mask)

    def classify(self, embedded: Tensor, mask: Tensor) -> Tensor:
        """Classify embedded or soft tokens: (batch, time, size) and (batch, time) to (batch, classes)."""
        embedded = embedded * mask[:, :, None]  # (batch, time, size)
        batch, time, size = embedded.shape
        padded = torch.cat([embedded, embedded.new_zeros(batch, 2, size)], dim=1)  # (batch, time + 2, size)
        found = []
        for width, window in enumerate(self.windows, start=1):
            # Concatenated shifts are a convolution as one matrix product, which is far faster on a CPU.
            grams = torch.cat([padded[:, shift : shift + time] for shift in range(width)], dim=2)
            states = window(grams).relu().masked_fill(~mask[:, :, None], 0.0)  # (batch, time, filters)
            found.append(states.amax(dim=1))
        logits: Tensor = self.last(self.dropout(torch.cat(found, dim=1)))
        return logits
