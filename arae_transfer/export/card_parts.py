"""The parts that all model cards share: the head, sections on data, training and sizes, and Markdown helpers."""

from __future__ import annotations

import re
import textwrap
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from arae_transfer.export.hub_metadata import BINDING, NO_SOURCE, front_matter
from arae_transfer.export_config import ExportConfig

# Between these marks stands the evaluation; `arae export --scores` fills it, and other tools may replace it.
EVALUATION_BEGIN = "<!-- evaluation: begin -->"
EVALUATION_END = "<!-- evaluation: end -->"
TAGS = ("adversarially-regularized-autoencoder", "onnx")


@dataclass(frozen=True)
class Card(ABC):
    """The card of one model.

    Attributes:
        config: The content of the model's ``config.json``.
        description: The purpose of the model.
        data_source: The origin and the terms of its data.
        evaluation: The report of an evaluation as Markdown; empty: there is none.
        languages: The language codes of its text.
    """

    pipeline: ClassVar[str]
    """The task by the Hugging Face Hub's name of it."""

    tags: ClassVar[Sequence[str]] = TAGS
    """Further words to find the model by there."""

    config: ExportConfig
    description: str
    data_source: str
    evaluation: str = ""
    languages: Sequence[str] = ()

    @abstractmethod
    def sections(self) -> list[str]:
        """Return the sections below the title and the description."""

    def render(self) -> str:
        """Return the card's text. It names no path of the machine."""
        description = [paragraph(self.description)] if self.description else []
        head = [front_matter(self.pipeline, self.tags, self.languages), f"# {plain(self.config.name)}\n", *description]
        return "\n".join([*head, *self.sections()])


def data_section(card: Card) -> str:
    """Return the section on the origin and the terms of the data."""
    source = card.data_source or NO_SOURCE
    terms = f"{BINDING} The software is under its own licence."
    return f"## Data and terms\n\n{paragraph(source)}\n{paragraph(terms)}"


def training_facts(training: Mapping[str, Any]) -> str:
    """Describe the cost of the training, over all runs of its chain; nothing if unknown."""
    noun = next((noun for noun in ("sentences", "images") if noun in training), None)
    facts = []
    if noun is not None:
        facts.append(f"{training[noun]:,} {noun} seen")
    if "minutes" in training:
        facts.append(f"{training['minutes']:,.0f} minutes")
    if not facts:
        return ""
    text = ", ".join(facts)
    runs = training.get("runs", 1)
    if runs > 1:
        text += f", in {runs} runs of which each went on from the one before"
    return text if training.get("complete", True) else f"at least {text}; what came before is not known"


def size_table(config: ExportConfig) -> str:
    """Return the sizes of a model's files as a table."""
    sizes = {name: record.size for name, record in config.files.items()}
    rows = [(name, f"{size / 1e6:.2f} MB") for name, size in sizes.items()]
    return markdown_table(("file", "size"), [*rows, ("together", f"{sum(sizes.values()) / 1e6:.2f} MB")])


def evaluation_section(report: str) -> str:
    """Return the evaluation's report between marks by which tools find it."""
    content = _without_folders(report).strip() or (
        "Not evaluated yet: `arae evaluate --json` writes a report, `arae export --scores` puts it here."
    )
    return f"## Evaluation\n\n{EVALUATION_BEGIN}\n\n{content}\n\n{EVALUATION_END}\n"


def _without_folders(text: str) -> str:
    """Cut absolute paths to their last part, so that the card names no folders of the machine."""
    return re.sub(r"(?<![\w./\\])(?:[A-Za-z]:\\|/)(?:[^\s/\\|:]+[/\\])+", "", text)


def figure(value: float) -> str:
    """Format a score."""
    return f"{value:.2f}" if isinstance(value, float) else f"{value:,}" if type(value) is int else str(value).lower()


def plain(text: str) -> str:
    """Join a text into one line."""
    return re.sub(r"\s+", " ", text).strip()


def paragraph(text: str) -> str:
    """Wrap a text."""
    return textwrap.fill(plain(text), 110, break_long_words=False, break_on_hyphens=False) + "\n"


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return rows of cells as Markdown."""
    lines = [head, ["---"] * len(head), *([plain(cell).replace("|", r"\|") for cell in row] for row in rows)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
