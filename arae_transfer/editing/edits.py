"""A rewrite as edits of its source: replaced spans of the source, and their replacements.

Text-editing models (LaserTagger, Malmi et al. 2019; FELIX, Mallinson et al. 2020; EdiT5, Mallinson et al. 2022) keep
all other text by construction, and need few examples, because they learn only the changes.

Positions are those of the source's tokens. Spans begin and end at word boundaries, so no word is cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher
from itertools import pairwise
from typing import NamedTuple


class Edit(NamedTuple):
    """Tokens ``start`` to ``stop`` of a source are replaced by other tokens.

    Attributes:
        start: The first position that is replaced.
        stop: The position at which the source continues; equal to ``start`` for an insertion.
        tokens: The replacement; empty for a deletion.
    """

    start: int
    stop: int
    tokens: tuple[int, ...]


def word_starts(tokens: Sequence[int], begins_word: Sequence[bool]) -> list[int]:
    """Return the position at which each word of a sentence begins; the first token always begins one."""
    return [position for position, token in enumerate(tokens) if position == 0 or begins_word[token]]


def find_edits(source: Sequence[int], target: Sequence[int], begins_word: Sequence[bool]) -> list[Edit]:
    """Return the edits that turn a source into a target, word by word, in order and without overlap.

    Args:
        source: Token ids without the end id.
        target: Token ids without the end id.
        begins_word: (vocabulary,) whether a token begins a word.
    """
    starts, words = _words(source, begins_word)
    _, wanted = _words(target, begins_word)
    edits = []
    for operation, first, last, begin, end in SequenceMatcher(None, words, wanted, autojunk=False).get_opcodes():
        if operation != "equal":
            written = tuple(token for word in wanted[begin:end] for token in word)
            edits.append(Edit(starts[first], starts[last], written))
    return edits


def apply_edits(source: Sequence[int], edits: Sequence[Edit]) -> list[int]:
    """Apply edits to a source; they are in order and do not overlap."""
    written: list[int] = []
    position = 0
    for edit in edits:
        written += [*source[position : edit.start], *edit.tokens]
        position = edit.stop
    return written + list(source[position:])


def _words(tokens: Sequence[int], begins_word: Sequence[bool]) -> tuple[list[int], list[tuple[int, ...]]]:
    """Return where words begin, with the end of the sentence behind them, and the words."""
    starts = [*word_starts(tokens, begins_word), len(tokens)]
    return starts, [tuple(tokens[start:stop]) for start, stop in pairwise(starts)]
