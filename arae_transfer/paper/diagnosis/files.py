"""The files of a diagnosis: numbers, plots and the report."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from arae_transfer.atomic import write_bytes, write_text
from arae_transfer.paper.diagnosis.interpretation import render_markdown

DATA_FILE = "diagnosis.json"
REPORT_FILE = "README.md"


def write_diagnosis(
    found: Mapping[str, Any], folder: Path, remark: str, progress: Callable[[str], None] | None
) -> None:
    """Write a diagnosis into a folder.

    Args:
        found: The diagnosis, with its interpretation.
        folder: The folder; it is created when missing.
        remark: What the report says at its end.
        progress: Tells what is done; None: no plots are drawn, which need matplotlib.
    """
    pictures: dict[str, bytes] = {}
    if progress is not None:
        from arae_transfer.paper.diagnosis.plots import draw

        progress("drawing")
        pictures = draw(found)
    for name, picture in pictures.items():
        write_bytes(folder / f"{name}.png", picture)
    write_text(folder / DATA_FILE, json.dumps(found, ensure_ascii=False, indent=1) + "\n")
    files = {name: f"{name}.png" for name in pictures}
    write_text(folder / REPORT_FILE, render_markdown(found, files, remark))
