"""Bring a typed line to the corpus's form, and the model's answer back to the way in which it was typed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from arae_transfer.form.alignment import ABSENT, align
from arae_transfer.form.casing import SENTENCE_ENDS, Casing, begins_next
from arae_transfer.form.description import Form, FormChoice
from arae_transfer.form.pieces import cut, without_controls
from arae_transfer.form.recognition import recognizer
from arae_transfer.form.spacing import CONTRACTED, blanks

# Written for a number of the answer that the typed line has none for. It claims nothing, and reads wherever a number
# does: "waited X minutes", "an X star hotel", "$X", "X%".
UNKNOWN_NUMBER = "X"
_FINAL_MARKS = frozenset((".", "!", "?", "..."))
_AFTER_FINAL_MARK = frozenset(("''", "'", '"', ")", "]"))
_TELLTALES = CONTRACTED | frozenset(".,!?;")
_STRAIGHT_QUOTES = {"``": '"', "''": '"'}


@dataclass(frozen=True, slots=True)
class Memory:
    """What must be undone in an answer; false when nothing must.

    Attributes:
        words: The typed line's words in the corpus's form.
        surfaces: How each was typed.
        gaps: The blanks before each, and those after the last.
    """

    words: tuple[str, ...] = ()
    surfaces: tuple[str, ...] = ()
    gaps: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.words)


_NOTHING = Memory()


class Writer:
    """Translator between a person's writing and the form of one model's corpus; threads may share it.

    ``auto`` decides line by line: what is surely in the form is left alone and answered in it, all else is taken for
    ordinary writing. ``ordinary`` and ``corpus`` decide for every line.
    """

    def __init__(self, form: Form, choice: FormChoice = "auto") -> None:
        self.form = form
        self.choice = choice
        self._untouched = choice == "corpus" or form == Form()
        self._treebank = form.tokens == "penn-treebank"
        self._is_in_form = recognizer(form)

    def to_corpus(self, line: str) -> tuple[str, Memory]:
        """Return the line as the corpus would write it, and what ``from_corpus`` must know about it.

        No line raises. Control characters and line breaks inside an ordinary line become blanks.
        """
        if self._untouched or (self.choice == "auto" and self._is_in_form(line)):
            return line, _NOTHING
        words, surfaces, gaps = cut(line, self.form)
        if self._treebank:
            text = " ".join(words)
        else:
            text = "".join([gap + word for gap, word in zip(gaps, words, strict=False)]) + gaps[-1]
        return text, Memory(tuple(words), tuple(surfaces), tuple(gaps))

    def from_corpus(self, answer: str, memory: Memory) -> str:
        """Return the model's answer in the way in which the line was typed.

        What follows in the answer on what it followed in the line is written as it was typed: blanks, capitals, curly
        quotes, "!!!". The rest is written by rule. The line's numbers fill the placeholders from left to right; those
        left over are left out, and a placeholder without a number becomes ``UNKNOWN_NUMBER``. A final period is left
        out where the line has no final mark.

        Args:
            answer: The model's answer, in the corpus's form.
            memory: What ``to_corpus`` returned with the line.

        Returns:
            One line; it never holds a line break.
        """
        answer = without_controls(answer)
        if not memory:
            return " ".join(answer.split()) if self._treebank else answer
        spaced = self._treebank and _is_spaced(memory)
        if self._treebank:
            words = answer.split()
            positions = align(memory.words, words)
            if not spaced and _has_idle_period(words, positions, memory.words):
                words.pop()
            gaps = [" "] * len(words) if spaced else blanks(words, self.form.number)
        else:
            words, _, gaps = cut(answer, self.form)
            positions = align(memory.words, words)
        if not words:
            return ""
        hand = _Hand.of(memory, self.form, spaced)
        numbers = iter([s for w, s in zip(memory.words, memory.surfaces, strict=True) if w == self.form.number])
        parts: list[str] = []
        previous, starts = -1, True
        for word, position, gap in zip(words, positions, gaps, strict=False):
            follows = position == previous + 1
            parts.append(memory.gaps[position] if follows else gap)
            if word == self.form.number:
                parts.append(next(numbers, UNKNOWN_NUMBER))
            elif follows:
                parts.append(memory.surfaces[position])
            else:
                parts.append(hand.write(word, starts))
            if starts or word in SENTENCE_ENDS:
                starts = begins_next(word, starts)
            previous = position
        parts[0] = memory.gaps[0]
        parts.append(memory.gaps[-1])
        return "".join(parts)


@dataclass(frozen=True, slots=True)
class _Hand:
    """How one line's writer writes a word that the line does not hold in the same place.

    Attributes:
        casing: The use of capitals; None where the corpus keeps them.
        marks: How the line types the marks that it holds.
        curly: Whether its apostrophes are curly.
    """

    casing: Casing | None
    marks: Mapping[str, str]
    curly: bool

    @classmethod
    def of(cls, memory: Memory, form: Form, spaced: bool) -> _Hand:
        casing = Casing.of(memory.words, memory.surfaces) if form.lower_case else None
        if form.tokens == "plain" or spaced:
            return cls(casing, {}, False)
        marks = {
            word: surface
            for word, surface in zip(memory.words, memory.surfaces, strict=True)
            if word != surface and surface and not surface[0].isalnum()
        }
        return cls(casing, _STRAIGHT_QUOTES | marks, "’" in " ".join(memory.surfaces))

    def write(self, word: str, starts: bool) -> str:
        """Return the word as typed; ``starts`` says that it begins a sentence."""
        mark = self.marks.get(word)
        if mark is not None:
            return mark
        if self.casing is not None:
            word = self.casing.spell(word, starts)
        return word.replace("'", "’") if self.curly else word


def _is_spaced(memory: Memory) -> bool:
    """Say whether the line has blanks before its marks and contractions more often than not."""
    balance = 0
    for index in range(1, len(memory.words)):
        if memory.words[index] in _TELLTALES:
            balance += 1 if memory.gaps[index] else -1
    return balance > 0


def _has_idle_period(words: Sequence[str], positions: Sequence[int], typed: Sequence[str]) -> bool:
    """Say whether the answer ends in a period that its writer would not have typed."""
    if not words or words[-1] != ".":
        return False
    if words[-2:-1] == ["..."]:
        return positions[-1] != positions[-2] + 1
    if positions[-1] != ABSENT:
        return False
    final = next((word for word in reversed(typed) if word not in _AFTER_FINAL_MARK), "")
    return final not in _FINAL_MARKS
