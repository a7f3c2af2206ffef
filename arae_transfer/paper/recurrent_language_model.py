"""Recurrent language model as a baseline for generation: the model's own decoder with a constant code.

It has the size and the tokenizer of the systems beside it, learns by the same loss, and stops where it foretells the
held-out sentences best. Its samples are drawn word by word from its own distribution.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from arae_transfer.corpus.batches import BatchSchedule, IntegerArray, TokenizedSentences, with_end
from arae_transfer.model.arae import open_forget_gates
from arae_transfer.model.decoder import Decoder
from arae_transfer.recipe import Recipe
from arae_transfer.tokenizer import Tokenizer
from arae_transfer.training import losses
from arae_transfer.training.batch import SoftmaxSampler
from arae_transfer.training.device import choose_precision
from arae_transfer.training.validation import length_batches

LEARNING_RATE = 2e-3
DROPOUT = 0.3
# Epochs without a better one before it stops.
PATIENCE = 2
_BATCH = 256


class RecurrentLanguageModel:
    """An LSTM over tokens.

    Attributes:
        nll: The negative log-likelihood of a token of the held-out sentences, in nats, at the epoch kept.
        epochs: That epoch.
    """

    def __init__(
        self, recipe: Recipe, tokenizer: Tokenizer, train: TokenizedSentences, valid: TokenizedSentences
    ) -> None:
        self._recipe = recipe
        self._tokenizer = tokenizer
        self._train = train
        self._valid = valid
        torch.manual_seed(recipe.training.seed)
        model = recipe.model
        self._decoder = Decoder(tokenizer.vocabulary_size, _with_dropout(recipe).model)
        for module in self._decoder.modules():
            if isinstance(module, torch.nn.LSTM):
                open_forget_gates(module)
        self._code_size = model.code_size
        # Precision and softmax in training are those of the systems beside it.
        self._half = choose_precision(recipe.training.precision, torch.device("cpu")) == "bf16"
        self._sampler = None
        if 0 < recipe.training.sampled_softmax < tokenizer.vocabulary_size:
            self._sampler = SoftmaxSampler([train], tokenizer.vocabulary_size, recipe.training.sampled_softmax)
        self.nll = float("inf")
        self.epochs = 0

    def train(self, most_epochs: int, progress: Callable[[str], None] = lambda message: None) -> None:
        """Train until the held-out loss stops falling, or for a number of epochs."""
        recipe = self._recipe
        optimizer = torch.optim.Adam(self._decoder.parameters(), lr=LEARNING_RATE)
        schedule = BatchSchedule({"text": self._train}, recipe.training.batch_size, recipe.training.seed)
        steps = max(1, len(self._train) // recipe.training.batch_size)
        best = copy.deepcopy(self._decoder.state_dict())
        for epoch in range(1, most_epochs + 1):
            self._decoder.train()
            for step in range((epoch - 1) * steps, epoch * steps):
                with torch.autocast("cpu", torch.bfloat16, enabled=self._half, cache_enabled=False):
                    loss, _ = self._loss(self._train, schedule.indices(step)[0], step)
                optimizer.zero_grad(set_to_none=True)
                torch.autograd.backward(loss)
                torch.nn.utils.clip_grad_norm_(self._decoder.parameters(), recipe.training.gradient_clip)
                optimizer.step()
            nll = self._validate()
            progress(f"language model, epoch {epoch}: {nll:.3f} nats per token of held-out sentences")
            if nll < self.nll:
                self.nll, self.epochs = nll, epoch
                best = copy.deepcopy(self._decoder.state_dict())
            elif epoch - self.epochs >= PATIENCE:
                break
        self._decoder.load_state_dict(best)
        self._decoder.eval()

    @torch.no_grad()
    def sample(self, number: int, seed: int) -> list[str]:
        """Sample sentences token by token."""
        random = torch.Generator().manual_seed(seed)
        written: list[str] = []
        while len(written) < number:
            code, mask = self._nothing(min(_BATCH, number - len(written)))
            ids = self._decoder.sample(code, mask, self._recipe.data.maximum_tokens, temperature=1.0, generator=random)
            written += [" ".join(text.split()) for text in self._tokenizer.decode_rows(ids.tolist())]
        return written

    def _loss(self, sentences: TokenizedSentences, chosen: IntegerArray, step: int | None = None) -> tuple[Tensor, int]:
        """Return the mean loss per token and the number of tokens; in training (a step) the softmax is sampled."""
        tokens, _ = with_end(*sentences.padded(chosen))  # (batch, time)
        sampled: tuple[Tensor | None, Tensor | None] = (None, None)
        if step is not None and self._sampler is not None:
            drawn = self._sampler.draw(tokens, np.random.default_rng([self._recipe.training.seed, step]))
            sampled = torch.from_numpy(drawn[0]), torch.from_numpy(drawn[1])
        logits, wanted = self._decoder(torch.from_numpy(tokens), *self._nothing(len(tokens)), 0.0, *sampled)
        return losses.reconstruction_loss(logits, wanted), len(wanted)

    @torch.no_grad()
    def _validate(self) -> float:
        self._decoder.eval()
        found = [self._loss(self._valid, chosen) for chosen in length_batches(self._valid, len(self._valid))]
        return sum(float(loss) * count for loss, count in found) / sum(count for _, count in found)

    def _nothing(self, rows: int) -> tuple[Tensor, Tensor]:
        return torch.zeros(rows, 1, self._code_size), torch.ones(rows, 1, dtype=torch.bool)


def _with_dropout(recipe: Recipe) -> Recipe:
    return replace(recipe, model=replace(recipe.model, dropout=DROPOUT))
