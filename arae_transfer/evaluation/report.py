"""Report of an evaluation as tables and as JSON.

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
# Two directions are read one below the other; more are read as a table of classes by classes.
MOST_DIRECTIONS_APART = 2
LEGEND = (
    "Style: share of lines that a classifier assigns to the target class; for real text, the classifier's accuracy.",
    "Perplexity: best close to that of real text; lower is blander.",
    "Reverse perplexity: of real text under a model of these lines; high if they lack variety.",
    "G, H: geometric and harmonic mean of the classifiers' mean accuracy and BLEU to the source.",
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
    Measure("accuracy_linear", "style: linear classifier %"),
    Measure("accuracy_neural", "style: neural classifier %"),
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


# What a table of classes by classes shows of each system. The copied source's BLEU to references stands beside the
# system's: where translations are close, a copy scores high, and only what goes beyond it is a merit.
_OF_SYSTEM, _OF_COPY = True, False
_MATRIX_MEASURES = (
    (Measure("accuracy", "style: mean of the classifiers %"), _OF_SYSTEM),
    (Measure("self_bleu", "content: BLEU to source"), _OF_SYSTEM),
    (Measure("reference_bleu", "content: BLEU to references"), _OF_SYSTEM),
    (Measure("reference_bleu", "… of the copied source"), _OF_COPY),
    (Measure("copies", "exact copies %"), _OF_SYSTEM),
    (Measure("perplexity", "fluency: perplexity"), _OF_SYSTEM),
)
_COPY, _REAL = "copied source", "real text"


def to_data(evaluation: Evaluation) -> dict[str, Any]:
    """Return an evaluation as JSON data, the input of ``make_tables`` and ``render_markdown``."""
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
    """Return the tables of a report.

    Of up to two directions each has a table, and so have all together where there are several. Of more, there is one
    table of classes by classes for each system, and one for all together; the data hold each direction's measures.
    """
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
            heading = not any(row[1:])
            table.add_row(Text(row[0], style="bold" if heading else ""), *map(Text, row[1:]))
        tables.append(table)
    return tables


def render_markdown(data: Mapping[str, Any]) -> str:
    """Return a report as Markdown: the tables and their footnotes."""
    parts = []
    for title, head, rows in _grids(data):
        rows = [row if any(row[1:]) else [f"**{row[0]}**", *row[1:]] for row in rows]
        cells = [["", *head], ["---", *("---:" for _ in head)], *rows]
        lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in cells]
        parts.append("\n".join([f"**{title}**", "", *lines]))
    return "\n\n".join([*parts, *footnotes(data)]) + "\n"


def footnotes(data: Mapping[str, Any]) -> list[str]:
    """Return the footnotes: legend, marks, warnings, signature."""
    notes = list(LEGEND)
    if len(data["directions"]) > MOST_DIRECTIONS_APART:
        notes.append("Rows: source class; columns: target class. --json has all measures.")
    if data["together"]["p_values"]:
        first = next(iter(data["together"]["systems"]))
        notes.append(f"* differs from {first}: p < {SIGNIFICANT} (paired bootstrap).")
    notes += [f"Warning: {warning}." for warning in data["warnings"]]
    return [*notes, f"Signature: {signature_line(data)}"]


def signature_line(data: Mapping[str, Any]) -> str:
    """Return the one-line signature that identifies an evaluation."""
    return " | ".join(f"{subject}: {description}" for subject, description in data["signature"].items())


def _grids(data: Mapping[str, Any]) -> Iterator[tuple[str, list[str], list[list[str]]]]:
    """Yield the title, the column headings and the rows of each table; a row starts with its label."""
    sections = dict(data["directions"])
    if len(sections) > MOST_DIRECTIONS_APART:
        yield from _matrices(data)
        sections = {}
    if len(data["directions"]) > 1:
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


def _matrices(data: Mapping[str, Any]) -> Iterator[tuple[str, list[str], list[list[str]]]]:
    """Yield a matrix of source by target classes for each system, one measure below another.

    Real text, which has no source, has one row for a measure: what it scores in the class of each column.
    """
    directions = {(section["source"], section["target"]): section for section in data["directions"].values()}
    targets = sorted({target for _, target in directions})
    sources = sorted({source for source, _ in directions})
    lines = {section["source"]: section["lines"] for section in directions.values()}
    counts = " + ".join(f"{lines[source]:,}" for source in sources)
    for system in data["together"]["systems"]:
        rows: list[list[str]] = []
        for measure, own in _MATRIX_MEASURES:

            def cell(source: str, target: str, text: str, measure: Measure = measure) -> str:
                section = directions.get((source, target))
                if section is None:
                    return "–"
                scores = (section["systems"] | section["baselines"]).get(text, {})
                p_values = _values(measure, section["p_values"].get(text, {}))
                mark = "*" if p_values and max(p_values) < SIGNIFICANT else ""  # in the opinion of every judge
                return _format(measure, _mean(measure, scores), with_interval=False) + mark

            text = system if own else _COPY
            block = [[f"  {source}", *(cell(source, target, text) for target in targets)] for source in sources]
            if all(entry == "–" for row in block for entry in row[1:]):
                continue
            # Real text of a class is the same in every direction to it: any one tells.
            froms = {target: next(source for source, to in directions if to == target) for target in targets}
            real = [f"  {_REAL}", *(cell(froms[target], target, _REAL) for target in targets)]
            rows += [[measure.label, *("" for _ in targets)], *block]
            if any(entry != "–" for entry in real[1:]):
                rows.append(real)
        yield f"{system}: from ↓ to → ({counts} lines)", targets, rows


def _values(measure: Measure, of_keys: Mapping[str, Any]) -> list[Any]:
    """Return the values of a measure, for accuracy those of all classifiers."""
    if measure.key != "accuracy":
        return [of_keys[measure.key]] if measure.key in of_keys else []
    return [value for key, value in of_keys.items() if key.startswith("accuracy_")]


def _mean(measure: Measure, scores: Mapping[str, Mapping[str, float]]) -> Mapping[str, float] | None:
    """Return the score of a measure, averaged over several classifiers, or None without a score."""
    found = [score["value"] for score in _values(measure, scores)]
    return {"value": sum(found) / len(found)} if found else None


def _shown_measures(texts: Iterable[Mapping[str, Any]]) -> Iterator[Measure]:
    """Yield the measures that some text has; blank lines only if there are any."""
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
