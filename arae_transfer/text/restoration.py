"""Restore a rewrite to the form in which its line was typed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations

from arae_transfer.text.alignment import ABSENT, align
from arae_transfer.text.detokenizer import CLOSE_MARKS, CONTRACTED, QUOTES, spaces_before
from arae_transfer.text.format import TextFormat
from arae_transfer.text.surface import SurfaceForm
from arae_transfer.text.treebank import MERGED_PAIRS, tokenize, without_controls
from arae_transfer.text.truecasing import SENTENCE_ENDS, Casing, begins_next

# Written for a number of the answer that the typed line has none for. It claims nothing, and reads wherever a number
# does: "waited X minutes", "an X star hotel", "$X", "X%".
UNKNOWN_NUMBER = "X"
_FINAL_MARKS = frozenset((".", "!", "?", "..."))
_AFTER_FINAL_MARK = frozenset(("''", "'", '"', ")", "]"))
_TELLTALES = CONTRACTED | frozenset(".,!?;")
_STRAIGHT_QUOTES = {"``": '"', "''": '"'}
_MOST_PERMUTED = 5


class Restorer:
    """Restores rewrites of a model whose corpus has a format; thread-safe."""

    def __init__(self, form: TextFormat) -> None:
        self._form = form
        self._treebank = form.tokens == "penn-treebank"

    def restore(self, answer: str, surface: SurfaceForm) -> str:
        """Return the rewrite in the typed form.

        Words that the answer shares with the line keep their typed form: blanks, capitals, curly quotes, "!!!". A new
        word takes the blanks of the word that it replaces; the rest follows rules. A placeholder becomes the number of
        the line among the same words; without one it becomes ``UNKNOWN_NUMBER``. In a lower-case corpus the answer
        ends with the line's own final mark, or with none; a model of a corpus with capitals writes its own. A carried
        span stays before the word that followed it, or before its replacement, or before the next word of the line, or
        at the end.

        Args:
            answer: The model's answer, in the corpus's text format.
            surface: What ``Normalizer.normalize`` returned with the line.

        Returns:
            One line; it never holds a line break.
        """
        answer = without_controls(answer)
        if not surface:
            return _single_blanks(answer) if self._treebank else answer
        spaced = self._treebank and _is_spaced(surface)
        if self._treebank:
            words = answer.split()
            self._end(words, surface.words)
            rule = [" "] * len(words) if spaced else spaces_before(words, self._form.number)
        else:
            words, _, rule, _ = tokenize(answer, self._form)
            self._end(words, surface.words, rule)
        if not words and not surface.carried:
            return ""
        positions = align(surface.words, words)
        gaps = _gaps(words, positions, rule, surface)
        numbers = _numbers(words, positions, surface, self._form.number)
        style = _WriterStyle.of(surface, self._form, spaced)
        carried = list(reversed(surface.carried))
        parts: list[str] = []
        previous, reached, starts = -1, 0, True
        for index, (word, position, gap) in enumerate(zip(words, positions, gaps, strict=False)):
            # A new word stands behind what stood before the words that it is written for; what stood at the end stays.
            place = position if position != ABSENT else min(reached, len(surface.words) - 1)
            while carried and carried[-1].before <= place:
                parts += (carried[-1].gap, carried[-1].surface)
                gap = surface.gaps[carried.pop().before]
            if position == previous + 1:
                written = surface.surfaces[position]
            elif position != ABSENT and not word.isalpha():
                written = surface.surfaces[position] or word
            else:
                written = style.write(word, starts)
            if word == self._form.number:
                written = numbers[index]
            typed_joined = position == previous + 1 and not surface.gaps[position]
            if not gap and not typed_joined and _would_join(parts, written, words[index - 1], word):
                gap = " "
            parts += (gap, written)
            if starts or word in SENTENCE_ENDS:
                starts = begins_next(word, starts)
            previous = position
            reached = max(reached, position + 1)
        for left in reversed(carried):
            parts += (left.gap, left.surface)
        parts.append(surface.gaps[-1])
        return surface.escapes.restore("".join(parts))

    def _end(self, words: list[str], typed: Sequence[str], rule: list[str] | None = None) -> None:
        """Give a rewrite its final marks: the line's own, or the model's where the corpus has capitals."""
        if self._form.lower_case:
            _take_final_mark(words, typed, rule)
        elif self._treebank and words[-2:] == ["...", "."] != list(typed[-2:]):
            words.pop()  # a treebank corpus writes "..." at the end of a line as "... ."


def _take_final_mark(words: list[str], typed: Sequence[str], rule: list[str] | None = None) -> None:
    """Replace a rewrite's final marks by the line's; ``rule`` is the spaces before its words."""
    start, stop = _final_marks(words)
    typed_start, typed_stop = _final_marks(typed)
    if start == 0 or typed_start == 0 or words[start:stop] == list(typed[typed_start:typed_stop]):
        return
    if start == stop and not word_like(words[start - 1]):
        return  # after a bracket or a quotation a mark would be one too many
    words[start:stop] = typed[typed_start:typed_stop]
    if rule is not None:
        rule[start:stop] = [""] * (typed_stop - typed_start)


def _final_marks(words: Sequence[str]) -> tuple[int, int]:
    """Return start and end of a line's final marks, without closing quotes and brackets."""
    stop = len(words)
    while stop and words[stop - 1] in _AFTER_FINAL_MARK:
        stop -= 1
    if not stop or words[stop - 1] not in _FINAL_MARKS:
        return len(words), len(words)
    start = stop
    while start and words[start - 1] in _FINAL_MARKS:
        start -= 1
    return start, stop


def _gaps(words: Sequence[str], positions: Sequence[int], rule: Sequence[str], surface: SurfaceForm) -> list[str]:
    """Return the spaces before each word of a rewrite: the line's own, else those of a rule."""
    gaps = list(rule[: len(words)])
    typed, typed_gaps = surface.words, surface.gaps
    begun, last = 0, -1  # the words since the last one that goes on in the line, and its position there
    for index in range(len(words) + 1):
        position = positions[index] if index < len(words) else len(typed)
        if position <= last:
            continue  # new, or moved
        old, new = position - last - 1, index - begun
        if new and old:
            for offset in range(min(new, old) if new == old else 1):
                place = begun + offset
                if tuple(words[max(place - 1, 0) : place + 1]) in MERGED_PAIRS:
                    continue  # "wan na" is one word, wherever it stands
                if _kind(words[place]) == _kind(typed[last + 1 + offset]):
                    gaps[place] = typed_gaps[last + 1 + offset]
        elif new and index < len(words) and typed_gaps[position] and rule[begun] and word_like(words[index]):
            gaps[begun] = typed_gaps[position]
        if index < len(words):
            own = typed_gaps[position]
            if not old or new:
                gaps[index] = own if own or not new or not word_like(words[index]) else gaps[index]
                if new and old and not own:
                    gaps[index] = own
            else:
                gaps[index] = own or (rule[index] and (typed_gaps[last + 1] or rule[index]))
        begun, last = index + 1, position
    if gaps:
        gaps[0] = typed_gaps[0]
    return gaps


def word_like(word: str) -> bool:
    """Return whether a word is not punctuation."""
    return word[:1].isalnum()


def _kind(word: str) -> str:
    if word in CONTRACTED:
        return "contracted"
    if word in CLOSE_MARKS:
        return "mark"
    return "word" if word_like(word) or word[:1] in "_'" else word


def _would_join(parts: Sequence[str], written: str, previous: str, word: str) -> bool:
    """Return whether two words would merge without a space, against ordinary spelling."""
    if not parts or word in CONTRACTED or (previous, word) in MERGED_PAIRS:
        return False
    before = next((part for part in reversed(parts) if part), "")
    return before[-1:].isalnum() and written[:1].isalnum()


def _numbers(words: Sequence[str], positions: Sequence[int], surface: SurfaceForm, number: str) -> dict[int, str]:
    """Return which number of the line each placeholder of the rewrite stands for.

    A placeholder gets the number with the most equal words around it.
    """
    if not number or number not in words:
        return {}
    places = [index for index, word in enumerate(words) if word == number]
    typed = [position for position, word in enumerate(surface.words) if word == number]
    nearness = [[_likeness(words, index, surface.words, position) for position in typed] for index in places]
    if len(places) <= _MOST_PERMUTED and len(typed) <= _MOST_PERMUTED:
        slots = [*range(len(typed)), *[-1] * max(0, len(places) - len(typed))]
        best = max(
            permutations(slots, len(places)),
            key=lambda chosen: (
                sum(nearness[row][slot] for row, slot in enumerate(chosen) if slot >= 0),
                [slot for slot in chosen if slot >= 0] == sorted(slot for slot in chosen if slot >= 0),
            ),
        )
    else:
        found = {position: slot for slot, position in enumerate(typed)}
        best = tuple(found.get(positions[index], -1) for index in places)
    return {
        index: surface.surfaces[typed[slot]] if slot >= 0 else UNKNOWN_NUMBER
        for index, slot in zip(places, best, strict=True)
    }


def _likeness(words: Sequence[str], index: int, typed: Sequence[str], position: int) -> float:
    """Return how many words around a placeholder equal those around a number, weighted by proximity."""
    total = 0.0
    for distance, weight in ((1, 2.0), (-1, 1.5), (2, 1.0), (-2, 0.5)):
        one, other = index + distance, position + distance
        if 0 <= one < len(words) and 0 <= other < len(typed) and words[one] == typed[other]:
            total += weight
    return total


@dataclass(frozen=True, slots=True)
class _WriterStyle:
    """How a line's writer types a word that the line does not have at the same position.

    Attributes:
        casing: The use of capitals; None: the corpus keeps them.
        marks: The typed form of the line's marks.
        apostrophe: The typed form of its apostrophes; empty: straight.
        accents: The words that the model reads without accents, with their accents.
    """

    casing: Casing | None
    marks: Mapping[str, str]
    apostrophe: str
    accents: Mapping[str, str]

    @classmethod
    def of(cls, surface: SurfaceForm, form: TextFormat, spaced: bool) -> _WriterStyle:
        """Read the style of a line."""
        pairs = list(zip(surface.words, surface.surfaces, strict=True))
        casing = Casing.of(surface.words, surface.surfaces) if form.lower_case and pairs else None
        typed = " ".join(surface.surfaces)
        accents: dict[str, str] = {}
        if not typed.isascii():
            accents = {
                word: written.lower() if form.lower_case else written
                for word, written in pairs
                if not written.isascii() and written[0].isalpha()
            }
        if form.tokens == "plain":
            return cls(casing, {}, "", accents)
        marks = {
            word: written
            for word, written in pairs
            if word != written and written and not written[0].isalnum() and (not spaced or word in QUOTES)
        }
        if spaced:
            return cls(casing, marks, "", accents)
        apostrophe = "’" if "’" in typed else surface.escapes.private("'") or ""
        return cls(casing, _STRAIGHT_QUOTES | marks, apostrophe, accents)

    def write(self, word: str, starts: bool) -> str:
        """Return the word as typed; ``starts`` marks the beginning of a sentence."""
        mark = self.marks.get(word)
        if mark is not None:
            return mark
        if self.casing is None:
            word = self.accents.get(word, word)
        elif word in self.accents and word not in self.casing.names:
            word = self.casing.spell(self.accents[word], starts)
        else:
            word = self.casing.spell(word, starts)
        return word.replace("'", self.apostrophe) if self.apostrophe else word


def _single_blanks(answer: str) -> str:
    """Return a text with single spaces between its words and none at its ends."""
    # As nearly all are; no other blank is printable.
    if answer.isprintable() and "  " not in answer and answer[:1] != " " and answer[-1:] != " ":
        return answer
    return " ".join(answer.split())


def _is_spaced(surface: SurfaceForm) -> bool:
    """Return whether most of the line's marks and contractions follow a space."""
    balance = 0
    for index in range(1, len(surface.words)):
        if surface.words[index] in _TELLTALES:
            balance += 1 if surface.gaps[index] else -1
    return balance > 0
