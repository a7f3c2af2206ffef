"""Reconstruction of a sentence from the code of its copy with swapped words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from arae_transfer.paper.diagnosis.coder import Coder, Floats, Sentence
from arae_transfer.paper.diagnosis.edits import draw_swaps, swap_words

MOST_SWAPS = 4
FEWEST_WORDS = 4
"""Minimum length in words: four swaps of three words are not informative."""


@dataclass(frozen=True)
class Mending:
    """Reconstruction after swaps; every list has an entry for k = 0, 1, ... swaps.

    Attributes:
        nll: The mean negative log-likelihood of the original sentence, in nats a sentence.
        nll_per_token: Of its tokens.
        restored: The share of sentences that come back as the original, in percent.
    """

    nll: list[float]
    nll_per_token: list[float]
    restored: list[float]


@dataclass(frozen=True)
class Answers:
    """Results per sentence; every list has an entry for k = 0, 1, ... swaps.

    Attributes:
        texts: What comes back.
        nll: (sentences,) the negative log-likelihood of the original in nats.
    """

    texts: list[list[str]]
    nll: list[Floats]


def make_swapped(sentences: Sequence[Sentence], random: np.random.Generator) -> list[list[str]]:
    """Return, for k = 0 to ``MOST_SWAPS``, all sentences after k swaps; each k does one swap more than the last."""
    swaps = [draw_swaps(len(sentence.text.split()), MOST_SWAPS, random) for sentence in sentences]
    return [
        [swap_words(sentence.text, own[:number]) for sentence, own in zip(sentences, swaps, strict=True)]
        for number in range(MOST_SWAPS + 1)
    ]


def measure_mending(
    coder: Coder, sentences: Sequence[Sentence], swapped: Sequence[Sequence[str]]
) -> tuple[Mending, Answers]:
    """Return reconstruction from the codes of swapped sentences, on average and per sentence.

    Args:
        coder: The run.
        sentences: The originals.
        swapped: For each k, the sentences after k swaps.
    """
    labels = [sentence.label for sentence in sentences]
    originals = [" ".join(sentence.text.split()) for sentence in sentences]
    result = Mending([], [], [])
    answers = Answers([], [])
    for lines in swapped:
        nll, tokens = coder.surprise(lines, sentences)
        result.nll.append(float(nll.mean()))
        result.nll_per_token.append(float(nll.sum() / tokens.sum()))
        answers.nll.append(nll)
        answers.texts.append(coder.reconstruct(lines, labels))
        exact = [answer == original for answer, original in zip(answers.texts[-1], originals, strict=True)]
        result.restored.append(100.0 * float(np.mean(exact)))
    return result, answers


def paired_differences(own: Answers, other: Answers) -> tuple[list[float], list[float]]:
    """Return for each k the difference between two runs in the cost of an original, in nats.

    Returns:
        The means, and half the widths of their 95 % intervals, over the sentences.
    """
    differences = [mine - theirs for mine, theirs in zip(own.nll, other.nll, strict=True)]
    means = [float(each.mean()) for each in differences]
    return means, [
        float(1.96 * each.std(ddof=1) / np.sqrt(len(each))) if len(each) > 1 else float("nan") for each in differences
    ]
