"""Record of an experiment's settings, so that it is continued with the same ones."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from arae_transfer.atomic import write_text
from arae_transfer.errors import AraeError


def keep_plan(folder: Path, planned: Mapping[str, int]) -> None:
    """Record the settings of an experiment, if its folder does not have them yet.

    Args:
        folder: The experiment's folder, which exists.
        planned: What its runs do not show, such as the length of their common beginning.

    Raises:
        AraeError: The folder says otherwise.
    """
    path = folder / "plan.json"
    if path.is_file() and json.loads(path.read_text("utf-8")) != planned:
        raise AraeError(f"the systems in {folder} started from another place ({path})", "give another --output.")
    write_text(path, json.dumps(planned) + "\n")
