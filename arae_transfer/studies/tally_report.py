"""Text report of a tally, with tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from arae_transfer.studies.study import SCALES
from arae_transfer.studies.tally import TOGETHER

MOST_NAMED = 10
"""Maximum number of missing or unusable ratings to list; the others are counted."""

LEAST_P_VALUE = 0.001
"""Smaller p values are shown as smaller than this."""


def render_tally(data: Mapping[str, Any]) -> str:
    """Return the report of a tally."""
    blocks = [_summary(data), _systems(data), _sections(data), _paired(data), _readers(data), _scores(data)]
    return "\n".join(block for block in blocks if block)


def problems(data: Mapping[str, Any]) -> Iterator[str]:
    """Yield warnings about ratings that do not count, one per line."""
    for name, what in (
        ("missing", "not rated"),
        ("problems", "rating could not be used|ratings could not be used"),
        ("replaced", "rating was replaced by a later one|ratings were replaced by later ones"),
    ):
        found = data[name]
        if not found:
            continue
        one, _, many = what.partition("|")
        if name == "missing":
            shown = ", ".join(found[:MOST_NAMED]) + (", ..." if len(found) > MOST_NAMED else "")
            yield f"{len(found):,} of {data['candidates']:,} candidates {one}: {shown}"
            continue
        yield f"{len(found):,} {one if len(found) == 1 else many}:"
        yield from (f"  {each}" for each in found[:MOST_NAMED])
        if len(found) > MOST_NAMED:
            yield f"  ... and {len(found) - MOST_NAMED:,} more; --json lists all"


def _summary(data: Mapping[str, Any]) -> str:
    return (
        f"Study {data['study']}: {data['rated']:,} of {data['candidates']:,} candidates rated by "
        f"{len(data['readers'])} reader{'s' if len(data['readers']) != 1 else ''}; "
        f"accepted: overall {data['accepted_from']:g} or more (95 % interval)\n"
    )


def _systems(data: Mapping[str, Any]) -> str:
    rows = [["", "items", *SCALES, "accepted %"]]
    for name, measures in data["sections"][TOGETHER]["systems"].items():
        scales = [f"{measures[scale]:.2f}" for scale in SCALES]
        rows.append([name, f"{measures['items']:,}", *scales, _accepted(measures)])
    return _table(rows)


def _sections(data: Mapping[str, Any]) -> str:
    sections = {name: section for name, section in data["sections"].items() if name != TOGETHER}
    if not sections:
        return ""
    rows = [["accepted %", *sections]]
    for name in data["sections"][TOGETHER]["systems"]:
        found = [section["systems"].get(name) for section in sections.values()]
        rows.append([name, *("–" if measures is None else _accepted(measures) for measures in found)])
    return _table(rows)


def _paired(data: Mapping[str, Any]) -> str:
    compared = data["sections"][TOGETHER]["against_base"]
    if not compared:
        return ""
    rows = [[f"{data['base']} against", "wins", "losses", "ties", "sign test p"]]
    for name in data["sections"][TOGETHER]["systems"]:
        if name in compared:
            each = compared[name]
            rows.append([name, *(str(each[key]) for key in ("wins", "losses", "ties")), _p_value(each["p_value"])])
    return _table(rows)


def _readers(data: Mapping[str, Any]) -> str:
    if len(data["readers"]) < 2:
        return ""
    rows = [["reader", "candidates", *SCALES, "accepted %"]]
    for name, each in data["readers"].items():
        scales = [f"{each[scale]:.2f}" for scale in SCALES]
        rows.append([name, f"{each['candidates']:,}", *scales, f"{100 * each['accepted']:.0f}"])
    agreement = data["agreement"]
    if agreement is None:
        return _table(rows) + "\nNo candidate was rated by two readers, so their agreement is unknown.\n"
    scales = agreement["scales"]
    shown = [["agreement", *SCALES]]
    shown.append(["Krippendorff's alpha", *(_number(scales[scale]["alpha"]) for scale in SCALES)])
    shown.append(["within 1, % of pairs", *(f"{100 * scales[scale]['within_1']:.0f}" for scale in SCALES)])
    note = (
        f"{agreement['candidates']:,} candidates were rated by several readers, who agree on acceptance in "
        f"{100 * agreement['same_verdict']:.0f} % of pairs.\n"
    )
    return f"{_table(rows)}\n{_table(shown)}{note}"


def _scores(data: Mapping[str, Any]) -> str:
    if not data["scores"]:
        return ""
    rows = [["Spearman's rho", "candidates", *SCALES, "overall, 95 %", "pairs %"]]
    for name, each in data["scores"].items():
        interval = each["overall_interval"]
        bounds = "–" if interval is None else f"{interval[0]:.2f} to {interval[1]:.2f}"
        share = each["pair_accuracy"]
        scales = [_number(each["spearman"][scale]) for scale in SCALES]
        rows.append([name, f"{each['candidates']:,}", *scales, bounds, "–" if share is None else f"{100 * share:.0f}"])
    return (
        _table(rows)
        + "pairs: two candidates of one source with different overall ratings that the score orders correctly.\n"
    )


def _accepted(measures: Mapping[str, Any]) -> str:
    low, high = measures["accepted_interval"]
    return f"{100 * measures['accepted']:.0f} ({100 * low:.0f}–{100 * high:.0f})"


def _p_value(value: float) -> str:
    return f"{value:.3f}" if value >= LEAST_P_VALUE else f"<{LEAST_P_VALUE}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _table(rows: Sequence[Sequence[str]]) -> str:
    """Return rows with aligned columns, the first one to the left."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for first, *others in rows:
        cells = [first.ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        lines.append("  ".join(cells).rstrip())
    return "".join(f"{line}\n" for line in lines)
