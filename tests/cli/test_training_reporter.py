"""What a person sees of a training run."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from arae_transfer.cli.training_reporter import LiveReporter, PlainReporter, make_reporter
from arae_transfer.training.checkpoint import State
from arae_transfer.training.loop import Outcome
from arae_transfer.training.reporter import Progress
from arae_transfer.training.validation import Probe, ValidationReport

PROGRESS = Progress(
    step=1500,
    steps=20000,
    sentences=96000,
    rate=1234.5,
    seconds_left=3725,
    metrics={"reconstruction": 3.14159, "critic": -0.25, "something_new": 1.0},
)
REPORT = ValidationReport(
    {"style": 71.25, "self_bleu": 30.5},
    [
        Probe(
            "bad", "the [red]food[/red] was cold .", "the food was", {"good": "the food was warm .", "so-so": "fair ."}
        )
    ],
)
OUTCOME = Outcome(Path("runs/shop/one"), True, State(step=20000, minutes=12.34, best_score=55.5, best_step=18000))


def test_plain_lines_go_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    with PlainReporter(quiet=False) as reporter:
        reporter.message("a sentence")
        reporter.progress(PROGRESS)
        reporter.validation(1500, REPORT, best=True)
        reporter.validation(1600, REPORT, best=False)
    reporter.interrupted(OUTCOME, "arae train runs/shop/one --resume")
    reporter.finished(OUTCOME, ["arae export runs/shop/one"])
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == [
        "a sentence",
        "step 1,500/20,000 1234 sentences/s left 1:02:05 reconstruction=3.142 critic=-0.250",
        "validation at step 1,500: style=71.25 self_bleu=30.50 (best)",
        "  the [red]food[/red] was cold . ▸ the food was",
        "    ▸ good: the food was warm .",
        "    ▸ so-so: fair .",
        "validation at step 1,600: style=71.25 self_bleu=30.50",
        "  the [red]food[/red] was cold . ▸ the food was",
        "    ▸ good: the food was warm .",
        "    ▸ so-so: fair .",
        "stopped at step 20,000; continue with: arae train runs/shop/one --resume",
        "finished runs/shop/one after 12.3 minutes; best score 55.5 at step 18,000",
        "  arae export runs/shop/one",
    ]


def test_quiet_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    with PlainReporter(quiet=True) as reporter:
        reporter.message("a sentence")
        reporter.progress(PROGRESS)
        reporter.validation(1500, REPORT, best=True)
    reporter.finished(OUTCOME, ["arae export runs/shop/one"])
    assert capsys.readouterr() == ("", "")


def test_a_pipe_gets_plain_lines() -> None:
    assert type(make_reporter(quiet=False)) is PlainReporter
    assert type(make_reporter(quiet=True)) is PlainReporter


def test_a_terminal_gets_a_view_of_figures_and_probes() -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=120, color_system="truecolor")
    with LiveReporter(console) as reporter:
        reporter.progress(PROGRESS)
        reporter.validation(1500, REPORT, best=True)
        reporter.progress(PROGRESS)
        reporter.message("no [bold]markup[/bold]")
    reporter.finished(OUTCOME, ["arae export runs/shop/one"])
    seen = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue())
    for text in (
        "reconstruction  3.142  critic  -0.250",
        "no [bold]markup[/bold]",
        "step 1,500/20,000 · 1234 sentences/s · left 1:02:05",
        "validation at step 1,500: style=71.25 self_bleu=30.50 (best)",
        "probe sentences at step 1,500",
        "the [red]food[/red] was cold .",  # text of the corpus is no markup
        "good: the food was warm .",
        "so-so: fair .",
        "runs/shop/one",
        "20,000",
        "12.3",
        "next:",
        "arae export runs/shop/one",
    ):
        assert text in seen
