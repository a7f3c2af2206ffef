"""Edits as a sequence of actions of a decoder.

Outside of an edit the decoder chooses the start of the next one, or finishes; inside of one it writes a token, or
chooses the position at which the source continues. A sentence with two changed words takes seven actions; writing it
from left to right would take a step for each token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from arae_transfer.editing.edits import Edit

Int64 = npt.NDArray[np.int64]
Bool = npt.NDArray[np.bool_]

FINISH = 0
"""The choice outside of an edit that ends the rewrite; ``1 + position`` starts an edit there."""

LONGEST_EDIT = 12
"""Tokens that are written in one edit at most."""

MOST_EDITS = 8
"""Edits of one sentence at most."""

MOST_CHOICES = MOST_EDITS * (LONGEST_EDIT + 2) + 1
"""Choices that a rewrite takes at most."""


@dataclass(frozen=True)
class Actions:
    """The actions of a batch of rewrites, and the decoder's inputs before each.

    Attributes:
        token: (batch, steps) the token that the last action wrote; 0: it wrote none.
        pointer: (batch, steps) 1 + the position that the last action chose; 0: it chose none, or there is no last
            action.
        cursor: (batch, steps) the current position in the source.
        inside: (batch, steps) whether an edit is open.
        choice: (batch, steps) the action: outside of an edit ``FINISH`` or 1 + position; inside a token, or the size of
            the vocabulary + position.
        real: (batch, steps) which actions are no padding; rows are padded at the right.
    """

    token: Int64
    pointer: Int64
    cursor: Int64
    inside: Bool
    choice: Int64
    real: Bool


def actions_of(edits: Sequence[Edit], vocabulary_size: int) -> list[tuple[int, int, int, bool, int]]:
    """Return the actions of some edits: token, pointer, cursor, inside and choice of each (see ``Actions``)."""
    actions: list[tuple[int, int, int, bool, int]] = []
    token, pointer, cursor = 0, 0, 0
    for edit in edits:
        actions.append((token, pointer, cursor, False, 1 + edit.start))
        token, pointer, cursor = 0, 1 + edit.start, edit.start
        for written in edit.tokens:
            actions.append((token, pointer, cursor, True, written))
            token, pointer = written, 0
        actions.append((token, pointer, cursor, True, vocabulary_size + edit.stop))
        token, pointer, cursor = 0, 1 + edit.stop, edit.stop
    actions.append((token, pointer, cursor, False, FINISH))
    return actions


def stack_actions(rows: Sequence[Sequence[Edit]], vocabulary_size: int) -> Actions:
    """Return the actions of a batch of rewrites, given as edits."""
    found = [actions_of(edits, vocabulary_size) for edits in rows]
    steps = max(map(len, found))
    table = np.zeros((len(found), steps, 5), dtype=np.int64)
    real = np.zeros((len(found), steps), dtype=np.bool_)
    for row, actions in enumerate(found):
        table[row, : len(actions)] = actions
        real[row, : len(actions)] = True
    token, pointer, cursor, inside, choice = np.moveaxis(table, 2, 0)
    return Actions(token, pointer, cursor, inside.astype(np.bool_), choice, real)
