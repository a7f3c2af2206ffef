"""The quality estimator of an exported model: how likely a reader accepts each candidate."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from arae_transfer.editing.batches import TIMES, batches_of_like_length
from arae_transfer.editing.edits import Edit
from arae_transfer.quality.candidates import Candidate, read_candidate
from arae_transfer.runtime.batching import pad

Int64 = npt.NDArray[np.int64]
Float32 = npt.NDArray[np.float32]

# Candidates that are scored at once: more are no faster.
_MOST_ROWS = 256


def acceptance_log_odds(
    run: Callable[[dict[str, Int64]], Float32],
    sources: Sequence[Sequence[int]],
    edits: Sequence[Sequence[Sequence[Edit]]],
    target: int,
    most: int,
) -> list[float]:
    """Return the log-odds that a reader accepts each candidate, those of the first source first.

    Nothing about a candidate depends on the others: see ``editing.batches``.

    Args:
        run: Runs the graph of the estimator, see ``export.quality_graph``.
        sources: The ids of each line, with the end id.
        edits: The edits that make each candidate of each line.
        target: The number of the target class.
        most: Half of the tokens of a candidate that are read at most.
    """
    rows = [
        (line, read_candidate(source[:-1], each, most))
        for line, (source, own) in enumerate(zip(sources, edits, strict=True))
        for each in own
    ]
    odds: list[float] = [0.0] * len(rows)
    # Both lengths in one number: candidates of a batch are padded alike, and so are their sources.
    widest = 1 + max((_multiple(len(candidate.tokens)) for _, candidate in rows), default=0)
    keys = [_multiple(len(sources[line])) * widest + _multiple(len(candidate.tokens)) for line, candidate in rows]
    for numbers, _ in batches_of_like_length([key * TIMES for key in keys], _MOST_ROWS):
        # One row alone would be multiplied by other instructions than several are.
        own = [rows[number] for number in (numbers * 2 if len(numbers) == 1 else numbers)]
        found = run(_feed(sources, own) | {"target": np.array(target, dtype=np.int64)})
        for number, value in zip(numbers, found.tolist(), strict=False):
            odds[number] = value
    return odds


def _multiple(length: int) -> int:
    return -(-length // TIMES)


def _feed(sources: Sequence[Sequence[int]], rows: Sequence[tuple[int, Candidate]]) -> dict[str, Int64]:
    """Return what the graph reads, but for the class; times are filled up."""
    lines = sorted({line for line, _ in rows})
    places = {line: place for place, line in enumerate(lines)}
    if len(lines) == 1:
        lines = lines * 2
    read = [sources[line] for line in lines]
    source, source_lengths = pad(read, least=_multiple(max(map(len, read))) * TIMES)
    time = _multiple(max(len(candidate.tokens) for _, candidate in rows)) * TIMES
    return {
        "source.tokens": source,
        "source.lengths": source_lengths,
        **{name: pad([getattr(each, name) for _, each in rows], least=time)[0] for name in Candidate._fields},
        "line": np.array([places[line] for line, _ in rows], dtype=np.int64),
    }
