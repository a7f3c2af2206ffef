"""Bring a typed line to the corpus's form, and the model's answer back to the way in which it was typed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from arae_transfer.form.alignment import ABSENT, align
from arae_transfer.form.casing import SENTENCE_ENDS, Casing, begins_next
from arae_transfer.form.description import Form, FormChoice
from arae_transfer.form.pieces import cut, without_controls
from arae_transfer.form.recognition import recognizer
from arae_transfer.form.spacing import CLOSE_MARKS, CONTRACTED, QUOTES, blanks

# Written for a number of the answer that the typed line had none for. It claims nothing, and reads in every place
# that a number takes: "waited X minutes", "an X star hotel", "$X", "X%".
UNKNOWN_NUMBER = "X"
_AFTER_SENTENCE_END = frozenset(("''", "'", ")", "]"))


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

        No line raises; control characters and line breaks of an ordinary line become blanks.
        """
        if self._untouched or (self.choice == "auto" and self._is_in_form(line)):
            return line, _NOTHING
        words, surfaces, gaps = cut(line, self.form)
        if self._treebank:
            text = " ".join(words)
        else:
            text = "".join([part for pair in zip(gaps, words, strict=False) for part in pair]) + gaps[-1]
        return text, Memory(tuple(words), tuple(surfaces), tuple(gaps))

    def from_corpus(self, answer: str, memory: Memory) -> str:
        """Return the model's answer in the way in which the line was typed.

        What stands in the answer as it stood in the line is written as it was typed: blanks, capitals, quotes, "!!!".
        The rest is written by rule. The line's numbers fill the placeholders from left to right; those left over are
        left out, and a placeholder without a number becomes ``UNKNOWN_NUMBER``. A final period is dropped where the
        line had no final mark.

        Args:
            answer: The model's answer, in the corpus's form.
            memory: What ``to_corpus`` returned with the line.

        Returns:
            One line; never a line break.
        """
        answer = without_controls(answer)
        if not memory:
            return " ".join(answer.split()) if self._treebank and self.form.. else answer
        return ""
