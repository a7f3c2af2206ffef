"""Progress of a training run on standard error: a live view on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from arae_transfer.training.loop import Outcome
    from arae_transfer.training.reporter import Progress
    from arae_transfer.training.validation import ValidationReport

# The networks' figures in the order of the table: key, title.
FIGURES = (
    ("reconstruction", "reconstruction"),
    ("pairs", "pairs"),
    ("cycle", "cycle"),
    ("critic", "critic"),
    ("generator", "generator"),
    ("adversarial", "encoder against critic"),
    ("classifier", "classifier on the code"),
    ("classifier_accuracy", "its accuracy"),
    ("confusion", "encoder against classifier"),
    ("rewrite_belief", "style of rewrites"),
    ("real_norm", "norm of real codes"),
    ("generated_norm", "norm of generated codes"),
    ("gradient_norm", "gradient norm"),
)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class PlainReporter:
    """Reports one line per interval, for logs and pipes."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._tenths: dict[str, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def _say(self, text: str) -> None:
        if not self._quiet:
            sys.stderr.write(text + "\n")
            sys.stderr.flush()

    def message(self, text: str) -> None:
        """Write a message."""
        self._say(text)

    def search(self, done: int, total: int, what: str = "rewrites searched") -> None:
        """Write a line at the start and after each tenth."""
        if self._is_tenth(what, done, total):
            self._say(f"{what}: {done:,} of {total:,} sentences")

    def tokenizing(self, done: int, total: int, rate: float) -> None:
        """Write a line after each tenth."""
        if self._is_tenth("tokenizing", done, total):
            self._say(f"tokenized {done:,} of {total:,} sentences, {rate:,.0f} sentences/s")

    def _is_tenth(self, work: str, done: int, total: int) -> bool:
        """Return whether work starts or completes another tenth."""
        tenths = 10 * done // max(total, 1)
        if done > 0 and tenths <= self._tenths.get(work, 0):
            return False
        self._tenths[work] = 0 if done == total else tenths
        return True

    def progress(self, progress: Progress) -> None:
        """Write a line of progress."""
        figures = " ".join(f"{key}={progress.metrics[key]:.3f}" for key, _ in FIGURES if key in progress.metrics)
        self._say(
            f"step {progress.step:,}/{progress.steps:,} {progress.rate:.0f} sentences/s "
            f"left {_duration(progress.seconds_left)} {figures}"
        )

    def validation(self, step: int, report: ValidationReport, best: bool) -> None:
        """Write scores and probe sentences."""
        figures = " ".join(f"{name}={value:.2f}" for name, value in report.scores.items())
        self._say(f"validation at step {step:,}: {figures}{' (best)' if best else ''}")
        for probe in report.probes:
            self._say(f"  {probe.source} ▸ {probe.reconstruction}")
            for name, text in probe.rewrites.items():
                self._say(f"    ▸ {name}: {text}")

    def interrupted(self, outcome: Outcome, command: str) -> None:
        """Write how to continue."""
        self._say(f"stopped at step {outcome.state.step:,}; continue with: {command}")

    def finished(self, outcome: Outcome, commands: Sequence[str]) -> None:
        """Write the final scores and the next commands."""
        state = outcome.state
        self._say(
            f"finished {outcome.run} after {state.minutes:.1f} minutes; "
            f"best score {state.best_score:.1f} at step {state.best_step:,}"
        )
        for command in commands:
            self._say(f"  {command}")


class LiveReporter(PlainReporter):
    """Shows a progress bar, the figures of each network and the latest probe sentences."""

    def __init__(self, console: Console) -> None:
        super().__init__(quiet=False)
        from rich.live import Live

        self._console = console
        self._progress: Progress | None = None
        self._preparing: tuple[int, int, str] | None = None
        self._report: ValidationReport | None = None
        self._report_step = 0
        self._live = Live(console=console, refresh_per_second=4, transient=True, get_renderable=self._render)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def search(self, done: int, total: int, what: str = "rewrites searched") -> None:
        """Update the view."""
        self._preparing = (done, total, f"{what}: {done:,} of {total:,} sentences")

    def tokenizing(self, done: int, total: int, rate: float) -> None:
        """Update the view."""
        self._preparing = (done, total, f"tokenized: {done:,} of {total:,} sentences · {rate:,.0f} sentences/s")

    def progress(self, progress: Progress) -> None:
        """Update the view."""
        self._progress = progress
        self._live.refresh()

    def validation(self, step: int, report: ValidationReport, best: bool) -> None:
        """Update the probe sentences, and write a line of scores above the view."""
        self._report, self._report_step = report, step
        figures = " ".join(f"{name}={value:.2f}" for name, value in report.scores.items())
        self._say(f"validation at step {step:,}: {figures}{' (best)' if best else ''}")

    def _render(self) -> RenderableType:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        parts: list[RenderableType] = []
        if self._report is not None:
            table = Table(title=f"probe sentences at step {self._report_step:,}", expand=True)
            for column in ("class", "source", "reconstruction", "rewrites"):
                table.add_column(column, overflow="fold")
            for probe in self._report.probes:
                rewrites = "\n".join(f"{name}: {text}" for name, text in probe.rewrites.items())
                table.add_row(*(Text(cell) for cell in (probe.label, probe.source, probe.reconstruction, rewrites)))
            parts.append(table)
        progress = self._progress
        if progress is None and self._preparing is not None and self._preparing[0] < self._preparing[1]:
            done, total, text = self._preparing
            return Group(*parts, ProgressBar(total=total, completed=done), Text(text))
        if progress is None:
            parts.append(Text("the first steps ..."))
            return Group(*parts)
        grid = Table.grid(padding=(0, 2))
        shown = [(title, progress.metrics[key]) for key, title in FIGURES if key in progress.metrics]
        half = (len(shown) + 1) // 2
        for left in range(half):
            cells = []
            for place in (left, left + half):
                title, value = shown[place] if place < len(shown) else ("", None)
                cells += [Text(title, style="dim"), Text("" if value is None else f"{value:.3f}")]
            grid.add_row(*cells)
        parts.append(grid)
        bar = Table.grid(padding=(0, 2), expand=True)
        bar.add_column(ratio=1)
        bar.add_column(no_wrap=True)
        bar.add_row(
            ProgressBar(total=progress.steps, completed=progress.step),
            Text(
                f"step {progress.step:,}/{progress.steps:,} · {progress.rate:.0f} sentences/s · "
                f"left {_duration(progress.seconds_left)}"
            ),
        )
        parts.append(bar)
        return Group(*parts)

    def finished(self, outcome: Outcome, commands: Sequence[str]) -> None:
        """Show a table of scores and the next commands."""
        from rich.table import Table

        table = Table(title=str(outcome.run))
        table.add_column("")
        table.add_column("", justify="right")
        table.add_row("steps", f"{outcome.state.step:,}")
        table.add_row("minutes", f"{outcome.state.minutes:.1f}")
        table.add_row("best step", f"{outcome.state.best_step:,}")
        for name, value in outcome.state.scores.items():
            table.add_row(name, f"{value:.2f}")
        self._console.print(table)
        self._say("next:")
        for command in commands:
            self._say(f"  {command}")


def make_reporter(quiet: bool) -> PlainReporter:
    """Return a live view when standard error is a terminal, otherwise plain lines."""
    if not quiet and sys.stderr.isatty():
        from rich.console import Console

        return LiveReporter(Console(stderr=True))
    return PlainReporter(quiet)


@contextmanager
def reading_progress() -> Iterator[Callable[[int, int], None] | None]:
    """Show a bar on a terminal while a corpus is read."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("reading"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("reading")
        shown = time.monotonic()

        def update(done: int, total: int) -> None:
            nonlocal shown
            now = time.monotonic()
            if now - shown > 0.1 or done >= total:
                shown = now
                bar.update(task, completed=done, total=total)

        yield update
