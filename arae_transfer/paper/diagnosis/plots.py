"""Plots of a diagnosis, readable in black and white by markers and dashes."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from arae_transfer.paper.diagnosis.interpretation import TITLES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Data = Mapping[str, Any]

# Dark and light enough to differ in grey too (Okabe and Ito's palette).
BLACK, BLUE, ORANGE, GREY = "#000000", "#0072B2", "#E69F00", "#999999"
# The marker of each class and its colour; more classes than these begin again.
CLASS_STYLES = (
    ("o", BLUE),
    ("x", BLACK),
    ("^", ORANGE),
    ("+", BLUE),
    ("s", BLACK),
    ("v", BLUE),
    ("1", BLACK),
    ("D", ORANGE),
    ("*", BLUE),
    ("p", BLACK),
)
_STROKES = "x+1"  # markers without an inside
RUN, BASELINE = "this run", "plain autoencoder"
_WIDTH, _HEIGHT, _DPI = 6.4, 4.2, 120
_MARKS = 12


def draw(data: Data) -> dict[str, bytes]:
    """Return all plots with data as PNG, by the keys of ``interpretation.TITLES``."""
    plots = {
        "norms": _history(data, "norm", "L2 norm, mean over codes"),
        "variance": _history(data, "variance", "variance, summed over dimensions"),
        "neighbours": _neighbours(data),
        "swaps": _swaps(data),
        "projection": _projection(data),
    }
    for name, figure in plots.items():
        if figure is not None:
            figure.suptitle(TITLES[name], fontsize="large")
    return {name: _png(figure) for name, figure in plots.items() if figure is not None}


def _figure(columns: int = 1) -> tuple[Figure, list[Axes]]:
    # The object-oriented interface: pyplot would look for a screen and keep figures alive.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDTH if columns == 1 else _WIDTH * 0.8 * columns, _HEIGHT), layout="constrained")
    axes = [figure.add_subplot(1, columns, place + 1) for place in range(columns)]
    for own in axes:
        own.grid(color="#dddddd", linewidth=0.6)
        own.set_axisbelow(True)
        own.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _png(figure: Figure) -> bytes:
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=_DPI, metadata={"Software": None})
    return content.getvalue()


def _history(data: Data, what: str, label: str) -> Figure | None:
    figure, (axes,) = _figure()
    styles = {
        ("run", "real"): (f"encoded, {RUN}", "-", "o", BLACK),
        ("run", "generated"): (f"generated, {RUN}", "--", "^", BLUE),
        ("baseline", "real"): (f"encoded, {BASELINE}", ":", "s", ORANGE),
    }
    drawn = False
    for place, ((subject, kind), (name, dashes, marker, colour)) in enumerate(styles.items()):
        series = data["history"].get(subject, {}).get(f"{kind}_{what}", {"values": []})
        if series["values"]:
            # Each begins at another place, so that curves that coincide show all their markers.
            every = max(len(styles), len(series["values"]) // _MARKS)
            first = min(place, len(series["values"]) - 1)
            axes.plot(
                series["sentences"],
                series["values"],
                linestyle=dashes,
                marker=marker,
                markevery=(first, every),
                color=colour,
                label=name,
                markerfacecolor="white",
            )
            drawn = True
    if not drawn:
        return None
    low, high = axes.get_ylim()
    axes.set_ylim(min(0.0, low), max(high * 1.05, 0.1))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set_xlabel("training sentences seen")
    axes.set_ylabel(label)
    axes.legend(frameon=False)
    return figure


def _neighbours(data: Data) -> Figure | None:
    found = data["neighbours"]
    if not found["run"]:
        return None
    figure, (axes,) = _figure()
    for subject, name, dashes, marker, colour in (
        ("run", RUN, "-", "o", BLACK),
        ("baseline", BASELINE, "--", "s", BLUE),
    ):
        own = found.get(subject)
        if not own:
            continue
        distances = [int(distance) for distance in own["by_distance"]]
        axes.plot(
            distances,
            list(own["by_distance"].values()),
            linestyle=dashes,
            marker=marker,
            color=colour,
            markerfacecolor="white",
            label=f"near pairs, {name} (mean {own['near']:.3f})",
        )
        axes.axhline(
            own["random"],
            linestyle=(0, (1, 2)) if subject == "run" else (0, (6, 2, 1, 2)),
            color=colour,
            label=f"random pairs, {name} ({own['random']:.3f})",
        )
    axes.set_xticks(range(1, found["farthest"] + 1))
    axes.set_xlabel("edit distance in words")
    axes.set_ylabel("mean cosine similarity of codes")
    axes.legend(frameon=False, fontsize="small")
    return figure


def _swaps(data: Data) -> Figure:
    figure, (left, right) = _figure(2)
    for subject, name, dashes, marker, colour in (
        ("run", RUN, "-", "o", BLACK),
        ("baseline", BASELINE, "--", "s", BLUE),
    ):
        own = data["swaps"].get(subject)
        if own:
            for axes, key in ((left, "nll"), (right, "restored")):
                axes.plot(
                    range(len(own[key])),
                    own[key],
                    linestyle=dashes,
                    marker=marker,
                    color=colour,
                    markerfacecolor="white",
                    label=name,
                )
    for axes, label in ((left, "NLL of the original (nats per sentence)"), (right, "exact reconstructions (%)")):
        axes.set_xticks(range(len(data["swaps"]["run"]["nll"])))
        axes.set_ylim(bottom=0)
        axes.set_xlabel("swaps of two words before encoding")
        axes.set_ylabel(label)
    left.legend(frameon=False)
    return figure


def _projection(data: Data) -> Figure:
    subjects = [name for name in ("run", "baseline") if name in data["projection"]]
    figure, every = _figure(len(subjects))
    for subject, axes in zip(subjects, every, strict=True):
        own = data["projection"][subject]
        if own["generated"]:
            axes.scatter(*_columns(own["generated"]), s=9, marker=".", color=GREY, label="generated")
        for place, (label, points) in enumerate(own["points"].items()):
            marker, colour = CLASS_STYLES[place % len(CLASS_STYLES)]
            if points:
                # Left open inside, so that none hides another; what has no inside takes its colour from its face.
                axes.scatter(
                    *_columns(points),
                    s=16,
                    marker=marker,
                    linewidths=0.8,
                    label=label,
                    alpha=0.8,
                    facecolors=colour if marker in _STROKES else "none",
                    edgecolors=None if marker in _STROKES else colour,
                )
        first, second = own["explained"]
        axes.set_xlabel(f"first principal component ({first:.0f} %)")
        axes.set_ylabel(f"second principal component ({second:.0f} %)")
        axes.set_title(RUN if subject == "run" else BASELINE, fontsize="medium")
        axes.legend(frameon=True, fontsize="small")
    return figure


def _columns(points: Sequence[Sequence[float]]) -> tuple[list[float], list[float]]:
    return [point[0] for point in points], [point[1] for point in points]
