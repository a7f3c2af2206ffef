"""Several rewrites of a line: what is asked for, how they are followed back, scored, ranked and joined."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import numpy.typing as npt

from arae_transfer.errors import AraeError
from arae_transfer.export_config import MOST_CANDIDATES
from arae_transfer.tokenizer import END_ID

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]

MOST_ROWS = 512
"""Candidates that are written at once: more take memory and are no faster."""

MOST_ROWS_ON_CPU = 256
"""The same on a CPU: one thread alone is as fast with half as many, several wait less for each other with these."""

_WORD = re.compile(r"\w+")
# How much more the words that a rewrite keeps count for agreement than those that it adds: the square of beta.
_RECALL = 4.0

AUTO = "auto"
IF_ALREADY = ("keep", "rewrite")
IF_UNCHANGED = ("search", "keep")


@dataclass(frozen=True, slots=True)
class Ranking:
    """By what candidates are ranked: a weighted sum, the greatest first.

    The default weights were chosen by measuring, see ``recipes/LOG.md``.

    Attributes:
        style: The weight of the natural logarithm of the style score, the probability of the wished class.
        fluency: The weight of the mean log-probability of the candidate's tokens under the decoder of its class.
        content: The weight of the agreement with the source, see ``agreement``.
        language: The weight of what the candidate is worth as text of its class, see ``naturalness``; nothing where
            the export has no language models.
    """

    style: float = 1.0
    fluency: float = 0.25
    content: float = 1.5
    language: float = 0.2

    @classmethod
    def parse(cls, text: str) -> Ranking:
        """Read ``style=1,fluency=0.5,content=2``; what is not named counts nothing.

        Raises:
            AraeError: A name is unknown or comes twice, a weight is not a finite number of 0 or more, or all are 0.
        """
        names = [field.name for field in fields(cls)]
        weights = dict.fromkeys(names, 0.0)
        for part in text.split(","):
            name, _, number = part.partition("=")
            try:
                weight = float(number)
            except ValueError:
                weight = math.nan
            if name.strip() not in names or not (0 <= weight < math.inf) or weights[name.strip()]:
                raise AraeError(
                    f"{part.strip()!r} does not say how to rank", f"write NAME=WEIGHT of {', '.join(names)}."
                )
            weights[name.strip()] = weight
        if not any(weights.values()):
            raise AraeError("candidates cannot be ranked by nothing", f"give a weight to one of {', '.join(names)}.")
        return cls(**weights)

    def score(self, style: float, fluency: float, content: float, language: float) -> float:
        """Return what a candidate is worth; ``style`` is a log-probability."""
        return self.style * style + self.fluency * fluency + self.content * content + self.language * language


@dataclass(frozen=True, slots=True)
class Choice:
    """How the answer to a line is chosen. The default is the one greedy rewrite, and nothing is scored.

    Attributes:
        beam: The hypotheses of a beam search; 1: the greedy rewrite. None: as many as ``n_best``, or what the model's
            export says, mostly 1.
        sample: How many candidates are drawn by chance instead; 0: none.
        temperature: By what the logits are divided before a draw: less than 1 is bolder about what is probable.
        seed: What candidates are drawn from, together with the line's own tokens: the same line has the same
            candidates in every batch, order and run.
        n_best: How many candidates are told, the best first; None: all of them, without those that read alike.
        ranking: By what candidates are ranked.
        min_confidence: The least style score of the best candidate, a probability; a line (or sentence of a longer
            one) that has none as good is left as it is.
        source: ``"auto"`` finds the class of each line by the style scorer; None: it is not looked for.
        if_already: With ``source``, what happens to lines (or sentences of longer ones) that have the wished class
            already: ``"keep"`` leaves them as they are, ``"rewrite"`` rewrites them all the same.
        if_unchanged: What happens where the one greedy rewrite is the source itself, which has not the wished class
            by the style scorer: ``"search"`` takes the best other candidate of a small beam that has it, where there
            is one and the model can search; ``"keep"`` answers with the source.
    """

    beam: int | None = None
    sample: int = 0
    temperature: float = 1.0
    seed: int = 0
    n_best: int | None = None
    ranking: Ranking = Ranking()
    min_confidence: float = 0.0
    source: str | None = None
    if_already: str = "keep"
    if_unchanged: str = "search"

    def __post_init__(self) -> None:
        """Refuse what cannot be done.

        Raises:
            AraeError: A value is out of range, or two do not go together.
        """
        for name, number, least in (("beam", self.beam, 1), ("sample", self.sample, 0), ("n_best", self.n_best, 1)):
            if number is not None and not least <= number <= MOST_CANDIDATES:
                raise AraeError(f"{name} = {number} cannot work", f"use {least} to {MOST_CANDIDATES}.")
        if self.sample and self.beam is not None:
            raise AraeError("candidates are either searched with a beam or drawn by chance", "choose one of the two.")
        if not 0 < self.temperature < math.inf:
            raise AraeError(f"a temperature of {self.temperature} cannot work", "use a number above 0, such as 0.7.")
        if self.seed < 0:
            raise AraeError(f"{self.seed} is no seed", "use 0 or more.")
        if (self.n_best or 0) > self.width:
            raise AraeError(
                f"{self.n_best} candidates are wanted of {self.width}",
                f"use --beam {self.n_best} or --sample {self.n_best}.",
            )
        if not 0 <= self.min_confidence <= 1:
            raise AraeError(f"{self.min_confidence} is no confidence", "use a probability from 0 to 1.")
        if self.source not in (None, AUTO):
            raise AraeError(
                f"lines from {self.source!r} need no telling: they are rewritten whatever their class",
                "leave --from out, or use --from auto to find the class of each line.",
            )
        if self.if_already not in IF_ALREADY:
            raise AraeError(f"unknown way {self.if_already!r} if already so", f"use {' or '.join(IF_ALREADY)}.")
        if self.if_unchanged not in IF_UNCHANGED:
            raise AraeError(f"unknown way {self.if_unchanged!r} if unchanged", f"use {' or '.join(IF_UNCHANGED)}.")

    def settled(self, beam: int) -> Choice:
        """Return this choice with a model's own beam where it leaves the beam open.

        A choice that keeps what is unchanged is about the greedy rewrite, and stays greedy.
        """
        if self.beam is not None or self.sample or self.n_best is not None or self.if_unchanged == "keep":
            return self
        return self if beam == 1 else replace(self, beam=beam, n_best=1)

    @property
    def width(self) -> int:
        """How many candidates are searched or drawn for a line."""
        return self.sample or self.beam or self.n_best or 1

    @property
    def searches(self) -> bool:
        """Whether candidates are wanted, with their scores; otherwise the greedy rewrite is the answer."""
        return self.sample > 0 or self.width > 1 or self.min_confidence > 0

    @property
    def scores(self) -> bool:
        """Whether the style scorer is needed."""
        return self.searches or self.source is not None


GREEDY = Choice()


@dataclass(frozen=True, slots=True)
class Candidate:
    """A rewrite of a line, with its scores; of a line in pieces, scores are means by the tokens of the sources.

    Attributes:
        output: The rewrite, one line.
        score: What it is ranked by.
        style: The probability of the wished class, by the style scorer.
        fluency: The mean log-probability of its tokens, the end id among them, under the decoder of its class.
        content: Its agreement with the source.
        language: Its worth as text of its class, see ``naturalness``; 0 where the export has no language models.
        unfinished: Whether it reached its greatest length before its end.
    """

    output: str
    score: float
    style: float
    fluency: float
    content: float
    language: float
    unfinished: bool


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """What the decoder wrote for a line.

    Attributes:
        tokens: Its ids, the end id last where it came to one.
        total: Their log-probability under the decoder.
    """

    tokens: list[int]
    total: float

    @property
    def finished(self) -> bool:
        """Whether it came to its end."""
        return bool(self.tokens) and self.tokens[-1] == END_ID

    @property
    def fluency(self) -> float:
        """The mean log-probability of its tokens."""
        return self.total / len(self.tokens)


def follow(tokens: Int64, parents: Int64, totals: Float32, counts: Int64, width: int) -> list[list[Hypothesis]]:
    """Follow hypotheses back from their ends through the rows that they continued.

    Args:
        tokens: (steps, lines x width) the ids written at each step.
        parents: (steps, lines x width) the rows that each continues.
        totals: (lines x width,) log-probabilities.
        counts: (lines x width,) numbers of ids.
        width: The candidates of a line.

    Returns:
        The hypotheses of each line, in the order of their rows.
    """
    steps, rows = tokens.shape
    written = np.empty((rows, steps), dtype=np.int64)
    row = np.arange(rows)
    for step in reversed(range(steps)):
        written[:, step] = tokens[step, row]
        row = parents[step, row]
    hypotheses = [
        Hypothesis(ids[:count], total)
        for ids, count, total in zip(written.tolist(), counts.tolist(), totals.tolist(), strict=True)
    ]
    return [hypotheses[start : start + width] for start in range(0, rows, width)]


def uniform_numbers(rows: Sequence[Sequence[int]], limits: Int64, width: int, seed: int) -> Float32:
    """Return what candidates are drawn by: numbers in [0, 1) that depend on a line's own ids and the seed alone.

    Args:
        rows: The ids of each line.
        limits: (lines,) the most tokens of each line's candidates.
        width: The candidates of a line. Fewer are the first of more.
        seed: Any number of 0 or more.

    Returns:
        (greatest limit, lines x width).
    """
    numbers = np.zeros((int(limits.max()), len(rows), width), dtype=np.float32)
    for line, (row, limit) in enumerate(zip(rows, limits.tolist(), strict=True)):
        generator = np.random.default_rng([seed, *row])
        numbers[:limit, line] = generator.random((width, limit), dtype=np.float32).T
    return numbers.reshape(len(numbers), -1)


def agreement(source: str, rewrites: Sequence[str]) -> list[float]:
    """Return how far each of some texts has the words of a source, however ordered: F2, 0 to 1; 1 if both have none.

    The harmonic mean of the share of the rewrite's words that the source has and, weighing four times as much, the
    share of the source's words that the rewrite has (van Rijsbergen's F with beta 2): what the source says is to be
    said otherwise, not left out. A word that comes twice in both counts twice.
    """
    words = source.split()
    counts = Counter(words)
    found = []
    for rewrite in rewrites:
        others = rewrite.split()
        left = dict(counts)
        common = 0
        for word in others:
            if left.get(word):
                left[word] -= 1
                common += 1
        number = _RECALL * len(words) + len(others)
        found.append((1 + _RECALL) * common / number if number else 1.0)
    return found


def naturalness(log_probability: float, of_source: float, tokens: int) -> float:
    """Return how far a rewrite is from text of its class: what it loses against its source, in nats a token; 0 or less.

    Being likelier than the source is no merit: what everybody says is likely. The source is taken as text of the class
    in which it is likeliest, mostly its own: as text of another it is as unlikely as a bad rewrite.

    Args:
        log_probability: Of the rewrite, under the language model of its class.
        of_source: Of the source, the greatest under the language model of any class.
        tokens: The tokens of the source, its end among them.
    """
    return min(0.0, log_probability - of_source) / tokens


def only_appends(source: str, rewrite: str) -> bool:
    """Say whether a rewrite goes on behind its source's last word: style stuck on, as in "we asked is great ."."""
    before, after = (_WORD.findall(text) for text in (source, rewrite))
    return bool(before) and before[-1] in after and after[-1] != before[-1]


def join_candidates(
    pieces: Sequence[tuple[Sequence[Candidate], str, int]], join: Callable[[list[str]], str], most: int
) -> tuple[Candidate, ...]:
    """Return the best candidates of a line from those of its pieces, by the mean of their scores.

    Args:
        pieces: For each piece its candidates, its answer where it has none (it is blank, or left as it is), and its
            tokens, by which it weighs.
        join: Joins the answers to the pieces.
        most: How many candidates are wanted.
    """
    weight = sum(tokens for candidates, _, tokens in pieces if candidates)
    if not weight:
        return ()
    # The sum of scores is greatest where each is, so that the best of some pieces are among the best of fewer.
    best: list[tuple[float, tuple[Candidate | None, ...]]] = [(0.0, ())]
    for candidates, _, tokens in pieces:
        longer = [
            (total + tokens * (each.score if each else 0.0), (*chosen, each))
            for total, chosen in best
            for each in candidates or (None,)
        ]
        best = sorted(longer, key=lambda entry: -entry[0])[:most]

    def mean(chosen: tuple[Candidate | None, ...], name: str) -> float:
        values = [(tokens, getattr(each, name)) for each, (_, _, tokens) in zip(chosen, pieces, strict=True) if each]
        return float(sum(tokens * value for tokens, value in values) / weight)

    return tuple(
        Candidate(
            output=join([each.output if each else answer for each, (_, answer, _) in zip(chosen, pieces, strict=True)]),
            score=mean(chosen, "score"),
            style=mean(chosen, "style"),
            fluency=mean(chosen, "fluency"),
            content=mean(chosen, "content"),
            language=mean(chosen, "language"),
            unfinished=any(each.unfinished for each in chosen if each),
        )
        for _, chosen in best
    )
