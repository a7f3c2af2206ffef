"""Measures: counts per sentence, and scores from their sums."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from arae_transfer.evaluation.content import compute_bleu, count_bleu_matches, count_words, find_copies
from arae_transfer.evaluation.intervals import Sums, interval
from arae_transfer.evaluation.style import Judge, find_accepted
from arae_transfer.evaluation.words import Tokenization
from arae_transfer.language_model.ngram import NgramLanguageModel

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Measurement:
    """Value of a measure.

    Attributes:
        values: The value and, where it can be resampled, its value in each resampling; shape (1,) or
            (1 + resamplings,).
    """

    values: Floats

    @property
    def value(self) -> float:
        """Value."""
        return float(self.values[0])

    @property
    def interval(self) -> tuple[float, float] | None:
        """Bounds of the 95 % interval, or None without resamples."""
        return interval(self.values) if len(self.values) > 1 else None


Scores = dict[str, Measurement]
"""The measurements of a text, by the keys of the measures."""


@dataclass(frozen=True)
class Instruments:
    """Trained instruments of an evaluation.

    Attributes:
        judges: The judges of style, by name.
        language_model: The judge of fluency.
        tokenization: What a word is.
    """

    judges: Mapping[str, Judge]
    language_model: NgramLanguageModel
    tokenization: Tokenization

    def measure_text(self, lines: Sequence[str], target: str) -> dict[str, Floats]:
        """Measure style and fluency of each line, which need no source.

        Args:
            lines: Normalized lines.
            target: The class that they should have.

        Returns:
            Statistics by name, each of shape (lines, ...).
        """
        scores = self.language_model.score([line.split() for line in lines])
        statistics = {f"accepted.{name}": find_accepted(judge, lines, target) for name, judge in self.judges.items()}
        return statistics | {
            "lines": np.ones(len(lines)),
            "blank": np.array([not line for line in lines], np.float64),
            "words": count_words(lines),
            "log_probability": scores.log_probability,
            "tokens": scores.tokens.astype(np.float64),
            "unknown": scores.unknown.astype(np.float64),
        }

    def measure_rewrites(
        self, lines: Sequence[str], sources: Sequence[str], references: Sequence[Sequence[str]], target: str
    ) -> dict[str, Floats]:
        """Measure all that a report needs of each rewrite.

        Args:
            lines: Normalized rewrites.
            sources: Their normalized sources.
            references: None, one or several sets of normalized human rewrites of the sources.
            target: The class that the rewrites should have.

        Returns:
            Statistics by name, each of shape (lines, ...).
        """
        statistics = self.measure_text(lines, target) | {
            "copies": find_copies(lines, sources),
            "source_words": count_words(sources),
            "source_matches": count_bleu_matches(lines, [sources], self.tokenization),
        }
        if references:
            statistics["reference_matches"] = count_bleu_matches(lines, references, self.tokenization)
        if len(references) > 1:
            left_out = [
                count_bleu_matches(lines, [other for other in references if other is not own], self.tokenization)
                for own in references
            ]
            statistics["left_out_matches"] = np.stack(left_out, axis=1)  # (lines, references, counts)
        return statistics


def compute_measures(sums: Sums) -> dict[str, Floats]:
    """Return all measures that the sums allow, by key: (1 + resamples,) each."""
    lines = sums["lines"]
    judges = [name for name in sums if name.startswith("accepted.")]
    measures = {f"accuracy_{name.removeprefix('accepted.')}": 100 * sums[name] / lines for name in judges}
    accuracy = np.mean([100 * sums[name] / lines for name in judges], axis=0)
    measures["perplexity"] = np.exp(-sums["log_probability"] / sums["tokens"])
    measures["unknown_words"] = 100 * _divide(sums["unknown"], sums["words"])
    measures["blank"] = 100 * sums["blank"] / lines
    if "source_matches" in sums:
        measures["copies"] = 100 * sums["copies"] / lines
        measures["length_ratio"] = _divide(sums["words"], sums["source_words"])
        measures["self_bleu"] = own = compute_bleu(sums["source_matches"])
        measures["geometric_mean"] = np.sqrt(accuracy * own)
        measures["harmonic_mean"] = _divide(2 * accuracy * own, accuracy + own)
    if "reference_matches" in sums:
        measures["reference_bleu"] = compute_bleu(sums["reference_matches"])
        measures["geometric_mean_reference"] = np.sqrt(accuracy * measures["reference_bleu"])
    if "left_out_matches" in sums:
        measures["reference_bleu_left_out"] = compute_bleu(sums["left_out_matches"]).mean(axis=-1)
    return measures


def _divide(numerator: Floats, denominator: Floats) -> Floats:
    """Divide, with 0 / 0 = 0."""
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0)


def count_distinct(lines: Sequence[str]) -> float:
    """Return the percentage of distinct lines."""
    return 100 * len(set(lines)) / len(lines)


def foretell(real: Sequence[str], lines: Sequence[str], like: NgramLanguageModel) -> tuple[float, int]:
    """Return the reverse perplexity: of real text under a language model of some lines; high if the lines lack variety.

    Args:
        real: The real text.
        lines: The lines that the model is trained on.
        like: A model whose order and vocabulary the new one takes over, so that texts can be compared.

    Returns:
        The log-probability of the real text, and its number of tokens.
    """
    model = NgramLanguageModel.train([line.split() for line in lines], like.order, like.vocabulary)
    scores = model.score([line.split() for line in real])
    return float(scores.log_probability.sum()), int(scores.tokens.sum())
