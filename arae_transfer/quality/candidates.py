"""A rewrite as input of the quality estimator: its tokens, and which of them are new."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from arae_transfer.editing.edits import Edit
from arae_transfer.tokenizer import END_ID

SOURCE, KEPT, NEW, SEAM = range(4)
"""The kinds of tokens: of the source; of the rewrite, kept; of the rewrite, new; kept, right before a deletion."""

KINDS = 4


class Candidate(NamedTuple):
    """The tokens of a rewrite.

    Attributes:
        tokens: Its ids, the end id included.
        kinds: The kind of each.
    """

    tokens: list[int]
    kinds: list[int]


def read_candidate(source: Sequence[int], edits: Sequence[Edit], most: int) -> Candidate:
    """Return the rewrite that results from edits of a source.

    Args:
        source: Token ids without the end id.
        edits: In order, without overlap.
        most: The maximum number of tokens that are read, with the end id: a rewrite may be longer than any sentence.
    """
    tokens: list[int] = []
    kinds: list[int] = []
    position = 0
    for edit in edits:
        tokens += [*source[position : edit.start], *edit.tokens]
        kinds += [KEPT] * (edit.start - position)
        if not edit.tokens and kinds:
            kinds[-1] = SEAM
        kinds += [NEW] * len(edit.tokens)
        position = edit.stop
    tokens += [*source[position:], END_ID]
    kinds += [KEPT] * (len(source) - position + 1)
    return Candidate(tokens[:most], kinds[:most])
