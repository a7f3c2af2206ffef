"""The curve of style against content."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest

from arae_transfer.evaluation.curve import Point, _write_names, curve_points, draw_curve, real_style
from arae_transfer.evaluation.evaluate import Evaluation
from arae_transfer.evaluation.report import to_data


def _scores(linear: float, neural: float, bleu: float | None) -> dict[str, Any]:
    scores: dict[str, Any] = {"accuracy_linear": {"value": linear}, "accuracy_neural": {"value": neural}}
    return scores | ({"self_bleu": {"value": bleu, "low": bleu - 1, "high": bleu + 2}} if bleu is not None else {})


REPORT = {
    "together": {
        "systems": {"bold": _scores(90, 80, 40), "shy": _scores(30, 32, 90)},
        "baselines": {"copied source": _scores(3, 5, 99), "real text": _scores(95, 93, None)},
    }
}


def test_points() -> None:
    assert curve_points(REPORT) == [
        Point("bold", 40, (39, 42), 85, (80, 90), False),
        Point("shy", 90, (89, 92), 31, (30, 32), False),
        Point("copied source", 99, (98, 101), 4, (3, 5), True),
    ]
    assert real_style(REPORT) == 94


def test_the_points_of_an_evaluation(evaluation: Evaluation) -> None:
    data = to_data(evaluation)
    points = {point.name: point for point in curve_points(data)}
    assert points.keys() == {"copies", "real", "copied source", "human"}
    assert points["copies"].content == 100 == points["copied source"].content
    assert points["copies"].style == points["copied source"].style < points["real"].style
    # The geometric mean of a point is that of the report.
    known = data["together"]["systems"]["real"]["geometric_mean"]["value"]
    assert (points["real"].content * points["real"].style) ** 0.5 == pytest.approx(known, abs=0.01)
    assert real_style(data) == pytest.approx(points["real"].style)


def test_the_drawing_is_the_same_each_time_and_dark_without_colour() -> None:
    pytest.importorskip("matplotlib")
    image = pytest.importorskip("PIL.Image")
    drawn = draw_curve(REPORT)
    assert drawn == draw_curve(REPORT)
    with image.open(io.BytesIO(drawn)) as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    assert (pixels.max(axis=2) - pixels.min(axis=2)).max() == 0
    assert (pixels < 60).mean() > 0.005


def test_names_of_near_points_do_not_meet() -> None:
    figures = pytest.importorskip("matplotlib.figure")
    figure = figures.Figure(figsize=(6.4, 4.8), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    axes.set_xlim(0, 102)
    axes.set_ylim(0, 104)
    places = [(68, 87), (69, 84), (20, 68), (16, 75), (12, 81), (100, 4), (99, 4), (45, 84)]
    names = ["yelp-sentiment", "finish3", "autoencoder", "arae-1", "arae-10", "copied source", "shy", "alone"]
    points = [
        Point(name, content, (content, content), style, (style, style), False)
        for name, (content, style) in zip(names, places, strict=True)
    ]
    boxes = _write_names(axes, points, 88.0)
    assert [text.get_text() for text in axes.texts] == names
    assert not any(one.overlaps(other) for place, one in enumerate(boxes) for other in boxes[:place])
    line = axes.transData.transform((0, 88))[1]
    assert not any(box.y0 < line < box.y1 for box in boxes)
    assert all(figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1 for box in boxes)
