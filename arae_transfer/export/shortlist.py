"""Which tokens a class's decoder writes that do not stand in the source: chosen by what the model really writes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from arae_transfer.export.parity import Row
from arae_transfer.tokenizer import END_ID, MINIMUM_VOCABULARY

# The tokens of a list. Trained models write about a hundred different ones that their source has not; ten times as many
# leave what is rarely written a place, and cost an eighth of a vocabulary of 8,000.
SIZE = 960
# A vocabulary less than this many times as large as the list is used whole.
_WORTH_IT = 3


def worth_a_shortlist(vocabulary_size: int) -> bool:
    """Say whether a vocabulary is so large that choosing among a part of it saves much."""
    return vocabulary_size >= _WORTH_IT * SIZE


def choose_shortlists(
    rows: Sequence[Row], written: Mapping[str, Sequence[Row]], vocabulary_size: int
) -> dict[str, list[int]]:
    """Choose the tokens that each class's decoder may write beside those of its source.

    Args:
        rows: Ids with end ids.
        written: Their rewrites by the model, by class.
        vocabulary_size: The number of ids.

    Returns:
        Ascending ids by class: first those that were written and did not stand in the source, then what is written
        most often, then the tokenizer's most frequent pieces.
    """
    lists: dict[str, list[int]] = {}
    for label, own in written.items():
        new = Counter(token for row, rewrite in zip(rows, own, strict=True) for token in set(rewrite) - set(row))
        every = Counter(token for rewrite in own for token in rewrite)
        # Pieces are numbered by frequency, after the single bytes, which make up what has no piece.
        order = [END_ID, *_by_count(new), *_by_count(every), *range(MINIMUM_VOCABULARY, vocabulary_size)]
        kept = [token for token in dict.fromkeys(order) if token >= END_ID]
        lists[label] = sorted(kept[:SIZE])
    return lists


def _by_count(counts: Counter[int]) -> list[int]:
    return sorted(counts, key=lambda token: (-counts[token], token))
