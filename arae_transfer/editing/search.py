"""Beam search and sampling of edits, for any scorer of the choices: onnxruntime or PyTorch (numpy, never torch).

All hypotheses of all lines take a step together: one call of the scorer, then array operations. A finished hypothesis
stays among those of its line; a line leaves when all its hypotheses are finished.

The first choice of a decoder is to change nothing. This copy is not one of the hypotheses; its probability is returned
separately: the answer to a line is its best rewrite, unless the decoder is sure that nothing is to change.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from arae_transfer.editing.actions import FINISH, LONGEST_EDIT, MOST_CHOICES, MOST_EDITS
from arae_transfer.editing.edits import Edit

Int64 = npt.NDArray[np.int64]
Bool = npt.NDArray[np.bool_]
Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

SAMPLED_WORDS = 64
"""Samples are drawn among so many of the most probable tokens (Fan et al. 2018), and among all positions."""

# What a hypothesis chooses, in one number: outside of an edit ``FINISH`` or 1 + position; inside a token, or this
# number less a position; and nothing, once it has finished.
_RESUME = -2
_NOTHING = -1
# What scorers give to what must not be chosen is far less.
_LEAST = -1e6


class Rows(NamedTuple):
    """The inputs of a scorer: the unfinished hypotheses, in the order of their lines, equally many of each line.

    Attributes:
        lines: (lines,) the indices of the unfinished lines.
        parents: (lines x width,) the row of the previous step that each continues; -1: there is none.
        token: (lines, width) as in ``editing.actions.Actions``.
        pointer: (lines, width).
        cursor: (lines, width).
        inside: (lines, width).
        words: How many of the most probable tokens to return.
    """

    lines: Int64
    parents: Int64
    token: Int64
    pointer: Int64
    cursor: Int64
    inside: Bool
    words: int


class Scores(NamedTuple):
    """The log-probabilities of the choices of each row.

    Attributes:
        start: (rows, 1 + time) of finishing, and of starting an edit at each position; undefined for rows inside of an
            edit.
        words: (rows inside, words) of the most probable tokens, only for the rows inside of an edit.
        word_ids: (rows inside, words) these tokens.
        resume: (rows inside, time) of continuing the source at each position.
    """

    start: Float32
    words: Float32
    word_ids: Int64
    resume: Float32


Scorer = Callable[[Rows], Scores]


class EditHypothesis(NamedTuple):
    """One way to edit a line.

    Attributes:
        edits: At least one edit, in order.
        total: The log-probability of all its choices.
        choices: The number of its choices.
    """

    edits: list[Edit]
    total: float
    choices: int


class FoundEdits(NamedTuple):
    """The hypotheses of a line.

    Attributes:
        hypotheses: In the order of their probability; samples in the order in which they were drawn.
        copy: The log-probability that nothing is to change.
    """

    hypotheses: list[EditHypothesis]
    copy: float


@dataclass(frozen=True)
class Draw:
    """The random numbers of samples.

    Attributes:
        uniforms: (MOST_CHOICES, lines x width) numbers in [0, 1).
        temperature: The divisor of log-probabilities.
    """

    uniforms: Float32
    temperature: float


class _Hypotheses:
    """The hypotheses of the unfinished lines, each array (lines, width); the unfinished ones come first."""

    __slots__ = ("choices", "cursor", "edits", "finished", "inside", "pointer", "token", "total", "written")

    def __init__(self, lines: int, width: int) -> None:
        shape = (lines, width)
        self.total: Float64 = np.zeros(shape)
        self.token: Int64 = np.zeros(shape, dtype=np.int64)
        self.pointer: Int64 = np.zeros(shape, dtype=np.int64)
        self.cursor: Int64 = np.zeros(shape, dtype=np.int64)
        self.inside: Bool = np.zeros(shape, dtype=np.bool_)
        self.edits: Int64 = np.zeros(shape, dtype=np.int64)
        self.written: Int64 = np.zeros(shape, dtype=np.int64)
        self.choices: Int64 = np.zeros(shape, dtype=np.int64)
        self.finished: Bool = np.zeros(shape, dtype=np.bool_)

    def rearrange(self, slots: Int64) -> None:
        """Select hypotheses of each line by index, (lines, new width)."""
        for name in self.__slots__:
            setattr(self, name, np.take_along_axis(getattr(self, name), slots, axis=1))

    def keep(self, lines: Bool) -> None:
        """Select some of the lines."""
        for name in self.__slots__:
            setattr(self, name, getattr(self, name)[lines])

    def choose(self, chosen: Int64, total: Float64) -> None:
        """Apply the choice of each hypothesis; ``_NOTHING``: it is finished, or there is none."""
        active = chosen != _NOTHING
        starts = active & ~self.inside & (chosen > FINISH)
        words = active & self.inside & (chosen >= 0)
        resumes = active & self.inside & (chosen <= _RESUME)
        self.finished = self.finished | ~active | (active & ~self.inside & (chosen == FINISH))
        self.token = np.where(words, chosen, 0)
        position = np.where(starts, chosen - 1, _RESUME - chosen)
        self.pointer = np.where(starts | resumes, 1 + position, 0)
        self.cursor = np.where(starts | resumes, position, self.cursor)
        self.inside = starts | words
        self.edits = self.edits + starts
        self.written = np.where(starts, 0, self.written + words)
        self.choices = self.choices + active
        self.total = total


def search_edits(score: Scorer, lines: int, width: int, draw: Draw | None = None) -> list[FoundEdits]:
    """Return the most probable hypotheses of each line, or samples.

    Args:
        score: Scores the choices of a step.
        lines: The number of lines.
        width: The hypotheses of a line; 1: greedy search.
        draw: The random numbers of samples; None: beam search.
    """
    live: Int64 = np.arange(lines)
    rows = width if draw else 1
    found = _Hypotheses(lines, rows)
    parents: Int64 = np.full(lines * rows, -1, dtype=np.int64)
    history = _History(lines, width)
    copies: Float64 = np.zeros(lines)
    for step in range(MOST_CHOICES):
        ongoing = ~found.finished[:, :rows]
        token, pointer, cursor = (each[:, :rows] * ongoing for each in (found.token, found.pointer, found.cursor))
        inside: Bool = found.inside[:, :rows] & ongoing
        words = SAMPLED_WORDS if draw else width
        scores, codes = _table(score(Rows(live, parents, token, pointer, cursor, inside, words)), inside)
        if step == 0:
            copies[:] = scores[:, 0, FINISH]
            scores[:, :, FINISH] = -np.inf
        _bar(scores, codes, found, rows)
        if draw:
            slots, chosen, total = _drawn(scores, codes, found, draw, step, live)
        else:
            slots, chosen, total = _best(scores, codes, found, width)
        found.rearrange(slots)
        found.choose(chosen, total)
        if not draw:
            order = np.argsort(found.finished, axis=1, kind="stable")
            found.rearrange(order)
            slots, chosen = (np.take_along_axis(each, order, axis=1) for each in (slots, chosen))
        history.add(live, slots, chosen)
        done: Bool = np.all(found.finished, axis=1)
        history.end(live[done], found.total[done], found.choices[done])
        if done.all():
            break
        # One row alone is multiplied by other instructions than several, so that a width that is more never is one.
        wide = width if draw else min(width, max(2, int((~found.finished[~done]).sum(axis=1).max())))
        before, rows = rows, wide
        left = slots[~done][:, :wide]
        parents = (np.flatnonzero(~done)[:, np.newaxis] * before + np.minimum(left, before - 1)).ravel()
        live = live[~done]
        found.keep(~done)
    return history.read(copies)


def _table(found: Scores, inside: Bool) -> tuple[Float64, Int64]:
    """Return the log-probability of each choice of each row, (lines, rows, choices), and the choices."""
    time, words = found.start.shape[1] - 1, found.words.shape[1]
    within, outside = np.flatnonzero(inside), np.flatnonzero(~inside)
    scores: Float64 = np.full((inside.size, 1 + time + words), -np.inf)
    codes: Int64 = np.full(scores.shape, _NOTHING, dtype=np.int64)
    scores[outside, : 1 + time] = found.start[outside]
    codes[outside, : 1 + time] = np.arange(1 + time)
    scores[within, :words] = found.words
    scores[within, words : words + time] = found.resume
    codes[within, :words] = found.word_ids
    codes[within, words : words + time] = _RESUME - np.arange(time)
    # Written so that what is not a number is never chosen.
    scores[~(scores > _LEAST)] = -np.inf
    return scores.reshape(*inside.shape, -1), codes.reshape(*inside.shape, -1)


def _bar(scores: Float64, codes: Int64, found: _Hypotheses, rows: int) -> None:
    """Forbid edits and tokens beyond the limits, and all choices of finished hypotheses."""
    inside = found.inside[:, :rows, np.newaxis]
    full = (found.edits[:, :rows] >= MOST_EDITS)[:, :, np.newaxis]
    long = (found.written[:, :rows] >= LONGEST_EDIT)[:, :, np.newaxis]
    scores[(~inside & full & (codes > FINISH)) | (inside & long & (codes >= 0))] = -np.inf
    scores[found.finished[:, :rows]] = -np.inf


def _best(scores: Float64, codes: Int64, found: _Hypotheses, width: int) -> tuple[Int64, Int64, Float64]:
    """Return the best continuations of each line, (lines, width): their hypotheses, choices and totals."""
    lines, rows, columns = scores.shape
    totals = (found.total[:, :rows, np.newaxis] + scores).reshape(lines, -1)
    kept = np.where(found.finished, found.total, -np.inf)
    everything = np.concatenate([totals, kept, np.full((lines, width), -np.inf)], axis=1)
    best = np.argsort(-everything, axis=1, kind="stable")[:, :width]
    total = np.take_along_axis(everything, best, axis=1)
    goes_on = (best < rows * columns) & (total > -np.inf)
    own = np.minimum(best, rows * columns - 1)
    slots = np.where(best < rows * columns, own // columns, best - rows * columns)
    slots = np.minimum(slots, found.total.shape[1] - 1)
    chosen = np.where(goes_on, np.take_along_axis(codes.reshape(lines, -1), own, axis=1), _NOTHING)
    return slots, chosen, total


def _drawn(
    scores: Float64, codes: Int64, found: _Hypotheses, draw: Draw, step: int, live: Int64
) -> tuple[Int64, Int64, Float64]:
    """Return a random continuation of each hypothesis."""
    lines, rows, _ = scores.shape
    numbers = draw.uniforms[step].reshape(-1, rows)[live]  # (lines, rows)
    scaled = scores / draw.temperature
    greatest = scaled.max(axis=2, keepdims=True)
    weights = np.exp(scaled - np.where(np.isfinite(greatest), greatest, 0.0))
    sums = np.cumsum(weights, axis=2)
    # The last of those that have a share, where rounding leads beyond.
    last = scores.shape[2] - 1 - np.argmax(weights[:, :, ::-1] > 0, axis=2)
    column = np.minimum((sums <= numbers[:, :, np.newaxis] * sums[:, :, -1:]).sum(axis=2), last)[:, :, np.newaxis]
    value = np.take_along_axis(scores, column, axis=2)[:, :, 0]
    code = np.take_along_axis(codes, column, axis=2)[:, :, 0]
    goes_on = ~found.finished & np.isfinite(value)
    total = np.where(found.finished, found.total, found.total + value)
    slots = np.broadcast_to(np.arange(rows), (lines, rows))
    return slots, np.where(goes_on, code, _NOTHING), total


class _History:
    """The choice of every hypothesis at every step, and its predecessor."""

    def __init__(self, lines: int, width: int) -> None:
        self._shape = (lines, width)
        self._chosen: list[Int64] = []
        self._slots: list[Int64] = []
        self._totals: Float64 = np.full(self._shape, -np.inf)
        self._choices: Int64 = np.zeros(self._shape, dtype=np.int64)

    def add(self, live: Int64, slots: Int64, chosen: Int64) -> None:
        """Store a step of the unfinished lines."""
        everything = np.full(self._shape, _NOTHING, dtype=np.int64)
        everything[live] = chosen
        origin = np.tile(np.arange(self._shape[1]), (self._shape[0], 1))
        origin[live] = slots
        self._chosen.append(everything)
        self._slots.append(origin)

    def end(self, lines: Int64, totals: Float64, choices: Int64) -> None:
        """Store the totals of finished lines."""
        self._totals[lines] = totals
        self._choices[lines] = choices

    def read(self, copies: Float64) -> list[FoundEdits]:
        """Return the hypotheses of each line."""
        lines, width = self._shape
        chosen: Int64 = np.empty((lines, width, len(self._chosen)), dtype=np.int64)
        slot = np.tile(np.arange(width), (lines, 1))
        for step in reversed(range(len(self._chosen))):
            chosen[:, :, step] = np.take_along_axis(self._chosen[step], slot, axis=1)
            slot = np.take_along_axis(self._slots[step], slot, axis=1)
        return [
            FoundEdits(
                [
                    EditHypothesis(_read_edits(row), total, count)
                    for row, total, count in zip(rows, totals, counts, strict=True)
                    if total > -np.inf
                ],
                copy,
            )
            for rows, totals, counts, copy in zip(
                chosen.tolist(), self._totals.tolist(), self._choices.tolist(), copies.tolist(), strict=True
            )
        ]


def _read_edits(chosen: list[int]) -> list[Edit]:
    """Return the edits that result from choices."""
    edits: list[Edit] = []
    start, inside = 0, False
    written: list[int] = []
    for code in chosen:
        if code == _NOTHING:
            continue
        if not inside:
            if code == FINISH:
                continue
            start, written, inside = code - 1, [], True
        elif code >= 0:
            written.append(code)
        else:
            edits.append(Edit(start, _RESUME - code, tuple(written)))
            inside = False
    return edits
