"""Report of image models as Markdown and as a table; ``image_evaluation`` describes its content."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

_MEASURES = (
    ("images", "images", "{:,}"),
    ("recognised", "recognised %", "{:.1f}"),
    ("distinct_labels", "labels, effective number", "{:.2f}"),
    ("rarest", "rarest label %", "{:.1f}"),
    ("nearest", "nearest training image", "{:.0f}"),
    ("copies", "copies %", "{:.1f}"),
)


def is_image_report(results: Mapping[str, Any]) -> bool:
    """Return whether a report is about images."""
    return "image_samples" in results


def _rows(results: Mapping[str, Any]) -> list[list[str]]:
    return [
        [title, *(form.format(found[key]) for key, _, form in _MEASURES)]
        for title, found in results["image_samples"].items()
    ]


def image_footnotes(results: Mapping[str, Any]) -> list[str]:
    """Return the meaning of the figures, and the classifier's accuracy."""
    judge = results["judge"]
    notes = [
        f"{name}: reconstruction {found['nll']:.1f} nats per image ({found['images']:,} test images)."
        for name, found in results["image_models"].items()
    ]
    notes += [
        f"Recognised: the classifier gives one label at least {judge['confidence']:.0%}. The classifier, a "
        f"convolutional network trained on the training images, is correct on {judge['accuracy']:.2f} % of the "
        "test images.",
        "Labels: exp of the entropy of the recognised images' labels. Nearest: median over images of the sum of "
        "squared differences of pixels, black to white counting 1.",
    ]
    if judge["accuracy"] < judge["wanted"]:
        notes.append(f"The classifier is weaker than {judge['wanted']:.0f} %: read its columns with care.")
    return notes


def render_image_markdown(results: Mapping[str, Any]) -> str:
    """Return a report as Markdown."""
    head = ["samples of", *(label for _, label, _ in _MEASURES)]
    lines = [head, ["---"] + ["---:"] * len(_MEASURES), *_rows(results)]
    table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    return table + "\n" + "".join(f"- {note}\n" for note in image_footnotes(results))


def make_image_table(results: Mapping[str, Any]) -> Table:
    """Return a report as a table for a terminal."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("samples of", no_wrap=True)
    for _, label, _ in _MEASURES:
        table.add_column(label, justify="right")
    for row in _rows(results):
        table.add_row(*row)
    return table
