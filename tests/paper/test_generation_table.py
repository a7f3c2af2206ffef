"""The paper's table of generated sentences: what is trained, from what each system samples, what is kept."""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from arae_transfer.cli import app
from arae_transfer.corpus.batches import TokenizedSentences
from arae_transfer.errors import AraeError
from arae_transfer.model.arae import ARAE
from arae_transfer.paper.generation_table import (
    LANGUAGE_MODEL,
    GenerationRuns,
    sample_gaussian,
    sample_systems,
    train_generators,
)
from arae_transfer.paper.recurrent_language_model import RecurrentLanguageModel
from arae_transfer.recipe import recipe_from_table
from arae_transfer.tokenizer import Tokenizer
from arae_transfer.training.checkpoint import load_run
from arae_transfer.training.data import TrainingData
from arae_transfer.training.reporter import SilentReporter

SETTINGS = [
    "task=generation",
    "tokenizer.vocabulary_size=300",
    "data.maximum_tokens=12",
    "model.code_size=8",
    "model.embedding_size=8",
    "model.hidden_size=8",
    "adversary.generator_layers=[8]",
    "adversary.critic_layers=[8]",
    "attribute.weight=0",
    "training.schedule=joint",
    "training.optimizer=adam",
    "training.learning_rate=1e-3",
    "training.batch_size=8",
    "training.sentences=64",
    "validation.every=32",
    "validation.sentences=6",
]
RECIPE = recipe_from_table({"name": "tiny"}, SETTINGS)
LINES = [f"a {a} {b} {c} ." for a in ("man", "dog", "cat") for b in ("sits", "runs") for c in ("here", "there", "on")]
DATA = TrainingData({"text": LINES}, {"text": LINES[::3]})


class Named(SilentReporter):
    """A silent reporter that is entered and left."""

    def __enter__(self) -> Named:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def train(folder: Path) -> tuple[GenerationRuns, list[str]]:
    now: list[str] = []

    def make(name: str) -> Named:
        now.append(name)
        return Named()

    runs = train_generators(RECIPE, DATA, folder, make, device="cpu")
    assert runs is not None
    return runs, now


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, GenerationRuns]:
    folder = tmp_path_factory.mktemp("table")
    runs, now = train(folder)
    assert now == ["arae", "autoencoder", "autoencoder-generator"]
    return folder, runs


def same(first: ARAE, second: ARAE, network: str) -> bool:
    pairs = zip(getattr(first, network).parameters(), getattr(second, network).parameters(), strict=True)
    return all(torch.equal(one, other) for one, other in pairs)


def test_each_system_is_trained_once_and_kept(trained: tuple[Path, GenerationRuns]) -> None:
    folder, runs = trained
    again, now = train(folder)
    assert (again, now) == (runs, [])
    other = replace(RECIPE, training=replace(RECIPE.training, learning_rate=0.5))
    with pytest.raises(AraeError, match="with another recipe"):
        train_generators(other, DATA, folder, lambda name: Named(), device="cpu")


def test_a_generator_on_fixed_codes_leaves_encoder_and_decoder_alone(trained: tuple[Path, GenerationRuns]) -> None:
    _, runs = trained
    arae, plain = (load_run(run, "best").model for run in (runs.arae, runs.autoencoder))
    fixed = load_run(runs.on_fixed_codes, "latest").model
    assert same(plain, fixed, "encoder")
    assert same(plain, fixed, "decoders")
    assert not same(plain, fixed, "generator")
    assert not same(plain, arae, "encoder")
    assert load_run(runs.autoencoder, "latest").recipe.adversary.weight == 0
    assert load_run(runs.on_fixed_codes, "latest").recipe.adversary.weight == RECIPE.adversary.weight


def test_every_system_writes_its_samples(trained: tuple[Path, GenerationRuns], tmp_path: Path) -> None:
    _, runs = trained
    samples = sample_systems(runs, DATA, 40, tmp_path)
    assert [len(lines) for lines in samples.values()] == [40] * 5
    assert len({tuple(lines) for lines in samples.values()}) == 5, "no two systems write the same"
    files = {path.read_text("utf-8") for path in (tmp_path / "samples").iterdir()}
    assert files == {"".join(f"{line}\n" for line in lines) for lines in samples.values()}
    assert LANGUAGE_MODEL in samples


def test_a_gaussian_on_codes_that_are_alike_writes_one_sentence(trained: tuple[Path, GenerationRuns]) -> None:
    run = load_run(trained[1].autoencoder, "best")
    assert len(set(sample_gaussian(run, [LINES[0]] * 9, 20, 1))) == 1


def test_the_language_model_learns_what_follows_what() -> None:
    tokenizer = Tokenizer.train(LINES, 300, threads=1)
    recipe = replace(RECIPE, model=replace(RECIPE.model, hidden_size=32, embedding_size=32))
    sentences = TokenizedSentences.join(tokenizer.encode_lines(LINES * 20))
    model = RecurrentLanguageModel(recipe, tokenizer, sentences, sentences)
    model.train(40)
    # 18 equally likely sentences of five words and an end: ln 18 a sentence, over its tokens.
    floor = math.log(18) * len(sentences) / sum(len(ids) + 1 for ids in tokenizer.encode_lines(LINES * 20))
    assert floor * 0.99 < model.nll < floor * 1.25
    drawn = Counter(model.sample(600, 1))
    real = sum(drawn[line] for line in LINES)
    assert real > 500
    assert len(set(LINES) & set(drawn)) == 18
    assert model.sample(5, 1) == model.sample(5, 1) != model.sample(5, 2)


def test_the_command_prints_the_table_and_goes_on(tmp_path: Path) -> None:
    corpus, other = tmp_path / "mine.txt", tmp_path / "other.txt"
    corpus.write_text("".join(f"{line} {n}\n" for line in LINES for n in range(30)), "utf-8")
    other.write_text("a man sits here .\n" * 50, "utf-8")
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('task = "generation"\n[attribute]\nweight = 0.0\n', "utf-8")
    settings = [part for setting in SETTINGS for part in ("--set", setting)]
    arguments = ["generation-table", str(recipe), "--data", str(corpus), "-n", "100", "-o", str(tmp_path / "table")]
    arguments += ["--samples", f"mine={other}", "--threads", "1", *settings]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    for name in ("ARAE: generator", "autoencoder: generator trained on its codes", LANGUAGE_MODEL, "mine", "real text"):
        assert f"| {name} | " in result.stdout
    assert "| published: ARAE | 100,000 | – | 82.2 |" in result.stdout
    table = json.loads((tmp_path / "table" / "table.json").read_text("utf-8"))
    assert table["scores"]["mine"]["samples"] == 50
    assert CliRunner().invoke(app, arguments).stdout == result.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["quickstart"], "is not for generation"),
        (["snli-generation", "--set", "adversary.weight=0"], "trains no generator"),
        (["snli-generation"], "needs data"),
        (["snli-generation", "--samples", "x"], "does not name a file"),
        (["snli-generation", "--samples", "x=missing"], "cannot read missing"),
    ],
)
def test_what_can_be_fixed_is_said_at_once(arguments: list[str], said: str) -> None:
    result = CliRunner().invoke(app, ["generation-table", *arguments])
    assert result.exit_code == 1
    assert said in result.stderr
    assert len(result.stderr.splitlines()) <= 2
