"""Which tokens a class's decoder writes that do not stand in the source: chosen by what the model really writes."""

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
    """Say whether a vocabulary is so large that choosing among a part of it saves much."""
    return vocabulary_size >= _WORTH_IT * MOST


def choose_shortlists(
    rows: Sequence[Row], written: Mapping[str, Sequence[Row]], vocabulary_size: int, block: int
) -> dict[str, list[int]]:
    """Choose the tokens that each class's decoder may write beside those of its source.

    Trained models write a hundred tokens or two that their source has not, most of them rarely: to see them all takes
    twenty thousand rewrites.

    Args:
        rows: Ids with end ids.
        written: Their rewrites by the model, by class.
        vocabulary_size: The number of ids.
        block: Lists are whole blocks of so many, unless the vocabulary has no more.

    Returns:
        Ascending ids by class: first all that were written and did not stand in the source, then what is written
        most often, then the tokenizer's most frequent pieces; at most ``MOST``.
    """
    lists: dict[str, list[int]] = {}
    for label, own in written.items():
        new = Counter(token for row, rewrite in zip(rows, own, strict=True) for token in set(rewrite) - set(row))
        every = Counter(token for rewrite in own for token in rewrite)
        # Pieces are numbered by frequency, after the single bytes, which make up what has no piece.
        order = [END_ID, *_by_count(new), *_by_count(every), *range(MINIMUM_VOCABULARY, vocabulary_size)]
        kept = [token for token in dict.fromkeys(order) if token >= END_ID]
        blocks = -(-(len(new) + _FREQUENT) // block)
        lists[label] = sorted(kept[: min(MOST, blocks * block)])
    return lists


def _by_count(counts: Counter[int]) -> list[int]:
    return sorted(counts, key=lambda token: (-counts[token], token))
