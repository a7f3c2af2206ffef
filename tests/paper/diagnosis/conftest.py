"""Sentences and a tokenizer of them, and tiny runs with metrics."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from arae_transfer.atomic import write_text
from arae_transfer.layout import RunLayout
from arae_transfer.model.arae import ARAE
from arae_transfer.recipe import recipe_from_table, recipe_to_toml
from arae_transfer.tokenizer import Tokenizer
from arae_transfer.training.checkpoint import State, save_checkpoint
from arae_transfer.training.optimizers import Optimizers

CLASSES = ("bad", "good")
MakeRun = Callable[..., Path]


@pytest.fixture(scope="session")
def lines() -> list[str]:
    """Sentences of five words."""
    subjects = ["the soup", "our waiter", "the room", "my coffee", "this place"]
    ends = ["cold", "delicious", "rude", "friendly", "clean", "dirty", "cheap", "dear"]
    return [f"{subject} {verb} {end} ." for subject in subjects for verb in ("was", "is", "seemed") for end in ends]


@pytest.fixture(scope="session")
def tokenizer(lines: list[str]) -> Tokenizer:
    """A tokenizer trained on the sentences."""
    return Tokenizer.train(lines, 300, threads=1)


@pytest.fixture
def corpus(lines: list[str], tmp_path: Path) -> Path:
    """A folder with the splits train and valid."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    for number, label in enumerate(CLASSES):
        own = lines[number::2]
        for split, part in (("train", own[:40]), ("valid", own[40:])):
            write_text(folder / f"{split}.{label}.txt", "".join(f"{line}\n" for line in part))
    return folder


@pytest.fixture
def make_run(tokenizer: Tokenizer, corpus: Path, tmp_path: Path) -> MakeRun:
    """Make a run of a tiny model with random weights."""

    def make(name: str, *, code: str = "sequence", adversary: float = 0.01, **more: Any) -> Path:
        torch.manual_seed(5)
        sizes = {"code": code, "code_size": 12, "embedding_size": 14, "hidden_size": 16, "code_noise": 0.1}
        recipe = recipe_from_table(
            {"name": "tiny", "model": sizes, "data": {"maximum_tokens": 30}, "adversary": {"weight": adversary}} | more
        )
        model = ARAE(recipe, CLASSES, tokenizer.vocabulary_size)
        layout = RunLayout(tmp_path / "runs" / "tiny" / name)
        layout.root.mkdir(parents=True)
        write_text(layout.recipe, recipe_to_toml(recipe))
        write_text(layout.environment, json.dumps({"data": [str(corpus)]}))
        tokenizer.save(layout.tokenizer)
        records = []
        for step in range(1, 6):
            record = {"step": step, "sentences": 10 * step, "train/real_norm": 1.0, "train/real_variance": 0.8}
            if adversary:
                record |= {"train/generated_norm": 1.0, "train/generated_variance": 0.1 * step}
            records.append(record | {"train/code_noise": 0.1})
            records.append({"step": step, "sentences": 10 * step, "valid/nll": 3.0})
        write_text(layout.metrics, "".join(json.dumps(record) + "\n" for record in records))
        state = State(step=5, minutes=1.0, classes=CLASSES)
        average = model if recipe.training.averaging > 0 else None
        save_checkpoint(layout, state, model, average, Optimizers.build(model, recipe), best=True)
        return layout.root

    return make
