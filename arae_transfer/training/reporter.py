"""What a run tells whoever shows it to a person."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from arae_transfer.training.networks import Metrics
from arae_transfer.training.validation import ValidationReport


@dataclass(frozen=True)
class Progress:
    """What a line of progress tells.

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
    """Whoever shows a run to a person."""

    def message(self, text: str) -> None:
        """Show a sentence."""

    def tokenizing(self, done: int, total: int, rate: float) -> None:
        """Show how many sentences of a large corpus are tokenized, and how many a second."""

    def search(self, done: int, total: int, what: str = "rewrites searched") -> None:
        """Show for how many sentences pairs are ready, and what is being done for them."""

    def progress(self, progress: Progress) -> None:
        """Show a line of progress."""

    def validation(self, step: int, report: ValidationReport, best: bool) -> None:
        """Show scores and probe sentences."""


class SilentReporter:
    """Shows nothing, to a person who is not there: for measurements and tests."""

    def message(self, text: str) -> None:
        """Say nothing."""

    def tokenizing(self, done: int, total: int, rate: float) -> None:
        """Say nothing."""

    def search(self, done: int, total: int, what: str = "") -> None:
        """Say nothing."""

    def progress(self, progress: Progress) -> None:
        """Say nothing."""

    def validation(self, step: int, report: ValidationReport, best: bool) -> None:
        """Say nothing."""
