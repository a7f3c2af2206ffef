"""Plot style against content: one point per system, readable in black and white.

Nothing heavy is imported with this module, so that a report can be read where none can be drawn.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.transforms import Bbox

_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">")
_BASELINE_MARKER = "+"
_LEVELS = (20, 40, 60, 80)
_SIZE, _DPI = (6.4, 4.8), 120
# Where the name of a point may stand, the best first: how far from it in typographic points, and how it is aligned.
_PLACES = (
    ((7, 6), "left", "bottom"),
    ((7, -6), "left", "top"),
    ((-7, 6), "right", "bottom"),
    ((-7, -6), "right", "top"),
    ((9, 0), "left", "center"),
    ((-9, 0), "right", "center"),
    ((7, 20), "left", "bottom"),
    ((7, -20), "left", "top"),
    ((-7, 20), "right", "bottom"),
    ((-7, -20), "right", "top"),
)
_MARGIN = 2.0  # around a name, in pixels
_MARKER_SIZE = 12  # of the box around a marker that no name enters, in pixels


@dataclass(frozen=True)
class Point:
    """Position of a system in the plot; all values are from 0 to 100.

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
    """Return the points of a report over all directions: systems in order, then baselines.

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
    """Return the classifiers' mean accuracy on real text of the target class, an upper bound for rewrites."""
    for scores in data["together"]["baselines"].values():
        if "self_bleu" not in scores:
            judges = _judges(scores)
            return sum(judges) / len(judges)
    return None


def _judges(scores: Mapping[str, Any]) -> list[float]:
    return [float(score["value"]) for key, score in scores.items() if key.startswith("accuracy_")]


def draw_curve(data: Mapping[str, Any]) -> bytes:
    """Draw the points of a report as PNG; lines join the systems in the order of their content scores.

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
    real = real_style(data)
    if real is not None:
        axes.axhline(real, color="#000000", linewidth=0.8, linestyle="-.")
        axes.annotate("real text", (1, real), fontsize="small", style="italic", va="bottom")
    axes.set_xlim(0, 102)
    axes.set_ylim(0, 104)
    axes.set_title("Style against content")
    axes.set_xlabel("content: BLEU to the source (bar: 95 % interval)")
    axes.set_ylabel("style: share of the target class, % (bar: the classifiers)")
    axes.spines[["top", "right"]].set_visible(False)
    _write_names(axes, points, real)
    content = io.BytesIO()
    figure.savefig(content, format="png", metadata={"Software": None})
    return content.getvalue()


def _write_names(axes: Axes, points: Sequence[Point], real: float | None) -> list[Bbox]:
    """Label each point without overlapping labels, markers or the line of real text; return the labels' boxes.

    These are in pixels.
    """
    from matplotlib.transforms import Bbox

    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()  # the layout is known from here on
    centres = [axes.transData.transform((point.content, point.style)) for point in points]
    half = _MARKER_SIZE / 2
    taken = [Bbox([[x - half, y - half], [x + half, y + half]]) for x, y in centres]
    inside, written = axes.get_window_extent(), []
    if real is not None:
        height = axes.transData.transform((0, real))[1]
        taken.append(Bbox([[inside.x0, height - 1], [inside.x1, height + 1]]))
    for point in points:
        choices = []
        for offset, horizontal, vertical in _PLACES:
            name = axes.annotate(
                point.name,
                (point.content, point.style),
                textcoords="offset points",
                xytext=offset,
                ha=horizontal,
                va=vertical,
                fontsize="small",
                style="italic" if point.baseline else "normal",
                # Lines do not strike it out.
                bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.5},
            )
            name.set_in_layout(False)
            box = name.get_window_extent().padded(_MARGIN)
            outside = box.x0 < inside.x0 or box.x1 > figure.bbox.x1 or box.y0 < inside.y0 or box.y1 > inside.y1
            choices.append((outside, sum(box.overlaps(other) for other in taken), name, box))
        best = min(choices, key=lambda choice: choice[:2])  # of equally good ones the first
        for choice in choices:
            if choice is not best:
                choice[2].remove()
        taken.append(best[3])
        written.append(best[3])
    return written
