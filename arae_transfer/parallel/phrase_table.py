"""Build phrase tables: which phrases of one class replace phrases of another.

Two phrases can replace each other if the corpus uses them between the same words: "the waiter was _ and" has "rude" in
one class and "friendly" in the other. Nothing is aligned and nothing is known about the words; the classes' texts are
unpaired. (Phrase tables from unpaired text: Lample et al., "Phrase-Based & Neural Unsupervised Machine Translation",
2018; for style, Zhang et al., "Style Transfer as Unsupervised Machine Translation", 2018.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

from arae_transfer.language_model.ngram import BEGIN, END, UNKNOWN
from arae_transfer.parallel.options import PhraseTable

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Phrase = tuple[int, ...]

DEFAULTS = PhraseTable()


@dataclass(frozen=True)
class Replacement:
    """A phrase that can replace another.

    Attributes:
        words: The ids of its words.
        fit: How well it fits the same contexts: the logarithm of the probability of the replaced phrase in the contexts
            of this one, minus the cost of dropped and added content.
    """

    words: Phrase
    fit: float


Replacements = Mapping[Phrase, Sequence[Replacement]]


@dataclass(frozen=True)
class _Phrases:
    """Phrases of all lengths, the empty one first.

    Attributes:
        keys: For each length, the sorted keys: the words as digits of one number.
        offsets: For each length, the number of its first phrase; at the end, the number of phrases.
        counts: (classes, phrases).
        totals: (classes,) words.
    """

    keys: list[Integers]
    offsets: list[int]
    counts: Floats
    totals: Floats

    @property
    def rates(self) -> Floats:
        """Return the smoothed log-frequency of each phrase: (classes, phrases); 0 for the empty phrase."""
        rates: Floats = np.log((self.counts + 2) / self.totals[:, None])
        rates[:, 0] = 0.0
        return rates


@dataclass(frozen=True)
class _Occurrences:
    """Occurrences of the phrases of a class.

    Attributes:
        phrases: (occurrences,) the number of the phrase.
        contexts: For each kind of context, (occurrences,) its key.
    """

    phrases: Integers
    contexts: list[Integers]


def build_phrase_tables(
    sentences: Sequence[Sequence[Sequence[int]]], size: int, options: PhraseTable = DEFAULTS
) -> dict[tuple[int, int], Replacements]:
    """Find replacements for each ordered pair of classes.

    Args:
        sentences: For each class its sentences as word ids, the more frequent words with the smaller ids.
        size: The number of ids.
        options: The definition of phrases, and the cost of replacements.
    """
    texts = [_flatten(own) for own in sentences]
    phrases = _count_phrases(texts, size, options.minimum_counts)
    occurrences = [_find_occurrences(text, phrases, size) for text in texts]
    tables = {}
    for source in range(len(texts)):
        for target in range(len(texts)):
            if source != target:
                joint, places = _compare(
                    occurrences[source], occurrences[target], phrases, options.maximum_filler_pairs
                )
                tables[source, target] = _select(joint, places, phrases, source, target, size, options)
    return tables


def _flatten(sentences: Sequence[Sequence[int]]) -> Integers:
    """Concatenate sentences, each with two begin and two end markers, so that every context is complete."""
    flat: list[int] = []
    for sentence in sentences:
        flat += (BEGIN, BEGIN, *sentence, END, END)
    return np.asarray(flat, dtype=np.int64)


def _phrase_keys(text: Integers, length: int, size: int) -> tuple[Integers, npt.NDArray[np.bool_]]:
    """Return the key of the phrase at each position, its two context words on each side, and whether it is a phrase."""
    count = max(0, len(text) - length - 4)
    keys, real = np.zeros(count, np.int64), np.ones(count, bool)
    for place in range(length):
        words = text[2 + place : 2 + place + count]
        keys = keys * size + words
        real &= (words != UNKNOWN) & (words != BEGIN) & (words != END)
    return keys, real


def _count_phrases(texts: Sequence[Integers], size: int, minimum_counts: Sequence[int]) -> _Phrases:
    totals = np.array([np.count_nonzero((text != BEGIN) & (text != END)) for text in texts], dtype=np.float64)
    keys, counts = [np.zeros(1, np.int64)], [totals[:, None]]
    for length in range(1, len(minimum_counts) + 1):
        found = []
        for text in texts:
            own, real = _phrase_keys(text, length, size)
            found.append(np.unique(own[real], return_counts=True))
        every = np.unique(np.concatenate([own for own, _ in found]))
        table = np.zeros((len(texts), len(every)))
        for row, (own, number) in zip(table, found, strict=True):
            row[np.searchsorted(every, own)] = number
        frequent = table.sum(0) >= minimum_counts[length - 1]
        keys.append(every[frequent])
        counts.append(table[:, frequent])
    offsets = [0, *np.cumsum([len(own) for own in keys]).tolist()]
    return _Phrases(keys, offsets, np.concatenate(counts, axis=1), totals)


def _find_occurrences(text: Integers, phrases: _Phrases, size: int) -> _Occurrences:
    numbers: list[Integers] = []
    contexts: list[list[Integers]] = [[], [], []]
    for length, keys in enumerate(phrases.keys):
        if not len(keys):
            continue
        own, real = _phrase_keys(text, length, size)
        count = len(own)
        found = np.searchsorted(keys, own)
        found[found == len(keys)] = 0
        before2, before = text[:count], text[1 : 1 + count]
        after, after2 = text[2 + length : 2 + length + count], text[3 + length : 3 + length + count]
        # A context lies in one sentence and is known.
        whole = real & (keys[found] == own) & (before != END) & (after != BEGIN)
        whole &= (before != UNKNOWN) & (after != UNKNOWN)
        if length == 0:
            whole &= (before != BEGIN) | (after != END)
        places = np.flatnonzero(whole)
        before2, before, after, after2 = before2[places], before[places], after[places], after2[places]
        numbers.append(found[places] + phrases.offsets[length])
        contexts[0].append((before2 * size + before) * size + after)
        contexts[1].append((before * size + after) * size + after2)
        contexts[2].append(((before2 * size + before) * size + after) * size + after2)
    return _Occurrences(np.concatenate(numbers), [np.concatenate(kind) for kind in contexts])


def _compare(
    source: _Occurrences, target: _Occurrences, phrases: _Phrases, maximum_filler_pairs: int
) -> tuple[sparse.csr_matrix, Floats]:
    """Compute the expected count of each source phrase in the contexts of each target phrase.

    Returns:
        (phrases, phrases) the expected occurrences of the first in the contexts of the second, summed over the kinds of
        context, and (phrases,) the occurrences of the second in shared contexts.
    """
    count = phrases.offsets[-1]
    joint, places = sparse.csr_matrix((count, count)), np.zeros(count)
    for own, other in zip(source.contexts, target.contexts, strict=True):
        shared = np.intersect1d(own, other)
        if not len(shared):
            continue
        matrices = []
        for occurrences, keys in ((source, own), (target, other)):
            column = np.searchsorted(shared, keys)
            column[column == len(shared)] = 0
            inside = shared[column] == keys
            ones = np.ones(int(inside.sum()))
            shape = (count, len(shared))
            matrix = sparse.csr_matrix((ones, (occurrences.phrases[inside], column[inside])), shape=shape)
            matrix.sum_duplicates()
            matrices.append(matrix)
        fillers = [np.bincount(matrix.indices, minlength=len(shared)) for matrix in matrices]
        telling = fillers[0] * fillers[1] <= maximum_filler_pairs
        first, second = (matrix[:, telling] for matrix in matrices)
        in_context = np.maximum(np.asarray(first.sum(0)).ravel(), 1.0)
        joint = joint + (first @ sparse.diags(1.0 / in_context)) @ second.T
        places += np.asarray(second.sum(1)).ravel()
    return sparse.csr_matrix(joint), places


def _select(
    joint: sparse.csr_matrix,
    places: Floats,
    phrases: _Phrases,
    source: int,
    target: int,
    size: int,
    options: PhraseTable,
) -> Replacements:
    """Keep the best replacements of each source phrase for the target class."""
    rates = phrases.rates
    style = rates[source] - rates[target]  # (phrases,) how much each belongs to the source class, in nats
    words = [_spell(phrases, number, size) for number in range(phrases.offsets[-1])]
    word_style = np.zeros(size)
    for number in range(phrases.offsets[1], phrases.offsets[2]):
        word_style[words[number][0]] = style[number]
    usable = phrases.counts[target] >= options.minimum_target_count
    table: dict[Phrase, list[Replacement]] = {}
    for number in range(1, phrases.offsets[-1]):
        row = slice(joint.indptr[number], joint.indptr[number + 1])
        others, expected = joint.indices[row], joint.data[row]
        gain = style[number] - style[others]
        kept = (gain > options.minimum_gain) & (expected > options.minimum_expected) & usable[others]
        if style[number] < options.minimum_style:
            # A phrase that says nothing about its class may only be added to: "recommend", "not recommend".
            own = set(words[number])
            kept &= np.array(
                [own < set(words[other]) if fits else False for other, fits in zip(others, kept, strict=True)],
                dtype=bool,
            )
        if not kept.any():
            continue
        others, expected, gain = others[kept], expected[kept], gain[kept]
        fit = np.log(expected / (places[others] + options.shrinkage))
        fit -= [_price(words[number], words[other], word_style, options) for other in others]
        # What is found often is found surely, and a replacement shall change the style.
        worth = fit + options.expected_weight * np.log(expected)
        worth = worth + options.gain_weight * np.minimum(gain, options.maximum_gain)
        best = np.argsort(-worth, kind="stable")[: options.candidates]
        table[words[number]] = [Replacement(words[others[place]], float(fit[place])) for place in best]
    return table


def _price(phrase: Phrase, replacement: Phrase, word_style: Floats, options: PhraseTable) -> float:
    """Return the cost of dropped and added content, and of additional length."""
    price = options.longer * max(0, len(replacement) - len(phrase))
    for word in set(replacement) - set(phrase):
        if not _is_function_word(word, options.function_words) and word_style[word] > -options.content_style:
            price += options.invented_word
    for word in set(phrase) - set(replacement):
        if _is_function_word(word, options.function_words):
            price += options.lost_function_word if word_style[word] < options.function_style else 0.0
        elif word_style[word] < options.content_style:
            price += options.lost_word
    return price


def _is_function_word(word: int, function_words: int) -> bool:
    """Return whether a word is among the most frequent ones."""
    return END < word <= END + function_words


def _spell(phrases: _Phrases, number: int, size: int) -> Phrase:
    """Return the word ids of a phrase."""
    length = int(np.searchsorted(phrases.offsets, number, side="right")) - 1
    key = int(phrases.keys[length][number - phrases.offsets[length]])
    words = []
    for _ in range(length):
        key, word = divmod(key, size)
        words.append(word)
    return tuple(reversed(words))
