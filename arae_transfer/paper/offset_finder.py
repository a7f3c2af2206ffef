"""Offsets between groups of sentences: those with and without a word, or those of two files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from arae_transfer.errors import AraeError
from arae_transfer.paper.offsets import HasProperty, Offset, Pool, encoded_pool, with_word
from arae_transfer.runtime.code_space import CodeSpace
from arae_transfer.runtime.preparation import one_line
from arae_transfer.runtime.stream import Line
from arae_transfer.text import Normalizer

FEW = 20
"""Of a group so small the mean is mostly chance."""


@dataclass(frozen=True)
class FoundOffset:
    """An offset, and the groups that it was found by.

    Attributes:
        name: The word, or the file of the sentences that have the property.
        offset: The offset.
        having: How many sentences have the property.
        lacking: How many lack it.
    """

    name: str
    offset: Offset
    having: int
    lacking: int

    def measure(self, lines: Sequence[str], number: int) -> dict[str, Any]:
        """Return what moving some lines does, as a row of the table."""
        found = asdict(self.offset.measure(lines, number))
        return {"word": self.name, "with": self.having, "without": self.lacking, **found}

    def move(self, lines: Sequence[Line], normalizer: Normalizer) -> list[dict[str, Any]]:
        """Move lines towards the property; return a record of each."""
        typed = [normalizer.normalize(line.text) for line in lines]
        answers = self.offset.apply([text for text, _ in typed])
        records = []
        for line, (_, surface), answer in zip(lines, typed, answers, strict=True):
            text = normalizer.restore(answer.output, surface) if answer.strength else line.text
            records.append(
                {
                    "source": line.text,
                    "output": one_line(text),
                    "match": answer.match,
                    "strength": round(answer.strength, 4),
                    "precision": round(answer.precision, 4),
                }
            )
        return records


@dataclass(frozen=True)
class OffsetFinder:
    """Finds the offsets between groups of sentences.

    Attributes:
        space: The model's code space.
        class_name: The class whose decoder writes.
        normalizer: Brings sentences to the corpus's text format.
        strengths: The strengths that are tried.
        read: Returns the sentences of a file.
        say: Reports a message to the user.
    """

    space: CodeSpace
    class_name: str
    normalizer: Normalizer
    strengths: Sequence[float]
    read: Callable[[Path], list[str]]
    say: Callable[[str], None]

    def read_pool(self, path: Path) -> Pool:
        """Return the sentences of a file with their codes."""
        return encoded_pool(self.space, [self.normalizer.normalize(line)[0] for line in self.read(path)])

    def of_word(self, word: str, own: Pool, name: str) -> FoundOffset:
        """Return the offset from sentences without a word to those with it.

        Args:
            word: The word.
            own: The sentences.
            name: What the word is called in messages and tables.

        Raises:
            AraeError: All sentences have it, or none.
        """
        has = with_word(self.normalizer.normalize(word)[0])
        chosen = has(own.lines)
        wanted, other = own.where(chosen), own.where([not each for each in chosen])
        if not wanted.lines or not other.lines:
            raise AraeError(
                f"{'none' if not wanted.lines else 'all'} of {len(own.lines):,} sentences have the word {name!r}",
                "give --corpus FILE with and without it, or another word.",
            )
        return self.of_groups(name, wanted, other, has)

    def of_groups(self, name: str, wanted: Pool, other: Pool, has: HasProperty | None) -> FoundOffset:
        """Return the offset from one group of sentences to another."""
        if min(len(wanted.lines), len(other.lines)) < FEW:
            self.say(
                f"{name}: the groups have only {len(wanted.lines):,} and {len(other.lines):,} sentences; their "
                "difference is mostly chance"
            )
        offset = Offset(self.space, self.class_name, wanted, other, has, self.strengths)
        return FoundOffset(name, offset, len(wanted.lines), len(other.lines))
