"""Degrade parallel examples like typical model errors, as negative examples of the quality estimator."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from arae_transfer.editing.edits import Edit, word_starts

Tokens = tuple[int, ...]
# Given a source, its edits, the words of other edits, where words begin and randomness: worse edits, or None where
# this mistake cannot be made.
_Mistake = Callable[
    [Sequence[int], Sequence[Edit], Sequence[Tokens], Sequence[bool], np.random.Generator], list[Edit] | None
]


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
        words: What the edits of other examples of the same target class write, to draw from.
        begins_word: (vocabulary,) whether a token begins a word.
        generator: The source of randomness.
    """
    if not edits or not words:
        return None
    mistake = _MISTAKES[int(generator.choice(len(_MISTAKES), p=_SHARES))]
    found = mistake(source, edits, words, begins_word, generator)
    return None if found is not None and list(found) == list(edits) else found


def _change_nothing(
    source: Sequence[int],
    edits: Sequence[Edit],
    words: Sequence[Tokens],
    begins_word: Sequence[bool],
    generator: np.random.Generator,
) -> list[Edit] | None:
    return []


def _leave_edits_out(
    source: Sequence[int],
    edits: Sequence[Edit],
    words: Sequence[Tokens],
    begins_word: Sequence[bool],
    generator: np.random.Generator,
) -> list[Edit] | None:
    """Omit some of the edits."""
    if len(edits) < 2:
        return None
    kept = generator.permutation(len(edits))[: int(generator.integers(1, len(edits)))]
    return [edits[number] for number in sorted(kept.tolist())]


def _write_other_words(
    source: Sequence[int],
    edits: Sequence[Edit],
    words: Sequence[Tokens],
    begins_word: Sequence[bool],
    generator: np.random.Generator,
) -> list[Edit] | None:
    """Insert unrelated words of the target class."""
    return _replaced(edits, generator, lambda edit: edit._replace(tokens=words[int(generator.integers(len(words)))]))


def _write_nothing(
    source: Sequence[int],
    edits: Sequence[Edit],
    words: Sequence[Tokens],
    begins_word: Sequence[bool],
    generator: np.random.Generator,
) -> list[Edit] | None:
    """Delete words without a replacement."""
    return _replaced(
        edits, generator, lambda edit: edit._replace(tokens=()) if edit.tokens and edit.start < edit.stop else None
    )


def _edit_elsewhere(
    source: Sequence[int],
    edits: Sequence[Edit],
    words: Sequence[Tokens],
    begins_word: Sequence[bool],
    generator: np.random.Generator,
) -> list[Edit] | None:
    """Edit a span that needs no change."""
    places = [*word_starts(source, begins_word), len(source)]
    first = int(generator.integers(len(places)))
    last = min(len(places) - 1, first + int(generator.integers(3)))
    start, stop = places[first], places[last]
    if any(edit.start <= stop and start <= edit.stop for edit in edits):
        return None
    return sorted([*edits, Edit(start, stop, words[int(generator.integers(len(words)))])])


def _move_a_border(
    source: Sequence[int],
    edits: Sequence[Edit],
    words: Sequence[Tokens],
    begins_word: Sequence[bool],
    generator: np.random.Generator,
) -> list[Edit] | None:
    """Extend or shorten a replaced span by a word."""
    places = [*word_starts(source, begins_word), len(source)]
    number = int(generator.integers(len(edits)))
    edit = edits[number]
    least = edits[number - 1].stop + 1 if number else 0
    most = edits[number + 1].start - 1 if number + 1 < len(edits) else len(source)
    open_places = [place for place in places if least <= place <= most]
    if generator.random() < 0.3:
        start, stop = edit.start, edit.stop
        earlier = [place for place in open_places if place <= stop and place != start]
        if earlier:
            start = earlier[int(generator.integers(len(earlier)))]
    else:
        start, stop = edit.start, edit.stop
        later = [place for place in open_places if place >= start and place != stop]
        if later:
            stop = later[int(generator.integers(len(later)))]
    if (start, stop) == (edit.start, edit.stop) or (start == stop and not edit.tokens):
        return None
    return [*edits[:number], Edit(start, stop, edit.tokens), *edits[number + 1 :]]


def _stumble(
    source: Sequence[int],
    edits: Sequence[Edit],
    words: Sequence[Tokens],
    begins_word: Sequence[bool],
    generator: np.random.Generator,
) -> list[Edit] | None:
    """Drop an inserted word, or repeat one."""

    def stumble(edit: Edit) -> Edit | None:
        starts = [*word_starts(edit.tokens, begins_word), len(edit.tokens)]
        number = int(generator.integers(max(1, len(starts) - 1)))
        if generator.random() < 0.5:
            if len(starts) < 3:
                return None
            return edit._replace(tokens=(*edit.tokens[: starts[number]], *edit.tokens[starts[number + 1] :]))
        if not edit.tokens:
            return None
        return edit._replace(tokens=(*edit.tokens[: starts[number + 1]], *edit.tokens[starts[number] :]))

    return _replaced(edits, generator, stumble)


def _replaced(
    edits: Sequence[Edit], generator: np.random.Generator, change: Callable[[Edit], Edit | None]
) -> list[Edit] | None:
    """Return the edits with one replaced."""
    number = int(generator.integers(len(edits)))
    changed = change(edits[number])
    return None if changed is None else [*edits[:number], changed, *edits[number + 1 :]]


_MISTAKES: tuple[_Mistake, ...] = (
    _change_nothing,
    _leave_edits_out,
    _write_other_words,
    _write_nothing,
    _edit_elsewhere,
    _move_a_border,
    _stumble,
)
_SHARES = np.array([0.1, 0.3, 0.22, 0.08, 0.1, 0.1, 0.1])
