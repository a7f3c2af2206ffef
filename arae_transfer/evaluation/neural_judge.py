"""Small neural classifier of style like fastText: pooled embeddings of words and word pairs.

Joulin et al., "Bag of Tricks for Efficient Text Classification" (2017), average the vectors and classify linearly.
Here the largest value of each dimension goes beside the average, and a hidden layer reads both, so that the judge is no
linear function of the n-grams and errs in other places than a linear judge does.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, embedding_bag

DIMENSIONS = 16
HIDDEN = 64
MAXIMUM_BUCKETS = 1 << 16
MINIMUM_BUCKETS = 1 << 10
DROPOUT = 0.3
LEARNING_RATE = 3e-3
BATCH_LINES = 256
MINIMUM_STEPS = 40
MAXIMUM_ROUNDS = 5
HELD_OUT_SHARE = 0.05
RARE = 2

Integers = npt.NDArray[np.int64]


class _Network(nn.Module):
    """Network from features to class scores."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.vectors = nn.Parameter(torch.empty(features, DIMENSIONS).uniform_(-1 / DIMENSIONS, 1 / DIMENSIONS))
        self.hidden = nn.Linear(2 * DIMENSIONS, HIDDEN)
        self.dropout = nn.Dropout(DROPOUT)
        self.output = nn.Linear(HIDDEN, classes)

    def forward(self, features: Tensor, offsets: Tensor) -> Tensor:
        """Return the class scores of lines, from concatenated features: (lines, classes)."""
        mean = embedding_bag(features, self.vectors, offsets, mode="mean")  # (lines, dimensions)
        largest = embedding_bag(features, self.vectors, offsets, mode="max")  # (lines, dimensions)
        pooled = torch.cat([mean, largest], dim=1)  # (lines, 2 * dimensions)
        scores: Tensor = self.output(self.dropout(torch.relu(self.hidden(pooled))))
        return scores


class _Bags:
    """Concatenated features of lines: word ids and hash buckets of word pairs.

    Attributes:
        features: The numbers of all features, shape (features,).
        begins: Where each line begins, and the end of the last, shape (lines + 1,).
    """

    def __init__(self, lines: Sequence[str], vocabulary: Mapping[str, int], buckets: int) -> None:
        split = [line.split() for line in lines]
        lengths = np.fromiter(map(len, split), np.int64, len(split))
        line_of = np.repeat(np.arange(len(split)), lengths)
        words = np.fromiter((vocabulary.get(word, 0) for own in split for word in own), np.int64, len(line_of))
        first = np.flatnonzero(line_of[:-1] == line_of[1:])  # the first word of each pair
        left, right = words[first].astype(np.uint64), words[first + 1].astype(np.uint64)
        mixed = (left * np.uint64(0x9E3779B97F4A7C15) + right) * np.uint64(0xC2B2AE3D27D4EB4F)
        pairs = ((mixed >> np.uint64(32)) % np.uint64(buckets)).astype(np.int64)
        order = np.argsort(np.concatenate([line_of, line_of[first]]), kind="stable")
        self.features = np.concatenate([words, pairs + len(vocabulary) + 1])[order]
        self.begins = np.concatenate([[0], np.cumsum(lengths + np.maximum(lengths - 1, 0))])

    def select(self, lines: Integers) -> tuple[Tensor, Tensor]:
        """Return the features and offsets of some lines."""
        lengths = self.begins[lines + 1] - self.begins[lines]
        offsets = np.cumsum(lengths) - lengths
        places = np.arange(lengths.sum()) + np.repeat(self.begins[lines] - offsets, lengths)
        return torch.from_numpy(self.features[places]), torch.from_numpy(offsets)


class NeuralJudge:
    """Neural classifier over pooled embeddings of words and word pairs.

    A twentieth of the lines is held out; training ends when a round no longer makes the network better on them, since
    noisy labels are soon learned by heart. All that is drawn at random comes from the seed, so on one machine the same
    lines make the same judge.

    Attributes:
        classes: The classes in the order of their numbers.
        description: What the judge is.
    """

    def __init__(self, lines: Mapping[str, Sequence[str]], seed: int = 0) -> None:
        """Train on lines by class, with words separated by spaces."""
        self.classes = tuple(lines)
        texts = [line for own in lines.values() for line in own]
        labels = torch.from_numpy(np.repeat(np.arange(len(lines)), [len(own) for own in lines.values()]))
        counts = Counter(word for line in texts for word in line.split())
        self._buckets = min(MAXIMUM_BUCKETS, max(MINIMUM_BUCKETS, 1 << counts.total().bit_length()))
        self.description = (
            f"{DIMENSIONS}-d vectors of words and word pairs ({self._buckets:,} buckets), mean and maximum, "
            f"{HIDDEN} hidden units, seed {seed} (torch {torch.__version__})"
        )
        self._vocabulary = {
            word: number
            for number, word in enumerate((word for word, count in sorted(counts.items()) if count >= RARE), start=1)
        }
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._network = _Network(len(self._vocabulary) + 1 + self._buckets, len(lines))
            self._train(_Bags(texts, self._vocabulary, self._buckets), labels, np.random.default_rng(seed))

    def judge(self, lines: Sequence[str]) -> Integers:
        """Return the class index of each line: (lines,)."""
        bags = _Bags(lines, self._vocabulary, self._buckets)
        verdicts: Integers = self._scores(bags, np.arange(len(lines))).argmax(dim=1).numpy()
        return verdicts

    def _train(self, bags: _Bags, labels: Tensor, generator: np.random.Generator) -> None:
        order = generator.permutation(len(labels))
        count = max(1, round(HELD_OUT_SHARE * len(order)))
        held_out, kept = np.sort(order[:count]), order[count:]
        weights = len(labels) / (len(self.classes) * torch.bincount(labels, minlength=len(self.classes)))
        optimizer = torch.optim.Adam(self._network.parameters(), LEARNING_RATE, fused=True)
        steps = max(MINIMUM_STEPS, -(-len(kept) // BATCH_LINES))
        batches = _batches(kept, generator)
        best, best_loss = copy.deepcopy(self._network.state_dict()), float("inf")
        for _ in range(MAXIMUM_ROUNDS):
            self._network.train()
            for _ in range(steps):
                batch = next(batches)
                loss = cross_entropy(self._network(*bags.select(batch)), labels[batch], weights)
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
            held_out_loss = float(cross_entropy(self._scores(bags, held_out), labels[held_out], weights))
            if held_out_loss >= best_loss:
                break
            best, best_loss = copy.deepcopy(self._network.state_dict()), held_out_loss
        self._network.load_state_dict(best)

    @torch.inference_mode()
    def _scores(self, bags: _Bags, lines: Integers) -> Tensor:
        self._network.eval()
        parts = [lines[start : start + 4096] for start in range(0, len(lines), 4096)]
        return torch.cat([self._network(*bags.select(part)) for part in parts])


def _batches(lines: Integers, generator: np.random.Generator) -> Iterator[Integers]:
    """Yield endless batches in shuffled epochs."""
    while True:
        order = generator.permutation(lines)
        for start in range(0, len(order), BATCH_LINES):
            yield order[start : start + BATCH_LINES]
