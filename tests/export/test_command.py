"""`arae export` on a run of the training half."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from arae_transfer.atomic import write_text
from arae_transfer.cli.command import AraeCommand, AraeGroup
from arae_transfer.cli.export import export
from arae_transfer.layout import RunLayout
from arae_transfer.model.arae import ARAE
from arae_transfer.recipe import Recipe, recipe_to_toml
from arae_transfer.runtime.model_folder import ModelFolder
from arae_transfer.tokenizer import Tokenizer
from arae_transfer.training.checkpoint import State, save_checkpoint
from arae_transfer.training.optimizers import Optimizers

app = typer.Typer(cls=AraeGroup, rich_markup_mode=None)
app.command(cls=AraeCommand)(export)


@app.callback()
def arae() -> None:
    """Make `export` a command among commands."""


@pytest.fixture
def run(make_model: Callable[..., tuple[ARAE, Recipe]], tokenizer: Tokenizer, lines: list[str], tmp_path: Path) -> Path:
    """A run with a checkpoint at step 3, and its corpus."""
    model, recipe = make_model()
    layout = RunLayout(tmp_path / "runs" / "first")
    corpus = tmp_path / "corpus"
    layout.root.mkdir(parents=True)
    corpus.mkdir()
    for label in model.classes:
        for split, own in (("train", lines[30:60]), ("valid", lines[:30])):
            write_text(corpus / f"{split}.{label}.txt", "".join(f"{line}\n" for line in own))
    write_text(layout.recipe, recipe_to_toml(recipe))
    write_text(layout.environment, json.dumps({"data": [str(corpus)]}))
    tokenizer.save(layout.tokenizer)
    state = State(step=3, minutes=1.26, scores={"style": 61.5}, classes=model.classes)
    save_checkpoint(layout, state, model, None, Optimizers.build(model, recipe), best=True)
    return layout.root


def invoke(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["export", *map(str, arguments)])
    return result.exit_code, result.stdout, result.stderr


def test_a_run_becomes_a_model(run: Path, tmp_path: Path) -> None:
    target = tmp_path / "exported" / "small"
    status, output, messages = invoke(run, "-o", target, "--language", "en")
    assert (status, output) == (0, f"{target}\n"), messages
    assert "rewrites are the model's" in messages
    assert ModelFolder.read(target).name == "small"
    config = json.loads((target / "config.json").read_bytes())
    # Three steps of a batch of 64 of each of two classes.
    seen = {"sentences": 384, "minutes": 1.3, "checkpoint": "best", "runs": 1}
    assert config["training"] == seen | {"complete": False}  # the run does not say what it started from
    assert config["scores"] == {"style": 61.5}
    assert config["parity"]["probe_lines"] == 60
    assert '- "en"' in (target / "README.md").read_text()
    assert str(tmp_path) not in (target / "README.md").read_text()


def test_the_recipe_names_the_model(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert invoke(run, "--quiet", "--weights", "fp32", "--checkpoint", "latest") == (0, "exported/tiny\n", "")
    assert ModelFolder.read(tmp_path / "exported" / "tiny").name == "tiny"


def test_given_probes_and_scores_are_used(run: Path, lines: list[str], tmp_path: Path) -> None:
    target = tmp_path / "small"
    probes, scores = tmp_path / "probes.txt", tmp_path / "scores.json"
    probes.write_text("".join(f"{line}\n" for line in lines[:7]))
    section = {
        "lines": 7,
        "systems": {"small": {"accuracy_linear": {"value": 93.21, "low": 90.0, "high": 95.5}}},
        "baselines": {},
        "p_values": {},
    }
    report = {"signature": {"seed": "1"}, "warnings": [], "directions": {"bad to good": section}, "together": section}
    scores.write_text(json.dumps(report))
    assert invoke(run, "-o", target, "--probes", probes, "--scores", scores)[0] == 0
    assert json.loads((target / "config.json").read_bytes())["parity"]["probe_lines"] == 7
    assert "| style: linear classifier % | 93.2 (90.0–95.5) |" in (target / "README.md").read_text()


def test_a_corpus_that_is_gone_is_said(run: Path, tmp_path: Path) -> None:
    (tmp_path / "corpus").rename(tmp_path / "elsewhere")
    status, _, messages = invoke(run, "-o", tmp_path / "small")
    assert status == 0
    assert "cannot read the run's held-out sentences" in messages
    parity = json.loads((tmp_path / "small" / "config.json").read_bytes())["parity"]
    assert (parity["probe_lines"], parity["random_lines"]) == (0, 128)


def test_a_run_that_names_no_data_borrows_none(run: Path, tmp_path: Path) -> None:
    write_text(RunLayout(run).environment, json.dumps({"data": []}))
    status, _, messages = invoke(run, "-o", tmp_path / "small")
    assert status == 0
    assert "does not record where its data are" in messages
    config = json.loads((tmp_path / "small" / "config.json").read_bytes())
    assert (config["parity"]["probe_lines"], config["generator"]["lengths"]) == (0, [])


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["nowhere"], 1, "is not a run"),
        (["RUN", "--checkpoint", "last"], 2, "neither best nor latest"),
        (["RUN", "--weights", "int4"], 2, "neither fp16 nor fp32"),
        (["RUN", "--scores", "nowhere.json"], 1, "cannot read nowhere.json"),
        (["RUN", "--scores", "RUN/latest.json"], 1, "is not a report of an evaluation"),
        (["RUN", "--probes", "nowhere.txt"], 1, "cannot read nowhere.txt"),
        (["RUN", "--sentences", "nowhere.txt"], 1, "cannot read nowhere.txt"),
        (["RUN", "-o", "RUN"], 1, "no exported model"),
    ],
)
def test_wrong_wishes_are_explained(run: Path, arguments: list[str], status: int, message: str) -> None:
    before = sorted(run.rglob("*"))
    found, output, messages = invoke(*[argument.replace("RUN", str(run)) for argument in arguments])
    assert (found, output) == (status, "")
    assert message in messages
    assert sorted(run.rglob("*")) == before


def test_an_export_is_built_anew_without_its_run(run: Path, tmp_path: Path, lines: list[str]) -> None:
    old, new, probes = tmp_path / "old", tmp_path / "new", tmp_path / "probes.txt"
    probes.write_text("".join(f"{line}\n" for line in lines[:30]))
    assert invoke(run, "-o", old, "--probes", probes, "--beam", "3", "--quiet")[0] == 0
    status, output, messages = invoke(old, "-o", new, "--probes", probes)
    assert (status, output) == (0, f"{new}\n"), messages
    assert "rewrites are the model's" in messages
    first, second = (json.loads((each / "config.json").read_bytes()) for each in (old, new))
    assert second["name"] == "new"
    for key in ("beam", "scores", "training", "language_models", "generator", "recipe", "shortlist"):
        assert second[key] == first[key], key
    stored = ("encoder.onnx", "generator.onnx", "scorer.onnx", "tokenizer.model", *first["language_models"].values())
    weights = (first["weights_file"], *first["class_weights"].values())
    for file in (*stored, *weights, *first["decoders"].values()):
        # The graphs say what they are called, and nothing else differs.
        content = (old / file).read_bytes().replace(b"\x03old", b"\x03new")
        assert content == (new / file).read_bytes(), file
    # In its own place, with another beam.
    assert invoke(new, "-o", new, "--probes", probes, "--beam", "2", "--quiet")[0] == 0
    assert ModelFolder.read(new).beam == 2


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        (["-o", "NEW", "--sentences", "PROBES"], 2, "--sentences needs --probes"),
        (["--probes", "PROBES"], 2, "--output"),
        (["-o", "NEW", "--probes", "PROBES", "--weights", "fp16"], 2, "--weights' needs a run"),
        (["-o", "NEW", "--probes", "PROBES", "--checkpoint", "latest"], 2, "--checkpoint' needs a run"),
    ],
)
def test_what_an_export_built_anew_needs_is_said(
    run: Path, tmp_path: Path, lines: list[str], options: list[str], status: int, message: str
) -> None:
    old, probes = tmp_path / "old", tmp_path / "probes.txt"
    probes.write_text("".join(f"{line}\n" for line in lines[:5]))
    assert invoke(run, "-o", old, "--quiet")[0] == 0
    names = {"NEW": str(tmp_path / "new"), "PROBES": str(probes)}
    found, output, messages = invoke(old, *(names.get(each, each) for each in options))
    assert (found, output) == (status, "")
    assert message in messages
    assert not (tmp_path / "new").exists()
