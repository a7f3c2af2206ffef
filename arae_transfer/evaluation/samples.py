"""Measure generated sentences: their likeness to real text, and their coverage of it.

Forward perplexity is that of samples under a language model of the training text, and is low for bland samples. Reverse
perplexity is that of held-out text under a language model of the samples, and is high where they lack variety (Zhao et
al. 2018, Section 6.1). It depends on how many samples there are, so it is told for all and for as many as there are
training sentences.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from arae_transfer.evaluation.intervals import RESAMPLES, interval, sum_statistics
from arae_transfer.evaluation.measures import count_distinct
from arae_transfer.language_model.ngram import NgramLanguageModel, SentenceScores

ORDER = 5
REAL = "real text"
_SEED = 1


@dataclass(frozen=True)
class Perplexity:
    """Perplexity per word, including sentence ends, with the 95 % interval over its sentences."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class SampleScores:
    """Scores of generated sentences.

    Attributes:
        samples: How many there are.
        forward: Of the samples under a model of the training text.
        reverse: Of held-out text under a model of all samples.
        compared: So many of the samples, the first ones, are as many as there are training sentences, or all.
        reverse_compared: Of held-out text under a model of those.
        distinct: How many of those are different, in percent.
        copies: How many of the samples are training sentences, in percent.
        words: The mean number of words of a sample.
    """

    samples: int
    forward: Perplexity
    reverse: Perplexity
    compared: int
    reverse_compared: Perplexity
    distinct: float
    copies: float
    words: float


def measure_samples(
    systems: Mapping[str, Sequence[str]],
    training: Sequence[str],
    held_out: Sequence[str],
    *,
    resamples: int = RESAMPLES,
) -> dict[str, SampleScores]:
    """Measure the samples of systems, and real text beside them, with the same instruments.

    Args:
        systems: The samples of each system, in the corpus's text format.
        training: The sentences that the systems learned from.
        held_out: Sentences that none of them has seen.
        resamples: The number of resamplings of an interval.

    Returns:
        The scores by system. Last, as ``real text``, those of real text: the training sentences stand for samples in
        reverse, the held-out ones forward.
    """
    like = NgramLanguageModel.train([line.split() for line in training], ORDER)
    known, real = set(training), [line.split() for line in held_out]

    def reverse(lines: Sequence[str]) -> Perplexity:
        model = NgramLanguageModel.train([line.split() for line in lines], like.order, like.vocabulary)
        return _perplexity(model.score(real), resamples)

    found = {}
    for name, lines in [*systems.items(), (REAL, training)]:
        # Real text is foretold where it was not learned from.
        foretold = held_out if name == REAL else lines
        forward = like.score([line.split() for line in foretold])
        first = lines[: len(training)]
        whole = reverse(lines)
        found[name] = SampleScores(
            samples=len(lines),
            forward=_perplexity(forward, resamples),
            reverse=whole,
            compared=len(first),
            reverse_compared=whole if len(first) == len(lines) else reverse(first),
            distinct=count_distinct(first),
            copies=100 * sum(line in known for line in foretold) / len(foretold),
            words=float(np.mean([len(line.split()) for line in lines])),
        )
    return found


def _perplexity(scores: SentenceScores, resamples: int) -> Perplexity:
    statistics = {"log_probability": scores.log_probability, "tokens": scores.tokens.astype(np.float64)}
    sums = sum_statistics(statistics, resamples, [_SEED])
    values = np.exp(-sums["log_probability"] / sums["tokens"])
    low, high = interval(values) if resamples else (float("nan"), float("nan"))
    return Perplexity(float(values[0]), low, high)


def to_data(scores: Mapping[str, SampleScores]) -> dict[str, Any]:
    """Return scores as JSON types."""
    return {name: asdict(own) for name, own in scores.items()}


def render_samples(scores: Mapping[str, SampleScores], published: Mapping[str, float]) -> str:
    """Return scores as a Markdown table, followed by published reverse perplexities."""
    heads = (
        "samples of",
        "number",
        "forward perplexity",
        "reverse perplexity",
        "of as many as real sentences",
        "distinct of these %",
        "training sentences %",
        "words",
    )
    rows = [heads, ("---", *["---:"] * (len(heads) - 1))]
    for name, own in scores.items():
        rows.append(
            (
                name,
                f"{own.samples:,}",
                _told(own.forward),
                _told(own.reverse),
                _told(own.reverse_compared),
                f"{own.distinct:.1f}",
                f"{own.copies:.1f}",
                f"{own.words:.1f}",
            )
        )
    rows += [
        (f"published: {name}", "100,000", "–", f"{value}", "–", "–", "–", "–") for name, value in published.items()
    ]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _told(perplexity: Perplexity) -> str:
    return f"{perplexity.value:.1f} ({perplexity.low:.1f}–{perplexity.high:.1f})"
