"""What the quality estimator reads of a rewrite: the tokens of its source, kept or deleted, and new ones in place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from arae_transfer.editing.edits import Edit
from arae_transfer.tokenizer import END_ID

KEPT, DELETED, NEW = 1, 2, 3
"""The kinds of tokens: of the source and kept; of the source and deleted; of the rewrite alone. 0 is padding."""

KINDS = 4


class Candidate(NamedTuple):
    """The tokens of a source and of its rewrite, merged.

    Attributes:
        tokens: Their ids, the end id included.
        kinds: The kind of each.
        places: The position of each in the source; of a new token the position at which its edit starts, and onwards.
    """

    tokens: list[int]
    kinds: list[int]
    places: list[int]


def read_candidate(source: Sequence[int], edits: Sequence[Edit], most: int) -> Candidate:
    """Return the rewrite that results from edits of a source.

    Args:
        source: Token ids without the end id.
        edits: In order, without overlap.
        most: Half of the tokens that are read at most: a rewrite may be longer than any sentence.
    """
    tokens: list[int] = []
    kinds: list[int] = []
    places: list[int] = []
    position = 0

    def take(stop: int, kind: int) -> None:
        nonlocal position
        tokens.extend(source[position:stop])
        kinds.extend([kind] * (stop - position))
        places.extend(range(position, stop))
        position = stop

    for edit in edits:
        take(edit.start, KEPT)
        take(edit.stop, DELETED)
        tokens += edit.tokens
        kinds += [NEW] * len(edit.tokens)
        places += [min(edit.start + number, len(source)) for number in range(len(edit.tokens))]
    take(len(source), KEPT)
    tokens.append(END_ID)
    kinds.append(KEPT)
    places.append(len(source))
    return Candidate(tokens[: 2 * most], kinds[: 2 * most], places[: 2 * most])
