"""Two processes train as one does with the same batches, stop together and end together."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from arae_transfer.cli.processes import run_processes
from arae_transfer.corpus.batches import TokenizedSentences
from arae_transfer.errors import AraeError
from arae_transfer.layout import RunLayout
from arae_transfer.model.arae import ARAE
from arae_transfer.recipe import InputNoise, Recipe, recipe_from_table
from arae_transfer.training.batch import Batch, make_batch
from arae_transfer.training.data import TrainingData
from arae_transfer.training.loop import Trainer
from arae_transfer.training.networks import Networks
from arae_transfer.training.optimizers import Optimizers
from arae_transfer.training.processes import ALONE, Processes
from arae_transfer.training.reporter import SilentReporter

STEPS = 5
SMALL: dict[str, Any] = {
    "name": "small",
    "tokenizer": {"vocabulary_size": 300},
    "model": {"code_size": 12, "embedding_size": 12, "hidden_size": 12, "code_noise": 0.1},
    "adversary": {"noise_size": 4, "generator_layers": [8], "critic_layers": [8], "critic_updates": 2, "weight": 1.0},
    "attribute": {"layers": [8], "weight": 1.0},
    "training": {"sentences": STEPS * 12, "batch_size": 4},
    # Two batches of each class, so that both processes have some.
    "validation": {"every": STEPS * 12, "sentences": 140, "probes": 2, "log_every": 1},
}
JOINT = {"schedule": "joint", "optimizer": "adam", "learning_rate": 3e-3, "sampled_softmax": 100, "averaging": 0.9}
# Equal but for rounding: nothing that a process draws for itself, and no Adam for encoder and decoders, which makes
# whole steps of gradients that are nothing but rounding.
PLAIN = {**JOINT, "optimizer": "sgd", "learning_rate": 0.3}
EQUAL: dict[str, dict[str, Any]] = {
    "joint": {
        "model": {"code": "sequence", "bidirectional": True, "shared_embeddings": True},
        "noise": {"drop": 0.2, "shuffle": 1.0, "style_share": 0.5, "style_drop": 0.3, "style_replace": 0.3},
        "parallel": {"sentences": 60},
        "training": PLAIN,
    },
    "cycle": {
        "model": {"code": "sequence", "code_noise": 0.0},
        "cycle": {"weight": 1.0, "start": 0.0, "teach": 0.5, "style": 0.5},
        # In parts, as many as each process has; noise would be drawn in another order.
        "training": {**PLAIN, "tokens_at_once": 50},
    },
    "alternating": {"adversary": {"constraint": "gradient-penalty"}, "training": {"schedule": "alternating"}},
}
RANDOM: dict[str, Any] = {
    "model": {"code": "sequence", "dropout": 0.2, "word_dropout": 0.1},
    "noise": {"drop": 0.2},
    "cycle": {"weight": 1.0, "start": 0.0, "delete": 0.5},
    "training": {**JOINT, "tokens_at_once": 50},
}


def recipe(changes: dict[str, Any]) -> Recipe:
    keys = SMALL.keys() | changes.keys()
    table = {key: SMALL.get(key, {}) for key in keys}
    return recipe_from_table(
        {key: {**value, **changes.get(key, {})} if isinstance(value, dict) else value for key, value in table.items()}
    )


def corpus() -> TrainingData:
    nouns = ("food", "soup", "staff", "room", "place")
    words = {"bad": ("cold", "awful"), "good": ("warm", "great"), "so-so": ("fair", "plain")}
    lines = {
        label: [f"the {nouns[place % 5]} was {'very ' * (place % 4)}{own[place % 2]} {place}" for place in range(180)]
        for label, own in words.items()
    }
    return TrainingData(lines, {label: own[:140] for label, own in lines.items()})


def train(run: Path, chosen: Recipe, processes: Processes = ALONE, resume: bool = False, quiet: bool = True) -> bool:
    """Train a run, and say whether it was finished."""
    trainer = Trainer(chosen, corpus(), run, SilentReporter(), device="cpu", resume=resume, processes=processes)
    if quiet:
        trainer.model.scorer.dropout.p = 0.0  # always there, and drawn by each process for itself
        # A constant in all scores changes no loss: its gradient is rounding alone, of which Adam makes whole steps.
        trainer.model.critic.last.bias.register_hook(torch.zeros_like)  # type: ignore[no-untyped-call]
    return trainer.train().finished


def interrupt(run: Path, chosen: Recipe, processes: Processes, after: int, victim: int, number: int) -> bool:
    """Train a run until a signal comes to one of the processes."""
    trainer = Trainer(chosen, corpus(), run, SilentReporter(), device="cpu", processes=processes)
    step = trainer._step

    def interrupted(number_of_step: int) -> dict[str, float]:
        if number_of_step == after and processes.rank == victim:
            os.kill(os.getpid(), number)
        return step(number_of_step)

    trainer._step = interrupted  # type: ignore[method-assign, assignment]
    return trainer.train().finished


SCRIPT = """
import runpy, signal, sys
from pathlib import Path

import torch

from arae_transfer.cli.command import report
from arae_transfer.errors import AraeError
from arae_transfer.training.processes import join_processes, leave_processes

torch.set_num_threads(1)
test = runpy.run_path(sys.argv[1])
folder, job = Path(sys.argv[2]), sys.argv[3]
processes = join_processes()
try:
    if job == "train":
        for name, changes in test["EQUAL"].items():
            assert test["train"](folder / name, test["recipe"](changes), processes)
        chosen = test["recipe"](test["RANDOM"])
        assert test["train"](folder / "whole", chosen, processes, quiet=False)
        assert not test["interrupt"](folder / "parts", chosen, processes, 2, 1, signal.SIGINT)
        assert test["train"](folder / "parts", chosen, processes, resume=True, quiet=False)
    else:
        test["interrupt"](folder / "run", test["recipe"](test["EQUAL"]["alternating"]), processes, 3, 1, signal.SIGKILL)
except AraeError as error:
    report(error.message, error.hint)
    sys.exit(1)
leave_processes()
"""


def command(folder: Path, job: str) -> list[str]:
    return [sys.executable, "-c", SCRIPT, __file__, str(folder), job]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the runs that two processes made."""
    folder = tmp_path_factory.mktemp("runs")
    assert run_processes(2, command(folder, "train")) == 0
    return folder


def tensors(run: Path) -> dict[str, torch.Tensor]:
    layout = RunLayout(run)
    step = json.loads(layout.latest.read_text("utf-8"))["step"]
    assert step == STEPS
    return {
        f"{path.stem}:{name}": tensor
        for path in sorted(layout.checkpoint(step).glob("*.safetensors"))
        for name, tensor in load_file(path).items()
    }


def records(run: Path) -> list[dict[str, float]]:
    lines = RunLayout(run).metrics.read_text("utf-8").splitlines()
    return [{key: value for key, value in json.loads(line).items() if "per_second" not in key} for line in lines]


@pytest.mark.parametrize("name", EQUAL)
def test_two_processes_have_the_losses_of_one(runs: Path, tmp_path: Path, name: str) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    train(tmp_path / name, recipe(EQUAL[name]))
    torch.set_num_threads(threads)
    ours, theirs = records(runs / name), records(tmp_path / name)
    assert [record["step"] for record in ours] == [record["step"] for record in theirs]
    seen = set()
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.keys() == other.keys()
        for key in mine:
            # Statistics of codes are means over the processes, not over vectors.
            if key.endswith(("_variance", "_norm")) and "gradient" not in key:
                continue
            seen.add(key)
            assert mine[key] == pytest.approx(other[key], rel=2e-3, abs=2e-4), (mine["step"], key)
    wanted = {"joint": "train/pairs", "cycle": "train/cycle", "alternating": "train/penalty"}
    assert {"train/reconstruction", "train/critic", "train/generator", "train/gradient_norm", "valid/nll"} <= seen
    assert wanted[name] in seen
    found, single = tensors(runs / name), tensors(tmp_path / name)
    for key, tensor in found.items():
        if key.startswith(("model:", "average:")):
            torch.testing.assert_close(tensor, single[key], rtol=1e-3, atol=1e-3, msg=key)
    assert RunLayout(runs / name).samples.read_bytes() == RunLayout(tmp_path / name).samples.read_bytes()


def test_a_run_stopped_by_a_signal_to_one_process_resumes_exactly(runs: Path) -> None:
    whole, parts = tensors(runs / "whole"), tensors(runs / "parts")
    assert [name for name in whole if not torch.equal(whole[name], parts[name])] == []
    assert records(runs / "whole") == records(runs / "parts")
    environment = json.loads(RunLayout(runs / "whole").environment.read_text("utf-8"))
    assert environment["processes"] == 2


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_a_process_that_dies_takes_the_other_down(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    start = time.monotonic()
    with pytest.raises(AraeError, match="process 1 of 2 was killed by SIGKILL; the others were stopped"):
        run_processes(2, command(tmp_path, "die"))
    assert time.monotonic() - start < 200
    assert "process 0 of 2 lost another process" in capfd.readouterr().err


def test_a_failure_of_one_is_the_failure_of_all() -> None:
    script = "import os, sys, time; sys.exit(7) if os.environ['RANK'] == '2' else time.sleep(60)"
    assert run_processes(3, [sys.executable, "-c", script]) == 7


def test_signals_are_passed_on_once() -> None:
    script = """
import os, signal, sys, time
def stop(number, frame):
    os.write(1, f"stopped {os.environ['RANK']}\\n".encode())
    sys.exit(130)
signal.signal(signal.SIGINT, stop)
os.write(1, b"ready\\n")  # at once: the lines of two processes must not mix
time.sleep(60)
"""
    launcher = (
        "import sys; from arae_transfer.cli.processes import run_processes; "
        "sys.exit(run_processes(2, [sys.executable, '-c', sys.argv[1]]))"
    )
    process = subprocess.Popen([sys.executable, "-c", launcher, script], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert [process.stdout.readline() for _ in range(2)] == ["ready\n"] * 2
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert sorted(output.splitlines()) == ["stopped 0", "stopped 1"]
    assert process.returncode == 130


# --- who has what


def test_every_row_belongs_to_one_process() -> None:
    parts = [Processes(rank, 3).rows(18, 2) for rank in range(3)]
    assert sorted(np.concatenate(parts).tolist()) == list(range(18))
    for part in parts:  # class by class, as many of each
        assert (part // 9).tolist() == [0, 0, 0, 1, 1, 1]
    assert ALONE.rows(6, 2).tolist() == list(range(6))


def test_a_batch_that_cannot_be_divided_is_refused() -> None:
    Processes(0, 2).check_batch_size(4)
    with pytest.raises(AraeError, match=r"training\.batch_size = 64 is not divisible by 3 processes") as caught:
        Processes(0, 3).check_batch_size(64)
    assert caught.value.hint == "set it to a multiple of 3, such as 63."


def test_what_processes_draw_for_themselves_differs() -> None:
    drawn = [Processes(rank, 2).own_randomness(np.random.default_rng(5)).random() for rank in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    generator = np.random.default_rng(5)
    assert ALONE.own_randomness(generator) is generator


def test_the_parts_of_a_batch_weigh_as_their_tokens() -> None:
    sentences = [TokenizedSentences.join([[5 + row] * (1 + 3 * row) for row in range(4)]) for _ in range(2)]
    chosen = [np.arange(4), np.arange(4)[::-1].copy()]
    cpu = torch.device("cpu")

    def make(processes: Processes) -> Batch:
        return make_batch(sentences, chosen, InputNoise(), None, np.random.default_rng(0), cpu, None, processes)

    whole, parts = make(ALONE), [make(Processes(rank, 2)) for rank in range(2)]
    assert whole.token_shares is None
    for rank, part in enumerate(parts):
        torch.testing.assert_close(part.tokens, whole.tokens[Processes(rank, 2).rows(8, 2)])
        torch.testing.assert_close(part.noised_lengths, whole.noised_lengths[Processes(rank, 2).rows(8, 2)])
    model = ARAE(recipe({}), ("a", "b"), 300)
    losses = []
    for batch in (whole, *parts):
        networks = Networks(model, recipe({}), Optimizers.build(model, recipe({})), cpu)
        losses.append(float(networks.reconstruct(*networks.encode(batch.tokens, batch.lengths), batch).detach()))
    assert losses[0] == pytest.approx((losses[1] + losses[2]) / 2, rel=1e-5)
