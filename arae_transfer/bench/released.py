"""An iteration of the authors' released code, pass by pass, as a baseline.

The passes of ``yelp/train.py`` (https://github.com/jakezhaojb/ARAE, 2018) in today's PyTorch, at a recipe's sizes and
without this project's repairs. Only the time counts; nothing is learnt from it:

- 1 update of encoder and decoder per class: packed sequences, the scores of the whole vocabulary at every position of
  the padded batch, then a copy of those of real positions, a division by the temperature, and their cross entropy;
- 1 update of the classifier per class, then 1 of the encoder against it per class, each with an encoding of its own;
- ``critic_updates`` updates of the critic, each on one class's batch: an encoding, a backward pass through critic and
  encoder (whose gradient is thrown away), one through the critic on generated codes, and the gradient penalty;
- 1 update of the generator, and 1 of the encoder against the critic on the first class.

Batches are drawn at random and sorted within, as packing asks for, and padded to their longest sentence. Gradients
are set to None between updates, and the losses that the code only prints are not read. An iteration takes
``batch_size`` sentences of each class, as a step of ``alternating_step`` does.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Sequence
from itertools import pairwise
from multiprocessing.connection import Connection

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from arae_transfer.corpus.batches import TokenizedSentences, with_end
from arae_transfer.recipe import Recipe
from arae_transfer.tokenizer import BEGIN_ID, PAD_ID

_LEARNING_RATE = 1e-4
_CRITIC_INTO_ENCODER = 0.01
_PENALTY = 0.1


def _perceptron(sizes: Sequence[int], activation: nn.Module, *, normalise_first: bool) -> nn.Sequential:
    """Linear layers with batch normalisation and activation; the last layer has neither."""
    layers: list[nn.Module] = []
    for number, (before, after) in enumerate(pairwise(sizes[:-1])):
        layers.append(nn.Linear(before, after))
        if number or normalise_first:
            layers.append(nn.BatchNorm1d(after))
        layers.append(activation)
    layers.append(nn.Linear(sizes[-2], sizes[-1]))
    return nn.Sequential(*layers)


class _Autoencoder(nn.Module):
    """The shared encoder, a decoder per class, and the shared output layer."""

    def __init__(self, recipe: Recipe, classes: int, vocabulary: int) -> None:
        super().__init__()
        embedding, hidden = recipe.model.embedding_size, recipe.model.hidden_size
        self.embedding = nn.Embedding(vocabulary, embedding)
        self.encoder = nn.LSTM(embedding, hidden, batch_first=True)
        self.decoder_embeddings = nn.ModuleList(nn.Embedding(vocabulary, embedding) for _ in range(classes))
        self.decoders = nn.ModuleList(nn.LSTM(embedding + hidden, hidden, batch_first=True) for _ in range(classes))
        self.output = nn.Linear(hidden, vocabulary)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -0.1, 0.1)

    def encode(self, source: Tensor, lengths: Tensor) -> Tensor:
        """Return unit codes: (batch, time) and (batch,) to (batch, hidden)."""
        packed = pack_padded_sequence(self.embedding(source), lengths, batch_first=True)
        _, (hidden, _) = self.encoder(packed)
        code: Tensor = hidden[-1] / hidden[-1].norm(2, 1, keepdim=True)
        return code

    def decode(self, index: int, code: Tensor, source: Tensor, lengths: Tensor) -> Tensor:
        """Return the logits of every position, padding included: (batch x time, vocabulary)."""
        everywhere = code[:, None, :].repeat(1, source.size(1), 1)
        read = torch.cat([self.decoder_embeddings[index](source), everywhere], 2)
        states, _ = self.decoders[index](pack_padded_sequence(read, lengths, batch_first=True))
        padded, _ = pad_packed_sequence(states, batch_first=True)
        logits: Tensor = self.output(padded.reshape(-1, padded.size(2)))
        return logits


class ReleasedIteration:
    """Networks of the released code, and its iteration over one batch of each class.

    Args:
        recipe: The sizes, the batch size and the critic's updates; the code is the encoder's last state.
        sentences: Two classes.
        vocabulary: Tokens.
    """

    def __init__(self, recipe: Recipe, sentences: Sequence[TokenizedSentences], vocabulary: int) -> None:
        adversary, size = recipe.adversary, recipe.model.hidden_size
        self._recipe, self._sentences = recipe, sentences
        self._random = np.random.default_rng(recipe.training.seed)
        self._autoencoder = _Autoencoder(recipe, len(sentences), vocabulary)
        self._generator = _perceptron(
            [adversary.noise_size, *adversary.generator_layers, size], nn.ReLU(), normalise_first=True
        )
        self._critic = _perceptron([size, *adversary.critic_layers, 1], nn.LeakyReLU(0.2), normalise_first=False)
        self._classifier = _perceptron([size, *recipe.attribute.layers, 1], nn.ReLU(), normalise_first=False)
        self._optimizer = torch.optim.SGD(self._autoencoder.parameters(), lr=recipe.training.learning_rate)
        betas = (adversary.beta1, 0.999)
        self._small = {
            network: torch.optim.Adam(network.parameters(), lr=_LEARNING_RATE, betas=betas)
            for network in (self._generator, self._critic, self._classifier)
        }

    def __call__(self) -> None:
        """Run one iteration."""
        batches = [self._draw(index) for index in range(len(self._sentences))]
        for index, batch in enumerate(batches):
            self._reconstruct(index, *batch)
        for index, (_, target, lengths) in enumerate(batches):
            self._classify(index, target, lengths)
        for index, (_, target, lengths) in enumerate(batches):
            code = self._autoencoder.encode(target, lengths)
            labels = torch.full((len(code),), 1.0 - index)
            scores = self._classifier(code).sigmoid()[:, 0]
            self._move_autoencoder(nn.functional.binary_cross_entropy(scores, labels))
        for number in range(self._recipe.adversary.critic_updates):
            self._criticise(*self._draw(number % len(self._sentences))[1:])
        self._step(self._generator, self._critic(self._generate()).mean())
        code = self._autoencoder.encode(*self._draw(0)[1:])
        self._move_autoencoder(-_CRITIC_INTO_ENCODER * self._critic(code).mean())

    def _draw(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return the decoder's input and target (both (batch, time)) and (batch,) lengths, descending."""
        corpus = self._sentences[index]
        chosen = self._random.integers(0, len(corpus), self._recipe.training.batch_size)
        tokens, lengths = with_end(*corpus.padded(chosen))
        order = np.argsort(-lengths, kind="stable")
        target = torch.from_numpy(tokens[order])
        source = torch.cat([torch.full_like(target[:, :1], BEGIN_ID), target[:, :-1]], 1)
        return source, target, torch.from_numpy(lengths[order])

    def _generate(self) -> Tensor:
        noise = torch.randn(self._recipe.training.batch_size, self._recipe.adversary.noise_size)
        code: Tensor = self._generator(noise)
        return code

    def _reconstruct(self, index: int, source: Tensor, target: Tensor, lengths: Tensor) -> None:
        code = self._autoencoder.encode(target, lengths)
        code = code + self._recipe.model.code_noise * torch.randn_like(code)
        logits = self._autoencoder.decode(index, code, source, lengths)
        real = (target != PAD_ID).flatten()
        chosen = logits.masked_select(real[:, None].expand_as(logits)).view(-1, logits.size(1))
        self._move_autoencoder(nn.functional.cross_entropy(chosen / 1.0, target.flatten()[real]))

    def _classify(self, index: int, target: Tensor, lengths: Tensor) -> None:
        code = self._autoencoder.encode(target, lengths).detach()
        labels = torch.full((len(code),), float(index))
        scores = self._classifier(code).sigmoid()[:, 0]
        self._step(self._classifier, nn.functional.binary_cross_entropy(scores, labels))

    def _criticise(self, target: Tensor, lengths: Tensor) -> None:
        self._small[self._critic].zero_grad()
        real = self._autoencoder.encode(target, lengths)
        torch.autograd.backward(self._critic(real).mean())
        generated = self._generate().detach()
        torch.autograd.backward(-self._critic(generated).mean())
        share = torch.rand(len(real), 1)
        between = (share * real.detach() + (1 - share) * generated).requires_grad_()
        (gradient,) = torch.autograd.grad(self._critic(between).mean(), between, create_graph=True)
        torch.autograd.backward(_PENALTY * (gradient.norm(2, dim=1) - 1).square().mean())
        self._small[self._critic].step()

    def _step(self, network: nn.Sequential, loss: Tensor) -> None:
        self._small[network].zero_grad()
        torch.autograd.backward(loss)
        self._small[network].step()

    def _move_autoencoder(self, loss: Tensor) -> None:
        self._optimizer.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self._autoencoder.parameters(), self._recipe.training.gradient_clip)
        self._optimizer.step()


class ReleasedProcess:
    """The released code in a separate process, without the settings that speed up training here.

    A context manager; the process ends with it.
    """

    def __init__(self, recipe: Recipe, sentences: Sequence[TokenizedSentences], vocabulary: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        arguments = (theirs, recipe, sentences, vocabulary, torch.get_num_threads())
        self._process = context.Process(target=_serve, args=arguments, daemon=True)

    def __enter__(self) -> ReleasedProcess:
        self._process.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()
        self._process.terminate()
        self._process.join()

    def iterate(self) -> float:
        """Run one iteration and return its seconds.

        Raises:
            EOFError: The process failed; it has said why on standard error.
        """
        self._connection.send(None)
        seconds: float = self._connection.recv()
        return seconds


def _serve(
    connection: Connection, recipe: Recipe, sentences: Sequence[TokenizedSentences], vocabulary: int, threads: int
) -> None:
    torch.set_num_threads(threads)
    torch.manual_seed(recipe.training.seed)
    iteration = ReleasedIteration(recipe, sentences, vocabulary)
    with connection:
        while True:
            connection.recv()
            start = time.perf_counter()
            iteration()
            connection.send(time.perf_counter() - start)
