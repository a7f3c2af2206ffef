"""An evaluation for people (tables) and for machines (plain data).

Nothing heavy is imported, so that a report can be read where none can be made.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from arae_transfer.evaluation.evaluate import Evaluation, Section
    from arae_transfer.evaluation.measures import Scores

SIGNIFICANT = 0.05
LEGEND = (
    "Style: share of lines that a judge takes for the target class; for real text, that judge's own accuracy.",
    "Perplexity: the nearer to real text's the better; lower is blander.",
    "Reverse perplexity: of real text under a model of these lines; high where they lack variety.",
    "G, H: geometric and harmonic mean of the judges' mean accuracy and BLEU to the source.",
    "In brackets: 95 % interval.",
)


@dataclass(frozen=True)
class Measure:
    """One row of a report.

    Attributes:
        key: Its name for machines.
        label: Its name for people.
        decimals: The digits behind the point that are worth showing.
    """

    key: str
    label: str
    decimals: int = 1


MEASURES = (
    Measure("accuracy_linear", "style: linear judge %"),
    Measure("accuracy_neural", "style: neural judge %"),
    Measure("self_bleu", "content: BLEU to source"),
    Measure("reference_bleu", "content: BLEU to references"),
    Measure("reference_bleu_left_out", "… one reference left out"),
    Measure("copies", "exact copies %"),
    Measure("length_ratio", "length: words / source's", 2),
    Measure("perplexity", "fluency: perplexity"),
    Measure("reverse_perplexity", "reverse perplexity"),
    Measure("unknown_words", "unknown words %"),
    Measure("distinct", "distinct lines %"),
    Measure("blank", "blank lines %"),
    Measure("geometric_mean", "G = √(style · BLEU)"),
    Measure("harmonic_mean", "H (style, BLEU)"),
    Measure("geometric_mean_reference", "G with references"),
)


def to_data(evaluation: Evaluation) -> dict[str, Any]:
    """Return an evaluation as what JSON can hold; ``make_tables`` and ``render_markdown`` read it."""
    return {
        "signature": evaluation.signature,
        "warnings": evaluation.warnings,
        "directions": {
            str(direction): {"source": direction.source, "target": direction.target} | _section_data(section)
            for direction, section in evaluation.directions.items()
        },
        "together": _section_data(evaluation.together),
    }


def _section_data(section: Section) -> dict[str, Any]:
    return {
        "lines": section.lines,
        "systems": {name: _scores_data(scores) for name, scores in section.systems.items()},
        "baselines": {name: _scores_data(scores) for name, scores in section.baselines.items()},
        "p_values": section.p_values,
    }


def _scores_data(scores: Scores) -> dict[str, dict[str, float]]:
    data: dict[str, dict[str, float]] = {}
    for key, measurement in sorted(scores.items()):
        data[key] = {"value": round(measurement.value, 4)}
        if measurement.interval is not None:
            low, high = measurement.interval
            data[key] |= {"low": round(low, 4), "high": round(high, 4)}
    return data


def make_tables(data: Mapping[str, Any]) -> list[Table]:
    """Return a table for each direction of a report, and one for all together where there are several."""
    tables = []
    for title, head, rows in _grids(data):
        table = Table(
            title=Text(title),
            title_justify="left",
            title_style="bold",
            box=box.SIMPLE_HEAD,
            padding=(0, 1),
            pad_edge=False,
        )
        table.add_column("")
        for name in head:
            table.add_column(Text(name), justify="right", no_wrap=True)
        for row in rows:
            table.add_row(*map(Text, row))
        tables.append(table)
    return tables


def render_markdown(data: Mapping[str, Any]) -> str:
    """Return a report as Markdown: the tables and their footnotes."""
    parts = []
    for title, head, rows in _grids(data):
        cells = [["", *head], ["---", *("---:" for _ in head)], *rows]
        lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in cells]
        parts.append("\n".join([f"**{title}**", "", *lines]))
    return "\n\n".join([*parts, *footnotes(data)]) + "\n"


def footnotes(data: Mapping[str, Any]) -> list[str]:
    """Return what a reader of the tables must know: the legend, the marks, the warnings, the signature."""
    notes = list(LEGEND)
    if data["together"]["p_values"]:
        first = next(iter(data["together"]["systems"]))
        notes.append(f"* differs from {first}: p < {SIGNIFICANT} (paired bootstrap).")
    notes += [f"Warning: {warning}." for warning in data["warnings"]]
    return [*notes, f"Signature: {signature_line(data)}"]


def signature_line(data: Mapping[str, Any]) -> str:
    """Return, in one line, what one needs to get the same numbers."""
    return " | ".join(f"{subject}: {description}" for subject, description in data["signature"].items())


def _grids(data: Mapping[str, Any]) -> Iterator[tuple[str, list[str], list[list[str]]]]:
    """Yield the title, the column heads and the rows of each table; a row begins with its label."""
    sections = dict(data["directions"])
    if len(sections) > 1:
        sections["together"] = data["together"]
    for name, section in sections.items():
        texts = section["systems"] | section["baselines"]
        rows = []
        for measure in _shown_measures(texts.values()):
            row = [measure.label]
            for text, scores in texts.items():
                mark = section["p_values"].get(text, {}).get(measure.key, 1.0) < SIGNIFICANT
                cell = _format(measure, scores.get(measure.key), with_interval=text in section["systems"])
                row.append(cell + "*" if mark else cell)
            rows.append(row)
        yield f"{name} ({section['lines']:,} lines)", list(texts), rows


def _shown_measures(texts: Iterable[Mapping[str, Any]]) -> Iterator[Measure]:
    """Yield the measures that some text has; blank lines only where there are any."""
    every = list(texts)
    for measure in MEASURES:
        found = [scores[measure.key]["value"] for scores in every if measure.key in scores]
        if found and (measure.key != "blank" or max(found) > 0):
            yield measure


def _format(measure: Measure, score: Mapping[str, float] | None, *, with_interval: bool) -> str:
    if score is None:
        return "–"
    numbers = [f"{score[part]:,.{measure.decimals}f}" for part in ("value", "low", "high") if part in score]
    return f"{numbers[0]} ({numbers[1]}–{numbers[2]})" if with_interval and len(numbers) == 3 else numbers[0]
