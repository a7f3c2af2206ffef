"""Information in a code: about its sentence and its class; and a two-dimensional projection."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from arae_transfer.language_model.ngram import NgramLanguageModel
from arae_transfer.paper.diagnosis.coder import Coder, Floats, Sentence
from arae_transfer.tokenizer import Tokenizer

ORDER = 5


def capacity_of_norm(size: int, noise: float) -> float:
    """Return the capacity in bits of a vector of unit norm with Gaussian noise (Shannon 1948).

    A norm of 1 is a mean power of 1 / size in each of the dimensions, each of which is a Gaussian channel:
    C = size / 2 * log2(1 + 1 / (size * noise^2)).

    Args:
        size: The dimensions.
        noise: The noise's standard deviation in each dimension; 0 sets no bound.
    """
    return math.inf if noise == 0 else size / 2 * math.log2(1 + 1 / (size * noise**2))


def capacity_of_covariance(covariance: Floats, noise: float) -> float:
    """Return the capacity in bits of vectors of this covariance with Gaussian noise.

    Of all distributions of one covariance the Gaussian carries most: I = 1/2 * sum over the eigenvalues v of
    log2(1 + v / noise^2). It is at most ``capacity_of_norm``, and less where codes use few directions.

    Args:
        covariance: (size, size).
        noise: The noise's standard deviation in each dimension; 0 sets no bound.
    """
    if noise == 0:
        return math.inf
    eigenvalues = np.linalg.eigvalsh(covariance).clip(min=0.0)
    return float(0.5 * np.log2(1 + eigenvalues / noise**2).sum())


def sentence_bits(tokenizer: Tokenizer, training: Sequence[str], lines: Sequence[str]) -> float:
    """Return the mean bits of a sentence under a Kneser-Ney model of the tokens of other sentences.

    This is what a code would have to carry for a decoder that knows the language as well as that model.
    """

    def pieces(texts: Sequence[str]) -> list[list[str]]:
        return [[str(number) for number in ids] for ids in tokenizer.encode_lines(list(texts))]

    scores = NgramLanguageModel.train(pieces(training), ORDER).score(pieces(lines))
    return float(-scores.log_probability.mean() / math.log(2))


@dataclass(frozen=True)
class Reconstruction:
    """Reconstruction quality of sentences from their codes without noise.

    Attributes:
        exact: The share that comes back word by word, in percent.
        bleu: Corpus BLEU to the sentences.
        bits: The mean negative log-likelihood of a sentence, in bits.
    """

    exact: float
    bleu: float
    bits: float


def measure_reconstruction(coder: Coder, sentences: Sequence[Sentence]) -> Reconstruction:
    """Encode sentences and decode them with their own class's decoder."""
    from sacrebleu.metrics.bleu import BLEU

    texts = [" ".join(sentence.text.split()) for sentence in sentences]
    answers = coder.reconstruct(texts, [sentence.label for sentence in sentences])
    nll, _ = coder.surprise(texts, sentences)
    exact = np.mean([answer == text for answer, text in zip(answers, texts, strict=True)])
    bleu = BLEU(tokenize="none", force=True).corpus_score(answers, [texts]).score
    return Reconstruction(100.0 * float(exact), float(bleu), float(nll.mean() / math.log(2)))


@dataclass(frozen=True)
class Probe:
    """Accuracy of a new classifier of the class.

    Attributes:
        accuracy: On held-out sentences, in percent, from the code.
        words: Likewise from the words of the sentence, which sets the scale.
        chance: The share of the most frequent class.
        fitted: The sentences that it learned from.
        tested: The sentences that it was tested on.
    """

    accuracy: float
    words: float
    chance: float
    fitted: int
    tested: int


def measure_probe(codes: Floats, sentences: Sequence[Sentence], random: np.random.Generator) -> Probe | None:
    """Fit logistic regressions on a random half of the sentences and test them on the other; None if there are too few.

    Args:
        codes: (sentences, size).
        sentences: All different.
        random: The source of randomness.
    """
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    labels = np.array([sentence.label for sentence in sentences])
    texts = np.array([sentence.text for sentence in sentences], dtype=object)
    order = random.permutation(len(sentences))
    fitted, tested = np.split(order, [len(order) // 2])
    if len(set(labels[fitted])) < 2 or len(tested) == 0:
        return None
    on_codes = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000, C=0.1))
    on_words = make_pipeline(
        CountVectorizer(token_pattern=r"\S+", binary=True), LogisticRegression(max_iter=2000, C=1.0)
    )
    on_codes.fit(codes[fitted], labels[fitted])
    on_words.fit(texts[fitted], labels[fitted])
    _, counts = np.unique(labels[tested], return_counts=True)
    return Probe(
        100.0 * float(on_codes.score(codes[tested], labels[tested])),
        100.0 * float(on_words.score(texts[tested], labels[tested])),
        100.0 * float(counts.max() / len(tested)),
        len(fitted),
        len(tested),
    )


@dataclass(frozen=True)
class Projection:
    """Projection on the first two principal components of codes.

    Attributes:
        mean: (size,) of the codes.
        directions: (2, size) of unit norm.
        explained: (2,) the share of the variance in each, in percent.
    """

    mean: Floats
    directions: Floats
    explained: Floats

    @classmethod
    def fit(cls, codes: Floats) -> Projection:
        """Fit by principal component analysis; the sign makes the greatest weight positive.

        Args:
            codes: (sentences, size), at least 2 of each.
        """
        mean = codes.mean(axis=0)
        _, singular, directions = np.linalg.svd(codes - mean, full_matrices=False)
        chosen = directions[:2]
        greatest = np.take_along_axis(chosen, np.abs(chosen).argmax(axis=1)[:, np.newaxis], axis=1)
        total = max(float((singular**2).sum()), np.finfo(np.float64).tiny)
        return cls(mean, chosen * np.sign(greatest), 100.0 * singular[:2] ** 2 / total)

    def __call__(self, codes: Floats) -> Floats:
        """Project codes (rows, size) to points (rows, 2)."""
        points: Floats = (codes - self.mean) @ self.directions.T
        return points
