"""A training run: exact however often it is interrupted, and clear about what goes wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from arae_transfer.errors import AraeError
from arae_transfer.layout import RunLayout
from arae_transfer.parallel.examples import read_parallel
from arae_transfer.recipe import Recipe, load_recipe, recipe_from_table, recipe_to_toml
from arae_transfer.tokenizer import Tokenizer
from arae_transfer.training import device as device_module
from arae_transfer.training.checkpoint import load_run, load_state
from arae_transfer.training.data import TrainingData
from arae_transfer.training.device import choose_device, choose_precision, use_threads
from arae_transfer.training.interruption import StopRequest
from arae_transfer.training.loop import Outcome, Trainer
from arae_transfer.training.networks import Networks, TrainingDiverged
from arae_transfer.training.processor import runs_bf16
from arae_transfer.training.reporter import Progress
from tests.training.listener import Listener, interrupt_after

STEPS = 14
VALIDATE_EVERY = 5
BATCH = 4

SMALL: dict[str, Any] = {
    "name": "small",
    "tokenizer": {"vocabulary_size": 300},
    "model": {"code_size": 16, "embedding_size": 16, "hidden_size": 16},
    "adversary": {"noise_size": 4, "generator_layers": [8], "critic_layers": [8], "critic_updates": 2},
    "attribute": {"layers": [8]},
    "training": {"sentences": STEPS * 3 * BATCH, "batch_size": BATCH},
    "validation": {"every": VALIDATE_EVERY * 3 * BATCH, "sentences": 6, "probes": 1, "log_every": 1},
}
# Everything that keeps a state between steps is on in one of them.
JOINT: dict[str, Any] = {
    "model": {
        "code": "sequence",
        "bidirectional": True,
        "decoder_layers": 2,
        "shared_embeddings": True,
        "dropout": 0.2,
        "word_dropout": 0.1,
        "code_noise": 0.05,
    },
    "noise": {"drop": 0.1, "shuffle": 1.0, "style_share": 0.5, "style_drop": 0.3, "style_replace": 0.3},
    "parallel": {"sentences": 60},
    "cycle": {"weight": 1.0, "start": 0.3},
    "training": {
        "schedule": "joint",
        "optimizer": "adam",
        "learning_rate": 3e-3,
        "warmup": 0.2,
        "decay": "linear",
        "sampled_softmax": 100,
        "tokens_at_once": 90,
        "label_smoothing": 0.05,
        "averaging": 0.9,
        "initialization": "scaled",
    },
}
ALTERNATING: dict[str, Any] = {
    "model": {"dropout": 0.2, "code_noise_decay": 0.5},
    "adversary": {"constraint": "clip"},
    "training": {"schedule": "alternating", "optimizer": "sgd"},
}
FAST: dict[str, Any] = {
    "adversary": {"constraint": "clip", "batch_size": 2},
    "training": {"schedule": "alternating", "sampled_softmax": 100, "precision": "bf16" if runs_bf16() else "fp32"},
}
VARIANTS = {"joint": JOINT, "alternating": ALTERNATING, "fast": FAST}

needs_bf16 = pytest.mark.skipif(not runs_bf16(), reason="no LSTM in bfloat16 on this processor")
every_schedule = pytest.mark.parametrize("variant", ["joint", "alternating"])


def merged(*tables: dict[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for table in tables:
        for key, value in table.items():
            result[key] = {**result.get(key, {}), **value} if isinstance(value, dict) else value
    return result


def recipe(variant: str, changes: dict[str, Any] | None = None) -> Recipe:
    return recipe_from_table(merged(SMALL, VARIANTS[variant], changes or {}))


def corpus(count: int = 60) -> TrainingData:
    adjectives = {"bad": ("cold", "awful", "slow"), "good": ("warm", "great", "quick"), "so-so": ("fair", "plain")}
    things, ends = ("food", "soup", "staff", "room", "place"), (".", "!", "today")

    def lines(label: str, first: int, number: int) -> list[str]:
        words = adjectives[label]
        return [
            f"the {things[place % 5]} was {words[place % len(words)]} {ends[place // 5 % 3]}"
            for place in range(first, first + number)
        ]

    return TrainingData(
        {label: lines(label, 0, count) for label in adjectives}, {label: lines(label, 7, 8) for label in adjectives}
    )


def train(
    run: Path,
    chosen: Recipe,
    listener: Listener | None = None,
    *,
    resume: bool = False,
    data: TrainingData | None = None,
) -> Outcome:
    return Trainer(chosen, data or corpus(), run, listener or Listener(), device="cpu", resume=resume).train()


def saved(run: Path) -> dict[str, torch.Tensor]:
    """Return every tensor of the latest checkpoint: weights, averages, optimizers and random states."""
    layout = RunLayout(run)
    step = json.loads(layout.latest.read_text("utf-8"))["step"]
    tensors: dict[str, torch.Tensor] = {}
    for path in sorted(layout.checkpoint(step).glob("*.safetensors")):
        tensors |= {f"{path.stem}:{name}": tensor for name, tensor in load_file(path).items()}
    return tensors


def assert_same_bits(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> None:
    assert list(left) == list(right)
    assert [name for name in left if not torch.equal(left[name], right[name])] == []


def metrics(run: Path) -> list[dict[str, Any]]:
    text = RunLayout(run).metrics.read_text("utf-8")
    assert text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


def assert_whole_records(run: Path, steps: int = STEPS) -> None:
    """Each step was logged once and each validation once, in order, in the metrics and in the samples."""
    kinds = [(record["step"], next(key for key in record if "/" in key).partition("/")[0]) for record in metrics(run)]
    validations = sorted({*range(VALIDATE_EVERY, steps + 1, VALIDATE_EVERY), steps})
    assert [step for step, kind in kinds if kind == "train"] == list(range(1, steps + 1))
    assert [step for step, kind in kinds if kind == "valid"] == validations
    order = ["train", "valid", "diagnostics"]
    assert kinds == sorted(kinds, key=lambda each: (each[0], order.index(each[1])))
    samples = RunLayout(run).samples.read_text("utf-8").splitlines()
    assert [line for line in samples if line.startswith("step ")] == [f"step {step}" for step in validations]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return a finished run of each schedule."""
    runs = {variant: tmp_path_factory.mktemp("runs") / variant for variant in VARIANTS}
    for variant, run in runs.items():
        assert train(run, recipe(variant)).finished
    return runs


# --- a whole run


@every_schedule
def test_a_run_holds_everything_that_came_of_it(uninterrupted: dict[str, Path], variant: str) -> None:
    run, layout = uninterrupted[variant], RunLayout(uninterrupted[variant])
    assert load_recipe(layout.recipe) == recipe(variant)
    assert Tokenizer.load(layout.tokenizer).vocabulary_size <= 300
    environment = json.loads(layout.environment.read_text("utf-8"))
    assert environment["torch"] == torch.__version__
    assert environment["device"] == "cpu"
    assert environment["precision"] == "fp32"
    assert_whole_records(run)
    for which in ("latest", "best"):
        loaded = load_run(run, "latest" if which == "latest" else "best")
        assert loaded.classes == ("bad", "good", "so-so")
        assert not loaded.model.training
    assert load_run(run, "latest").state.step == STEPS
    kept = sorted(path.name for path in layout.checkpoints.iterdir())
    assert kept == sorted({f"{load_run(run, which).state.step:08d}" for which in ("latest", "best")})


def test_the_same_seed_gives_the_same_run(uninterrupted: dict[str, Path], tmp_path: Path) -> None:
    train(tmp_path / "again", recipe("alternating"))
    assert_same_bits(saved(tmp_path / "again"), saved(uninterrupted["alternating"]))
    train(tmp_path / "other", recipe("alternating", {"training": {"seed": 5}}))
    name = "model:encoder.embedding.weight"
    assert not torch.equal(saved(tmp_path / "other")[name], saved(uninterrupted["alternating"])[name])


def test_progress_tells_where_the_run_stands(tmp_path: Path) -> None:
    listener = Listener()
    train(tmp_path / "run", recipe("alternating", {"validation": {"log_every": 4}}), listener)
    assert listener.steps == [4, 8, 12, STEPS]
    last = listener.lines[-1]
    assert (last.steps, last.sentences, last.seconds_left) == (STEPS, STEPS * 3 * BATCH, 0.0)
    assert last.rate > 0
    assert {"reconstruction", "critic", "generator", "classifier", "learning_rate"} <= set(last.metrics)
    assert [step for step, _, _ in listener.validations] == [5, 10, STEPS]
    assert any("180 sentences" in message and "cpu fp32" in message for message in listener.messages)


def test_the_best_checkpoint_is_the_one_of_the_best_score(tmp_path: Path) -> None:
    listener = Listener()
    run = tmp_path / "run"
    train(run, recipe("alternating"), listener)
    scores = {step: report.scores["score"] for step, report, _ in listener.validations}
    assert listener.validations[0][2] is True
    state = load_run(run, "best").state
    assert state.step == state.best_step == max(scores, key=lambda step: (scores[step], -step))
    assert load_run(run, "latest").state.best_score == max(scores.values())


def test_before_the_cycle_begins_no_score_counts(tmp_path: Path) -> None:
    """The first validation comes before the cycle: it is kept for want of a better, and any later one beats it."""
    listener = Listener()
    run = tmp_path / "run"
    train(run, recipe("joint", {"cycle": {"start": 0.8}}), listener)
    assert [best for _, _, best in listener.validations] == [True, False, True]
    assert load_run(run, "best").state.step == STEPS


# --- the learning rate and the noise


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, [0.1] * 4),
        ({"decay": "linear"}, [0.1, 0.075, 0.05, 0.025]),
        ({"warmup": 0.5}, [0.05, 0.1, 0.1, 0.1]),
        ({"warmup": 0.5, "decay": "linear"}, [0.05, 0.1, 0.1, 0.05]),
        ({"warmup": 1.0}, [0.025, 0.05, 0.075, 0.1]),
    ],
)
def test_the_learning_rate_follows_from_the_step(
    tmp_path: Path, settings: dict[str, Any], expected: list[float]
) -> None:
    training = {"learning_rate": 0.1, "sentences": 4 * 3 * BATCH, **settings}
    train(tmp_path / "run", recipe("alternating", {"training": training}))
    found = [record["train/learning_rate"] for record in metrics(tmp_path / "run") if "train/critic" in record]
    assert found == pytest.approx(expected)


def test_the_code_noise_shrinks_every_hundred_steps(tmp_path: Path) -> None:
    trainer = Trainer(recipe("alternating"), corpus(), tmp_path / "run", Listener(), device="cpu")
    found = [trainer._step(step)["code_noise"] for step in (0, 99, 100, 250)]
    assert found == pytest.approx([0.1, 0.1, 0.05, 0.025])


def test_the_average_follows_the_weights(tmp_path: Path) -> None:
    """It follows fast while it is young, then as slowly as the recipe says: from the fourth step on, here."""
    averaging, name = 0.3, "encoder.embedding.weight"
    expected: list[torch.Tensor] = []

    def follow(step: int) -> None:
        decay = min(averaging, step / (9 + step))
        expected[0] = decay * expected[0] + (1 - decay) * trainer.model.get_parameter(name).detach()

    chosen = recipe("joint", {"training": {"averaging": averaging}})
    trainer = Trainer(chosen, corpus(), tmp_path / "run", Listener(follow), device="cpu")
    assert trainer.average is not None
    assert trainer.networks.rewriting is trainer.average
    expected.append(trainer.average.get_parameter(name).clone())
    trainer.train()
    torch.testing.assert_close(trainer.average.get_parameter(name), expected[0], rtol=1e-5, atol=1e-7)
    assert not torch.equal(expected[0], trainer.model.get_parameter(name))


# --- pairs


def test_pairs_are_searched_once_and_stay_with_the_run(tmp_path: Path) -> None:
    run, first, second = tmp_path / "run", interrupt_after(3), Listener()
    train(run, recipe("joint"), first)
    content = RunLayout(run).pairs.read_bytes()
    pairs = read_parallel(RunLayout(run).pairs)
    assert {pair.label for pair in pairs} == {pair.rewrite_label for pair in pairs} == {"bad", "good", "so-so"}
    assert first.searches[0][0] == 0
    assert first.searches[-1][0] == first.searches[-1][1] > 0
    assert any(f"{len(pairs)} parallel examples in" in message for message in first.messages)
    train(run, recipe("joint"), second, resume=True)
    assert second.searches == []
    assert RunLayout(run).pairs.read_bytes() == content


def test_a_run_killed_while_it_searches_starts_again(tmp_path: Path, uninterrupted: dict[str, Path]) -> None:
    class Impatient(Listener):
        def search(self, done: int, total: int, what: str = "rewrites searched") -> None:
            raise KeyboardInterrupt

    run = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        train(run, recipe("joint"), Impatient())
    assert not RunLayout(run).pairs.exists()
    assert train(run, recipe("joint"), resume=True).finished
    assert_same_bits(saved(run), saved(uninterrupted["joint"]))


def test_pairs_teach_and_their_loss_is_logged(uninterrupted: dict[str, Path], tmp_path: Path) -> None:
    train(tmp_path / "without", recipe("joint", {"parallel": {"sentences": 0}}))
    assert not RunLayout(tmp_path / "without").pairs.exists()
    name = "model:encoder.embedding.weight"
    assert not torch.equal(saved(tmp_path / "without")[name], saved(uninterrupted["joint"])[name])
    losses = [record["train/pairs"] for record in metrics(uninterrupted["joint"]) if "train/pairs" in record]
    assert len(losses) == STEPS
    assert not any("train/pairs" in record for record in metrics(tmp_path / "without"))


def test_classes_without_a_rewrite_are_named(tmp_path: Path) -> None:
    data = TrainingData({"a": ["x y z"] * 9, "b": ["u v w"] * 9}, {"a": ["x y"], "b": ["u v"]})
    with pytest.raises(AraeError, match="found no rewrites to or from a, b"):
        train(tmp_path / "run", recipe("joint"), data=data)


# --- started from another run


@every_schedule
def test_the_scorer_may_learn_from_some_batches_only(variant: str, tmp_path: Path) -> None:
    certain = {"model": {"dropout": 0.0, "word_dropout": 0.0}, "validation": {"log_every": 1}}
    for every in (1, 3):
        train(tmp_path / str(every), recipe(variant, merged(certain, {"training": {"scorer_every": every}})))
        scored = [each["step"] for each in metrics(tmp_path / str(every)) if "train/scorer_accuracy" in each]
        assert scored == list(range(1, STEPS + 1, every))
    one, other = (load_run(tmp_path / name, "latest").model.state_dict() for name in ("1", "3"))
    differ = [name for name in one if not torch.equal(one[name], other[name])]
    assert any(name.startswith("scorer.") for name in differ)
    if variant == "alternating":  # where nobody else's moves hang on it
        assert [name for name in differ if not name.startswith("scorer.")] == []


def begin_from(initial: Path, run: Path, chosen: Recipe, listener: Listener | None = None, **more: Any) -> Outcome:
    data = more.pop("data", None) or corpus()
    return Trainer(chosen, data, run, listener or Listener(), device="cpu", initial=initial, **more).train()


def test_a_run_may_start_from_the_weights_tokenizer_and_pairs_of_another(
    uninterrupted: dict[str, Path], tmp_path: Path
) -> None:
    initial, run, listener = uninterrupted["joint"], tmp_path / "run", Listener()
    still = recipe(
        "joint",
        {
            "training": {"sentences": 3 * BATCH, "learning_rate": 0.0, "warmup": 0.0},
            "adversary": {"learning_rate": 0.0},
            "attribute": {"learning_rate": 0.0},
        },
    )
    assert begin_from(initial, run, still, listener).finished
    assert listener.searches == []
    assert RunLayout(run).pairs.read_bytes() == RunLayout(initial).pairs.read_bytes()
    assert RunLayout(run).tokenizer.read_bytes() == RunLayout(initial).tokenizer.read_bytes()
    assert json.loads(RunLayout(run).environment.read_text("utf-8"))["initial"] == str(initial)
    # Nothing learns at a rate of zero, so these are the best weights of the other run.
    best, mine = load_run(initial, "best"), load_run(run, "latest")
    for name, tensor in best.model.encoder.state_dict().items():
        torch.testing.assert_close(mine.model.encoder.state_dict()[name], tensor)
    assert any(f"step {best.state.step}" in message for message in listener.messages)


def test_a_run_may_go_on_from_the_end_of_another(tmp_path: Path) -> None:
    # Nothing the other learns after its first validation is better than that one by any score.
    initial, run = tmp_path / "initial", tmp_path / "run"
    worsening = recipe(
        "joint", {"training": {"learning_rate": 1.0, "gradient_clip": 100.0}, "validation": {"every": BATCH}}
    )
    train(initial, worsening)
    best, latest = (load_run(initial, which).state.step for which in ("best", "latest"))
    assert best < latest
    still = recipe("joint", {"training": {"sentences": 6 * BATCH, "learning_rate": 0.0, "warmup": 0.0}})
    listener = Listener()
    begin_from(initial, run, still, listener, initial_checkpoint="latest")
    assert any(f"step {latest}" in message for message in listener.messages)
    # Also where it is killed before its first checkpoint.
    RunLayout(run).latest.unlink()
    listener = Listener()
    train(run, still, resume=True, listener=listener)
    assert any(f"step {latest}" in message for message in listener.messages)


def test_killed_before_its_first_checkpoint_it_still_starts_from_the_other(
    uninterrupted: dict[str, Path], tmp_path: Path
) -> None:
    class Impatient(Listener):
        def progress(self, progress: Progress) -> None:
            raise MemoryError  # nothing is saved

    one, two = tmp_path / "one", tmp_path / "two"
    begin_from(uninterrupted["joint"], one, recipe("joint"))
    with pytest.raises(MemoryError):
        begin_from(uninterrupted["joint"], two, recipe("joint"), Impatient())
    assert not RunLayout(two).latest.exists()
    assert train(two, recipe("joint"), resume=True).finished
    assert_same_bits(saved(two), saved(one))


def test_the_model_of_the_other_run_proposes_pairs(uninterrupted: dict[str, Path], tmp_path: Path) -> None:
    initial, listener = uninterrupted["joint"], Listener()
    asking = recipe("joint", {"parallel": {"sentences": 60}, "self_training": {"rewrites": 2}})
    assert begin_from(initial, tmp_path / "run", asking, listener).finished
    told = {what for _, _, what in listener.searches}
    assert told == {"rewrites generated by the model", "rewrites searched"}
    # All but the least likely of the pairs that the search finds alone.
    assert len(read_parallel(RunLayout(tmp_path / "run").pairs)) >= 0.9 * len(read_parallel(RunLayout(initial).pairs))


def test_without_another_run_nobody_can_propose(tmp_path: Path) -> None:
    with pytest.raises(AraeError, match=r"self_training\.rewrites = 2 needs the model of an earlier run") as caught:
        train(tmp_path / "run", recipe("joint", {"parallel": {"sentences": 60}, "self_training": {"rewrites": 2}}))
    assert "--from RUN" in (caught.value.hint or "")
    assert not (tmp_path / "run").exists()


def test_such_a_run_is_resumed_without_the_other(uninterrupted: dict[str, Path], tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    begin_from(uninterrupted["joint"], one, recipe("joint"))
    begin_from(uninterrupted["joint"], two, recipe("joint"), interrupt_after(6))
    assert train(two, recipe("joint"), resume=True).finished
    environment = json.loads(RunLayout(two).environment.read_text("utf-8"))
    assert environment["initial"] == str(uninterrupted["joint"])
    assert_same_bits(saved(two), saved(one))


@pytest.mark.parametrize(
    ("changes", "labels", "message"),
    [
        ({"model": {"hidden_size": 24}}, None, "do not fit the recipe's networks"),
        ({}, ("bad", "good"), "has the classes bad, good, so-so, the data has bad, good"),
    ],
)
def test_a_run_of_another_model_or_other_classes_is_refused(
    uninterrupted: dict[str, Path],
    tmp_path: Path,
    changes: dict[str, Any],
    labels: tuple[str, ...] | None,
    message: str,
) -> None:
    data = corpus()
    if labels:
        data = TrainingData({name: data.train[name] for name in labels}, {name: data.valid[name] for name in labels})
    with pytest.raises(AraeError, match=message):
        begin_from(uninterrupted["joint"], tmp_path / "run", recipe("joint", changes), data=data)
    assert not (tmp_path / "run").exists()


# --- interrupted and continued


@pytest.mark.parametrize(
    ("variant", "steps"),
    [(variant, steps) for variant in ("joint", "alternating") for steps in [(1,), (5,), (3, 4, 11), (13,)]]
    + [("fast", (3, 4, 11))],
)
def test_an_interrupted_run_ends_with_the_same_bits(
    uninterrupted: dict[str, Path], tmp_path: Path, variant: str, steps: tuple[int, ...]
) -> None:
    run = tmp_path / "run"
    for number, step in enumerate(steps):
        outcome = train(run, recipe(variant), interrupt_after(step), resume=number > 0)
        assert not outcome.finished
        assert outcome.state.step == step
        assert load_run(run, "latest").state.step == step
    listener = Listener()
    outcome = train(run, load_recipe(RunLayout(run).recipe), listener, resume=True)
    assert outcome.finished
    assert listener.steps == list(range(steps[-1] + 1, STEPS + 1))
    assert f"continuing {run} at step {steps[-1]} of {STEPS}" in listener.messages
    assert_same_bits(saved(run), saved(uninterrupted[variant]))
    assert_whole_records(run)
    ignored = ("train/sentences_per_second",)
    for left, right in zip(metrics(run), metrics(uninterrupted[variant]), strict=True):
        assert {key: left[key] for key in left if key not in ignored} == {
            key: right[key] for key in right if key not in ignored
        }
    assert RunLayout(run).samples.read_bytes() == RunLayout(uninterrupted[variant]).samples.read_bytes()
    assert load_run(run, "best").state.step == load_run(uninterrupted[variant], "best").state.step


def test_steps_after_the_last_checkpoint_are_done_again(uninterrupted: dict[str, Path], tmp_path: Path) -> None:
    """A run that fails at step 8 goes on from the validation at step 5, and nothing is logged twice."""
    run = tmp_path / "run"

    def fail(step: int) -> None:
        if step == 8:
            raise RuntimeError("the power went")

    with pytest.raises(RuntimeError, match="the power went"):
        train(run, recipe("joint"), Listener(fail))
    with RunLayout(run).metrics.open("a", encoding="utf-8") as file:
        file.write('{"step": 9, "sent')
    with RunLayout(run).samples.open("a", encoding="utf-8") as file:
        file.write("step 9\n  [bad] torn")
    listener = Listener()
    train(run, recipe("joint"), listener, resume=True)
    assert listener.steps[0] == 6
    assert_same_bits(saved(run), saved(uninterrupted["joint"]))
    assert_whole_records(run)


def test_a_run_without_a_checkpoint_starts_again_from_its_own_files(
    uninterrupted: dict[str, Path], tmp_path: Path
) -> None:
    run = tmp_path / "run"

    def fail(step: int) -> None:
        raise RuntimeError("the power went")

    with pytest.raises(RuntimeError, match="the power went"):
        train(run, recipe("joint"), Listener(fail))
    assert not RunLayout(run).latest.exists()
    listener = Listener()
    train(run, recipe("joint"), listener, resume=True)
    assert f"{run} has no checkpoint yet: starting at step 0" in listener.messages
    assert_same_bits(saved(run), saved(uninterrupted["joint"]))
    assert_whole_records(run)


def test_a_finished_run_is_left_as_it_is(uninterrupted: dict[str, Path]) -> None:
    run = uninterrupted["alternating"]
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    listener = Listener()
    outcome = train(run, recipe("alternating"), listener, resume=True)
    assert outcome.finished
    assert listener.steps == []
    after = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert after == before


KILLER = """
import os, random, signal, sys, time
from pathlib import Path

import torch
from arae_transfer.layout import RunLayout
from arae_transfer.recipe import load_recipe
from arae_transfer.training.data import TrainingData
from arae_transfer.training.loop import Trainer
from arae_transfer.training.reporter import SilentReporter

# All imports happen once, before anything is killed; the first optimizer imports a great deal.
import sacrebleu.metrics.bleu
torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))])

def start():
    child = os.fork()
    if child == 0:
        status = 1
        try:
            torch.set_num_threads(1)
            Trainer(recipe, data, run, SilentReporter(), device="cpu", resume=layout.recipe.exists()).train()
            status = 0
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(status)
    return child

def ended(child):
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

def logged():
    return layout.metrics.read_bytes().count(b"\\n") if layout.metrics.exists() else 0

run, recipe, kills = Path(sys.argv[1]), load_recipe(Path(sys.argv[2])), int(sys.argv[3])
layout = RunLayout(run)
data = TrainingData(*eval(sys.stdin.read()))
generator = random.Random(kills)
for turn in range(kills):
    # The first is killed while it sets up, the others when they have done a step or some more, however fast they are.
    child, wanted = start(), logged() + generator.randint(1, 4)
    while turn and logged() < wanted and not ended(child):
        time.sleep(0.001)
    time.sleep(generator.random() * 0.05)
    if ended(child):
        break
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    print(layout.latest.read_text().strip() if layout.latest.exists() else None)
else:
    child = start()
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@every_schedule
def test_a_run_killed_many_times_ends_with_the_same_bits(variant: str, tmp_path: Path) -> None:
    """Real processes, killed without warning at random moments, often in the middle of saving."""
    kills, steps = 20, 100
    chosen = recipe(
        variant,
        {"training": {"sentences": steps * 3 * BATCH}, "validation": {"checkpoint_minutes": 0.0}},
    )
    train(tmp_path / "whole", chosen)
    (tmp_path / "recipe.toml").write_text(recipe_to_toml(chosen), "utf-8")
    data = corpus()
    run = tmp_path / "killed"
    done = subprocess.run(
        [sys.executable, "-c", KILLER, str(run), str(tmp_path / "recipe.toml"), str(kills)],
        input=repr((dict(data.train), dict(data.valid))),
        text=True,
        capture_output=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == kills
    assert len(set(done.stdout.splitlines())) > kills / 2, "the kills must come at different steps to mean something"
    assert_same_bits(saved(run), saved(tmp_path / "whole"))
    assert_whole_records(run, steps)
    kept = sorted(path.name for path in RunLayout(run).checkpoints.iterdir())
    assert kept == sorted(path.name for path in RunLayout(tmp_path / "whole").checkpoints.iterdir())


# --- Ctrl-C


def test_the_first_signal_asks_and_the_second_interrupts() -> None:
    before = signal.getsignal(signal.SIGINT)
    with StopRequest() as stop:
        assert not stop.asked
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.asked
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_termination_is_a_wish_to_stop() -> None:
    with StopRequest() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.asked


def test_a_thread_may_train() -> None:
    found: list[bool] = []

    def work() -> None:
        with StopRequest() as stop:
            found.append(stop.asked)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [False]


def test_a_second_interrupt_leaves_the_checkpoint_before(tmp_path: Path) -> None:
    run = tmp_path / "run"

    def twice(step: int) -> None:
        if step == 7:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(run, recipe("alternating"), Listener(twice))
    assert load_run(run, "latest").state.step == 5


# --- numbers that are no longer numbers


def spoil_after(step: int, network: str) -> tuple[Listener, list[Trainer]]:
    trainers: list[Trainer] = []

    def spoil(done: int) -> None:
        if done == step:
            with torch.no_grad():
                next(getattr(trainers[0].model, network).parameters()).fill_(torch.inf)

    return Listener(spoil), trainers


@pytest.mark.parametrize(
    ("network", "step", "complaint"),
    [
        ("critic", 7, "critic"),
        ("scorer", 7, "style scorer"),
        ("decoders", 7, "encoder and decoders"),
        # Spoiled just before a checkpoint, and no loss has seen it yet.
        ("decoders", 10, "weights of the decoders"),
        ("generator", 10, "weights of the generator"),
        ("classifier", STEPS, "weights of the classifier"),
    ],
)
def test_numbers_that_are_none_leave_the_last_good_checkpoint(
    tmp_path: Path, network: str, step: int, complaint: str
) -> None:
    run = tmp_path / "run"
    listener, trainers = spoil_after(step, network)
    trainers.append(Trainer(recipe("alternating"), corpus(), run, listener, device="cpu"))
    with pytest.raises(TrainingDiverged, match=complaint) as caught:
        trainers[0].train()
    assert caught.value.hint is not None
    assert "last good checkpoint is kept" in caught.value.hint
    assert max(record["step"] for record in metrics(run) if "valid/nll" in record) == (5 if step < STEPS else 10)
    loaded = load_run(run, "latest")
    assert loaded.state.step == (5 if step < STEPS else 10)
    assert all(bool(torch.isfinite(parameter).all()) for parameter in loaded.model.parameters())


def test_an_interrupted_run_does_not_save_numbers_that_are_none(tmp_path: Path) -> None:
    run = tmp_path / "run"
    listener, trainers = spoil_after(7, "generator")
    spoil = listener.after

    def spoil_and_interrupt(step: int) -> None:
        spoil(step)
        if step == 7:
            os.kill(os.getpid(), signal.SIGINT)

    listener.after = spoil_and_interrupt
    trainers.append(Trainer(recipe("alternating"), corpus(), run, listener, device="cpu"))
    with pytest.raises(TrainingDiverged, match="weights of the generator"):
        trainers[0].train()
    assert load_run(run, "latest").state.step == 5


# --- places that cannot be written


def test_a_folder_that_cannot_be_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(AraeError, match=r"cannot write .*run: Not a directory"):
        train(tmp_path / "file" / "run", recipe("alternating"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("name", ["metrics.jsonl", "samples.txt"])
def test_a_full_disk_is_a_clear_error(tmp_path: Path, name: str) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / name).symlink_to("/dev/full")
    with pytest.raises(AraeError, match=f"cannot write {run / name}: No space left"):
        train(run, recipe("alternating"))


@contextmanager
def limited_files(size: int) -> Iterator[None]:
    """Let no file grow beyond a size: what a full disk does to a large file."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits on file sizes")
def test_a_checkpoint_that_does_not_fit_leaves_the_one_before(uninterrupted: dict[str, Path], tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(run, recipe("alternating"), interrupt_after(7))
    layout = RunLayout(run)
    before = {path: path.read_bytes() for path in layout.checkpoints.rglob("*") if path.is_file()}
    with limited_files(20_000), pytest.raises(AraeError, match=r"cannot write .*00000010: ") as caught:
        train(run, recipe("alternating"), resume=True)
    assert caught.value.hint is not None
    assert "free some space" in caught.value.hint
    assert {path: path.read_bytes() for path in layout.checkpoints.rglob("*") if path.is_file()} == before
    train(run, recipe("alternating"), resume=True)
    assert_same_bits(saved(run), saved(uninterrupted["alternating"]))
    assert_whole_records(run)


# --- data and settings that do not fit


def test_other_data_are_refused(tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(run, recipe("alternating"), interrupt_after(2))
    before = RunLayout(run).metrics.read_bytes()
    data = corpus()
    changed = dict(data.train)
    changed["good"] = [*list(changed["good"])[:-1], "the soup was cold ."]
    fewer = {label: data.train[label] for label in ("bad", "good")}
    turned = {label: data.train[label] for label in ("good", "bad", "so-so")}
    for train_lines in (changed, fewer, turned):
        with pytest.raises(AraeError, match=f"{run} was trained on other data") as caught:
            train(run, recipe("alternating"), resume=True, data=replace(data, train=train_lines))
        assert caught.value.hint is not None
        assert caught.value.hint.startswith("give the same --data; ")
    assert RunLayout(run).metrics.read_bytes() == before


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AraeError, match="is not a run"):
        train(tmp_path, recipe("alternating"), resume=True)


def test_long_sentences_are_left_out_and_counted(tmp_path: Path) -> None:
    data = corpus()
    longer = {label: [*lines, "the " * 60, "so " * 60] for label, lines in data.train.items()}
    listener = Listener()
    Trainer(recipe("alternating"), replace(data, train=longer), tmp_path, listener, device="cpu")
    assert "left out 6 training sentences of more than 40 tokens (data.maximum_tokens)" in listener.messages


@pytest.mark.parametrize("part", ["train", "valid"])
def test_a_class_without_a_sentence_that_fits_is_refused(tmp_path: Path, part: str) -> None:
    data = corpus()
    lines = {**(data.train if part == "train" else data.valid), "good": ["the " * 60] * 5}
    changed = replace(data, train=lines) if part == "train" else replace(data, valid=lines)
    with pytest.raises(
        AraeError, match=f"class 'good' has no {'training' if part == 'train' else 'validation'} sentence"
    ):
        Trainer(recipe("alternating"), changed, tmp_path, Listener(), device="cpu")


def test_a_vocabulary_that_the_corpus_cannot_fill_is_said(tmp_path: Path) -> None:
    listener = Listener()
    chosen = recipe("alternating", {"tokenizer": {"vocabulary_size": 9000}})
    trainer = Trainer(chosen, corpus(), tmp_path, listener, device="cpu")
    size = trainer.text.tokenizer.vocabulary_size
    assert f"the corpus has only {size} different tokens, not 9000" in listener.messages


def test_a_tokenizer_of_ones_own_is_used(tmp_path: Path) -> None:
    own = Tokenizer.train(["the food was good ."] * 9, 280)
    own.save(tmp_path / "own.model")
    chosen = recipe("alternating", {"tokenizer": {"model": str(tmp_path / "own.model")}})
    trainer = Trainer(chosen, corpus(), tmp_path / "run", interrupt_after(2), device="cpu")
    assert trainer.text.tokenizer.serialized == own.serialized
    assert not trainer.train().finished
    # The run has its own copy.
    (tmp_path / "own.model").unlink()
    again = Trainer(chosen, corpus(), tmp_path / "run", Listener(), device="cpu", resume=True)
    assert again.text.tokenizer.serialized == own.serialized


def test_numbers_are_one_piece_where_the_form_has_a_placeholder(tmp_path: Path) -> None:
    chosen = recipe("alternating", {"form": {"number": "_num_"}})
    trainer = Trainer(chosen, corpus(), tmp_path, Listener(), device="cpu")
    assert len(trainer.text.tokenizer.encode("_num_")) == 1


# --- device, precision, threads


@pytest.mark.parametrize("wish", ["gpu", "cuda:99", "mps", "cpu:x", ""])
def test_a_device_that_is_not_there_is_refused(wish: str) -> None:
    with pytest.raises(AraeError, match=r"device|CUDA devices"):
        choose_device(wish)


@pytest.mark.parametrize(("gpus", "device"), [(0, "cpu"), (1, "cuda")])
def test_auto_is_a_gpu_if_there_is_one(monkeypatch: pytest.MonkeyPatch, gpus: int, device: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    assert choose_device("auto").type == device
    assert choose_device("cpu").type == "cpu"


def test_precision_is_full_on_a_cpu_unless_asked() -> None:
    cpu = torch.device("cpu")
    assert [choose_precision(wish, cpu) for wish in ("auto", "fp32")] == ["fp32", "fp32"]


@pytest.mark.parametrize("runs", [True, False])
def test_half_precision_is_refused_where_it_does_not_run(monkeypatch: pytest.MonkeyPatch, runs: bool) -> None:
    monkeypatch.setattr(device_module, "runs_bf16", lambda: runs)
    if runs:
        assert choose_precision("bf16", torch.device("cpu")) == "bf16"
        return
    with pytest.raises(AraeError, match="bf16"):
        choose_precision("bf16", torch.device("cpu"))


@pytest.mark.parametrize(("native", "precision"), [(True, "bf16"), (False, "fp32")])
def test_fast_is_half_precision_on_cpus_made_for_it(
    monkeypatch: pytest.MonkeyPatch, native: bool, precision: str
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": native}, raising=False)
    assert choose_precision("fast", torch.device("cpu")) == precision


@needs_bf16
@every_schedule
def test_half_precision_trains(tmp_path: Path, variant: str) -> None:
    training = {"precision": "bf16", "sentences": 2 * 3 * BATCH}
    outcome = train(tmp_path, recipe(variant, {"training": training, "cycle": {"start": 0.0}}))
    assert outcome.finished
    assert load_state(RunLayout(tmp_path).checkpoint(2), RunLayout(tmp_path)).step == 2


@needs_bf16
def test_in_half_precision_an_update_is_seen_within_its_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Networks.update_autoencoder
    moved: list[bool] = []

    def update(own: Networks, loss: torch.Tensor) -> float:
        layer = own.model.encoder.forward_layers[0]
        read = torch.ones(1, 3, own.recipe.model.embedding_size)
        # With gradients, as its own step encodes: only such copies are kept.
        before, _ = layer(read)
        norm = plain(own, loss)
        after, _ = layer(read)
        moved.append(not torch.equal(before, after))
        return norm

    monkeypatch.setattr(Networks, "update_autoencoder", update)
    training = {"precision": "bf16", "sentences": 3 * BATCH, "learning_rate": 100.0, "gradient_clip": 100.0}
    train(tmp_path, recipe("alternating", {"training": training}))
    assert moved and all(moved)


def test_threads_are_as_asked() -> None:
    before = torch.get_num_threads()
    try:
        use_threads(3)
        assert torch.get_num_threads() == 3
        use_threads(None)
        own = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        assert torch.get_num_threads() == own
    finally:
        torch.set_num_threads(before)


def test_each_sentence_of_a_class_is_seen_equally_often(tmp_path: Path) -> None:
    """A class of sixty sentences over an epoch of fifteen batches of four."""
    trainer = Trainer(recipe("alternating"), corpus(), tmp_path, Listener(), device="cpu")
    seen = Counter(number for step in range(15 * 64) for number in trainer.data.schedule.indices(step)[0].tolist())
    assert set(seen.values()) == {64}
