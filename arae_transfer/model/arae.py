"""The adversarially regularized autoencoder with all its networks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from arae_transfer.model.code_space import Critic, Generator, StyleScorer
from arae_transfer.model.decoder import Decoder
from arae_transfer.model.encoder import Encoder
from arae_transfer.model.quality import QualityEstimator
from arae_transfer.model.superposition import Superposition
from arae_transfer.recipe import Model, Recipe
from arae_transfer.tasks import task_of
from arae_transfer.tokenizer import PAD_ID


def open_forget_gates(layer: nn.LSTM) -> None:
    """Initialize forget gates open (Jozefowicz et al. 2015: a bias of 1)."""
    size = layer.hidden_size
    with torch.no_grad():
        for name, bias in layer.named_parameters():
            if name.startswith("bias_ih"):
                bias[size : 2 * size] += 1.0  # gates stand in the order input, forget, cell, output


@dataclass(frozen=True)
class Autoencoder:
    """Encoder and decoders of a task.

    Attributes:
        encoder: Sentences (or images) to codes.
        decoders: Codes back, one for each class that the task writes.
        superposition: The binding of the vectors of a superposed code; None: another code.
        initialized: Whether the weights are initialized already, so that ``training.initialization`` is not applied.
        quality: The quality estimator; None: the recipe has none.
    """

    encoder: Encoder
    decoders: Sequence[nn.Module]
    superposition: Superposition | None = None
    initialized: bool = False
    quality: QualityEstimator | None = None


def text_autoencoder(model: Model, decoders: int, vocabulary_size: int, maximum_vectors: int) -> Autoencoder:
    """Build a text encoder and decoders that share the output layer, as in the reference code."""
    embedding: nn.Embedding | None = None
    superposition: Superposition | None = None
    if model.shared_embeddings:
        embedding = nn.Embedding(vocabulary_size, model.embedding_size, padding_idx=PAD_ID)
    if model.code == "superposed":
        superposition = Superposition(model.attended_size, model.code_size, maximum_vectors)
    encoder = Encoder(vocabulary_size, model, embedding, superposition)
    built: list[Decoder] = []
    for _ in range(decoders):
        built.append(Decoder(vocabulary_size, model, embedding, superposition, built[0] if built else None))
    return Autoencoder(encoder, built, superposition)


class ARAE(nn.Module):
    """All networks of one recipe (Zhao et al. 2018, Figure 1 and Algorithm 2).

    Attributes:
        encoder: Sentences (or images) to codes, shared by all classes.
        decoders: One decoder per class, in the order of ``classes``; in a classification one for all sentences.
        generator: Noise to codes.
        critic: Codes to scores.
        classifier: Codes to classes; the encoder learns to fool it, or in a classification to help it.
        scorer: Sentences to classes; it weighs pairs in the cycle and scores rewrites in validation, but trains no
            other network.
        quality: Source and rewrite to the log-odds that a reader accepts it; None: the recipe has no quality estimator.
    """

    def __init__(self, recipe: Recipe, classes: tuple[str, ...], vocabulary_size: int) -> None:
        super().__init__()
        model = recipe.model
        self.classes = classes
        self.vocabulary_size = vocabulary_size
        # A denoised or rewritten sentence may grow, and the end id takes a place.
        self.maximum_vectors = recipe.data.maximum_tokens + recipe.cycle.extra_tokens + 1
        task = task_of(recipe)
        autoencoder = task.build_autoencoder(recipe, classes, vocabulary_size, self.maximum_vectors)
        self.encoder = autoencoder.encoder
        self.decoders = nn.ModuleList(autoencoder.decoders)
        self.generator = Generator(model, recipe.adversary, self.maximum_vectors)
        self.critic = Critic(model, recipe.adversary, self.maximum_vectors)
        self.classifier = task.build_classifier(recipe, classes, self.maximum_vectors)
        self.scorer = StyleScorer(vocabulary_size, len(classes))
        self.quality = autoencoder.quality
        if not autoencoder.initialized:
            self._initialize(recipe.training.initialization)
        if autoencoder.superposition is not None:
            autoencoder.superposition.start()
        if model.residual:
            for index in range(len(self.decoders)):
                self.decoder(index).start_residual()

    def _initialize(self, scheme: str) -> None:
        named = [*self.encoder.named_parameters(), *self.decoders.named_parameters()]
        with torch.no_grad():
            if scheme == "uniform":
                for name, parameter in named:
                    if not name.endswith("nearness"):  # a prior, not a weight to be broken in
                        parameter.uniform_(-0.1, 0.1)
            else:
                for module in [*self.encoder.modules(), *self.decoders.modules()]:
                    if isinstance(module, nn.Embedding):
                        # With tied output weights this keeps the first logits near zero.
                        module.weight.normal_(0.0, 1.0 if scheme == "open" else module.embedding_dim**-0.5)
                    if scheme == "open" and isinstance(module, nn.LSTM):
                        open_forget_gates(module)
            for module in [*self.encoder.modules(), *self.decoders.modules()]:
                if isinstance(module, nn.Embedding):
                    module.weight[PAD_ID] = 0.0

    def autoencoder_parameters(self) -> list[nn.Parameter]:
        """Return the parameters of encoder and decoders, shared ones once."""
        unique = dict.fromkeys([*self.encoder.parameters(), *self.decoders.parameters()])
        return list(unique)

    def decoder(self, index: int) -> Decoder:
        """Return the text decoder of a class by its index."""
        decoder = self.decoders[index]
        assert isinstance(decoder, Decoder)
        return decoder

    @torch.no_grad()
    def rewrite(self, tokens: Tensor, lengths: Tensor, target: int, maximum_length: int) -> Tensor:
        """Encode sentences and decode them greedily with another class's decoder.

        Args:
            tokens: (batch, time) ids with end ids.
            lengths: (batch,).
            target: The index of the class.
            maximum_length: The length limit of a rewrite in tokens, with the end id.

        Returns:
            (batch, steps) ids, padded after the end id.
        """
        code, mask = self.encoder(tokens, lengths)
        return self.decoder(target).greedy(code, mask, maximum_length)
