"""A word n-gram language model with interpolated modified Kneser-Ney smoothing, in numpy.

Chen & Goodman, "An Empirical Study of Smoothing Techniques for Language Modeling" (1999), section 3; the treatment of
sentence starts and unknown words is that of Heafield et al., "Scalable Modified Kneser-Ney Language Model Estimation"
(2013), so the probabilities are those of KenLM's ``lmplz --discount_fallback``. The ``kenlm`` package itself only asks
models that its C++ tools have trained, so it cannot stand in for this module.

An n-gram is numbered within its order; its key is ``number of its first n - 1 words * vocabulary size + last word``.
All n-grams of an order are one sorted array of keys, so training is sorting and scoring is binary search.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
import numpy.typing as npt

UNKNOWN, BEGIN, END = 0, 1, 2
_RESERVED = 3

# What KenLM takes where a corpus is too small for its counts of counts to say anything.
FALLBACK_DISCOUNTS = (0.5, 1.0, 1.5)

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class SentenceScores:
    """Scores of sentences; each array has shape (sentences,).

    Attributes:
        log_probability: The natural logarithm of each sentence's probability, its end included.
        tokens: The number of words and sentence ends.
        unknown: The number of words that the model does not know.
    """

    log_probability: Floats
    tokens: Integers
    unknown: Integers

    @property
    def perplexity(self) -> float:
        """Return the perplexity per token, including sentence ends and unknown words."""
        return float(np.exp(-self.log_probability.sum() / self.tokens.sum()))


@dataclass(frozen=True)
class Order:
    """All n-grams of one order; each array has shape (n-grams,).

    Attributes:
        keys: The sorted keys.
        probability: The interpolated probability of the last word after the others.
        backoff: The weight of the lower order where a word never follows this n-gram.
    """

    keys: Integers
    probability: Floats
    backoff: Floats


@dataclass(frozen=True)
class _Counts:
    """The counts of one order; each array has shape (n-grams,).

    Attributes:
        keys: The sorted keys.
        adjusted: How often an n-gram occurs (highest order, or at the start of a sentence) or how many different words
            come before it (every other).
        prefix: The number of the n-gram without its last word, in the order below.
        suffix: The number of the n-gram without its first word, in the order below.
    """

    keys: Integers
    adjusted: Integers
    prefix: Integers
    suffix: Integers


@dataclass(frozen=True)
class Text:
    """Sentences as one array of ids, each with its begin and end; both arrays have shape (tokens,).

    Attributes:
        ids: The ids of the words.
        positions: The place of each word in its sentence, the begin at 0.
    """

    ids: Integers
    positions: Integers

    @classmethod
    def of(cls, sentences: Sequence[Sequence[str]], words: Mapping[str, int]) -> Text:
        """Concatenate sentences of words as ids."""
        lengths = np.fromiter((len(sentence) + 2 for sentence in sentences), np.int64, len(sentences))
        total = int(lengths.sum())

        def ids() -> Iterable[int]:
            for sentence in sentences:
                yield BEGIN
                for word in sentence:
                    yield words.get(word, UNKNOWN)
                yield END

        begins = np.cumsum(lengths) - lengths
        return cls(np.fromiter(ids(), np.int64, total), np.arange(total) - np.repeat(begins, lengths))


class NgramLanguageModel:
    """A trained model; make one with ``train``.

    Attributes:
        order: The length of the longest n-gram.
        orders: The n-grams of each order from 1.
        ids: The id of each known word.
        discounts: For each order from 1, what is taken from counts of one, two, and three or more.
    """

    def __init__(
        self,
        words: dict[str, int],
        orders: list[Order],
        discounts: list[tuple[float, float, float]],
        id_count: int | None = None,
    ) -> None:
        self.ids = words
        self._id_count = id_count
        self.orders = orders
        self.order = len(orders)
        self.discounts = discounts

    @property
    def vocabulary(self) -> list[str]:
        """Known words."""
        return list(self.ids)

    @property
    def id_count(self) -> int:
        """Number of ids: the known words, the unknown word, and begin and end of a sentence."""
        return len(self.ids) + _RESERVED if self._id_count is None else self._id_count

    @property
    def vocabulary_size(self) -> int:
        """Number of possible next tokens: the known words, the unknown word and the sentence end."""
        return len(self.ids) + 2

    @classmethod
    def train(
        cls, sentences: Sequence[Sequence[str]], order: int = 5, vocabulary: Iterable[str] | None = None
    ) -> NgramLanguageModel:
        """Train a model.

        Args:
            sentences: The words of each sentence, without marks for begin and end.
            order: The length of the longest n-gram, at least 1.
            vocabulary: The words of the model, so that models of different texts can be compared; any other word is
                unknown. None: the words of the sentences.

        Raises:
            ValueError: There are no sentences, or the order is below 1.
        """
        if order < 1 or not sentences:
            raise ValueError(f"{len(sentences)} sentences and order {order}: both must be at least 1")
        known = chain.from_iterable(sentences) if vocabulary is None else vocabulary
        words = {word: number for number, word in enumerate(dict.fromkeys(known), _RESERVED)}
        counts = count_ngrams(Text.of(sentences, words), order, len(words) + _RESERVED)
        orders: list[Order] = []
        discounts: list[tuple[float, float, float]] = []
        for own in counts:
            discounts.append(_estimate_discounts(own.adjusted))
            if orders:
                orders[-1] = replace(orders[-1], backoff=_backoff(own, len(orders[-1].keys), discounts[-1]))
                orders.append(_interpolate(own, orders[-1], discounts[-1]))
            else:
                orders.append(_unigrams(own, discounts[-1]))
        return cls(words, orders, discounts)

    def score(self, sentences: Sequence[Sequence[str]]) -> SentenceScores:
        """Return the log-probability of each sentence."""
        text = Text.of(sentences, self.ids)
        begins = np.flatnonzero(text.positions == 0)
        lengths = np.diff(np.append(begins, len(text.ids)))
        unknown = np.add.reduceat((text.ids == UNKNOWN).astype(np.int64), begins)
        return SentenceScores(self.score_text(text), lengths - 1, unknown)

    def score_text(self, text: Text) -> Floats:
        """Return the log-probability of each sentence of a text of ids, including its end: (sentences,)."""
        logarithms = np.zeros(len(text.ids))
        predicted = text.positions > 0
        logarithms[predicted] = np.log(self._probabilities(text)[predicted])
        scores: Floats = np.add.reduceat(logarithms, np.flatnonzero(text.positions == 0))
        return scores

    def probability(self, word: str | None, context: Sequence[str] = (), *, from_begin: bool = False) -> float:
        """Return the probability of a word after others.

        Args:
            word: The word; None: the end of the sentence.
            context: The words before it.
            from_begin: Whether the context starts its sentence.
        """
        ids = [self.ids.get(before, UNKNOWN) for before in context]
        ids.append(END if word is None else self.ids.get(word, UNKNOWN))
        sequence = np.array([BEGIN, *ids] if from_begin else ids, np.int64)
        return float(self._probabilities(Text(sequence, np.arange(len(sequence))))[-1])

    def _probabilities(self, text: Text) -> Floats:
        """Return the probability of each token given the preceding ones of its sentence: (tokens,)."""
        size = self.id_count
        probability = self.orders[0].probability[text.ids]
        numbers = text.ids  # of the n-gram that ends at each token, -1 where the model has not seen it
        for n in range(1, self.order):
            # Across sentences nothing is found: no n-gram of the model goes on after an end.
            context = np.full(len(numbers), -1, np.int64)
            context[1:] = numbers[:-1]
            places = np.flatnonzero(context >= 0)
            if not len(places):
                break
            order, context = self.orders[n], context[places]
            keys = context * size + text.ids[places]
            found = np.searchsorted(order.keys, keys)
            found[found == len(order.keys)] = 0
            seen = order.keys[found] == keys
            numbers = np.full(len(numbers), -1, np.int64)
            numbers[places[seen]] = found[seen]
            backed_off = self.orders[n - 1].backoff[context] * probability[places]
            probability[places] = np.where(seen, order.probability[found], backed_off)
        return probability


def count_ngrams(text: Text, order: int, size: int) -> list[_Counts]:
    """Count the n-grams of every order up to ``order``; ``size`` is the number of ids."""
    numbers = text.ids  # of the n-gram that ends at each token
    nothing = np.zeros(0, np.int64)
    raw = np.bincount(text.ids, minlength=size)
    raw[BEGIN] = 0  # a begin is given, never predicted
    counts = [_Counts(np.arange(size), raw, nothing, nothing)]
    for n in range(1, order):
        places = np.flatnonzero(text.positions >= n)
        keys, first, inverse, raw = np.unique(
            numbers[places - 1] * size + text.ids[places], return_index=True, return_inverse=True, return_counts=True
        )
        first = places[first]
        own = _Counts(keys, raw, numbers[first - 1], numbers[first])
        # Below the highest order an n-gram counts once for each different word before it. Nothing comes before the
        # begin of a sentence, so what starts there keeps its count.
        lower = counts[-1]
        different = np.bincount(own.suffix, minlength=len(lower.keys))
        adjusted = np.where(different > 0, different, lower.adjusted)
        counts[-1] = _Counts(lower.keys, adjusted, lower.prefix, lower.suffix)
        counts.append(own)
        numbers = np.full(len(numbers), -1, np.int64)
        numbers[places] = inverse
    return counts


def _estimate_discounts(adjusted: Integers) -> tuple[float, float, float]:
    """Return the discounts of an order from its counts of counts (Chen & Goodman, equation 26)."""
    ones, twos, threes, fours = (int(np.count_nonzero(adjusted == count)) for count in (1, 2, 3, 4))
    if not (ones and twos and threes):
        return FALLBACK_DISCOUNTS
    ratio = ones / (ones + 2 * twos)
    discounts = (1 - 2 * ratio * twos / ones, 2 - 3 * ratio * threes / twos, 3 - 4 * ratio * fours / threes)
    # KenLM allows 0 as well, but what discounts nothing leaves no probability to unseen words.
    if not all(0 < discount <= count for count, discount in enumerate(discounts, 1)):
        return FALLBACK_DISCOUNTS
    return discounts


def _freed(own: _Counts, discounts: tuple[float, float, float]) -> Floats:
    """Return the discount of each n-gram's count."""
    freed: Floats = np.array([0.0, *discounts])[np.minimum(own.adjusted, 3)]
    return freed


def _unigrams(own: _Counts, discounts: tuple[float, float, float]) -> Order:
    """Return the unigram probabilities; the discounted mass is shared equally by all words."""
    freed = _freed(own, discounts)
    total = own.adjusted.sum()
    probability = (own.adjusted - freed) / total + freed.sum() / total / (len(own.keys) - 1)
    probability[BEGIN] = 0.0
    return Order(own.keys, probability, np.ones(len(own.keys)))


def _backoff(own: _Counts, contexts: int, discounts: tuple[float, float, float]) -> Floats:
    """Return the discounted probability mass after each context, or 1 after unseen contexts."""
    totals = np.bincount(own.prefix, own.adjusted, contexts)
    weights = np.ones(contexts)
    np.divide(np.bincount(own.prefix, _freed(own, discounts), contexts), totals, out=weights, where=totals > 0)
    return weights


def _interpolate(own: _Counts, lower: Order, discounts: tuple[float, float, float]) -> Order:
    """Return the probabilities of an order, interpolated with the order below."""
    totals = np.bincount(own.prefix, own.adjusted, len(lower.keys))
    probability = (own.adjusted - _freed(own, discounts)) / totals[own.prefix]
    probability += lower.backoff[own.prefix] * lower.probability[own.suffix]
    return Order(own.keys, probability, np.ones(len(own.keys)))
