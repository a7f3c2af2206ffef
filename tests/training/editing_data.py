"""What small runs that edit learn from, and what they log."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from arae_transfer.layout import RunLayout
from arae_transfer.parallel.examples import ParallelExample
from arae_transfer.training.data import TrainingData

WORDS = {"bad": ("cold", "rude", "slow", "awful"), "good": ("warm", "kind", "quick", "lovely")}
THINGS = ("food", "soup", "staff", "room", "place", "music")


def table(**sections: dict[str, Any]) -> dict[str, Any]:
    everything: dict[str, Any] = {
        "name": "small",
        "task": "editing",
        "data": {"maximum_tokens": 16},
        "tokenizer": {"vocabulary_size": 300},
        "model": {
            "encoder": "transformer",
            "code": "sequence",
            "code_size": 16,
            "embedding_size": 16,
            "hidden_size": 24,
            "encoder_layers": 2,
            "attention_heads": 2,
            "inner_size": 24,
            "dropout": 0.1,
            "code_noise": 0.0,
        },
        "adversary": {"weight": 0.0},
        "attribute": {"weight": 0.0},
        "editing": {"denoising": 0.4, "unchanged": 0.1, "held_out": 0.1, "plain_damage": 0.0},
        "training": {
            "sentences": 320,
            "batch_size": 8,
            "schedule": "joint",
            "optimizer": "adam",
            "learning_rate": 0.01,
            "label_smoothing": 0.05,
            "averaging": 0.9,
            "gradient_clip": 1.0,
        },
        "validation": {"every": 160, "sentences": 12, "log_every": 1},
    }
    for name, keys in sections.items():
        everything[name] = everything[name] | keys
    return everything


def data(examples: bool = True) -> TrainingData:
    lines = {
        label: [f"the {thing} was {word} ." for thing in THINGS for word in words] for label, words in WORDS.items()
    }
    pairs = tuple(
        ParallelExample("bad", f"the {thing} was {word} .", "good", f"the {thing} was {other} .")
        for thing in THINGS
        for word, other in zip(WORDS["bad"], WORDS["good"], strict=True)
    )
    held_out = {label: own[::3] for label, own in lines.items()}
    return TrainingData(lines, held_out, pairs=pairs if examples else ())


def logged(run: Path, kind: str, name: str) -> list[float]:
    records = [json.loads(line) for line in RunLayout(run).metrics.read_text("utf-8").splitlines()]
    return [record[f"{kind}/{name}"] for record in records if f"{kind}/{name}" in record]
