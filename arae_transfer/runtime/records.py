"""Rewrites as JSON records, with the same fields on the command line and the server."""

from __future__ import annotations

from typing import Any

from arae_transfer.runtime.decoding import DecodingOptions
from arae_transfer.runtime.reranking import ScoredHypothesis
from arae_transfer.runtime.rewrite import Rewrite

DECIMALS = 4
"""Of scores: those of a line differ by less in batches of other sizes."""


def rewrite_record(rewrite: Rewrite, options: DecodingOptions, repaired: int | None = None) -> dict[str, Any]:
    """Return the record of a line and its answer.

    Args:
        rewrite: The answer.
        options: How it was chosen: the record has classes and hypotheses if these options ask for them.
        repaired: How many bytes of the line were replaced; None: the record has no such field.
    """
    record: dict[str, Any] = {
        "source": rewrite.source,
        "output": rewrite.output,
        "to": rewrite.to,
        "tokens": rewrite.tokens,
        "truncated": rewrite.truncated,
        "unfinished": rewrite.unfinished,
        "status": rewrite.status,
        "pieces": rewrite.pieces,
        "kept": rewrite.kept,
        "unfaithful": rewrite.unfaithful,
        "unread": rewrite.unread,
    }
    if repaired is not None:
        record["repaired"] = repaired
    if rewrite.keep is not None:
        record["keep"] = round(rewrite.keep, DECIMALS)
    if options.source is not None:
        record |= {"from": rewrite.source_class, "already": rewrite.already}
    if options.needs_hypotheses:
        record |= {"unsure": rewrite.unsure, "candidates": [_scores_of(each) for each in rewrite.candidates]}
    return record


def _scores_of(hypothesis: ScoredHypothesis) -> dict[str, Any]:
    names = ("score", "style", "fluency", "content", "language")
    numbers = {name: round(getattr(hypothesis, name), DECIMALS) for name in names}
    quality = {} if hypothesis.quality is None else {"quality": round(hypothesis.quality, DECIMALS)}
    return {"output": hypothesis.output, **numbers, **quality, "unfinished": hypothesis.unfinished}
