"""Whether a training that is killed again and again ends as one that nobody disturbed, bit for bit.

    python tests/benchmarks/interruption.py [--kills 20] [--seed 1] [TASK ...]

Trains a small run of every task once without a break. Then trains it again and ends the process at random moments,
``--kills`` times: by SIGKILL and by a full disk in turn, which stays full until the process has given up. Each time
the training is continued as a user would (`arae train RUN --resume`), in a process of its own; it is forked from one
that has loaded the libraries, so that moments fall into the training and not into Python's start. The ends are
compared by the hashes of all files of the latest checkpoint (weights, averages, optimizers, random state), of
tokenizer and pairs, and by the figures of each step. Prints a table; exits with status 1 where an end is another one,
or a full disk is no message. Linux; the full disk is a small file system of memory, which needs a user namespace or
root (`unshare`), and without it SIGKILL comes every time.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from multiprocessing import get_context, set_forkserver_preload
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np

from arae_transfer.cli.main import main as main_of_arae
from arae_transfer.corpus.quickstart import write_corpus
from arae_transfer.layout import RunLayout
from arae_transfer.parallel.examples import ParallelExample, write_parallel

INSIDE = "ARAE_INSIDE_NAMESPACE"
DISK_BYTES = 64 << 20
SAID = "said.txt"
# What a training would first wait for: killed there, it has done nothing yet.
LOADED = ["__main__", "arae_transfer.cli.train", "arae_transfer.training.loop", "arae_transfer.paper.images.image_task"]
COMMON = """
description = "A small run."
data_source = "Generated."

[tokenizer]
vocabulary_size = 400

[model]
code_size = 16
embedding_size = 16
hidden_size = 16

[adversary]
generator_layers = [8]
critic_layers = [8]
critic_updates = 1

[attribute]
layers = [8]

[image]
height = 6
width = 5
encoder_layers = [8]
decoder_layers = [8]

[validation]
every = {every}
sentences = 8
probes = 1
log_every = 1

[training]
sentences = {sentences}
batch_size = 4
averaging = 0.9
"""
# Of each task: the keys of its recipe, the classes of a step's sentences, and its data with the options about them.
TASKS: dict[str, tuple[list[str], int, str]] = {
    "rewriting": (["training.schedule=joint", "training.optimizer=adam", "parallel.sentences=60"], 2, "data"),
    "rewriting, the paper's schedule": (["noise.drop=0.1"], 2, "data"),
    "editing": (
        [
            "task=editing",
            "model.encoder=transformer",
            "model.code=sequence",
            "model.encoder_layers=2",
            "model.attention_heads=2",
            "model.inner_size=16",
            "model.frozen_layers=1",
            "model.dropout=0.1",
            "adversary.weight=0",
            "attribute.weight=0",
            "training.schedule=joint",
            "training.optimizer=adam",
        ],
        2,
        "data --examples examples.tsv",
    ),
    "classification": (
        ["task=classification", "training.schedule=joint", "labels.batch_size=4", "training.averaging=0"],
        1,
        "data",
    ),
    "generation": (["task=generation", "attribute.weight=0"], 1, "text.txt"),
    "images": (["data.kind=image", "attribute.weight=0", "training.initialization=scaled"], 1, "images"),
}


@dataclass
class Outcome:
    """What came of the kills of a task."""

    killed: int = 0
    full: int = 0
    ends: int = 0
    equal: int = 0
    problems: list[str] = field(default_factory=list)


def write_images(folder: Path) -> None:
    """Write a few random images as IDX files."""
    folder.mkdir()
    generator = np.random.default_rng(1)
    for name, count in (("train-images-idx3-ubyte.gz", 60), ("t10k-images-idx3-ubyte.gz", 20)):
        values = generator.integers(0, 256, (count, 6, 5), dtype=np.uint8)
        header = b"\0\0\x08\x03" + np.array(values.shape, dtype=">i4").tobytes()
        with gzip.open(folder / name, "wb") as file:
            file.write(header + values.tobytes())


def write_examples(path: Path) -> None:
    """Write example rewrites of single words."""
    words = (("cold", "warm"), ("rude", "kind"), ("slow", "quick"), ("awful", "lovely"), ("dirty", "clean"))
    pairs = [
        ParallelExample("negative", f"{thing} was {bad} .", "positive", f"{thing} was {good} .")
        for thing in ("the food", "our soup", "the staff", "my room", "this place", "the music")
        for bad, good in words
    ]
    write_parallel(path, pairs)


def run_command(arguments: list[str], folder: Path, said: Path) -> None:
    """Be `arae train`, with all that it says in a file."""
    os.chdir(folder)
    with said.open("wb") as file:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(file.fileno(), stream.fileno())
    sys.argv = ["arae", "train", *arguments, "--device", "cpu", "--threads", "1", "--quiet"]
    main_of_arae()


def start(arguments: list[str], folder: Path) -> BaseProcess:
    """Start a training in a process of its own, which has the libraries loaded already."""
    process = get_context("forkserver").Process(target=run_command, args=(arguments, folder, folder / SAID))
    process.start()
    return process


def fill(disk: Path) -> Path:
    """Write to a disk until nothing fits any more, and return the file."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            try:
                while True:
                    file.write(b"\0" * size)
            except OSError:
                continue
    return filler


def is_run(run: Path) -> bool:
    """Say whether a run can be continued."""
    layout = RunLayout(run)
    return layout.recipe.is_file() and (layout.tokenizer.is_file() or layout.environment.is_file())


def end_of(run: Path) -> dict[str, Any]:
    """Return what a finished run must agree in with another one."""
    layout = RunLayout(run)
    step = json.loads(layout.latest.read_text("utf-8"))["step"]
    state = json.loads((layout.checkpoint(step) / layout.STATE).read_text("utf-8"))
    figures: dict[int, dict[str, Any]] = {}
    for line in layout.metrics.read_text("utf-8").splitlines():
        record = json.loads(line)
        timeless = {
            key: value
            for key, value in record.items()
            if "second" not in key and "minute" not in key and "rate" not in key
        }
        figures.setdefault(record["step"], {}).update(timeless)
    return {
        "state": {key: value for key, value in state.items() if key != "minutes"},
        "best": json.loads(layout.best.read_text("utf-8"))["step"],
        "figures": figures,
    }


def train(task: str, folder: Path, disk: Path | None, kills: int, generator: random.Random) -> Outcome:
    """Train a task undisturbed, then disturbed, and compare."""
    settings, classes, data = TASKS[task]
    recipe = folder / "small" / "recipe.toml"
    recipe.parent.mkdir(exist_ok=True)
    recipe.write_text(COMMON.format(every=12 * classes, sentences=240 * classes), "utf-8")
    runs = (disk or folder) / "runs"
    given = [
        "small",
        "--data",
        *data.split(),
        "--runs",
        str(runs),
        *(word for each in settings for word in ("--set", each)),
    ]
    began = time.monotonic()
    whole = start([*given, "--name", "whole"], folder)
    whole.join()
    if whole.exitcode:
        return Outcome(problems=[(folder / SAID).read_text("utf-8")])
    seconds = time.monotonic() - began  # of a training that nobody disturbs
    expected = end_of(runs / "small" / "whole")
    outcome, number = Outcome(), 0
    while True:
        run = runs / "small" / f"broken-{number}"
        done = outcome.killed + outcome.full >= kills
        started, fresh = time.monotonic(), not is_run(run)
        process = start([str(run), "--resume"] if is_run(run) else [*given, "--name", run.name], folder)
        filler: Path | None = None
        if not done:
            process.join(generator.uniform(0.02, seconds))
            if process.exitcode is None and disk is not None and outcome.killed > outcome.full:
                filler = fill(disk)
                outcome.full += 1
            elif process.exitcode is None:
                process.kill()
                outcome.killed += 1
        process.join()
        said = (folder / SAID).read_text("utf-8") if (folder / SAID).is_file() else ""
        told = f"{run.name}, status {process.exitcode}, {outcome.killed + outcome.full} of {kills} kills"
        sys.stderr.write(f"{time.monotonic() - began:6.0f} s  {task}: {told}\n")
        if filler is not None:
            filler.unlink()
            if process.exitcode != 1 or not said.startswith("arae: cannot write"):
                outcome.problems.append(f"on a full disk: status {process.exitcode}: {said[-300:]}")
        elif process.exitcode not in (0, -9):
            outcome.problems.append(f"status {process.exitcode}: {said[-300:]}")
            return outcome
        if process.exitcode == 0:
            outcome.ends += 1
            if fresh:  # other work on the machine makes trainings slower or faster
                seconds = time.monotonic() - started
            found = end_of(run)
            outcome.equal += found == expected
            if found != expected:
                parts = [key for key in expected if found[key] != expected[key]]
                outcome.problems.append(f"{run.name} ends differently: {', '.join(parts)}")
            shutil.rmtree(run)
            number += 1
            if done:
                return outcome


def main() -> None:
    """Train, kill, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", nargs="*", metavar="TASK", help=f"of {', '.join(TASKS)}; all")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    alone = ["unshare", "--user", "--map-root-user", "--mount"]
    if INSIDE not in os.environ and not subprocess.run([*alone, "true"], capture_output=True, check=False).returncode:
        os.execvpe(alone[0], [*alone, sys.executable, *sys.argv], {**os.environ, INSIDE: "1"})
    set_forkserver_preload(LOADED)
    rows: list[tuple[str, ...]] = [
        ("task", "SIGKILL", "full disk", "trainings that ended", "equal to the undisturbed one, bit for bit"),
        ("---", *["---:"] * 4),
    ]
    problems = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_corpus(folder / "data")
        text = (folder / "data" / "train.negative.txt").read_text("utf-8").splitlines()[:400]
        (folder / "text.txt").write_text("\n".join(text) + "\n", "utf-8")
        write_images(folder / "images")
        write_examples(folder / "examples.tsv")
        for task in options.tasks or TASKS:
            disk: Path | None = folder / "disk"
            assert disk is not None
            disk.mkdir()
            mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(disk)]
            mounted = INSIDE in os.environ and not subprocess.run(mount, capture_output=True, check=False).returncode
            outcome = train(task, folder, disk if mounted else None, options.kills, random.Random(options.seed))
            if mounted:
                subprocess.run(["umount", str(disk)], check=True)
            shutil.rmtree(disk)
            shutil.rmtree(folder / "runs", ignore_errors=True)
            problems += [f"{task}: {problem}" for problem in outcome.problems]
            counted = (outcome.killed, outcome.full, outcome.ends, outcome.equal)
            rows.append((task, *(f"{number:,}" for number in counted)))
    sys.stdout.write("".join(f"| {' | '.join(row)} |\n" for row in rows))
    sys.stderr.write("".join(f"{problem}\n" for problem in problems))
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
