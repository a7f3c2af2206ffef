"""One training batch on the device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from arae_transfer.corpus.batches import IntegerArray, TokenizedSentences, with_end
from arae_transfer.corpus.style_tokens import StyleTokens
from arae_transfer.recipe import InputNoise
from arae_transfer.tokenizer import END_ID, PAD_ID
from arae_transfer.training.input_noise import add_input_noise


@dataclass(frozen=True)
class Batch:
    """Sentences of all classes, class by class, each class with the same number of rows.

    Attributes:
        tokens: (rows, time) the whole sentences with end ids.
        lengths: (rows,).
        noised_tokens: (rows, time') what the encoder reads, with end ids.
        noised_lengths: (rows,).
        classes: (rows,) class indices.
        candidates: (candidates,) sorted ids that the decoders choose among in this step, every target with them; None
            stands for the whole vocabulary.
    """

    tokens: Tensor
    lengths: Tensor
    noised_tokens: Tensor
    noised_lengths: Tensor
    classes: Tensor
    candidates: Tensor | None = None

    def rows_of(self, index: int) -> slice:
        """Return the rows of a class; rows stand class by class."""
        rows = self.tokens.size(0) // (int(self.classes[-1]) + 1)
        return slice(index * rows, (index + 1) * rows)


def stack_classes(parts: list[tuple[IntegerArray, IntegerArray]]) -> tuple[IntegerArray, IntegerArray]:
    """Put the padded sentences of several classes under each other."""
    time = max(tokens.shape[1] for tokens, _ in parts)
    stacked = [np.pad(tokens, ((0, 0), (0, time - tokens.shape[1])), constant_values=PAD_ID) for tokens, _ in parts]
    return np.concatenate(stacked), np.concatenate([lengths for _, lengths in parts])


class CandidateSampler:
    """Draws the part of the vocabulary over which a step's softmax runs.

    The targets of the batch, then the most frequent tokens, then random ones: the tokens that compete most are always
    there, and each other one takes its turn (vocabulary selection, Jean et al. 2015). A softmax over 2,500 of 8,000
    tokens costs a third.
    """

    def __init__(self, sentences: Sequence[TokenizedSentences], vocabulary_size: int, size: int) -> None:
        counts = sum(np.bincount(corpus.ids, minlength=vocabulary_size) for corpus in sentences)
        self._frequent = np.argsort(-counts, kind="stable")[: size // 2]
        self._vocabulary_size = vocabulary_size
        self._size = size

    def draw(self, tokens: IntegerArray, generator: np.random.Generator) -> IntegerArray:
        """Return the sorted candidates for (batch, time) targets."""
        needed = np.unique(np.concatenate([tokens.ravel(), self._frequent, [END_ID]]))
        missing = max(0, self._size - len(needed))
        random = generator.integers(END_ID + 1, self._vocabulary_size, missing)
        candidates = np.unique(np.concatenate([needed, random]))
        return candidates[candidates >= END_ID]


def make_batch(
    sentences: list[TokenizedSentences],
    indices: list[IntegerArray],
    noise: InputNoise,
    style: StyleTokens | None,
    generator: np.random.Generator,
    device: torch.device,
    sampler: CandidateSampler | None = None,
) -> Batch:
    """Gather sentences, damage the encoder's copy and move both to the device."""
    parts = [corpus.padded(chosen) for corpus, chosen in zip(sentences, indices, strict=True)]
    tokens, lengths = stack_classes(parts)
    classes = np.repeat(np.arange(len(sentences)), [len(chosen) for chosen in indices])
    noised, noised_lengths = add_input_noise(tokens, lengths, classes, noise, style, generator)
    candidates = sampler.draw(tokens, generator) if sampler is not None else None

    def move(array: IntegerArray) -> Tensor:
        return torch.from_numpy(array).to(device, non_blocking=True)

    tokens, lengths = with_end(tokens, lengths)
    noised, noised_lengths = with_end(noised, noised_lengths)
    return Batch(
        move(tokens),
        move(lengths),
        move(noised),
        move(noised_lengths),
        move(classes),
        move(candidates) if candidates is not None else None,
    )
