"""The total training of a model: its own run, and all earlier runs whose weights it started from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from arae_transfer.errors import AraeError
from arae_transfer.export_config import ExportConfig
from arae_transfer.layout import ExportLayout, RunLayout, WhichCheckpoint
from arae_transfer.recipe import load_recipe
from arae_transfer.tasks import task_of
from arae_transfer.training.checkpoint import find_checkpoint, load_state
from arae_transfer.training.initial_weights import recorded_initial_weights


@dataclass(frozen=True)
class Lineage:
    """Total cost of a chain of runs.

    Attributes:
        examples: The sentences or images that all runs read.
        minutes: The minutes of all runs.
        runs: The number of runs.
        complete: Whether all earlier runs still exist.
        checkpoint: The checkpoint of the last run.
    """

    examples: int
    minutes: float
    runs: int
    complete: bool
    checkpoint: str

    def to_table(self, noun: str) -> dict[str, Any]:
        """Return the entry for ``config.json``; ``noun`` names the examples."""
        return {
            noun: self.examples,
            "minutes": round(self.minutes, 1),
            "checkpoint": self.checkpoint,
            "runs": self.runs,
            "complete": self.complete,
        }


def trained_in_all(run: Path, checkpoint: str) -> Lineage:
    """Add up the training of a run and of its ancestors.

    Args:
        run: The folder of the last run.
        checkpoint: Its checkpoint: ``"best"`` or ``"latest"``.

    Raises:
        AraeError: The last run cannot be read. If an earlier one is gone, the lineage is not ``complete``.
    """
    examples, minutes, runs = 0, 0.0, 0
    seen: set[Path] = set()
    current: Path | None = run
    which: WhichCheckpoint = "latest" if checkpoint == "latest" else "best"
    while current is not None:
        try:
            if ExportLayout(current).config.is_file() and not RunLayout(current).recipe.is_file():
                training = ExportConfig.read(ExportLayout(current).config).training
                return Lineage(
                    examples + int(training.get("sentences", 0)),
                    minutes + float(training.get("minutes", 0.0)),
                    runs + int(training.get("runs", 1)),
                    bool(training.get("complete", "runs" in training)),
                    checkpoint,
                )
            if current.resolve() in seen:
                raise AraeError(f"{current} descends from itself")
            seen.add(current.resolve())
            layout = RunLayout(current)
            recipe = load_recipe(layout.recipe, recorded=True)
            state = load_state(find_checkpoint(layout, which), layout)
            examples += state.step * task_of(recipe).examples_per_step(recipe, state.classes)
            minutes += state.minutes
            runs += 1
            start = recorded_initial_weights(layout)
            current, which = start.initial, start.checkpoint
        except (AraeError, OSError, ValueError, TypeError, AttributeError):
            if runs == 0:
                raise
            return Lineage(examples, minutes, runs, False, checkpoint)
    return Lineage(examples, minutes, runs, True, checkpoint)
