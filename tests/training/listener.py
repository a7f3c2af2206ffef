"""A reporter for tests: it keeps what a training tells, and may act after a step."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field

from arae_transfer.training.reporter import Progress
from arae_transfer.training.validation import ValidationReport


@dataclass
class Listener:
    """Keeps what it is told.

    Attributes:
        after: What to do after a step, given its number.
        messages: The sentences.
        tokenized: How many sentences were tokenized, and of how many.
        searches: For how many sentences a rewrite was searched, of how many, and by what.
        lines: The lines of progress.
        validations: The step of each validation, its report, and whether it was the best.
    """

    after: Callable[[int], None] = lambda step: None
    messages: list[str] = field(default_factory=list)
    tokenized: list[tuple[int, int]] = field(default_factory=list)
    searches: list[tuple[int, int, str]] = field(default_factory=list)
    lines: list[Progress] = field(default_factory=list)
    validations: list[tuple[int, ValidationReport, bool]] = field(default_factory=list)

    @property
    def steps(self) -> list[int]:
        """The steps that a line of progress was about."""
        return [line.step for line in self.lines]

    def message(self, text: str) -> None:
        """Keep a sentence."""
        self.messages.append(text)

    def tokenizing(self, done: int, total: int, rate: float) -> None:
        """Keep how far tokenization is."""
        assert rate > 0
        self.tokenized.append((done, total))

    def search(self, done: int, total: int, what: str = "rewrites searched") -> None:
        """Keep how far the search is."""
        self.searches.append((done, total, what))

    def progress(self, progress: Progress) -> None:
        """Keep a line, and act."""
        self.lines.append(progress)
        self.after(progress.step)

    def validation(self, step: int, report: ValidationReport, best: bool) -> None:
        """Keep a validation."""
        self.validations.append((step, report, best))


def interrupt_after(*steps: int) -> Listener:
    """Return a listener that sends this process a real Ctrl-C after given steps."""
    return Listener(lambda step: os.kill(os.getpid(), signal.SIGINT) if step in steps else None)
