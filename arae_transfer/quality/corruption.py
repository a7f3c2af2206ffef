"""Degrade parallel examples like typical model errors, as negative examples of the quality estimator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from arae_transfer.editing.edits import Edit, word_starts

Tokens = tuple[int, ...]


def corrupt(
    source: Sequence[int],
    edits: Sequence[Edit],
    words: Sequence[Tokens],
    begins_word: Sequence[bool],
    generator: np.random.Generator,
) -> list[Edit] | None:
    """Return edits that make a worse rewrite than the given ones, or None if the drawn error is not possible.

    Args:
        source: Token ids without the end id.
        edits: The edits that make a good rewrite.
        words: The tokens that edits of other examples insert for the same target class, to draw from.
        begins_word: (vocabulary,) whether a token begins a word.
        generator: The source of randomness.
    """
    if not edits or not words:
        return None
    mistake = _MISTAKES[int(generator.choice(len(_MISTAKES), p=_SHARES))]
    found = mistake(_Example(source, edits, words, begins_word, generator))
    return None if found is not None and list(found) == list(edits) else found


class _Example(NamedTuple):
    """A good rewrite, and the material for mistakes; the fields are the arguments of ``corrupt``.

    Each method below makes one kind of mistake, or returns None if it is not possible.
    """

    source: Sequence[int]
    edits: Sequence[Edit]
    words: Sequence[Tokens]
    begins_word: Sequence[bool]
    generator: np.random.Generator

    def change_nothing(self) -> list[Edit] | None:
        """Copy the source."""
        return []

    def leave_edits_out(self) -> list[Edit] | None:
        """Omit some of the edits."""
        if len(self.edits) < 2:
            return None
        kept = self.generator.permutation(len(self.edits))[: int(self.generator.integers(1, len(self.edits)))]
        return [self.edits[number] for number in sorted(kept.tolist())]

    def write_other_words(self) -> list[Edit] | None:
        """Insert unrelated words of the target class."""
        return self._with_one_changed(lambda edit: edit._replace(tokens=self._other_words()))

    def write_nothing(self) -> list[Edit] | None:
        """Delete words without a replacement."""
        return self._with_one_changed(
            lambda edit: edit._replace(tokens=()) if edit.tokens and edit.start < edit.stop else None
        )

    def edit_elsewhere(self) -> list[Edit] | None:
        """Edit a span that needs no change."""
        places = self._places()
        first = self._draw(len(places))
        last = min(len(places) - 1, first + self._draw(3))
        start, stop = places[first], places[last]
        if any(edit.start <= stop and start <= edit.stop for edit in self.edits):
            return None
        return sorted([*self.edits, Edit(start, stop, self._other_words())])

    def move_a_border(self) -> list[Edit] | None:
        """Extend or shorten a replaced span by a word."""
        number = self._draw(len(self.edits))
        start, stop, tokens = self.edits[number]
        least = self.edits[number - 1].stop + 1 if number else 0
        most = self.edits[number + 1].start - 1 if number + 1 < len(self.edits) else len(self.source)
        open_places = [place for place in self._places() if least <= place <= most]
        if self.generator.random() < 0.3:
            earlier = [place for place in open_places if place <= stop and place != start]
            moved = Edit(earlier[self._draw(len(earlier))] if earlier else start, stop, tokens)
        else:
            later = [place for place in open_places if place >= start and place != stop]
            moved = Edit(start, later[self._draw(len(later))] if later else stop, tokens)
        if moved == self.edits[number] or (moved.start == moved.stop and not tokens):
            return None
        return [*self.edits[:number], moved, *self.edits[number + 1 :]]

    def stumble(self) -> list[Edit] | None:
        """Drop an inserted word, or repeat one."""
        return self._with_one_changed(self._stumbled)

    def _stumbled(self, edit: Edit) -> Edit | None:
        starts = [*word_starts(edit.tokens, self.begins_word), len(edit.tokens)]
        number = self._draw(max(1, len(starts) - 1))
        if self.generator.random() < 0.5:
            if len(starts) < 3:
                return None
            return edit._replace(tokens=(*edit.tokens[: starts[number]], *edit.tokens[starts[number + 1] :]))
        if not edit.tokens:
            return None
        return edit._replace(tokens=(*edit.tokens[: starts[number + 1]], *edit.tokens[starts[number] :]))

    def _with_one_changed(self, change: Callable[[Edit], Edit | None]) -> list[Edit] | None:
        """Return the edits with one of them replaced."""
        number = self._draw(len(self.edits))
        changed = change(self.edits[number])
        return None if changed is None else [*self.edits[:number], changed, *self.edits[number + 1 :]]

    def _draw(self, below: int) -> int:
        return int(self.generator.integers(below))

    def _other_words(self) -> Tokens:
        return self.words[self._draw(len(self.words))]

    def _places(self) -> list[int]:
        """Return where words begin, and the end."""
        return [*word_starts(self.source, self.begins_word), len(self.source)]


_MISTAKES: tuple[Callable[[_Example], list[Edit] | None], ...] = (
    _Example.change_nothing,
    _Example.leave_edits_out,
    _Example.write_other_words,
    _Example.write_nothing,
    _Example.edit_elsewhere,
    _Example.move_a_border,
    _Example.stumble,
)
_SHARES = np.array([0.1, 0.3, 0.22, 0.08, 0.1, 0.1, 0.1])
