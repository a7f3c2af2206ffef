"""Decoding: rows of ids to hypotheses, greedily, by beam search or by sampling."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from arae_transfer.errors import AraeError
from arae_transfer.export_config import MOST_CANDIDATES
from arae_transfer.runtime.batching import pad
from arae_transfer.runtime.options import Ranking
from arae_transfer.tokenizer import END_ID

if TYPE_CHECKING:
    from arae_transfer.editing.edits import Edit
    from arae_transfer.runtime.sessions import Sessions

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]

MOST_ROWS = 512
"""Hypotheses that are written at once: more take memory and are no faster."""

MOST_ROWS_ON_CPU = 256
"""The same on a CPU: one thread alone is as fast with half as many, several wait less for each other with these."""

LONGEST_GROWTH = 16
"""An answer may have this many tokens more than its line. A bound for each line alone: none depends on its batch."""

AUTO = "auto"
IF_ALREADY = ("keep", "rewrite")
IF_UNCHANGED = ("search", "keep")


@dataclass(frozen=True, slots=True)
class DecodingOptions:
    """How the answer to a line is chosen. The default is the one greedy rewrite, and nothing is scored.

    Attributes:
        beam: The hypotheses of a beam search; 1: the greedy rewrite. None: as many as ``n_best``, or what the model's
            export says, mostly 1.
        sample: How many hypotheses are sampled instead; 0: none.
        temperature: The logits are divided by it before sampling: a value below 1 favours probable tokens.
        seed: The random seed of samples. They depend only on it and on the line's tokens: the same line has the same
            samples in every batch, order and run.
        n_best: How many hypotheses are returned, the best first; None: all of them, equal texts once.
        ranking: The weights by which hypotheses are ranked; None: those of the model's export.
        min_confidence: The minimum confidence in the best hypothesis: the probability that a reader accepts it, by the
            quality estimator, or, if the model has none, the probability of the target class, by the style scorer.
            Otherwise the line (or the sentence of a longer one) stays unchanged.
        source: ``"auto"`` finds the class of each line by the style scorer; None: the class is not determined.
        if_already: With ``source``, what happens to lines (or sentences of longer ones) that are in the target class
            already: ``"keep"`` leaves them unchanged, ``"rewrite"`` rewrites them anyway.
        if_unchanged: What happens if greedy decoding copies a source that is not yet in the target class by the style
            scorer: ``"search"`` takes the best hypothesis of a small beam that is, if there is one and the model can
            search; ``"keep"`` answers with the source. A model that edits copies a source only if it is sure, see
            ``copy_above``; only its unfaithful answers are searched again.
        faithful: Whether hypotheses that lose or double a protected span, unbalance quotation marks or brackets, or
            break a word rank behind all others, and are no answers. An unfaithful greedy answer is searched again with
            a small beam, unless ``if_unchanged`` is ``"keep"``.
        copy_above: For models that edit: the probability that nothing is to change above which a line stays unchanged;
            below it the answer is the best rewrite that changes something. None: the value of the model's export.
    """

    beam: int | None = None
    sample: int = 0
    temperature: float = 1.0
    seed: int = 0
    n_best: int | None = None
    ranking: Ranking | None = None
    min_confidence: float = 0.0
    source: str | None = None
    if_already: str = "keep"
    if_unchanged: str = "search"
    faithful: bool = True
    copy_above: float | None = None

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            AraeError: A value is out of range, or two do not go together.
        """
        for name, number, least in (("beam", self.beam, 1), ("sample", self.sample, 0), ("n_best", self.n_best, 1)):
            if number is not None and not least <= number <= MOST_CANDIDATES:
                raise AraeError(f"{name} = {number} cannot work", f"use {least} to {MOST_CANDIDATES}.")
        if self.sample and self.beam is not None:
            raise AraeError("candidates are either searched with a beam or sampled", "choose one of the two.")
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
        if self.copy_above is not None and not 0 <= self.copy_above <= 1:
            raise AraeError(f"{self.copy_above} is no probability", "use a number from 0 to 1.")
        if self.source not in (None, AUTO):
            raise AraeError(
                f"--from must be 'auto', not {self.source!r}",
                "leave --from out to rewrite every line, or use --from auto to find the class of each.",
            )
        if self.if_already not in IF_ALREADY:
            raise AraeError(f"if_already cannot be {self.if_already!r}", f"use {' or '.join(IF_ALREADY)}.")
        if self.if_unchanged not in IF_UNCHANGED:
            raise AraeError(f"if_unchanged cannot be {self.if_unchanged!r}", f"use {' or '.join(IF_UNCHANGED)}.")

    def resolve(self, model_beam: int) -> DecodingOptions:
        """Return these options with a model's own beam where they leave the beam open.

        Options with ``if_unchanged="keep"`` stay greedy.
        """
        if self.beam is not None or self.sample or self.n_best is not None or self.if_unchanged == "keep":
            return self
        return self if model_beam == 1 else replace(self, beam=model_beam, n_best=1)

    @property
    def width(self) -> int:
        """How many hypotheses are searched or sampled for a line."""
        return self.sample or self.beam or self.n_best or 1

    @property
    def needs_hypotheses(self) -> bool:
        """Whether several hypotheses are scored; otherwise the greedy rewrite is the answer."""
        return self.sample > 0 or self.width > 1 or self.min_confidence > 0

    @property
    def needs_scorer(self) -> bool:
        """Whether the style scorer is needed."""
        return self.needs_hypotheses or self.source is not None


GREEDY = DecodingOptions()


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """An output of the decoder for a line.

    Attributes:
        tokens: Its ids; the last one is the end id, unless it reached the length limit.
        total: Their summed log-probability under the decoder; for a decoder that edits, that of its choices.
        choices: The number of choices of a decoder that edits; 0: another decoder wrote the tokens one by one.
        keep: The probability that nothing is to change; None: the decoder does not edit.
        edits: The edits that make it; None: the decoder does not edit.
    """

    tokens: list[int]
    total: float
    choices: int = 0
    keep: float | None = None
    edits: tuple[Edit, ...] | None = None

    @property
    def finished(self) -> bool:
        """Whether it ends with the end id."""
        return bool(self.tokens) and self.tokens[-1] == END_ID

    @property
    def fluency(self) -> float:
        """The mean log-probability of its tokens, or of the choices that made it."""
        return self.total / (self.choices or len(self.tokens))


def decode_greedily(
    sessions: Sessions, rows: Sequence[Sequence[int]], to: str, copy_above: float | None = None
) -> list[tuple[list[int], float | None]]:
    """Decode rows of ids, which end with the end id; each answer is cut at its own length limit.

    Also returns the probability that nothing is to change, if the model edits.

    Raises:
        AraeError: onnxruntime fails, or the model's graphs do not fit together.
    """
    if sessions.folder.edits:
        from arae_transfer.runtime.editing import edit_greedily

        return [(each.tokens, each.keep) for each in edit_greedily(sessions, rows, to, copy_above)]
    tokens, lengths = pad(rows)
    longest = tokens.shape[1] + LONGEST_GROWTH
    answers: list[list[int]] = sessions.run(tokens, lengths, to, longest).tolist()
    if len(answers) != len(rows):
        raise AraeError(
            f"the model {sessions.folder.name} gave {len(answers)} answers for {len(rows)} lines",
            "export it again: its decoder does not fit its encoder.",
        )
    return [(answer[: len(row) + LONGEST_GROWTH], None) for row, answer in zip(rows, answers, strict=True)]


def decode_hypotheses(
    sessions: Sessions, rows: Sequence[Sequence[int]], to: str, options: DecodingOptions
) -> list[list[Hypothesis]]:
    """Return the hypotheses of each row of ids, by beam search or sampling, in no order.

    Raises:
        AraeError: The model cannot search, or onnxruntime fails.
    """
    if sessions.folder.edits:
        from arae_transfer.runtime.editing import edit_hypotheses

        sampling = (options.temperature, options.seed) if options.sample else None
        return edit_hypotheses(sessions, rows, to, options.width, sampling)
    tokens, lengths = pad(rows)
    limits = lengths + LONGEST_GROWTH
    temperature, uniforms = 0.0, None
    if options.sample:
        temperature = options.temperature
        uniforms = uniform_numbers(rows, limits, options.width, options.seed)
    written = sessions.search(tokens, lengths, to, limits, options.width, temperature, uniforms)
    return backtrack_hypotheses(*written, options.width)


def rows_at_once(on_cpu: bool, width: int) -> int:
    """Return how many lines are decoded at once when each has several hypotheses."""
    return max(1, (MOST_ROWS_ON_CPU if on_cpu else MOST_ROWS) // width)


def backtrack_hypotheses(
    tokens: Int64, parents: Int64, totals: Float32, counts: Int64, width: int
) -> list[list[Hypothesis]]:
    """Backtrack hypotheses from their last tokens through the rows that they extend.

    Args:
        tokens: (steps, lines x width) the ids written at each step.
        parents: (steps, lines x width) the row whose hypothesis each continues.
        totals: (lines x width,) log-probabilities.
        counts: (lines x width,) numbers of ids.
        width: The hypotheses of a line.

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
    """Return the random numbers in [0, 1) that sampling uses; they depend on a line's ids and the seed alone.

    Args:
        rows: The ids of each line.
        limits: (lines,) the length limit of each line's hypotheses.
        width: The hypotheses of a line. The numbers of fewer hypotheses are the first of those of more.
        seed: Any number of 0 or more.

    Returns:
        (greatest limit, lines x width).
    """
    numbers = np.zeros((int(limits.max()), len(rows), width), dtype=np.float32)
    for line, (row, limit) in enumerate(zip(rows, limits.tolist(), strict=True)):
        generator = np.random.default_rng([seed, *row])
        numbers[:limit, line] = generator.random((width, limit), dtype=np.float32).T
    return numbers.reshape(len(numbers), -1)
