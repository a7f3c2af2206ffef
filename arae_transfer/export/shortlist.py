"""Chooses the tokens that a class's decoder may add to those of the source, from the rewrites of the model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from arae_transfer.export.parity import Row
from arae_transfer.tokenizer import END_ID, MINIMUM_VOCABULARY

# The most tokens of a list.
MOST = 960
# A list is filled up with so many of the tokens that are written most often: sources have them too, but what stands in
# the list is multiplied faster than what each batch adds to it.
_FREQUENT = 256
# A vocabulary less than this many times as large as the longest list is used whole.
_WORTH_IT = 3


def worth_a_shortlist(vocabulary_size: int) -> bool:
    """Return whether a vocabulary is large enough for a shortlist to save time."""
    return vocabulary_size >= _WORTH_IT * MOST


def choose_shortlists(
    rows: Sequence[Row], written: Mapping[str, Sequence[Row]], vocabulary_size: int, block: int
) -> dict[str, list[int]]:
    """Choose the tokens that each class's decoder may write besides those of its source.

    Trained models write one or two hundred tokens that are not in the source, most of them rarely: it takes twenty
    thousand rewrites to see them all.

    Args:
        rows: Ids with end ids.
        written: The model's rewrites of the rows, by class.
        vocabulary_size: The number of ids.
        block: The length of a list is a multiple of this, unless the vocabulary is too small.

    Returns:
        Ascending ids by class: all written tokens that were not in the source, then the most frequently written ones,
        then the tokenizer's most frequent ones; at most ``MOST``.
    """
    lists: dict[str, list[int]] = {}
    for label, own in written.items():
        new = Counter(token for row, rewrite in zip(rows, own, strict=True) for token in set(rewrite) - set(row))
        every = Counter(token for rewrite in own for token in rewrite)
        # Ids are sorted by frequency, after the single bytes, which encode characters outside of the vocabulary.
        order = [END_ID, *_by_count(new), *_by_count(every), *range(MINIMUM_VOCABULARY, vocabulary_size)]
        kept = [token for token in dict.fromkeys(order) if token >= END_ID]
        blocks = -(-(len(new) + _FREQUENT) // block)
        lists[label] = sorted(kept[: min(MOST, blocks * block)])
    return lists


def _by_count(counts: Counter[int]) -> list[int]:
    return sorted(counts, key=lambda token: (-counts[token], token))
