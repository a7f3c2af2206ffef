"""Parity of an exported quality estimator with the trained one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import onnxruntime
import torch

from arae_transfer.editing.edits import Edit
from arae_transfer.editing.search import FoundEdits
from arae_transfer.errors import AraeError
from arae_transfer.export.graph import Graph
from arae_transfer.export.parity import open_graph
from arae_transfer.export.quality_graph import build_quality_estimator
from arae_transfer.model.arae import ARAE
from arae_transfer.model.transformer import TransformerEncoder
from arae_transfer.runtime.quality import acceptance_log_odds
from arae_transfer.training.quality import log_odds_of

GREATEST_DIFFERENCE = 1e-3
"""The maximum difference of log-odds by an fp32 graph, which differs only by the order of its sums."""

GREATEST_SHIFT = 0.05
"""The maximum mean shift of the probability of acceptance by the 8-bit graph."""

_ROWS = 256

Row = list[int]
Float64 = npt.NDArray[np.float64]
Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]


def compare_quality(
    model: ARAE,
    graph: bytes,
    weights: tuple[str, bytes] | None,
    rows: Sequence[Row],
    found: Mapping[str, list[FoundEdits]],
) -> dict[str, float]:
    """Compare the log-odds of the greedy edits of some rows: by PyTorch, in fp32 and in 8 bits.

    Args:
        model: The model with its estimator, in evaluation mode on the CPU.
        graph: The estimator's 8-bit graph.
        weights: The weight file of the graph.
        rows: Ids with end ids.
        found: The edits of each row to each class.

    Returns:
        The entry of ``config.json``: the number of rewrites, and the mean shift of their probabilities.

    Raises:
        AraeError: A graph's log-odds differ too much.
    """
    encoder = _encoder(model)
    assert model.quality is not None
    most = len(encoder.positions) - 1
    whole = open_graph(build_quality_estimator(model.quality, encoder, {}, Graph()).SerializeToString())
    small = open_graph(graph, weights)
    shifts: list[float] = []
    for target, name in enumerate(model.classes):
        edits = [[each.hypotheses[0].edits] if each.hypotheses else [] for each in found[name]][:_ROWS]
        own = rows[: len(edits)]
        odds = [_log_odds(model, row, each, target, most) for row, each in zip(own, edits, strict=True)]
        expected = np.array([value for each in odds for value in each])
        answers = [np.array(acceptance_log_odds(runner(opened), own, edits, target, most)) for opened in (whole, small)]
        difference = float(np.max(np.abs(answers[0] - expected), initial=0.0))
        # Written so that what is not a number is refused.
        if not difference <= GREATEST_DIFFERENCE:
            raise AraeError(
                f"the exported quality estimator's log-odds differ from the model's by up to {difference:.1g}",
                "please report this, with the recipe.",
            )
        shifts += np.abs(_probabilities(answers[1]) - _probabilities(expected)).tolist()
    shift = float(np.mean(shifts)) if shifts else 0.0
    if not shift <= GREATEST_SHIFT:
        raise AraeError(
            f"the quality estimator's probabilities shift by {shift:.2f} in the mean when it is stored in 8 bits",
            "train it longer, or set quality.layers=0.",
        )
    return {"compared": len(shifts), "shift": round(shift, 4)}


def runner(session: onnxruntime.InferenceSession) -> Callable[[dict[str, Int64]], Float32]:
    """Return a function that runs a graph."""

    def run(feed: dict[str, Int64]) -> Float32:
        found: Float32 = session.run(["log_odds"], feed)[0]
        return found

    return run


@torch.no_grad()
def _log_odds(model: ARAE, row: Row, edits: Sequence[Sequence[Edit]], target: int, most: int) -> list[float]:
    """Return the trained estimator's log-odds of rewrites of a row."""
    if not edits:
        return []
    numbers = [target] * len(edits)
    found: list[float] = log_odds_of(model, [row[:-1]] * len(edits), edits, numbers, most, torch.device("cpu")).tolist()
    return found


def _encoder(model: ARAE) -> TransformerEncoder:
    encoder: object = model.encoder
    assert isinstance(encoder, TransformerEncoder)
    return encoder


def _probabilities(log_odds: Float64) -> Float64:
    return 1 / (1 + np.exp(-log_odds))
