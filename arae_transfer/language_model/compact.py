"""Compact file of an n-gram model of token ids, which an export has for each class.

Trigrams that occur once are omitted, and numbers have 16 bits: four bytes per trigram. The file is a numpy archive,
which holds arrays and no code.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from arae_transfer.language_model.ngram import NgramLanguageModel, Order, Text, count_ngrams
from arae_transfer.tokenizer import BEGIN_ID, END_ID, UNKNOWN_ID

Floats = npt.NDArray[np.float64]

ORDER = 3
# What stood only so often in the training text is left out.
_RARE = 1
# The arrays of a file: logarithms of probabilities and of backoffs, and whole numbers.
_SHARES = ("unigrams", "unigram_backoffs", "bigrams", "bigram_backoffs", "trigrams")
_NUMBERS = ("bigrams_of", "second", "trigrams_of", "third")
# The model's own ids are those of the tokenizer less one: its unknown word, begin and end stand where theirs do.
_SHIFT = 1
assert (UNKNOWN_ID - _SHIFT, BEGIN_ID - _SHIFT, END_ID - _SHIFT) == (0, 1, 2)


def compact(rows: Sequence[Sequence[int]], vocabulary_size: int) -> bytes:
    """Train on rows of ids, without begin and end ids, and return the file's content.

    Args:
        rows: Sentences of one class.
        vocabulary_size: The number of ids.

    Raises:
        ValueError: There are no rows.
    """
    names = _names(vocabulary_size)
    sentences = [[str(token) for token in row] for row in rows]
    model = NgramLanguageModel.train(sentences, ORDER, names)
    counts = count_ngrams(Text.of(sentences, model.ids), ORDER, model.id_count)
    kept_trigrams = counts[2].adjusted > _RARE
    kept_bigrams = counts[1].adjusted > _RARE
    kept_bigrams[counts[2].prefix[kept_trigrams]] = True
    bigrams, trigrams = model.orders[1], model.orders[2]
    first, second = np.divmod(bigrams.keys[kept_bigrams], model.id_count)
    number = np.cumsum(kept_bigrams) - 1  # of a bigram among those kept
    prefix, last = np.divmod(trigrams.keys[kept_trigrams], model.id_count)
    smallest = np.min_scalar_type(model.id_count)
    arrays: dict[str, Any] = {
        "unigrams": np.log(np.maximum(model.orders[0].probability, 1e-9)).astype(np.float16),
        "unigram_backoffs": np.log(model.orders[0].backoff).astype(np.float16),
        # How many bigrams begin with each id, and how many trigrams with each bigram: they lie in that order.
        "bigrams_of": np.bincount(first, minlength=model.id_count),
        "second": second.astype(smallest),
        "bigrams": np.log(bigrams.probability[kept_bigrams]).astype(np.float16),
        "bigram_backoffs": np.log(bigrams.backoff[kept_bigrams]).astype(np.float16),
        "trigrams_of": np.bincount(number[prefix], minlength=len(second)),
        "third": last.astype(smallest),
        "trigrams": np.log(trigrams.probability[kept_trigrams]).astype(np.float16),
    }
    for name in ("bigrams_of", "trigrams_of"):
        arrays[name] = arrays[name].astype(np.min_scalar_type(int(arrays[name].max(initial=0))))
    content = io.BytesIO()
    np.savez(content, **arrays)
    return content.getvalue()


class _Exponentials:
    """Exponentials of a file's logarithms, computed on access: a line needs few of them."""

    def __init__(self, logarithms: npt.NDArray[np.float16]) -> None:
        self._logarithms = logarithms

    def __getitem__(self, places: npt.NDArray[np.int64]) -> Floats:
        """Return the numbers at some indices, in double precision."""
        found: Floats = np.exp(self._logarithms[places].astype(np.float64))
        return found


class CompactLanguageModel:
    """A model in a file of ``compact``."""

    def __init__(self, content: bytes) -> None:
        """Read a file.

        Raises:
            ValueError: It is no such file.
        """
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
            # They are looked up by arrays of places and in no other way.
            shares = {name: cast("Floats", _Exponentials(arrays[name])) for name in _SHARES}
            numbers = {name: arrays[name].astype(np.int64) for name in _NUMBERS}
        except (OSError, EOFError, KeyError, zipfile.BadZipFile) as error:
            raise ValueError(f"not a file of n-grams: {error}") from error
        size = len(arrays["unigrams"])
        first = np.repeat(np.arange(size), numbers["bigrams_of"])
        prefix = np.repeat(np.arange(len(first)), numbers["trigrams_of"])
        orders = [
            Order(np.arange(size), shares["unigrams"], shares["unigram_backoffs"]),
            Order(first * size + numbers["second"], shares["bigrams"], shares["bigram_backoffs"]),
            # Nothing follows on the highest order.
            Order(prefix * size + numbers["third"], shares["trigrams"], np.empty(0)),
        ]
        self._model = NgramLanguageModel({}, orders, [], id_count=size)

    def has_word(self, pieces: Sequence[int], ends_word: Callable[[int], bool]) -> bool:
        """Return whether the training text has a word of these tokens more than about once.

        Every two and three consecutive tokens must be consecutive in the training text, and so must the last two and
        the beginning of another word.

        Args:
            pieces: The ids of the word.
            ends_word: Says whether a word is at its end before an id.
        """
        size = self._model.id_count
        bigrams, trigrams = self._model.orders[1].keys, self._model.orders[2].keys
        ids = [piece - _SHIFT for piece in pieces]
        number, order = ids[0], bigrams  # of the n-gram that ends at a piece, and where what follows it is
        if len(ids) > 1:
            numbers = [_find(bigrams, first * size + second) for first, second in pairwise(ids)]
            if any(found < 0 for found in numbers):
                return False
            if any(_find(trigrams, found * size + third) < 0 for found, third in zip(numbers, ids[2:], strict=False)):
                return False
            number, order = numbers[-1], trigrams
        first, last = np.searchsorted(order, [number * size, (number + 1) * size])
        return any(ends_word(each) for each in (order[first:last] % size + _SHIFT).tolist())

    def words(self, begins_word: Sequence[bool], most: int) -> Iterator[list[int]]:
        """Yield the tokens of each word for which ``has_word`` is true.

        Args:
            begins_word: Whether each id begins a word; the end id does.
            most: The maximum number of tokens of a word.
        """
        size = self._model.id_count
        bigrams, trigrams = self._model.orders[1].keys, self._model.orders[2].keys
        # Where what goes on from each n-gram of the order below lies, and what ids that are.
        starts = [
            np.searchsorted(keys, np.arange(count + 1) * size).tolist()
            for keys, count in ((bigrams, size), (trigrams, len(bigrams)))
        ]
        last = [(keys % size + _SHIFT).tolist() for keys in (bigrams, trigrams)]
        waiting = [([piece], piece - _SHIFT) for piece in range(END_ID + 1, size + _SHIFT) if begins_word[piece]]
        while waiting:
            pieces, number = waiting.pop()
            order = min(len(pieces), 2) - 1
            start, stop = starts[order][number], starts[order][number + 1]
            following = last[order][start:stop]
            if any(begins_word[piece] for piece in following):
                yield pieces
            if len(pieces) == most:
                continue
            for bigram, piece in enumerate(following, start):
                if not begins_word[piece]:
                    if order:
                        bigram = _find(bigrams, (pieces[-1] - _SHIFT) * size + piece - _SHIFT)
                    waiting.append(([*pieces, piece], bigram))

    def score(self, rows: Sequence[Sequence[int]]) -> Floats:
        """Return the log-probability of each row of ids, including its end, in nats: (rows,)."""
        if not rows:
            return np.zeros(0)
        lengths = np.fromiter((len(row) + 2 for row in rows), np.int64, len(rows))
        ids = np.empty(int(lengths.sum()), np.int64)
        begins = np.cumsum(lengths) - lengths
        for row, begin in zip(rows, begins.tolist(), strict=True):
            ids[begin] = BEGIN_ID
            ids[begin + 1 : begin + 1 + len(row)] = row
            ids[begin + 1 + len(row)] = END_ID
        positions = np.arange(len(ids)) - np.repeat(begins, lengths)
        scores: Floats = self._model.score_text(Text(np.maximum(ids - _SHIFT, 0), positions))
        return scores


def _find(keys: npt.NDArray[np.int64], key: int) -> int:
    """Return the index of a key among sorted ones, or -1."""
    place = int(np.searchsorted(keys, key))
    return place if place < len(keys) and keys[place] == key else -1


def _names(vocabulary_size: int) -> list[str]:
    """Return the words of the model, so that their indices are the tokenizer's ids minus one."""
    return [str(token) for token in range(END_ID + 1, vocabulary_size)]
