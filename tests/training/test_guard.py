"""Real short trainings, healthy ones and ones that are made to fail: what the guard says of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from arae_transfer.corpus.quickstart import make_sentences
from arae_transfer.layout import RunLayout
from arae_transfer.recipe import Recipe, recipe_from_table
from arae_transfer.training.data import TrainingData
from arae_transfer.training.diagnostics import code_diagnostics, optimizer_statistics
from arae_transfer.training.guard import CollapseGuard
from arae_transfer.training.loop import Trainer
from tests.training.listener import Listener, interrupt_after

STEPS = 80
SMALL: dict[str, Any] = {
    "name": "small",
    "tokenizer": {"vocabulary_size": 400},
    "model": {
        "code": "sequence",
        "code_size": 32,
        "code_noise": 0.02,
        "code_noise_decay": 1.0,
        "embedding_size": 32,
        "hidden_size": 32,
        "bidirectional": True,
    },
    "adversary": {
        "weight": 0.01,
        "noise_size": 8,
        "generator_layers": [16],
        "critic_layers": [16],
        "critic_updates": 1,
    },
    "attribute": {"weight": 0.3, "layers": [16], "learning_rate": 1e-3},
    "training": {
        "sentences": STEPS * 32,
        "batch_size": 16,
        "schedule": "joint",
        "optimizer": "adam",
        "learning_rate": 1e-2,
        "initialization": "scaled",
    },
    "validation": {"every": 20 * 32, "sentences": 8, "probes": 0, "log_every": 10},
}
PAPER: dict[str, Any] = {
    "model": {"code": "single", "bidirectional": False},
    "adversary": {"weight": 1.0},
    "attribute": {"weight": 1.0},
    "training": {"schedule": "alternating", "initialization": "uniform"},
}


def recipe(*tables: dict[str, Any]) -> Recipe:
    merged: dict[str, Any] = {}
    for table in (SMALL, *tables):
        for key, value in table.items():
            merged[key] = {**merged.get(key, {}), **value} if isinstance(value, dict) else value
    return recipe_from_table(merged)


def warnings(listener: Listener) -> list[str]:
    return [text for text in listener.messages if text.startswith("step ")]


@pytest.fixture(scope="module")
def data() -> TrainingData:
    sentences = make_sentences()
    return TrainingData(
        {name: lines[:1000] for name, lines in sentences["train"].items()},
        {name: lines[:64] for name, lines in sentences["valid"].items()},
    )


def train(
    run: Path, chosen: Recipe, data: TrainingData, listener: Listener | None = None, resume: bool = False
) -> list[str]:
    listener = listener or Listener()
    Trainer(chosen, data, run, listener, device="cpu", resume=resume).train()
    return warnings(listener)


def test_a_healthy_training_is_left_in_peace(tmp_path: Path, data: TrainingData) -> None:
    assert train(tmp_path, recipe(), data) == []


@pytest.mark.parametrize(
    ("changes", "complaint", "key"),
    [
        ({"adversary": {"learning_rate": 0.0}}, "the critic does not learn", "raise adversary.learning_rate (0)"),
        ({"adversary": {"weight": 1000.0}}, "almost the same code", "lower adversary.weight (1000)"),
        # The paper's weights with an optimizer that takes every term for equally large.
        (PAPER, "almost the same code", "lower adversary.weight (1) or attribute.weight (1)"),
        ({"attribute": {"learning_rate": 0.0}}, "the classifier does not learn", "raise attribute.learning_rate (0)"),
        (
            {"adversary": {"constraint": "clip", "clip": 1e-6}},
            "the critic gives all codes the same score",
            "raise adversary.clip (1e-06)",
        ),
    ],
    ids=["critic", "alike", "single", "classifier", "clip"],
)
def test_a_collapse_is_said_once_with_the_key_to_change(
    tmp_path: Path, data: TrainingData, changes: dict[str, Any], complaint: str, key: str
) -> None:
    said = train(tmp_path, recipe(changes), data)
    assert len(said) == 1, said
    assert complaint in said[0]
    assert key in said[0]
    assert "\n" not in said[0]


def test_decoders_that_hear_nothing_but_noise_are_said(tmp_path: Path, data: TrainingData) -> None:
    said = train(tmp_path, recipe({"model": {"code_noise": 30.0}}), data)
    assert len([text for text in said if "the decoders ignore the code" in text]) == 1, said
    assert len(said) <= 2  # the encoder, which nobody hears, may not learn either
    assert all("lower model.code_noise (30: noise of norm 169.7)" in text for text in said)


def test_a_class_that_stays_open_is_said(tmp_path: Path) -> None:
    """The classes have no word in common, and the encoder is not asked to hide them."""

    def lines(words: str) -> list[str]:
        return [f"{a} {b} {c}" for a in words.split() for b in words.split() for c in words.split()]

    negative, positive = lines("cold slow rude late dull"), lines("warm quick kind early bright")
    classes = {"negative": negative, "positive": positive}
    changes = {"attribute": {"weight": 1e-6, "learning_rate": 1e-2}, "tokenizer": {"vocabulary_size": 300}}
    said = train(tmp_path, recipe(changes), TrainingData(classes, classes))
    assert len(said) == 1, said
    assert "the encoder does not hide the class" in said[0]
    assert "raise attribute.weight (1e-06)" in said[0]


def test_watching_draws_nothing_and_changes_nothing(tmp_path: Path, data: TrainingData) -> None:
    trainer = Trainer(recipe({"model": {"dropout": 0.2}}), data, tmp_path, Listener(), device="cpu")
    trainer._step(0)
    before = {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}
    random = torch.get_rng_state()
    sentences = list(trainer.text.valid.values())
    first = code_diagnostics(trainer.model, sentences, trainer.device) | optimizer_statistics(trainer.optimizers)
    second = code_diagnostics(trainer.model, sentences, trainer.device) | optimizer_statistics(trainer.optimizers)
    assert first == second
    assert torch.equal(random, torch.get_rng_state())
    assert trainer.model.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in trainer.model.state_dict().items())
    names = {"critic", "generator", "classifier"}
    assert {f"{name}_gradient_norm" for name in names} | {f"{name}_update_ratio" for name in names} <= set(first)
    assert all(value > 0 for value in first.values() if value is not first["code_use"])


def test_a_resumed_run_neither_repeats_nor_forgets(tmp_path: Path, data: TrainingData) -> None:
    chosen = recipe({"adversary": {"learning_rate": 0.0}})
    whole = train(tmp_path / "whole", chosen, data)
    assert len(whole) == 1
    step = int(whole[0].removeprefix("step ").partition(":")[0])
    # After the first of the two signs: the second comes in the next sitting.
    early = train(tmp_path / "early", chosen, data, interrupt_after(step - 10))
    assert early == []
    assert train(tmp_path / "early", chosen, data, resume=True) == whole
    assert train(tmp_path / "late", chosen, data, interrupt_after(step)) == whole
    assert train(tmp_path / "late", chosen, data, resume=True) == []


def test_the_figures_that_were_judged_are_in_the_metrics(tmp_path: Path, data: TrainingData) -> None:
    train(tmp_path, recipe({"training": {"sentences": 40 * 32}}), data)
    records = [json.loads(line) for line in RunLayout(tmp_path).metrics.read_text("utf-8").splitlines()]
    watched = [record for record in records if "diagnostics/code_use" in record]
    assert [record["step"] for record in watched] == [20, 40]
    assert all({"diagnostics/critic_spread", "diagnostics/class_readable"} <= set(record) for record in watched)
    assert all("train/critic_update_ratio" in record for record in records if "train/critic" in record)


# --- the judgement alone


def test_the_beginning_and_a_single_sign_are_no_failure() -> None:
    guard = CollapseGuard(recipe(), 2, 1000)
    alike, healthy = {"train/real_variance": 0.01}, {"train/real_variance": 0.9}
    assert [guard.observe(step, alike) for step in (10, 50, 99)] == [[], [], []]
    assert guard.observe(100, alike) == []
    assert guard.observe(110, healthy) == []
    assert guard.observe(120, alike) == []
    assert len(guard.observe(130, alike)) == 1
    assert guard.observe(140, alike) == []


@pytest.mark.parametrize(("classes", "accuracy"), [(2, 0.86), (4, 0.79)])
def test_certainty_is_judged_by_the_number_of_classes(classes: int, accuracy: float) -> None:
    def said(value: float) -> int:
        guard = CollapseGuard(recipe(), classes, 100)
        return sum(len(guard.observe(step, {"train/classifier_accuracy": value})) for step in range(40, 60))

    assert said(accuracy) == 1
    assert said(accuracy - 0.03) == 0


def test_a_network_that_is_not_there_is_not_judged() -> None:
    guard = CollapseGuard(recipe({"adversary": {"weight": 0.0}}), 2, 100)
    assert [guard.observe(step, {"diagnostics/critic_spread": 0.0}) for step in range(20, 40)] == [[]] * 20
