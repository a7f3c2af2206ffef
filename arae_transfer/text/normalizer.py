"""Bring a typed line to the corpus's form, and the model's answer back to the way in which it was typed."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from arae_transfer.text.alignment import ABSENT, align
from arae_transfer.text.characters import fold
from arae_transfer.text.detokenizer import CONTRACTED, spaces_before
from arae_transfer.text.format import FormatChoice, TextFormat
from arae_transfer.text.recognition import recognizer
from arae_transfer.text.treebank import is_verbatim, may_hold_verbatim, tokenize, without_controls
from arae_transfer.text.truecasing import SENTENCE_ENDS, Casing, begins_next

# Written for a number of the answer that the typed line has none for. It claims nothing, and reads wherever a number
# does: "waited X minutes", "an X star hotel", "$X", "X%".
UNKNOWN_NUMBER = "X"
_FINAL_MARKS = frozenset((".", "!", "?", "..."))
_AFTER_FINAL_MARK = frozenset(("''", "'", '"', ")", "]"))
_TELLTALES = CONTRACTED | frozenset(".,!?;")
_STRAIGHT_QUOTES = {"``": '"', "''": '"'}


@dataclass(frozen=True, slots=True)
class CarriedSpan:
    """A word that the model does not read, such as an emoji, an address or a tag; it keeps its place in the answer.

    Attributes:
        before: The position of the read word that it stands before.
        gap: The blanks before it.
        surface: How it was typed.
    """

    before: int
    gap: str
    surface: str


@dataclass(frozen=True, slots=True)
class SurfaceForm:
    """What must be undone in an answer; false when nothing must.

    Attributes:
        words: The typed line's words in the corpus's form.
        surfaces: How each was typed.
        gaps: The blanks before each, and those after the last.
        carried: The words that are carried past the model, in order; they are not among the others.
    """

    words: tuple[str, ...] = ()
    surfaces: tuple[str, ...] = ()
    gaps: tuple[str, ...] = ()
    carried: tuple[CarriedSpan, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.words or self.carried)


_NOTHING = SurfaceForm()


class Normalizer:
    """Translator between a person's writing and the form of one model's corpus; threads may share it.

    ``auto`` decides line by line: what is surely in the form is left alone and answered in it, all else is taken for
    ordinary writing. ``ordinary`` and ``corpus`` decide for every line.
    """

    def __init__(self, form: TextFormat, choice: FormatChoice = "auto") -> None:
        self.form = form
        self.choice = choice
        self._untouched = choice == "corpus" or form == TextFormat()
        self._treebank = form.tokens == "penn-treebank"
        self._is_in_form = recognizer(form)

    def normalize(self, line: str, known: Collection[str] | None = None) -> tuple[str, SurfaceForm]:
        """Return the line as the corpus would write it, and what ``restore`` must know about it.

        No line raises. Control characters and line breaks inside an ordinary line become blanks.

        Args:
            line: The line.
            known: The characters that the model reads, for a line that has others, addresses or tags: accents are then
                left out, and words with other characters, such as emoji, addresses and tags are carried past the model.
                A line that has more words with other characters than words without is written as if all characters
                were known, and so is one that is said to be in the form. One of addresses and tags alone is written
                as nothing.
        """
        if known is not None and self.choice != "corpus":
            text, surface = self._in_known_characters(line, known)
            if surface:
                return text, surface
        if self._untouched or (self.choice == "auto" and self._is_in_form(line)):
            return line, _NOTHING
        words, surfaces, gaps = tokenize(line, self.form)
        return self._join(words, gaps), SurfaceForm(tuple(words), tuple(surfaces), tuple(gaps))

    def forget_after(self, surface: SurfaceForm, read: str) -> SurfaceForm:
        """Return what must be known of a line of which the model read only the beginning, ``read``."""
        if not surface.carried:
            return surface
        words = len(read.split() if self._treebank else tokenize(read, self.form).words)
        return replace(surface, carried=tuple(each for each in surface.carried if each.before < words))

    def may_hold_verbatim(self, line: str) -> bool:
        """Say whether a line may hold an address or a tag, which is to be carried past the model."""
        return self.choice != "corpus" and may_hold_verbatim(line)

    def _in_known_characters(self, line: str, known: Collection[str]) -> tuple[str, SurfaceForm]:
        """Write a line in known characters; nothing is remembered where most of its words have others, or none has."""
        tokenized = tokenize(line, self.form)
        words: list[str] = []
        surfaces: list[str] = []
        gaps: list[str] = []
        carried: list[CarriedSpan] = []
        unknown = 0
        for word, surface, gap in zip(tokenized.words, tokenized.surfaces, tokenized.gaps, strict=False):
            folded: str | None = word  # the placeholder of numbers is read as a whole
            verbatim = is_verbatim(surface)
            if verbatim:
                folded = None
            elif word != self.form.number:
                folded = fold(word, known, lower_case=self.form.lower_case)
            if folded is None:
                carried.append(CarriedSpan(len(words), gap, surface))
                unknown += not verbatim
            else:
                words.append(folded)
                surfaces.append(surface)
                gaps.append(gap)
        if unknown > len(words) or (not carried and words == tokenized.words):
            return line, _NOTHING
        gaps.append(tokenized.gaps[-1])
        # Words between which others stood, and no blank, are still two.
        parted = {each.before for each in carried} - {0}
        apart = [gap or " " if place in parted else gap for place, gap in enumerate(gaps)]
        return self._join(words, apart), SurfaceForm(tuple(words), tuple(surfaces), tuple(gaps), tuple(carried))

    def _join(self, words: Sequence[str], gaps: Sequence[str]) -> str:
        if self._treebank:
            return " ".join(words)
        return "".join([gap + word for gap, word in zip(gaps, words, strict=False)]) + gaps[-1]

    def restore(self, answer: str, surface: SurfaceForm) -> str:
        """Return the model's answer in the way in which the line was typed.

        What follows in the answer on what it followed in the line is written as it was typed: blanks, capitals, curly
        quotes, "!!!". The rest is written by rule. The line's numbers fill the placeholders from left to right; those
        left over are left out, and a placeholder without a number becomes ``UNKNOWN_NUMBER``. A final period is left
        out where the line has no final mark. What was carried past the model stands before the word that it stood
        before, or what is written for it, or where the next one of the line is, or at the end.

        Args:
            answer: The model's answer, in the corpus's form.
            surface: What ``normalize`` returned with the line.

        Returns:
            One line; it never holds a line break.
        """
        answer = without_controls(answer)
        if not surface:
            return _single_blanks(answer) if self._treebank else answer
        spaced = self._treebank and _is_spaced(surface)
        if self._treebank:
            words = answer.split()
            positions = align(surface.words, words)
            if not spaced and _has_idle_period(words, positions, surface.words):
                words.pop()
            gaps = [" "] * len(words) if spaced else spaces_before(words, self.form.number)
        else:
            words, _, gaps = tokenize(answer, self.form)
            positions = align(surface.words, words)
        if not words and not surface.carried:
            return ""
        hand = _WriterStyle.of(surface, self.form, spaced)
        numbers: Iterator[str] = iter(())
        if self.form.number in surface.words:
            numbers = iter([s for w, s in zip(surface.words, surface.surfaces, strict=True) if w == self.form.number])
        carried = list(reversed(surface.carried))
        parts: list[str] = []
        previous, reached, starts = -1, 0, True
        if gaps:
            gaps[0] = surface.gaps[0]
        for word, position, gap in zip(words, positions, gaps, strict=False):
            # A new word stands behind what stood before the words that it is written for; what stood at the end stays.
            place = position if position != ABSENT else min(reached, len(surface.words) - 1)
            while carried and carried[-1].before <= place:
                parts += (carried[-1].gap, carried[-1].surface)
                gap = surface.gaps[carried.pop().before]
            follows = position == previous + 1
            parts.append(surface.gaps[position] if follows else gap)
            if word == self.form.number:
                parts.append(next(numbers, UNKNOWN_NUMBER))
            elif follows:
                parts.append(surface.surfaces[position])
            else:
                parts.append(hand.write(word, starts))
            if starts or word in SENTENCE_ENDS:
                starts = begins_next(word, starts)
            previous = position
            reached = max(reached, position + 1)
        for left in reversed(carried):
            parts += (left.gap, left.surface)
        parts.append(surface.gaps[-1])
        return "".join(parts)


@dataclass(frozen=True, slots=True)
class _WriterStyle:
    """How one line's writer writes a word that the line does not hold in the same place.

    Attributes:
        casing: The use of capitals; None where the corpus keeps them.
        marks: How the line types the marks that it holds.
        curly: Whether its apostrophes are curly.
        accents: Its words that the model reads without their accents, with them.
    """

    casing: Casing | None
    marks: Mapping[str, str]
    curly: bool
    accents: Mapping[str, str]

    @classmethod
    def of(cls, surface: SurfaceForm, form: TextFormat, spaced: bool) -> _WriterStyle:
        casing = Casing.of(surface.words, surface.surfaces) if form.lower_case else None
        typed = " ".join(surface.surfaces)
        accents: dict[str, str] = {}
        if not typed.isascii():
            accents = {
                word: surface.lower() if form.lower_case else surface
                for word, surface in zip(surface.words, surface.surfaces, strict=True)
                if not surface.isascii() and surface[0].isalpha()
            }
        if form.tokens == "plain" or spaced:
            return cls(casing, {}, False, accents)
        marks = {
            word: surface
            for word, surface in zip(surface.words, surface.surfaces, strict=True)
            if word != surface and surface and not surface[0].isalnum()
        }
        return cls(casing, _STRAIGHT_QUOTES | marks, "’" in typed, accents)

    def write(self, word: str, starts: bool) -> str:
        """Return the word as typed; ``starts`` says that it begins a sentence."""
        mark = self.marks.get(word)
        if mark is not None:
            return mark
        if self.casing is None:
            word = self.accents.get(word, word)
        elif word in self.accents and word not in self.casing.names:
            word = self.casing.spell(self.accents[word], starts)
        else:
            word = self.casing.spell(word, starts)
        return word.replace("'", "’") if self.curly else word


def _single_blanks(answer: str) -> str:
    """Return a text with one blank between its words and none at its ends."""
    # As nearly all are; no other blank is printable.
    if answer.isprintable() and "  " not in answer and answer[:1] != " " and answer[-1:] != " ":
        return answer
    return " ".join(answer.split())


def _is_spaced(surface: SurfaceForm) -> bool:
    """Say whether the line has blanks before its marks and contractions more often than not."""
    balance = 0
    for index in range(1, len(surface.words)):
        if surface.words[index] in _TELLTALES:
            balance += 1 if surface.gaps[index] else -1
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
