"""Edits rows of ids by an exported model: one call of the decoder's graph for each step of the search."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from arae_transfer.editing.actions import MOST_CHOICES
from arae_transfer.editing.batches import batches_of_like_length
from arae_transfer.editing.edits import apply_edits
from arae_transfer.editing.search import Draw, FoundEdits, Rows, Scores, search_edits
from arae_transfer.runtime.batching import pad

if TYPE_CHECKING:
    from arae_transfer.runtime.decoding import Hypothesis
    from arae_transfer.runtime.sessions import Sessions

Int64 = npt.NDArray[np.int64]
Float32 = npt.NDArray[np.float32]
# Names of outputs and inputs to outputs, as a graph is run.
Run = Callable[[list[str], dict[str, Any]], list[Any]]

# Lines that are searched at once, whatever their hypotheses: more are no faster.
_MOST_LINES = 128


def search_rows(
    encode: Run,
    decode: Run,
    rows: Sequence[Sequence[int]],
    target: int,
    width: int,
    hidden: int,
    draw: Callable[[Sequence[int]], Draw] | None = None,
) -> list[FoundEdits]:
    """Search the edits of rows of ids that end with the end id.

    The result for a row does not depend on the other rows, see ``editing.batches``.

    Args:
        encode: Runs the encoder's graph.
        decode: Runs the decoder's graph.
        rows: The rows.
        target: The number of the class.
        width: The hypotheses of a row.
        hidden: The size of the decoder's states.
        draw: Returns how samples of the rows with some indices are drawn; None: beam search.
    """
    found: list[FoundEdits | None] = [None] * len(rows)
    for numbers, time in batches_of_like_length([len(row) for row in rows], _MOST_LINES):
        # One line alone would be multiplied by other instructions than several are.
        own = numbers * 2 if len(numbers) == 1 else numbers
        tokens, lengths = pad([rows[number] for number in own], least=time)
        code, mask, allowed = encode(["code", "code_mask", "allowed"], {"tokens": tokens, "lengths": lengths})
        scorer = _GraphScorer(decode, (code, mask, allowed), target, hidden)
        answers = search_edits(scorer, len(own), width, draw(own) if draw else None)
        for number, answer in zip(numbers, answers, strict=False):
            found[number] = answer
    return [answer for answer in found if answer is not None]


class _GraphScorer:
    """Scores the choices of a search by a decoder's graph."""

    def __init__(self, decode: Run, code: tuple[Float32, Float32, Float32], target: int, hidden: int) -> None:
        self._decode = decode
        self._code = code
        self._lines = np.arange(len(code[0]))
        self._target = np.array(target, dtype=np.int64)
        self._states: Float32 = np.zeros((0, 4 * hidden), dtype=np.float32)

    def __call__(self, rows: Rows) -> Scores:
        """Run the graph once."""
        lines = rows.lines
        if len(lines) == 1:  # as above
            rows = _doubled(rows)
        if not np.array_equal(rows.lines, self._lines):
            left = np.searchsorted(self._lines, rows.lines)
            code, mask, allowed = (each[left] for each in self._code)
            self._code, self._lines = (code, mask, allowed), rows.lines
        inside = np.flatnonzero(rows.inside)
        asked = np.resize(inside, max(2, len(inside))) if len(inside) else np.zeros(2, dtype=np.int64)
        code, mask, allowed = self._code
        start, words, word_ids, resume, self._states = self._decode(
            ["start", "words", "word_ids", "resume", "next_states"],
            {
                "code": code,
                "code_mask": mask,
                "allowed": allowed,
                "target": self._target,
                "token": rows.token,
                "pointer": rows.pointer,
                "cursor": rows.cursor,
                "inside": rows.inside.astype(np.int64),
                "parents": rows.parents,
                "states": self._states,
                "inside_rows": asked,
                "most_words": np.array([rows.words], dtype=np.int64),
            },
        )
        number = len(lines) * rows.token.shape[1]
        count = int((inside < number).sum())
        return Scores(start[:number], words[:count], word_ids[:count], resume[:count])


def _doubled(rows: Rows) -> Rows:
    """Duplicate the rows of a single line."""
    arrays: tuple[Any, ...] = rows[:-1]
    return Rows._make([*(np.concatenate([each, each]) for each in arrays), rows.words])


def edit_hypotheses(
    sessions: Sessions,
    rows: Sequence[Sequence[int]],
    to: str,
    width: int = 1,
    sampling: tuple[float, int] | None = None,
) -> list[list[Hypothesis]]:
    """Return the hypotheses of each row of ids, which ends with the end id; the last hypothesis is the unchanged row.

    Args:
        sessions: The model.
        rows: The rows.
        to: The target class.
        width: The number of the other hypotheses of a row.
        sampling: The temperature and the seed of samples; None: beam search.

    Raises:
        AraeError: onnxruntime fails, or the model's files are damaged.
    """
    from arae_transfer.runtime.decoding import Hypothesis, uniform_numbers

    def draw(numbers: Sequence[int]) -> Draw:
        temperature, seed = sampling or (1.0, 0)
        limits = np.full(len(numbers), MOST_CHOICES)
        return Draw(uniform_numbers([rows[number] for number in numbers], limits, width, seed), temperature)

    target = sessions.folder.classes.index(to)
    with sessions.borrow(to, searching=False) as (encoder, decoder):
        hidden = next(each.shape[1] for each in decoder.get_inputs() if each.name == "states") // 4
        found = search_rows(
            lambda outputs, feed: sessions.run_graph(encoder, outputs, feed),
            lambda outputs, feed: sessions.run_graph(decoder, outputs, feed),
            rows,
            target,
            width,
            hidden,
            draw if sampling else None,
        )
    answers = []
    for row, own in zip(rows, found, strict=True):
        keep = math.exp(own.copy)
        answers.append(
            [
                *(
                    Hypothesis(apply_edits(row, each.edits), each.total, each.choices, keep, tuple(each.edits))
                    for each in own.hypotheses
                ),
                Hypothesis(list(row), own.copy, 1, keep, ()),
            ]
        )
    return answers


def edit_greedily(
    sessions: Sessions, rows: Sequence[Sequence[int]], to: str, copy_above: float | None
) -> list[Hypothesis]:
    """Return the greedy edits of each row, or the unchanged row if the decoder is sure that nothing is to change.

    Raises:
        AraeError: As ``edit_hypotheses``.
    """
    least = sessions.folder.copy_above if copy_above is None else copy_above
    return [
        hypotheses[-1] if (hypotheses[-1].keep or 0.0) > least else hypotheses[0]
        for hypotheses in edit_hypotheses(sessions, rows, to)
    ]
