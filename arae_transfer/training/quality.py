"""Training of the quality estimator: example rewrites, corrupted copies of them, and readers' ratings."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from arae_transfer.corpus.batches import TokenizedSentences
from arae_transfer.editing.edits import Edit, find_edits
from arae_transfer.model.arae import ARAE
from arae_transfer.model.transformer import TransformerEncoder
from arae_transfer.quality.candidates import Candidate, read_candidate
from arae_transfer.quality.corruption import corrupt
from arae_transfer.quality.ratings import Rating
from arae_transfer.recipe import Recipe
from arae_transfer.runtime.batching import pad
from arae_transfer.tokenizer import END_ID, Tokenizer

# An example may be bad, and a corrupted one may be good by chance.
_GOOD, _BAD = 0.97, 0.03
# Rows are drawn for so many batches at once, so that those of a batch have similar lengths.
_POOL = 6
_HELD_OUT = 10
_BATCH = 64


class Judged(NamedTuple):
    """A rewrite with the probability that a reader accepts it.

    Attributes:
        source: The ids of the source, without the end id.
        edits: The edits that make the rewrite of it.
        target: The index of the target class.
        accepted: The probability that a reader accepts it.
        weight: Its weight in the loss.
    """

    source: Sequence[int]
    edits: Sequence[Edit]
    target: int
    accepted: float
    weight: float


@dataclass(frozen=True)
class EstimatorScores:
    """The areas under the ROC curves of an estimator, which separates good rewrites from bad ones.

    Attributes:
        corrupted: For held-out examples against corrupted copies of them; None: there are none.
        rated: For held-out rewrites that readers accept against those that they reject; None: there are none.
    """

    corrupted: float | None
    rated: float | None

    def by_name(self) -> dict[str, float]:
        """Return the areas in percent by name, without missing ones."""
        areas = {"corrupted": self.corrupted, "rated": self.rated}
        return {name: 100.0 * area for name, area in areas.items() if area is not None}


class QualityLessons:
    """The batches and the validation of an estimator."""

    def __init__(
        self,
        recipe: Recipe,
        tokenizer: Tokenizer,
        classes: Sequence[str],
        examples: Mapping[str, tuple[TokenizedSentences, Sequence[Sequence[Edit]]]],
        held_out: Mapping[str, tuple[TokenizedSentences, Sequence[Sequence[Edit]]]],
        ratings: Sequence[Rating],
    ) -> None:
        """Store the training data of an estimator.

        Args:
            recipe: The recipe.
            tokenizer: The tokenizer.
            classes: The classes.
            examples: The sources of each class's decoder, and the edits that make good rewrites of them.
            held_out: The same for validation.
            ratings: Readers' ratings of rewrites; those of a tenth of the sources are held out for validation.
        """
        self._recipe = recipe
        self._begins = tokenizer.begins_word
        self._good = list(_good_examples(examples))
        self._words = [_written_words(self._good, target) for target in range(len(classes))]
        rated = list(_rated(ratings, tokenizer, classes, recipe.quality.ratings_weight, recipe.data.maximum_tokens))
        self._rated = [judged for judged, held in rated if not held]
        generator = np.random.default_rng([recipe.training.seed, 13])
        good = list(_good_examples(held_out))
        self._held_corrupted = [*good, *filter(None, (self._worse(each, generator) for each in good))]
        self._held_rated = [judged for judged, held in rated if held]

    def loss(self, model: ARAE, generator: np.random.Generator, device: torch.device) -> Tensor:
        """Return the loss of a random batch: examples, corrupted copies of them, and rated rewrites."""
        size = self._recipe.training.batch_size
        good = self._drawn(self._good, size, generator)
        rows = [*good, *filter(None, (self._worse(each, generator) for each in good))]
        rows += self._drawn(self._rated, size, generator)
        log_odds = self._log_odds(model, rows, device)
        wanted, weights = (
            torch.tensor([getattr(row, name) for row in rows], device=device) for name in ("accepted", "weight")
        )
        losses = functional.binary_cross_entropy_with_logits(log_odds, wanted, weights, reduction="sum")
        return losses / weights.sum()

    @torch.no_grad()
    def validate(self, model: ARAE, device: torch.device) -> EstimatorScores:
        """Return how well the estimator separates good rewrites from bad ones; the model is in evaluation mode."""
        areas = []
        for rows in (self._held_corrupted, self._held_rated):
            ordered = sorted(rows, key=lambda row: len(row.source))
            batches = [ordered[start : start + _BATCH] for start in range(0, len(ordered), _BATCH)]
            log_odds = [value for batch in batches for value in self._log_odds(model, batch, device).tolist()]
            areas.append(area_under_curve(log_odds, [row.accepted > 0.5 for row in ordered]))
        return EstimatorScores(*areas)

    def _worse(self, row: Judged, generator: np.random.Generator) -> Judged | None:
        edits = corrupt(row.source, row.edits, self._words[row.target], self._begins, generator)
        return None if edits is None else row._replace(edits=edits, accepted=_BAD)

    def _drawn(self, rows: Sequence[Judged], size: int, generator: np.random.Generator) -> list[Judged]:
        """Return random rows of similar length."""
        if not rows:
            return []
        pool = [rows[number] for number in generator.integers(0, len(rows), _POOL * size).tolist()]
        pool.sort(key=lambda row: len(row.source))
        start = int(generator.integers(0, len(pool) - size + 1))
        return pool[start : start + size]

    def _log_odds(self, model: ARAE, rows: Sequence[Judged], device: torch.device) -> Tensor:
        sources, edits, targets = zip(*((row.source, row.edits, row.target) for row in rows), strict=True)
        return log_odds_of(model, sources, edits, targets, self._recipe.data.maximum_tokens, device)


def log_odds_of(
    model: ARAE,
    sources: Sequence[Sequence[int]],
    edits: Sequence[Sequence[Edit]],
    targets: Sequence[int],
    most: int,
    device: torch.device,
) -> Tensor:
    """Return the log-odds that a reader accepts each of some rewrites: (rewrites,).

    Args:
        model: A model with a quality estimator.
        sources: The ids of each rewrite's source, without the end id.
        edits: The edits that make each rewrite.
        targets: The index of each rewrite's target class.
        most: Half of the maximum number of tokens that are read of a candidate.
        device: Where the model is.
    """
    encoder = model.encoder
    assert isinstance(encoder, TransformerEncoder)
    assert model.quality is not None
    candidates = [read_candidate(source, own, most) for source, own in zip(sources, edits, strict=True)]
    arrays = [
        *pad([[*source, END_ID] for source in sources]),
        *(pad([getattr(each, name) for each in candidates])[0] for name in Candidate._fields),
    ]
    tokens, lengths, merged, kinds, places = (torch.from_numpy(array).to(device) for array in arrays)
    source_states = encoder.frozen_states(tokens, lengths)
    embedded = encoder.embed(merged, places)
    log_odds: Tensor = model.quality(source_states, embedded, kinds, places, torch.tensor(targets, device=device))
    return log_odds


def area_under_curve(scores: Sequence[float], positive: Sequence[bool]) -> float | None:
    """Return the probability that a positive item scores higher than a negative one; None if either is missing."""
    values, wanted = np.asarray(scores), np.asarray(positive, dtype=np.bool_)
    ups, downs = int(wanted.sum()), int((~wanted).sum())
    if not ups or not downs:
        return None
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    # The mean rank of those that score the same.
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return float((ranks[wanted].sum() - ups * (ups + 1) / 2) / (ups * downs))


def _good_examples(examples: Mapping[str, tuple[TokenizedSentences, Sequence[Sequence[Edit]]]]) -> Iterator[Judged]:
    for target, (sources, edits) in enumerate(examples.values()):
        tokens, lengths = sources.padded(np.arange(len(edits)))
        for row, length, own in zip(tokens, lengths.tolist(), edits, strict=True):
            yield Judged(row[:length].tolist(), own, target, _GOOD, 1.0)


def _written_words(rows: Sequence[Judged], target: int) -> list[tuple[int, ...]]:
    return [edit.tokens for row in rows if row.target == target for edit in row.edits if edit.tokens]


def _rated(
    ratings: Sequence[Rating], tokenizer: Tokenizer, classes: Sequence[str], weight: float, most: int
) -> Iterator[tuple[Judged, bool]]:
    """Yield rated rewrites, and whether they are held out; those of a source are either all held out or none."""
    sources = tokenizer.encode_lines([rating.source for rating in ratings])
    rewrites = tokenizer.encode_lines([rating.rewrite for rating in ratings])
    for rating, source, rewrite in zip(ratings, sources, rewrites, strict=True):
        if not source or max(len(source), len(rewrite)) + 1 > most:
            continue
        edits = find_edits(source, rewrite, tokenizer.begins_word)
        held = zlib.crc32(rating.source.encode()) % _HELD_OUT == 0
        yield Judged(source, edits, classes.index(rating.label), rating.accepted, weight), held
