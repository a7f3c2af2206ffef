"""Parts of a document with text fields, rewritten together and restored one by one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from arae_transfer.documents.runs import Escape, Run, Span

Answers = Sequence[str | None]
Rewrite = Callable[[list[str]], Answers]
"""Rewrites sentences; None keeps a sentence."""

Format = Callable[[Iterator[str]], Iterator["Part"]]
"""Reads a document in blocks of text, and yields its parts; an empty block means that no more text has arrived yet."""

MOST_WAITING = 4096
"""Maximum number of parts to collect before their sentences are rewritten."""


def as_it_is(text: str) -> str:
    """Return a text that needs no escapes."""
    return text


class Field:
    """Stretch of a part with text.

    Attributes:
        start: Where it begins in the part's source.
        end: Where it ends.
        sentences: What is rewritten of it.
    """

    def __init__(self, start: int, end: int, run: Run, escape: Escape = as_it_is, finish: Escape = as_it_is) -> None:
        """Store a run that covers the stretch.

        Args:
            start: Where it begins in the part's source.
            end: Where it ends.
            run: Its text and markup.
            escape: Writes new text so that it is read as it is.
            finish: Is given the whole of a changed field, and returns what is written: with quotes around it, say.
        """
        self.start = start
        self.end = end
        self._run = run
        self._escape = escape
        self._finish = finish
        self.sentences: list[Span] = run.sentences()

    @property
    def plain(self) -> str:
        """All text of the field, without markup."""
        return self._run.plain

    def texts(self) -> list[str]:
        """Sentences for the model, one line each."""
        plain = self._run.plain
        return [plain[span.start : span.end] for span in self.sentences]

    def build(self, answers: Answers, tally: Tally | None = None) -> str:
        """Return the field with rewritten sentences; None keeps a sentence."""
        run, parts, start, changed = self._run, list[str](), 0, False
        for span, answer in zip(self.sentences, answers, strict=True):
            if answer is None:
                continue
            woven = run.weave(span, answer, self._escape)
            if woven is None:
                if tally is not None:
                    tally.unplaced += 1
                continue
            parts += [run.source(start, span.start, edges=True), woven]
            start, changed = span.end, True
        text = "".join([*parts, run.source(start, len(run.plain), edges=True)])
        return self._finish(text) if changed else text


@dataclass(slots=True)
class Part:
    """A separately read and written part of a document: a row, a caption, or a whole page.

    Attributes:
        source: The part as it stands.
        fields: Its text, in order.
        number: What it is called in messages: the number of its row, from 1; 0: it is not numbered.
        problem: Why it is left as it is, where its text could not be found.
        skeleton: Returns what an answer must not change, of a source: its structure. None: nothing can.
    """

    source: str
    fields: list[Field] = field(default_factory=list)
    number: int = 0
    problem: str | None = None
    skeleton: Callable[[str], object] | None = None

    def build(self, answers: Answers, tally: Tally | None = None) -> str:
        """Return the part with rewritten sentences; None keeps a sentence."""
        parts, start, first = list[str](), 0, 0
        for each in self.fields:
            own = answers[first : first + len(each.sentences)]
            first += len(own)
            if any(answer is not None for answer in own):
                parts += [self.source[start : each.start], each.build(own, tally)]
                start = each.end
        return "".join([*parts, self.source[start:]])


@dataclass(slots=True)
class Tally:
    """Counts of a document.

    Attributes:
        parts: Parts that have a number.
        sentences: Sentences that were given to a model.
        unplaced: Sentences that were left as they are, because the answer has no place for their markup.
        problems: What is wrong with parts that were left as they are: how many have it.
        first: The number of the first part that has it.
    """

    parts: int = 0
    sentences: int = 0
    unplaced: int = 0
    problems: Counter[str] = field(default_factory=Counter)
    first: dict[str, int] = field(default_factory=dict)

    def add(self, part: Part) -> None:
        """Count a part."""
        self.parts = max(self.parts, part.number)
        if part.problem is not None:
            self.problems[part.problem] += 1
            self.first.setdefault(part.problem, part.number)


def rewrite_parts(parts: Iterable[Part], rewrite: Rewrite, at_once: int, tally: Tally) -> Iterator[str]:
    """Yield the text of a document, part by part, with its sentences rewritten.

    Args:
        parts: The document. A part without a source says that no more has come yet, so that nothing is held back.
        rewrite: Rewrites sentences. An answer that is blank, or equal to its sentence, leaves the source as it is.
        at_once: How many sentences are best given at once.
        tally: Counts what happens.
    """
    waiting: list[Part] = []
    sentences = 0
    for part in parts:
        tally.add(part)
        if part.source:
            waiting.append(part)
            sentences += sum(len(each.sentences) for each in part.fields)
        if sentences >= at_once or len(waiting) >= MOST_WAITING or not part.source:
            yield from _rewritten(waiting, rewrite, at_once, tally)
            waiting, sentences = [], 0
    yield from _rewritten(waiting, rewrite, at_once, tally)


def _rewritten(parts: Sequence[Part], rewrite: Rewrite, at_once: int, tally: Tally) -> Iterator[str]:
    texts = [text for part in parts for each in part.fields for text in each.texts()]
    answers: list[str | None] = []
    for start in range(0, len(texts), at_once):
        answers += rewrite(texts[start : start + at_once])
    tally.sentences += len(texts)
    changed = [
        None if answer is None or not answer.strip() or answer == text else answer.strip()
        for text, answer in zip(texts, answers, strict=True)
    ]
    start = 0
    for part in parts:
        end = start + sum(len(each.sentences) for each in part.fields)
        yield _settle(part, changed[start:end], tally)
        start = end


def _settle(part: Part, answers: list[str | None], tally: Tally) -> str:
    """Return a part with the rewrites that keep its structure."""
    text = part.build(answers, tally)
    if part.skeleton is None or text == part.source:
        return text
    wanted = part.skeleton(part.source)
    if part.skeleton(text) == wanted:
        return text
    kept: list[str | None] = [None] * len(answers)

    def fits(numbers: Sequence[int]) -> bool:
        tried = kept.copy()
        for number in numbers:
            tried[number] = answers[number]
        assert part.skeleton is not None
        return part.skeleton(part.build(tried)) == wanted

    def take(numbers: Sequence[int]) -> None:
        if fits(numbers):
            for number in numbers:
                kept[number] = answers[number]
        elif len(numbers) > 1:
            take(numbers[: len(numbers) // 2])
            take(numbers[len(numbers) // 2 :])
        else:
            tally.unplaced += 1

    take([number for number, answer in enumerate(answers) if answer is not None])
    return part.build(kept)
