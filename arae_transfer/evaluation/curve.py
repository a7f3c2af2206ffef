"""Style against content: one point for each system, readable in black and white.

Nothing heavy is imported with this module, so that a report can be read where none can be drawn.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">")
_BASELINE_MARKER = "+"
_LEVELS = (20, 40, 60, 80)
_SIZE, _DPI = (6.4, 4.8), 120


@dataclass(frozen=True)
class Point:
    """Where a system stands; all figures lie between 0 and 100.

    Attributes:
        name: The system, or the baseline.
        content: BLEU of its rewrites to their sources.
        content_interval: The 95 % interval of that.
        style: The share of rewrites that judges take for the target class, the mean of the judges.
        judges: The least and the greatest share among the judges.
        baseline: Whether it is a baseline: the copied source, human rewrites.
    """

    name: str
    content: float
    content_interval: tuple[float, float]
    style: float
    judges: tuple[float, float]
    baseline: bool


def curve_points(data: Mapping[str, Any]) -> list[Point]:
    """Return the points of a report, all directions together: the systems in their order, then baselines.

    Args:
        data: What ``report.to_data`` returns. Real text, which has no source, has no point; see ``real_style``.
    """
    section = data["together"]
    points = []
    for kind in ("systems", "baselines"):
        for name, scores in section[kind].items():
            if "self_bleu" in scores:
                content = scores["self_bleu"]
                interval = (content.get("low", content["value"]), content.get("high", content["value"]))
                judges = _judges(scores)
                style = sum(judges) / len(judges)
                bounds = (min(judges), max(judges))
                points.append(Point(name, content["value"], interval, style, bounds, kind == "baselines"))
    return points


def real_style(data: Mapping[str, Any]) -> float | None:
    """Return the judges' mean accuracy on real text of the target class, which no rewrites need surpass."""
    for scores in data["together"]["baselines"].values():
        if "self_bleu" not in scores:
            judges = _judges(scores)
            return sum(judges) / len(judges)
    return None


def _judges(scores: Mapping[str, Any]) -> list[float]:
    return [float(score["value"]) for key, score in scores.items() if key.startswith("accuracy_")]


def draw_curve(data: Mapping[str, Any]) -> bytes:
    """Draw the points of a report as PNG; systems are joined in the order of their content.

    A vertical bar spans the judges, a horizontal one the 95 % interval of BLEU. Dotted curves join points of equal
    geometric mean.
    """
    from matplotlib.figure import Figure

    points = curve_points(data)
    figure = Figure(figsize=_SIZE, dpi=_DPI, layout="constrained")
    axes = figure.add_subplot()
    for level in _LEVELS:
        contents = [level**2 / 100 + step * (100 - level**2 / 100) / 100 for step in range(101)]
        axes.plot(contents, [level**2 / content for content in contents], color="#bbbbbb", linewidth=0.7, linestyle=":")
        axes.annotate(f"G = {level}", (level**2 / 100, 101), color="#777777", fontsize="x-small", ha="center")
    systems = sorted((point for point in points if not point.baseline), key=lambda point: point.content)
    axes.plot(
        [point.content for point in systems],
        [point.style for point in systems],
        color="#777777",
        linewidth=0.9,
        linestyle="--",
        zorder=1,
    )
    for place, point in enumerate(points):
        low, high = point.content_interval
        axes.errorbar(
            point.content,
            point.style,
            xerr=[[max(point.content - low, 0.0)], [max(high - point.content, 0.0)]],
            yerr=[[point.style - point.judges[0]], [point.judges[1] - point.style]],
            marker=_BASELINE_MARKER if point.baseline else _MARKERS[place % len(_MARKERS)],
            markersize=9 if point.baseline else 6,
            markerfacecolor="white",
            color="#000000",
            elinewidth=0.7,
            linestyle="none",
            zorder=2,
        )
        right = point.content > 75  # the label stays inside the axes
        axes.annotate(
            point.name,
            (point.content, point.style),
            textcoords="offset points",
            xytext=(-7 if right else 7, 6),
            ha="right" if right else "left",
            fontsize="small",
            style="italic" if point.baseline else "normal",
        )
    real = real_style(data)
    if real is not None:
        axes.axhline(real, color="#000000", linewidth=0.8, linestyle="-.")
        axes.annotate("real text", (1, real), fontsize="small", style="italic", va="bottom")
    axes.set_xlim(0, 102)
    axes.set_ylim(0, 104)
    axes.set_xlabel("content: BLEU to the source")
    axes.set_ylabel("style: share of the target class (%), mean of the judges")
    axes.spines[["top", "right"]].set_visible(False)
    content = io.BytesIO()
    figure.savefig(content, format="png", metadata={"Software": None})
    return content.getvalue()
