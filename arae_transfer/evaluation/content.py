"""Content measures: BLEU, exact copies, length.

BLEU of a corpus is a function of sums over its sentences, so the counts are taken once, by sacrebleu, and every
resampling of the bootstrap only adds them up differently.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from arae_transfer.evaluation.words import Tokenization, make_bleu

ORDER = 4
COUNTS = 2 + 2 * ORDER
"""BLEU counts of a sentence: its length, the closest reference's length, and for n = 1 to 4 the matching n-grams and
all n-grams."""

Floats = npt.NDArray[np.float64]


def count_bleu_matches(
    hypotheses: Sequence[str], references: Sequence[Sequence[str]], tokenization: Tokenization = "none"
) -> Floats:
    """Return the counts that BLEU needs for each sentence.

    Args:
        hypotheses: The lines to judge.
        references: One or several sets of lines, each aligned with the hypotheses.
        tokenization: What a word is.

    Returns:
        The counts, shape (sentences, ``COUNTS``).
    """
    bleu = make_bleu(tokenization)
    rows = np.zeros((len(hypotheses), COUNTS))
    for row, hypothesis, *alternatives in zip(rows, hypotheses, *references, strict=True):
        score = bleu.corpus_score([hypothesis], [[alternative] for alternative in alternatives])
        row[:] = [score.sys_len, score.ref_len, *score.counts, *score.totals]
    return rows


def compute_bleu(sums: Floats) -> Floats:
    """Return corpus BLEU from summed counts, like sacrebleu with exponential smoothing.

    Args:
        sums: Shape (..., ``COUNTS``).

    Returns:
        BLEU between 0 and 100, shape (...).
    """
    length, reference_length = sums[..., 0], sums[..., 1]
    matches, totals = sums[..., 2 : 2 + ORDER], sums[..., 2 + ORDER :]
    # The k-th order without a match counts as 1 / 2^k of a match (sacrebleu's smooth:exp).
    smoothed = np.where(matches > 0, matches, 0.5 ** np.cumsum(matches == 0, axis=-1))
    possible = (totals > 0).all(axis=-1) & (matches > 0).any(axis=-1)
    precisions = smoothed / np.where(totals > 0, totals, 1.0)
    brevity = np.minimum(0.0, 1.0 - reference_length / np.where(length > 0, length, 1.0))
    bleu: Floats = np.where(possible, 100.0 * np.exp(brevity + np.log(precisions).mean(axis=-1)), 0.0)
    return bleu


def signature(tokenization: Tokenization, references: int) -> str:
    """Return sacrebleu's signature of the BLEU score computed here."""
    bleu = make_bleu(tokenization)
    bleu.corpus_score(["a"], [["a"]] * references)  # it learns the number of references by scoring
    return str(bleu.get_signature().format(short=False))


def count_words(lines: Sequence[str]) -> Floats:
    """Return the number of words of each line: (lines,)."""
    return np.fromiter((len(line.split()) for line in lines), np.float64, len(lines))


def find_copies(hypotheses: Sequence[str], sources: Sequence[str]) -> Floats:
    """Return 1 for each line that equals its source word by word, else 0: (lines,)."""
    pairs = zip(hypotheses, sources, strict=True)
    return np.fromiter((hypothesis == source for hypothesis, source in pairs), np.float64, len(sources))
