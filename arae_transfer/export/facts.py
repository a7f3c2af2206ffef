"""What an export's description and card tell of a model besides what its files are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Required, TypedDict


class ModelFacts(TypedDict, total=False):
    """What is known of a trained model, as all exporters take it.

    Attributes:
        name: The model's name.
        scores: Its validation scores.
        training: What its training took, all runs together, as ``Lineage.to_table`` gives it.
        evaluation: The report of an evaluation as Markdown.
        languages: The language codes of its text.
    """

    name: Required[str]
    scores: Mapping[str, Any]
    training: Mapping[str, Any]
    evaluation: str
    languages: Sequence[str]
