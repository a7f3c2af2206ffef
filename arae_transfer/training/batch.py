"""One training batch on the device."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from arae_transfer.corpus.batches import IntegerArray, TokenizedSentences, with_end
from arae_transfer.corpus.style_tokens import StyleTokens
from arae_transfer.parallel.examples import ParallelExample
from arae_transfer.recipe import InputNoise, ParallelData
from arae_transfer.tokenizer import END_ID, PAD_ID, Tokenizer
from arae_transfer.training.input_noise import add_input_noise
from arae_transfer.training.processes import ALONE, Processes


@dataclass(frozen=True)
class Batch:
    """Sentences of all classes, class by class, with the same number of rows per class.

    Attributes:
        tokens: (rows, time) the whole sentences with end ids.
        lengths: (rows,).
        noised_tokens: (rows, time') what the encoder reads, with end ids.
        noised_lengths: (rows,).
        classes: (rows,) class indices.
        token_subset: (subset,) the sorted sampled vocabulary of this step, which holds every target; None: the whole
            vocabulary.
        subset_offsets: (subset,) corrections added to their logits in a reconstruction; None: none.
        weights: (rows,) the weight of each row; None: equal weights.
        token_shares: For each class, the weight of a mean over these tokens in the mean over the tokens of all
            processes and parts; None: there are no other tokens.
        row_share: The same for a mean over these rows.
    """

    tokens: Tensor
    lengths: Tensor
    noised_tokens: Tensor
    noised_lengths: Tensor
    classes: Tensor
    token_subset: Tensor | None = None
    subset_offsets: Tensor | None = None
    weights: Tensor | None = None
    token_shares: tuple[float, ...] | None = None
    row_share: float = 1.0

    @property
    def positions(self) -> int:
        """Number of positions, including padding, of the longer of input and output."""
        return max(self.tokens.numel(), self.noised_tokens.numel())

    def parts(self, most: int) -> list[BatchPart]:
        """Divide the rows of each class into parts with a limited number of positions, if possible.

        The shares of the parts' losses add up to the losses of the batch. Widths stay, so that batches of several
        processes have as many parts, each of as many rows.

        Args:
            most: The maximum number of positions of a part, padding included.
        """
        number = int(self.classes[-1]) + 1
        rows = self.tokens.size(0) // number
        fit = max(1, most * rows // self.positions)  # rows of each class
        many = math.ceil(rows / fit)
        if many == 1:
            return [BatchPart(self, torch.arange(len(self.lengths), device=self.lengths.device))]
        whole = self.lengths.view(number, rows).sum(1)  # (classes,)
        starts = torch.arange(number, device=self.lengths.device)[:, None] * rows
        parts = []
        for chosen in torch.arange(rows, device=self.lengths.device).tensor_split(many):
            places = (starts + chosen).reshape(-1)  # (rows of the part,)
            tokens = self.lengths[places].view(number, -1).sum(1) / whole
            shares = tokens.tolist()
            if self.token_shares is not None:
                shares = [own * part for own, part in zip(self.token_shares, shares, strict=True)]
            part = replace(
                self,
                tokens=self.tokens[places],
                lengths=self.lengths[places],
                noised_tokens=self.noised_tokens[places],
                noised_lengths=self.noised_lengths[places],
                classes=self.classes[places],
                weights=None if self.weights is None else self.weights[places],
                token_shares=tuple(shares),
                row_share=self.row_share * len(chosen) / rows,
            )
            parts.append(BatchPart(part, places))
        return parts

    def rows_of(self, index: int) -> slice:
        """Return the rows of a class; the rows are sorted by class."""
        rows = self.tokens.size(0) // (int(self.classes[-1]) + 1)
        return slice(index * rows, (index + 1) * rows)


@dataclass(frozen=True)
class BatchPart:
    """Some rows of each class of a batch.

    Attributes:
        batch: The rows.
        places: (rows,) their indices in the whole batch.
    """

    batch: Batch
    places: Tensor


@dataclass(frozen=True)
class LabelledBatch:
    """Labelled examples of one or two sentences each.

    Attributes:
        sentences: For each sentence of an example (rows, time) tokens with end ids and (rows,) lengths.
        classes: (rows,) class indices.
    """

    sentences: tuple[tuple[Tensor, Tensor], ...]
    classes: Tensor


def make_labelled_batch(
    sentences: Sequence[TokenizedSentences],
    classes: IntegerArray,
    indices: IntegerArray,
    device: torch.device,
) -> LabelledBatch:
    """Collect the sentences and classes of examples, and move them to the device."""
    parts = [with_end(*corpus.padded(indices)) for corpus in sentences]
    moved = tuple(
        (torch.from_numpy(tokens).to(device), torch.from_numpy(lengths).to(device)) for tokens, lengths in parts
    )
    return LabelledBatch(moved, torch.from_numpy(classes[indices]).to(device))


def stack_classes(parts: list[tuple[IntegerArray, IntegerArray]]) -> tuple[IntegerArray, IntegerArray]:
    """Stack the padded sentences of several classes."""
    time = max(tokens.shape[1] for tokens, _ in parts)
    stacked = [np.pad(tokens, ((0, 0), (0, time - tokens.shape[1])), constant_values=PAD_ID) for tokens, _ in parts]
    return np.concatenate(stacked), np.concatenate([lengths for _, lengths in parts])


def _token_shares(lengths: IntegerArray, rows: IntegerArray, classes: int, size: int) -> tuple[float, ...]:
    """Return, for each class, the tokens of this process relative to the mean of all processes.

    Args:
        lengths: (all rows,) of the whole batch, class by class.
        rows: (rows,) the places of this process's rows.
        classes: The number of classes.
        size: The number of processes.
    """
    whole, own = lengths.reshape(classes, -1).sum(1), lengths[rows].reshape(classes, -1).sum(1)
    return tuple((own * size / whole).tolist())


class SoftmaxSampler:
    """Draws the sampled vocabulary of a step's softmax.

    It holds the targets of the batch, then the most frequent tokens, then random ones: the strongest competitors are
    always present, and every other token sometimes (sampled softmax, Jean et al. 2015). A softmax over 2,500 of 8,000
    tokens costs a third. A random token stands for all that were not drawn: the negative logarithm of its probability
    to be drawn is added to its logit, so that the sum over the subset estimates the sum over the vocabulary.

    Each step has equally many, if the targets leave room: for a matmul of a new size, the processor's library first
    compiles a kernel, which takes longer than the matmul.
    """

    def __init__(self, sentences: Sequence[TokenizedSentences], vocabulary_size: int, size: int) -> None:
        counts = np.sum([corpus.token_counts(vocabulary_size) for corpus in sentences], axis=0)
        self._frequent = np.argsort(-counts, kind="stable")[: size // 2]
        self._vocabulary_size = vocabulary_size
        self._size = size

    def draw(
        self, tokens: IntegerArray, generator: np.random.Generator
    ) -> tuple[IntegerArray, npt.NDArray[np.float32]]:
        """Return the sorted sampled vocabulary for (batch, time) targets, and corrections to its scores."""
        needed = np.zeros(self._vocabulary_size, dtype=np.bool_)
        needed[tokens.ravel()] = True
        needed[self._frequent] = True
        needed[END_ID] = True
        # Other special ids are never produced.
        needed[:END_ID] = False
        others = END_ID + np.flatnonzero(~needed[END_ID:])
        missing = min(max(0, self._size - int(needed.sum())), len(others))
        chosen = needed.copy()
        chosen[generator.choice(others, missing, replace=False, shuffle=False)] = True
        token_subset = np.flatnonzero(chosen)
        offset = np.log(len(others) / missing) if missing else 0.0
        return token_subset, np.where(needed[token_subset], 0.0, offset).astype(np.float32)


@dataclass(frozen=True)
class ParallelSentences:
    """Targets of one class's decoder, and their sources in other classes.

    Attributes:
        inputs: The inputs of the encoder.
        targets: The targets of the decoder, one per input.
        noised: (sentences,) whether the input gets the noise of reconstructions.
        weights: (sentences,) the weight of each.
    """

    inputs: TokenizedSentences
    targets: TokenizedSentences
    noised: npt.NDArray[np.bool_]
    weights: npt.NDArray[np.float64]


def parallel_sentences(
    pairs: Sequence[ParallelExample],
    classes: Sequence[str],
    tokenizer: Tokenizer,
    maximum_tokens: int,
    weights: ParallelData,
) -> dict[str, ParallelSentences]:
    """Turn parallel examples into sources and targets of each class's decoder, in both directions.

    Backward, the class's own sentence is reconstructed from its rewrite, which gets input noise like any input of
    training: the target is a real sentence (back-translation, Sennrich et al. 2016). Forward, the rewrite is produced
    from the whole sentence, as in use.
    """
    sentences = tokenizer.encode_lines([pair.sentence for pair in pairs])
    rewrites = tokenizer.encode_lines([pair.rewrite for pair in pairs])
    # For each class: input, target, whether the input is damaged, weight.
    rows: dict[str, list[tuple[list[int], list[int], bool, float]]] = {name: [] for name in classes}
    for pair, sentence, rewrite in zip(pairs, sentences, rewrites, strict=True):
        if not sentence or not rewrite or max(len(sentence), len(rewrite)) + 1 > maximum_tokens:
            continue
        if weights.back > 0:
            rows[pair.label].append((rewrite, sentence, True, weights.back))
        if weights.forward > 0:
            rows[pair.rewrite_label].append((sentence, rewrite, False, weights.forward))
    return {
        name: ParallelSentences(
            TokenizedSentences.join([row[0] for row in own]),
            TokenizedSentences.join([row[1] for row in own]),
            np.array([row[2] for row in own], dtype=np.bool_),
            np.array([row[3] for row in own], dtype=np.float64),
        )
        for name, own in rows.items()
    }


def make_parallel_batch(
    parallel: list[ParallelSentences],
    indices: list[IntegerArray],
    noise: InputNoise,
    generator: np.random.Generator,
    device: torch.device,
    sampler: SoftmaxSampler | None = None,
    processes: Processes = ALONE,
) -> Batch:
    """Collect sources and targets, by the classes of the targets, and move this process's rows to the device."""
    chosen = list(zip(parallel, indices, strict=True))
    tokens, lengths = stack_classes([pairs.targets.padded(rows) for pairs, rows in chosen])
    inputs, input_lengths = stack_classes([pairs.inputs.padded(rows) for pairs, rows in chosen])
    classes = np.repeat(np.arange(len(parallel)), [len(rows) for rows in indices])
    # Style-bearing tokens stay: they are what is exchanged.
    plain = replace(noise, style_share=0.0)
    noised, noised_lengths = add_input_noise(inputs, input_lengths, classes, plain, None, generator)
    damaged = np.concatenate([pairs.noised[rows] for pairs, rows in chosen])
    noised = np.pad(noised, ((0, 0), (0, inputs.shape[1] - noised.shape[1])), constant_values=PAD_ID)
    inputs = np.where(damaged[:, None], noised, inputs)
    input_lengths = np.where(damaged, noised_lengths, input_lengths)
    token_subset, offsets = sampler.draw(tokens, generator) if sampler is not None else (None, None)
    weights = np.concatenate([pairs.weights[rows] for pairs, rows in chosen]).astype(np.float32)
    return _own_part(
        with_end(tokens, lengths),
        with_end(inputs, input_lengths),
        classes,
        token_subset,
        offsets,
        weights,
        device,
        processes,
    )


def make_batch(
    sentences: list[TokenizedSentences],
    indices: list[IntegerArray],
    noise: InputNoise,
    style: StyleTokens | None,
    generator: np.random.Generator,
    device: torch.device,
    sampler: SoftmaxSampler | None = None,
    processes: Processes = ALONE,
) -> Batch:
    """Collect sentences, add noise to the encoder's copy, and move this process's rows of both to the device."""
    parts = [corpus.padded(chosen) for corpus, chosen in zip(sentences, indices, strict=True)]
    tokens, lengths = stack_classes(parts)
    classes = np.repeat(np.arange(len(sentences)), [len(chosen) for chosen in indices])
    noised, noised_lengths = add_input_noise(tokens, lengths, classes, noise, style, generator)
    token_subset, offsets = sampler.draw(tokens, generator) if sampler is not None else (None, None)
    return _own_part(
        with_end(tokens, lengths),
        with_end(noised, noised_lengths),
        classes,
        token_subset,
        offsets,
        None,
        device,
        processes,
    )


def _own_part(
    whole: tuple[IntegerArray, IntegerArray],
    noised: tuple[IntegerArray, IntegerArray],
    classes: IntegerArray,
    token_subset: IntegerArray | None,
    offsets: npt.NDArray[np.float32] | None,
    weights: npt.NDArray[np.float32] | None,
    device: torch.device,
    processes: Processes,
) -> Batch:
    """Move this process's rows to the device, padded to the longest row of all processes."""
    number, shares = int(classes[-1]) + 1, None
    rows: IntegerArray | slice = slice(None)
    if processes.size > 1:
        rows = processes.rows(len(classes), number)
        shares = _token_shares(whole[1], rows, number, processes.size)

    def move(array: npt.NDArray[Any]) -> Tensor:
        return torch.from_numpy(array).to(device, non_blocking=True)

    return Batch(
        move(whole[0][rows]),
        move(whole[1][rows]),
        move(noised[0][rows]),
        move(noised[1][rows]),
        move(classes[rows]),
        move(token_subset) if token_subset is not None else None,
        move(offsets) if offsets is not None else None,
        move(weights[rows]) if weights is not None else None,
        shares,
    )
