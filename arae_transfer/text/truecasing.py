"""Truecasing: read the capitals of a typed line, and apply them to a rewrite."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

SENTENCE_ENDS = frozenset(".!?")
# Marks that leave the beginning of a sentence where it is.
_TRANSPARENT = frozenset(("``", "''", "'", '"', "(", ")", "[", "]", "-", "--", "*"))
# "It's" begins a sentence with a capital and is no name; "Joe's" is one.
_NO_NAMES = frozenset(
    """anyone everybody everyone everything food he here how it let no nobody nothing one service she somebody someone
    something that there this today what when where who""".split()  # noqa: SIM905
)
_FEWEST_SHOUTED_LETTERS = 4
_FEWEST_TITLE_WORDS = 4


@dataclass(frozen=True, slots=True)
class Casing:
    """Use of capitals in a line.

    Attributes:
        shouts: The whole line is in capitals.
        title: Every Word Begins With One.
        capitals: The line has a capital at all: its writer uses them, and "i" is "I".
        sentences: Sentences begin with one.
        names: Words with capitals in every position, such as "joe" -> "Joe".
    """

    shouts: bool
    title: bool
    capitals: bool
    sentences: bool
    names: Mapping[str, str]

    @classmethod
    def of(cls, words: Sequence[str], surfaces: Sequence[str]) -> Casing:
        """Return the casing of a tokenized line: the corpus's words and their typed forms."""
        typed = " ".join(surfaces)
        if typed == typed.lower():
            return cls(shouts=False, title=False, capitals=False, sentences=False, names={})
        names: dict[str, str] = {}
        capitalised = 0
        for index, (word, surface) in enumerate(zip(words, surfaces, strict=True)):
            if surface == word or not surface[:1].isalpha() or surface == surface.lower():
                continue
            simple = surface[0].isupper() and (surface[1:].islower() or len(surface) == 1)
            capitalised += simple
            if len(word) > 1 and "'" not in word and not (simple and _is_ordinary(words, index)):
                names[word] = surface
        shouts = typed.isupper() and sum(map(str.isalpha, typed)) >= _FEWEST_SHOUTED_LETTERS
        title = capitalised >= _FEWEST_TITLE_WORDS and capitalised == sum(s[:1].isalpha() for s in surfaces)
        # "12 dollars was what Joe's charged": the first word could not show it, so the others do.
        first = next((surface for surface in surfaces if surface[:1].isalpha()), "")
        sentences = surfaces[0][:1].isdecimal() or first != first.lower()
        return cls(shouts, title, True, sentences, {} if shouts or title else names)

    def spell(self, word: str, starts: bool) -> str:
        """Return a word of a lower-case corpus in this line's casing.

        Args:
            word: A word of the answer.
            starts: Whether it begins a sentence.
        """
        if not self.capitals:
            return word
        if self.shouts:
            return word.upper()
        if word in self.names:
            return self.names[word]
        if word == "i" or ((self.title or (starts and self.sentences)) and _takes_capital(word)):
            return word[0].upper() + word[1:]
        return word


def begins_next(word: str, starts: bool) -> bool:
    """Return whether the next word begins a sentence, given whether this one did."""
    return word in SENTENCE_ENDS or (starts and word in _TRANSPARENT)


def _is_ordinary(words: Sequence[str], index: int) -> bool:
    """Return whether a word may have its capital only because it begins a sentence."""
    before = index - 1
    while before >= 0 and words[before] in _TRANSPARENT:
        before -= 1
    if before >= 0 and words[before] not in SENTENCE_ENDS:
        return False
    owns = index + 1 < len(words) and words[index + 1] == "'s"
    return not owns or words[index] in _NO_NAMES


def _takes_capital(word: str) -> bool:
    return word[0].isalpha() and word != "n't" and "." not in word and "@" not in word and "/" not in word
