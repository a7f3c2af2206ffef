"""The written record of a run, and its copy for TensorBoard."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from arae_transfer.layout import RunLayout
from arae_transfer.training.log import RunLog
from arae_transfer.training.tensorboard import TensorBoardWriter, open_tensorboard
from arae_transfer.training.validation import Probe, ValidationReport


class Recorder:
    """Takes figures as TensorBoard's writer does."""

    def __init__(self) -> None:
        self.written: list[tuple[int, dict[str, float]]] = []
        self.closed = False

    def write(self, step: int, scalars: Mapping[str, float]) -> None:
        self.written.append((step, dict(scalars)))

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def layout(tmp_path: Path) -> Iterator[RunLayout]:
    (tmp_path / "run").mkdir()
    yield RunLayout(tmp_path / "run")


def records(layout: RunLayout) -> list[dict[str, Any]]:
    return [json.loads(line) for line in layout.metrics.read_text("utf-8").splitlines()]


def test_figures_go_to_the_file_and_to_whoever_else_wants_them(layout: RunLayout) -> None:
    recorder = Recorder()
    log = RunLog(layout, 64, recorder)
    returned = log.metrics("train", 3, {"critic": 0.12345678, "critic_update_ratio": 1.23456789e-9})
    log.metrics("valid", 3, {"nll": 2.0})
    assert returned == {"train/critic": 0.123457, "train/critic_update_ratio": 1.23457e-9}
    assert records(layout) == [
        {"step": 3, "sentences": 192, **returned},
        {"step": 3, "sentences": 192, "valid/nll": 2.0},
    ]
    assert recorder.written == [(3, returned), (3, {"valid/nll": 2.0})]
    log.close()
    assert recorder.closed


def test_what_comes_after_a_checkpoint_is_cut_off(layout: RunLayout) -> None:
    log = RunLog(layout, 64)
    report = ValidationReport({"nll": 1.0}, [Probe("bad", "step 9 up", "step", {"good": "step"})])
    for step in (1, 2, 3):
        log.metrics("train", step, {"critic": float(step)})
        log.samples(step, report)
    with layout.metrics.open("a", encoding="utf-8") as file:
        file.write('{"step": 2, "sent')
    kept = log.trim(2)
    assert [record["step"] for record in kept] == [1, 2]
    assert records(layout) == kept
    assert [line for line in layout.samples.read_text("utf-8").splitlines() if not line.startswith(" ")] == [
        "step 1",
        "step 2",
    ]
    assert layout.samples.read_text("utf-8").count("[bad] step 9 up") == 2


def test_a_log_that_is_not_there_is_nothing_to_cut(layout: RunLayout) -> None:
    assert RunLog(layout, 64).trim(5) == []
    assert not layout.metrics.exists()
    assert not layout.samples.exists()


# --- TensorBoard


def test_without_tensorboard_nothing_is_written(layout: RunLayout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)  # how Python notes that a module is not there
    said: list[str] = []
    assert open_tensorboard(layout.tensorboard, said.append) is None
    assert said == []
    assert not layout.tensorboard.exists()


def test_a_tensorboard_that_fails_is_said_once_and_left(layout: RunLayout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    said: list[str] = []
    writer = TensorBoardWriter(layout.tensorboard, said.append)
    for step in (1, 2):
        writer.write(step, {"train/critic": 0.5})
    writer.close()
    assert len(said) == 1
    assert said[0].startswith("TensorBoard gets no more figures: ")
    assert str(layout.root) in said[0]


def test_tensorboard_reads_what_the_metrics_say_also_of_a_resumed_run(layout: RunLayout) -> None:
    """With TensorBoard's own reader: steps that were done again stand there once, with their later figures."""
    pytest.importorskip("tensorboard")
    said: list[str] = []
    for first, last, factor in ((1, 6, 100.0), (4, 8, 1.0)):
        log = RunLog(layout, 64, open_tensorboard(layout.tensorboard, said.append))
        log.trim(first - 1)
        for step in range(first, last + 1):
            log.metrics("train", step, {"critic": factor * step})
        log.close()
        # Event files are read in the order of their names, which tell the second; a run is not resumed within it.
        time.sleep(1.0)
    reader = importlib.import_module("tensorboard.backend.event_processing.event_accumulator")
    events = reader.EventAccumulator(str(layout.tensorboard))
    events.Reload()
    assert events.Tags()["scalars"] == ["train/critic"]
    found = [(event.step, event.value) for event in events.Scalars("train/critic")]
    assert found == [(record["step"], record["train/critic"]) for record in records(layout)]
    assert [step for step, _ in found] == list(range(1, 9))
    assert said == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a system with /dev")
def test_a_folder_that_tensorboard_cannot_write_is_said_once(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    (tmp_path / "file").write_text("x")
    said: list[str] = []
    writer = TensorBoardWriter(tmp_path / "file" / "tensorboard", said.append)
    writer.write(1, {"train/critic": 0.5})
    writer.write(2, {"train/critic": 0.5})
    assert len(said) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of files")
def test_a_disk_that_fills_up_prints_no_traceback(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    script = """
import resource, signal, sys, time
from pathlib import Path
from arae_transfer.training.tensorboard import TensorBoardWriter
writer = TensorBoardWriter(Path(sys.argv[1]), print)
writer.write(1, {"a": 1.0})
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300))
for step in range(2, 40):
    writer.write(step, {"a": 1.0})
    time.sleep(0.02)
writer.close()
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "tensorboard")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("TensorBoard gets no more figures") <= 1
