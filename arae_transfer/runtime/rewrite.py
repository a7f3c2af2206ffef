"""The answer to a line, and how the answers to its sentences are joined."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from arae_transfer.runtime.preparation import PreparedSentence, one_line
from arae_transfer.runtime.reranking import ScoredHypothesis, join_hypotheses, probability_of_all
from arae_transfer.text.sentences import SentenceSplit


class Status(StrEnum):
    """The outcome for a line, or for one sentence of it."""

    REWRITTEN = "rewritten"
    """The answer is another text."""

    UNCHANGED = "unchanged"
    """The model answered with the source itself."""

    BLANK = "blank"
    """There is nothing in it."""

    ALREADY = "already"
    """It is left as it is: it has the target class already, and was to be left then."""

    KEPT = "kept"
    """It is left as it is: every hypothesis lost or broke what must stay, such as a number, a quotation or a word."""

    NOT_PROSE = "not prose"
    """It is left as it is: there is no word in it besides what is protected, or it is code, a log or a timing."""

    UNSURE = "unsure"
    """It is left as it is: no hypothesis was as sure to have the target class as was asked for."""

    UNREAD = "unread"
    """It is left as it is: the model's tokenizer has no piece for most of its characters, or for any."""

    TOO_LONG = "too long"
    """It is left as it is: it is longer than the model reads, and was to be left then."""


_ANSWERED = frozenset((Status.REWRITTEN, Status.UNCHANGED))


@dataclass(slots=True)
class Rewrite:
    """One line and its answer; it is not frozen, which would take four times as long to make.

    Attributes:
        source: The line as it was given.
        output: The answer: one line, blank when the source is blank.
        to: The class that it was rewritten to.
        status: What became of it; of a line in sentences, of the first one of those that were treated best.
        tokens: The number of tokens of the source that the model read, the end id not counted.
        truncated: Whether the source was longer than the model can read, so that its end was left out.
        unfinished: Whether the answer reached its greatest length before its end.
        sentences: What became of each of its sentences.
        source_class: The class that the style scorer finds in the source, where it was asked for; of a line in
            sentences that of most of its tokens.
        already: How many of its sentences had the target class already, where that was asked for.
        candidates: The hypotheses, the best first, where they were asked for; the best one alone where the model's
            export asks for a beam.
        keep: The probability that nothing of it is to change, by a model that edits; None where none was asked.
    """

    source: str
    output: str
    to: str
    status: Status
    tokens: int = 0
    truncated: bool = False
    unfinished: bool = False
    sentences: tuple[Status, ...] = ()
    source_class: str | None = None
    already: int = 0
    candidates: tuple[ScoredHypothesis, ...] = ()
    keep: float | None = None

    @classmethod
    def of(
        cls,
        sentence: PreparedSentence,
        output: str,
        to: str,
        status: Status,
        *,
        unfinished: bool = False,
        candidates: tuple[ScoredHypothesis, ...] = (),
        keep: float | None = None,
    ) -> Rewrite:
        """Return the answer to one sentence."""
        return cls(
            source=sentence.source,
            output=output,
            to=to,
            status=status,
            tokens=sentence.tokens,
            truncated=sentence.truncated and status not in (Status.UNSURE, Status.KEPT),
            unfinished=unfinished,
            source_class=sentence.source_class,
            already=int(sentence.source_class == to),
            candidates=candidates,
            keep=candidates[0].keep if candidates else keep,
        )

    @classmethod
    def left(
        cls,
        sentence: PreparedSentence,
        to: str,
        status: Status,
        candidates: tuple[ScoredHypothesis, ...] = (),
        keep: float | None = None,
    ) -> Rewrite:
        """Return the answer to a sentence that stays."""
        return cls.of(sentence, one_line(sentence.source), to, status, candidates=candidates, keep=keep)

    def count(self, *statuses: Status) -> int:
        """Return how many of its sentences have one of the given statuses."""
        return sum(status in statuses for status in self.sentences or (self.status,))

    @property
    def pieces(self) -> int:
        """How many of its sentences were rewritten."""
        return self.count(*_ANSWERED)

    @property
    def kept(self) -> bool:
        """Whether it was left as it is as a whole: longer than the model reads, or without a rewrite that holds."""
        return self.status in (Status.TOO_LONG, Status.KEPT)

    @property
    def unfaithful(self) -> int:
        """How many of its sentences were left as they are because every hypothesis broke what must stay."""
        return self.count(Status.KEPT)

    @property
    def unsure(self) -> int:
        """How many of its sentences were left as they are for want of a hypothesis that is sure enough."""
        return self.count(Status.UNSURE)

    @property
    def unread(self) -> int:
        """How many of its sentences were left as they are because the model cannot read them."""
        return self.count(Status.UNREAD)


def most_treated(statuses: Iterable[Status]) -> Status:
    """Return the outcome of several texts together: the best of their outcomes."""
    return min(statuses, key=_PRECEDENCE.__getitem__)


def left_too_long(rewrite: Rewrite) -> Rewrite:
    """Return the answer to a line that is too long for the model, and stays."""
    return Rewrite(
        rewrite.source,
        one_line(rewrite.source),
        rewrite.to,
        Status.TOO_LONG,
        source_class=rewrite.source_class,
        already=rewrite.already,
    )


def join_rewrites(line: str, split: SentenceSplit, rewrites: Sequence[Rewrite], shortened: bool, most: int) -> Rewrite:
    """Join the answers to a line's sentences.

    Args:
        line: The line.
        split: Its sentences.
        rewrites: The answer to each.
        shortened: Whether they are not all of it.
        most: How many hypotheses of it are wanted.
    """
    if len(rewrites) == 1:
        if rewrites[0].source == line and not shortened:
            return rewrites[0]
        return replace(rewrites[0], source=line, truncated=shortened or rewrites[0].truncated)
    classes: Counter[str] = Counter()
    for each in rewrites:
        if each.source_class is not None:
            classes[each.source_class] += each.tokens
    statuses = tuple(each.status for each in rewrites)
    return Rewrite(
        source=line,
        output=split.join([each.output for each in rewrites]),
        to=rewrites[0].to,
        status=most_treated(statuses),
        tokens=sum(each.tokens for each in rewrites),
        truncated=shortened or any(each.truncated for each in rewrites),
        unfinished=any(each.unfinished for each in rewrites),
        sentences=statuses,
        source_class=classes.most_common(1)[0][0] if classes else None,
        already=sum(each.already for each in rewrites),
        candidates=join_hypotheses(
            [(each.candidates, each.output, each.tokens) for each in rewrites], split.join, most
        ),
        keep=probability_of_all([each.keep for each in rewrites]),
    )


# A line one of whose sentences is rewritten is rewritten; it is blank only if all of them are.
_PRECEDENCE = {
    status: place
    for place, status in enumerate(
        (
            Status.REWRITTEN,
            Status.UNCHANGED,
            Status.KEPT,
            Status.UNSURE,
            Status.ALREADY,
            Status.UNREAD,
            Status.TOO_LONG,
            Status.NOT_PROSE,
            Status.BLANK,
        )
    )
}
