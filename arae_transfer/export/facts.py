"""Facts about a model for the description and the card of its export."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Required, TypedDict


class ModelFacts(TypedDict, total=False):
    """Facts about a trained model, an argument of all exporters.

    Attributes:
        name: The model's name.
        scores: Its validation scores.
        training: The cost of its training over all runs, as ``Lineage.to_table`` returns it.
        evaluation: The report of an evaluation as Markdown.
        languages: The language codes of its text.
    """

    name: Required[str]
    scores: Mapping[str, Any]
    training: Mapping[str, Any]
    evaluation: str
    languages: Sequence[str]
