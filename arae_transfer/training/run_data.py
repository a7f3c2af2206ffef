"""Find the data that a run was trained on."""

from __future__ import annotations

import json
from pathlib import Path

from arae_transfer.errors import AraeError
from arae_transfer.layout import RunLayout


def sources_of_run(run: Path) -> list[str]:
    """Return the data of a run, or none if its record does not name them."""
    try:
        return recorded_sources(run)
    except AraeError:
        return []


def recorded_sources(run: Path) -> list[str]:
    """Return the data of a run; none means the corpus of its recipe.

    Raises:
        AraeError: The run does not record them.
    """
    path = RunLayout(run).environment
    try:
        return [str(source) for source in json.loads(path.read_text("utf-8"))["data"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise AraeError(f"{path} does not record where the data are") from error
