"""What a name means, and how runs rewrite a split."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from arae_transfer.atomic import write_text
from arae_transfer.cli import app
from arae_transfer.cli.training_reporter import PlainReporter
from arae_transfer.corpus.quickstart import make_sentences
from arae_transfer.errors import AraeError
from arae_transfer.evaluation.outputs import Direction
from arae_transfer.evaluation.real_text import LabelledText
from arae_transfer.evaluation.systems import RunCheckpoint, find_system, name_systems, rewrite_by_run
from arae_transfer.layout import RunLayout
from arae_transfer.paper.diagnosis.coder import Coder
from arae_transfer.paper.transfer_table import train_system
from arae_transfer.recipe import recipe_from_table, recipe_to_toml
from arae_transfer.training.checkpoint import load_run
from arae_transfer.training.data import TrainingData

SENTENCES = make_sentences(3, train_lines=60, held_out_lines=12)
RECIPE = recipe_from_table(
    {"name": "tiny"},
    [
        "data.maximum_tokens=200",
        "tokenizer.vocabulary_size=340",
        "model.code_size=8",
        "model.embedding_size=8",
        "model.hidden_size=8",
        "adversary.generator_layers=[8]",
        "adversary.critic_layers=[8]",
        "attribute.layers=[8]",
        "training.batch_size=4",
        "training.sentences=16",
        "validation.sentences=4",
    ],
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run of two steps."""
    folder = tmp_path_factory.mktemp("runs") / "tiny" / "one"
    data = TrainingData(SENTENCES["train"], SENTENCES["valid"])
    assert train_system(RECIPE, data, folder, lambda: PlainReporter(quiet=True), None, "cpu")
    return folder


def test_what_a_name_means(run: Path, pristine_model: Path, tmp_path: Path) -> None:
    assert find_system(str(run)) == RunCheckpoint(run, "best")
    latest = find_system(f"{run}:latest")
    assert latest == RunCheckpoint(run, "latest")
    assert find_system(str(tmp_path)) == tmp_path
    model = find_system(str(pristine_model))
    systems = {"a": find_system(str(run)), "b": latest, "c": model}
    assert name_systems(systems)[:2] == ["one", "one:latest"]
    with pytest.raises(AraeError, match="there is no model"):
        find_system(f"{tmp_path}:latest")  # no run


def test_a_run_rewrites_with_the_decoder_of_the_other_class(run: Path) -> None:
    source = LabelledText("test", SENTENCES["test"])
    loaded = load_run(run, "latest")
    for weight in loaded.model.decoder(1).parameters():  # hardly trained, both decoders would say the same
        torch.nn.init.normal_(weight, std=3.0, generator=torch.Generator().manual_seed(4))
    outputs = rewrite_by_run(loaded, source, "one")
    assert {str(direction) for direction in outputs} == {"negative-to-positive", "positive-to-negative"}
    lines, coder = SENTENCES["test"]["negative"], Coder(loaded)
    rewrites, same = (coder.reconstruct(lines, [label] * len(lines)) for label in ("positive", "negative"))
    assert outputs[Direction("negative", "positive")] == rewrites != same
    with pytest.raises(AraeError, match="the model one has no class 'neutral'"):
        rewrite_by_run(loaded, LabelledText("test", {"neutral": ["so ."], "negative": ["no ."]}), "one")


def test_runs_that_do_not_rewrite_are_refused_before_weights_are_read(tmp_path: Path) -> None:
    generation = RunLayout(tmp_path / "generation")
    recipe = replace(RECIPE, task="generation", attribute=replace(RECIPE.attribute, weight=0.0))
    write_text(generation.recipe, recipe_to_toml(recipe))
    with pytest.raises(AraeError, match="is a generation and cannot rewrite"):
        RunCheckpoint(generation.root).load()


def test_evaluate_takes_runs_and_says_how_rewrites_were_made(run: Path, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    for split in ("train", "test"):
        for label, lines in SENTENCES[split].items():
            write_text(corpus / f"{split}.{label}.txt", "".join(f"{line}\n" for line in lines))
    files = tmp_path / "files"
    for source, target in (("negative", "positive"), ("positive", "negative")):
        write_text(files / f"{source}-to-{target}.txt", "".join(f"{line}\n" for line in SENTENCES["test"][source]))
    kept = tmp_path / "kept"
    arguments = ["evaluate", str(run), f"{run}:latest", str(files), "--data", str(corpus), "--json"]
    result = CliRunner().invoke(app, [*arguments, "--save-outputs", str(kept)])
    assert result.exit_code == 0, result.stderr
    data = json.loads(result.stdout)
    assert list(data["together"]["systems"]) == ["one", "one:latest", "files"]
    assert data["together"]["p_values"].keys() == {"one:latest", "files"}
    rewrites = data["signature"]["rewrites"]
    assert "one:latest (run, step 2, greedy, no noise on the code) sha256:" in rewrites
    assert "files (read from files) sha256:" in rewrites
    assert len((kept / "one" / "negative-to-positive.txt").read_text().splitlines()) == 12
