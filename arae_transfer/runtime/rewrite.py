"""The answer to a line, and how the answers of its sentences are joined."""

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
    """It has no text."""

    ALREADY = "already"
    """It is unchanged, as requested, because it is in the target class already."""

    KEPT = "kept"
    """It is unchanged: every hypothesis lost or broke a number, a quotation, a word or anything else that must stay."""

    NOT_PROSE = "not prose"
    """It is unchanged: all its words are protected, or it is code, a log or a timing."""

    UNSURE = "unsure"
    """It is unchanged: no hypothesis had the requested confidence."""

    UNREAD = "unread"
    """It is unchanged: the tokenizer has no token for most of its characters, or for any."""

    TOO_LONG = "too long"
    """It is unchanged, as requested, because it is longer than the model reads."""


_ANSWERED = frozenset((Status.REWRITTEN, Status.UNCHANGED))


@dataclass(slots=True)
class Rewrite:
    """One line and its answer; it is not frozen, which would take four times as long to make.

    Attributes:
        source: The line as it was given.
        output: The answer: one line, blank if the source is blank.
        to: The target class.
        status: The outcome; for a line of several sentences, the best outcome among them.
        tokens: The number of tokens of the source that the model read, the end id not counted.
        truncated: Whether the source was cut because it is longer than the model reads.
        unfinished: Whether the answer reached the length limit before its end.
        sentences: The outcome of each of its sentences.
        source_class: The class that the style scorer finds in the source, if requested; for a line of several
            sentences, that of most tokens.
        already: How many of its sentences were in the target class already, if requested.
        candidates: The hypotheses, the best first, if requested; only the best one if the beam is the export's default.
        keep: The probability that nothing of it is to change, by a model that edits; None: not computed.
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
        """Return the unchanged answer to a sentence."""
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
        """Whether the whole line is unchanged: it is longer than the model reads, or no rewrite is faithful."""
        return self.status in (Status.TOO_LONG, Status.KEPT)

    @property
    def unfaithful(self) -> int:
        """How many of its sentences are unchanged because every hypothesis was unfaithful."""
        return self.count(Status.KEPT)

    @property
    def unsure(self) -> int:
        """How many of its sentences are unchanged because no hypothesis had enough confidence."""
        return self.count(Status.UNSURE)

    @property
    def unread(self) -> int:
        """How many of its sentences are unchanged because the model cannot read them."""
        return self.count(Status.UNREAD)


def most_treated(statuses: Iterable[Status]) -> Status:
    """Return the best outcome of several texts."""
    return min(statuses, key=_PRECEDENCE.__getitem__)


def left_too_long(rewrite: Rewrite) -> Rewrite:
    """Return the unchanged answer to a line that is too long for the model."""
    return Rewrite(
        rewrite.source,
        one_line(rewrite.source),
        rewrite.to,
        Status.TOO_LONG,
        source_class=rewrite.source_class,
        already=rewrite.already,
    )


def join_rewrites(line: str, split: SentenceSplit, rewrites: Sequence[Rewrite], shortened: bool, most: int) -> Rewrite:
    """Join the answers of a line's sentences.

    Args:
        line: The line.
        split: Its sentences.
        rewrites: The answer to each sentence.
        shortened: Whether the line was cut.
        most: How many hypotheses to keep.
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
