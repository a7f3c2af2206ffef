"""The parts of a model's folder that the Hugging Face Hub reads: the head of its card, and its terms."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence

NO_SOURCE = "The recipe does not say where the data come from, nor under which terms."
BINDING = "The terms of the data may bind the weights too."


def front_matter(pipeline: str, tags: Sequence[str], languages: Sequence[str] = ()) -> str:
    """Return the YAML that the Hugging Face Hub reads at the head of a card.

    Args:
        pipeline: The Hub's name of the task.
        tags: Further search terms.
        languages: The language codes of its text.
    """
    # Below, a JSON string is a YAML string.
    lines = ["---", "license: other", "license_name: terms-of-the-training-data", "license_link: LICENSE"]
    if languages:
        lines += ["language:", *(f"- {json.dumps(language)}" for language in languages)]
    lines += ["library_name: arae-transfer", f"pipeline_tag: {pipeline}", "tags:", *(f"- {tag}" for tag in tags)]
    return "\n".join([*lines, "---", ""])


def license_text(name: str, data_source: str) -> str:
    """Return the terms of a model, to which the card's ``license_link`` points.

    Args:
        name: The model's name.
        data_source: The origin and the terms of its data; empty: unknown.
    """
    source = data_source or NO_SOURCE
    return (
        f"Terms of the model {' '.join(name.split())}\n\n"
        + _paragraph(f"The weights in this folder were learned from these data: {source}")
        + "\n"
        + _paragraph(BINDING)
        + "\n"
        + _paragraph("The software that runs them, arae, is under the MIT licence.")
    )


def _paragraph(text: str) -> str:
    return textwrap.fill(" ".join(text.split()), 110, break_long_words=False, break_on_hyphens=False) + "\n"
