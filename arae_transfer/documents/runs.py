"""Text with inline markup: extract sentences for the model, and put the markup back into rewrites.

A model reads plain text. The source of a run holds more: tags, emphasis marks, escapes, line breaks. A run knows for
each plain character how the source writes it, and between which characters the markup stands. An answer is aligned
with the plain text word by word: words that stay are written as the source has them, and markup goes to the place
between words that corresponds to its own.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from enum import Enum
from functools import partial
from itertools import pairwise

from arae_transfer.runtime.preparation import LONGEST_SPLIT
from arae_transfer.text.sentences import split_sentences

Escape = Callable[[str], str]

_TOKEN = re.compile(r"\w+(?:['’]\w+)*|[^\w\s]")
_UNREADABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff]")


class Side(Enum):
    """Side of a mark in its pair."""

    OPEN = "open"
    CLOSE = "close"
    ALONE = "alone"


@dataclass(frozen=True, slots=True)
class Mark:
    """Markup that the model does not see.

    Attributes:
        raw: How the source writes it.
        side: Whether it opens or closes something, or stands alone.
    """

    raw: str
    side: Side


@dataclass(slots=True)
class Span:
    """Sentence of a run: the positions of its first character and after its last one."""

    start: int
    end: int


class Run:
    """Plain text and its source form, built from left to right.

    Attributes:
        plain: The text that a model reads; complete when the run is.
    """

    def __init__(self) -> None:
        self._plain: list[str] = []
        self._raws: list[str] = []  # of each plain character; "" where it belongs to the one before it
        self._mark_places: list[int] = []
        self._marks: list[Mark] = []
        self._atoms: list[Span] = []
        self._breaks: list[int] = []
        self._literal = True

    @property
    def plain(self) -> str:
        """Plain text."""
        return "".join(self._plain)

    def add_text(self, text: str) -> None:
        """Add text that equals its source."""
        self._plain.extend(text)
        self._raws.extend(text)

    def add_written(self, text: str, raw: str) -> None:
        """Add text with another source: an entity, an escape, several spaces that count as one."""
        if not text:
            self.add_mark(raw, Side.ALONE)
            return
        self._literal = False
        self._plain.extend(text)
        self._raws.append(raw)
        self._raws.extend([""] * (len(text) - 1))

    def add_break(self, raw: str) -> None:
        """Add a line break that ends a sentence and stays in place."""
        self._breaks.append(len(self._plain))
        self.add_written("\n", raw)

    def add_mark(self, raw: str, side: Side) -> None:
        """Add markup that the model does not see."""
        self._literal = False
        self._mark_places.append(len(self._plain))
        self._marks.append(Mark(raw, side))

    def add_atom(self, shown: str, raw: str) -> None:
        """Add an unchangeable element, such as code; the model reads ``shown`` in its place."""
        start = len(self._plain)
        self.add_written(shown, raw)
        self._atoms.append(Span(start, len(self._plain)))

    def sentences(self) -> list[Span]:
        """Return the sentences to rewrite: with letters, and without unreadable characters."""
        plain = self.plain
        found: list[Span] = []
        start = 0
        for end in [*self._breaks, len(plain)]:
            found += self._cut(plain, start, end)
            start = end
        return [each for each in found if self._is_text(plain, each)]

    def _cut(self, plain: str, start: int, end: int) -> list[Span]:
        cut = split_sentences(plain[start:end])
        spans: list[Span] = []
        for text, gap in zip(cut.texts, (*cut.gaps, ""), strict=True):
            stop = start + len(text)
            if spans and any(atom.start < start < atom.end for atom in self._atoms):
                spans[-1].end = stop  # the end of a sentence was found inside something that is one
            else:
                spans.append(Span(start, stop))
            start = stop + len(gap)
        for span in spans:
            text = plain[span.start : span.end]
            span.end -= len(text) - len(text.rstrip())
            span.start = min(span.start + len(text) - len(text.lstrip()), span.end)
        return spans

    def _is_text(self, plain: str, span: Span) -> bool:
        text = plain[span.start : span.end]
        if len(text) > LONGEST_SPLIT or _UNREADABLE.search(text):
            return False
        for atom in self._atoms:
            if span.start <= atom.start < span.end:
                text = text.replace(plain[atom.start : atom.end], " ")
        return any(map(str.isalpha, text))

    def source(self, start: int, end: int, *, edges: bool) -> str:
        """Return the source of a part.

        Args:
            start: The position of the first plain character.
            end: The position behind the last one.
            edges: Whether markup at the two ends belongs to it; markup between them always does.
        """
        if self._literal:
            return "".join(self._raws[start:end])
        find_first, find_last = (bisect_left, bisect_right) if edges else (bisect_right, bisect_left)
        first = find_first(self._mark_places, start)
        last = max(first, find_last(self._mark_places, end))
        parts: list[str] = []
        for place, mark in zip(self._mark_places[first:last], self._marks[first:last], strict=True):
            parts += self._raws[start:place]
            parts.append(mark.raw)
            start = place
        parts += self._raws[start:end]
        return "".join(parts)

    def weave(self, span: Span, answer: str, escape: Escape) -> str | None:
        """Return the source form of a rewritten sentence.

        Args:
            span: The sentence.
            answer: What takes its place.
            escape: Writes new text so that it is read as it is.

        Returns:
            The answer with the sentence's markup, or None where the answer has lost or doubled what must stay.
        """
        if self._literal:
            return escape(answer)
        return _Weaver(self, span, escape).weave(answer)


@dataclass(slots=True)
class _Blank:
    """White space in the source, and its markup: part of a gap between two words.

    Attributes:
        raw: How the source writes it.
        gap: The number of the gap.
    """

    raw: str
    gap: int = -1


_Gap = list["Mark | _Blank"]


class _Weaver:
    """Puts the markup into one rewrite of one sentence."""

    def __init__(self, run: Run, span: Span, escape: Escape) -> None:
        self._run = run
        self._span = span
        self._escape = escape
        self._plain = run.plain
        self._atoms = [each for each in run._atoms if span.start <= each.start < span.end]
        self._words: list[Span] = []
        self._atom_words: list[int] = []
        start = span.start
        for atom in self._atoms:
            self._add_words(start, atom.start)
            self._atom_words.append(len(self._words))
            self._words.append(atom)
            start = atom.end
        self._add_words(start, span.end)

    def _add_words(self, start: int, end: int) -> None:
        self._words += [Span(*match.span()) for match in _TOKEN.finditer(self._plain, start, end)]

    def weave(self, answer: str) -> str | None:
        """Return the rewrite with markup, or None if an unchangeable element was lost or doubled."""
        tokens = self._tokens_of(answer)
        if tokens is None:
            return None
        words = [answer[token.start : token.end] for token in tokens]
        blanks = [answer[a.end : b.start] for a, b in pairwise(tokens)]
        operations = self._align(words)
        same = {j + k: i + k for i, i2, j, _, equal in operations if equal for k in range(i2 - i)}
        gaps = self._gaps(set(same.values()))
        placed, homeless = self._place(gaps, operations, len(words))
        _put_blanks(placed, homeless, blanks)
        parts: list[str] = []
        for number, word in enumerate(words):
            parts += [each.raw for each in placed[number]]
            source = same.get(number)
            parts.append(self._escape(word) if source is None else self._source_of(source))
        parts += [each.raw for each in placed[len(words)]]
        return "".join(parts)

    def _tokens_of(self, answer: str) -> list[Span] | None:
        """Return the rewrite's words, with unchangeable elements at their positions."""
        tokens: list[Span] = []
        self._answer_atoms: list[int] = []
        start = 0
        for atom in self._atoms:
            shown = self._plain[atom.start : atom.end]
            found = answer.find(shown, start)
            if found < 0 or answer.count(shown) > self._plain.count(shown, self._span.start, self._span.end):
                return None
            tokens += [Span(*match.span()) for match in _TOKEN.finditer(answer, start, found)]
            self._answer_atoms.append(len(tokens))
            start = found + len(shown)
            tokens.append(Span(found, start))
        tokens += [Span(*match.span()) for match in _TOKEN.finditer(answer, start)]
        return tokens

    def _align(self, words: Sequence[str]) -> list[tuple[int, int, int, int, bool]]:
        """Align words with the rewrite's: ranges of both, and whether they are equal; elements match themselves."""
        own = [self._plain[word.start : word.end] for word in self._words]
        operations: list[tuple[int, int, int, int, bool]] = []
        i = j = 0
        ends = zip([*self._atom_words, len(own)], [*self._answer_atoms, len(words)], strict=True)
        for i_end, j_end in ends:
            matcher = SequenceMatcher(None, own[i:i_end], words[j:j_end], autojunk=False)
            for name, i1, i2, j1, j2 in matcher.get_opcodes():
                operations.append((i + i1, i + i2, j + j1, j + j2, name == "equal"))
            if i_end < len(own):
                operations.append((i_end, i_end + 1, j_end, j_end + 1, True))
            i, j = i_end + 1, j_end + 1
        return operations

    def _source_of(self, number: int) -> str:
        word = self._words[number]
        return self._run.source(word.start, word.end, edges=False)

    def _gaps(self, kept: set[int]) -> list[_Gap]:
        """Return the content before, between and after the words; markup inside deleted words moves out."""
        run, words = self._run, self._words
        gaps: list[_Gap] = [[] for _ in range(len(words) + 1)]
        edges = [self._span.start, *(word.end for word in words)]
        starts = [*(word.start for word in words), self._span.end]
        for number, (start, end) in enumerate(zip(edges, starts, strict=True)):
            inner = 0 < number < len(words)
            first = (bisect_left if inner else bisect_right)(run._mark_places, start)
            last = (bisect_right if inner else bisect_left)(run._mark_places, end)
            at = start
            for place, mark in zip(run._mark_places[first:last], run._marks[first:last], strict=True):
                if place > at:
                    gaps[number].append(_Blank("".join(run._raws[at:place]), number))
                gaps[number].append(mark)
                at = place
            if end > at:
                gaps[number].append(_Blank("".join(run._raws[at:end]), number))
        for number, word in enumerate(words):
            if number in kept:
                continue
            first = bisect_right(run._mark_places, word.start)
            last = bisect_left(run._mark_places, word.end)
            inside = run._marks[first:last]
            opening = next((k for k, mark in enumerate(inside) if mark.side is not Side.OPEN), len(inside))
            gaps[number] += inside[:opening]
            gaps[number + 1][:0] = inside[opening:]
        return gaps

    def _place(
        self, gaps: list[_Gap], operations: list[tuple[int, int, int, int, bool]], count: int
    ) -> tuple[list[_Gap], list[tuple[int, _Blank]]]:
        """Move the content of gaps between words to gaps of the rewrite, in the same order.

        Returns:
            The answer's gaps, and line breaks for which there is only a place where they would best be.
        """
        first = [count] * len(gaps)  # where a gap begins among the answer's
        last = [0] * len(gaps)
        inside: dict[int, float] = {}
        for i1, i2, j1, j2, _ in operations:
            first[i1], last[i1] = min(first[i1], j1), max(last[i1], j1)
            first[i2], last[i2] = min(first[i2], j2), max(last[i2], j2)
            for place in range(i1 + 1, i2):
                inside[place] = j1 + (place - i1) * (j2 - j1) / (i2 - i1)
        placed: list[_Gap] = [[] for _ in range(count + 1)]
        homeless: list[tuple[int, _Blank]] = []
        opened: list[int] = []
        at = 0
        for number, gap in enumerate(gaps):
            low, high = first[number], last[number]
            if number in inside:
                low, high = math.floor(inside[number]), math.ceil(inside[number])
            for item in gap:
                if isinstance(item, _Blank):
                    if number not in inside or low == high:
                        placed[max(at, low)].append(item)
                    elif "\n" in item.raw:
                        homeless.append((high, item))
                    continue
                if item.side is Side.OPEN:
                    at = max(at, min(low if number in inside else high, max(count - 1, 0)))
                    opened.append(at)
                elif item.side is Side.CLOSE:
                    least = min(opened.pop() + 1, count) if opened else 0
                    at = max(at, high if number in inside else low, least)
                else:
                    at = max(at, low)
                placed[at].append(item)
        return placed, homeless


def _put_blanks(placed: list[_Gap], homeless: list[tuple[int, _Blank]], blanks: Sequence[str]) -> None:
    """Write the rewrite's space into each gap, in the source's form.

    A line break whose gap the answer does not have goes to the nearest blank that is no line break.
    """
    homeless = homeless.copy()
    for number, gap in enumerate(placed):
        own = [item for item in gap if isinstance(item, _Blank)]
        blank = blanks[number - 1] if 0 < number <= len(blanks) else ""
        if blank and len({item.gap for item in own}) == 1:
            continue  # the source's own gap
        chosen = next((item for item in own if "\n" in item.raw), own[0] if own else _Blank(blank))
        homeless += [(number, item) for item in own if "\n" in item.raw and not (blank and item is chosen)]
        gap[:] = marks = [item for item in gap if isinstance(item, Mark)]
        if blank:
            gap.insert(min(range(len(marks) + 1), key=partial(_badness, marks)), chosen)
    for wanted, item in homeless:
        free = [
            (abs(number - wanted), number, place)
            for number, gap in enumerate(placed)
            for place, other in enumerate(gap)
            if isinstance(other, _Blank) and "\n" not in other.raw
        ]
        if free:
            _, number, place = min(free)
            placed[number][place] = item


def _badness(marks: Sequence[Mark], place: int) -> int:
    """Return how many marks are on the wrong side of a position for a space: best is after all closing marks."""
    opened = sum(mark.side is Side.OPEN for mark in marks[:place])
    return opened + sum(mark.side is Side.CLOSE for mark in marks[place:])
