"""A corpus on the disk trains as one in memory does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from arae_transfer.corpus.reading import read_corpus, stream_corpus
from arae_transfer.layout import RunLayout
from arae_transfer.recipe import recipe_from_table
from arae_transfer.tokenizer import Tokenizer
from arae_transfer.training.data import TrainingData
from arae_transfer.training.loop import Trainer
from tests.training.listener import Listener

RECIPE: dict[str, Any] = {
    "name": "small",
    "tokenizer": {"vocabulary_size": 300},
    "model": {"code_size": 8, "embedding_size": 8, "hidden_size": 8},
    "adversary": {"noise_size": 4, "generator_layers": [8], "critic_layers": [8], "critic_updates": 1},
    "attribute": {"layers": [8]},
    "noise": {"drop": 0.1, "style_share": 0.5, "style_drop": 0.3},
    "parallel": {"sentences": 40},
    "training": {"schedule": "joint", "sentences": 48, "batch_size": 4, "sampled_softmax": 100},
    "validation": {"every": 24, "sentences": 4, "probes": 1},
}


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("ARAE_CACHE", str(tmp_path / "cache"))
    nouns = ("food", "soup", "staff", "room", "place")
    for label, words in (("bad", ("cold", "awful")), ("good", ("warm", "great"))):
        lines = [f"the {nouns[place % 5]} was {words[place % 2]} {'.!'[place % 3 % 2]}" for place in range(90)]
        others = [f"{label} {'o' * (1 + place % 10)}{'a' * (place // 10)}" for place in range(90)]
        (tmp_path / f"{label}.txt").write_text("\n".join([*lines, *others]))
    return [f"{label}={tmp_path}/{label}.txt" for label in ("bad", "good")]


def weights(run: Path) -> dict[str, torch.Tensor]:
    layout = RunLayout(run)
    step = json.loads(layout.latest.read_text("utf-8"))["step"]
    return load_file(layout.checkpoint(step) / layout.MODEL)


def test_the_same_weights_come_from_memory_and_from_the_disk(sources: list[str], tmp_path: Path) -> None:
    recipe = recipe_from_table(RECIPE)
    whole = TrainingData(read_corpus(sources, "train").lines, read_corpus(sources, "valid").lines)
    stream = TrainingData(stream_corpus(sources, "train").lines, stream_corpus(sources, "valid").lines)
    told = {}
    for name, data in (("memory", whole), ("disk", stream), ("again", stream)):
        told[name] = Listener()
        trainer = Trainer(recipe, data, tmp_path / name, told[name], device="cpu")
        assert trainer.text.sampler is not None and trainer.text.style is not None
        trainer.train()
    assert RunLayout(tmp_path / "disk").pairs.read_bytes() == RunLayout(tmp_path / "memory").pairs.read_bytes()
    wanted = weights(tmp_path / "memory")
    for name in ("disk", "again"):
        assert [key for key, tensor in weights(tmp_path / name).items() if not torch.equal(tensor, wanted[key])] == []
    counts = [sum(map(len, part.values())) for part in (stream.train, stream.valid)]
    assert told["memory"].tokenized == []
    assert {total for _, total in told["disk"].tokenized} == set(counts)
    assert told["again"].tokenized == [], "both parts are in the cache"
    assert any(str(tmp_path / "cache") in message for message in told["disk"].messages)
    # A run is continued from either.
    Trainer(recipe, whole, tmp_path / "disk", Listener(), device="cpu", resume=True)


def test_a_part_of_a_large_corpus_trains_the_tokenizer(
    sources: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("arae_transfer.training.data.SAMPLED_LINES", 100)
    seen: list[int] = []
    train = Tokenizer.train

    def count(lines: Any, *arguments: Any, **more: Any) -> Any:
        kept = list(lines)
        seen.append(len(kept))
        return train(kept, *arguments, **more)

    monkeypatch.setattr("arae_transfer.training.data.Tokenizer.train", count)
    data = TrainingData(stream_corpus(sources, "train").lines, stream_corpus(sources, "valid").lines)
    trainer = Trainer(recipe_from_table(RECIPE), data, tmp_path / "run", Listener(), device="cpu")
    assert seen == [100]
    assert sum(map(len, trainer.data.train.values())) > 200
