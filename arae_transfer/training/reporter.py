"""Interface for reporting a run's progress."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from arae_transfer.training.networks import Metrics
from arae_transfer.training.validation import ValidationReport


@dataclass(frozen=True)
class Progress:
    """A line of progress.

    Attributes:
        step: Finished steps.
        steps: Steps in all.
        sentences: Sentences seen.
        rate: Sentences per second since the last line.
        seconds_left: Estimated seconds to the end.
        metrics: Means of every network's figures since the last line.
    """

    step: int
    steps: int
    sentences: int
    rate: float
    seconds_left: float
    metrics: Metrics


class Reporter(Protocol):
    """Shows a run to the user."""

    def message(self, text: str) -> None:
        """Show a message."""

    def tokenizing(self, done: int, total: int, rate: float) -> None:
        """Show the progress of tokenizing a large corpus, and its speed."""

    def search(self, done: int, total: int, what: str = "rewrites searched") -> None:
        """Show the progress of mining parallel examples, and the current activity."""

    def progress(self, progress: Progress) -> None:
        """Show a line of progress."""

    def validation(self, step: int, report: ValidationReport, best: bool) -> None:
        """Show scores and probe sentences."""


class SilentReporter:
    """Shows nothing, for measurements and tests."""

    def message(self, text: str) -> None:
        """Ignore a message."""

    def tokenizing(self, done: int, total: int, rate: float) -> None:
        """Ignore progress of tokenizing."""

    def search(self, done: int, total: int, what: str = "") -> None:
        """Ignore progress of mining."""

    def progress(self, progress: Progress) -> None:
        """Ignore progress."""

    def validation(self, step: int, report: ValidationReport, best: bool) -> None:
        """Ignore a validation."""
