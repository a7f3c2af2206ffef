"""What a model learned from in all: every run of the chain counts, and one that is gone is said to be."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from arae_transfer.cli import app
from arae_transfer.errors import AraeError
from arae_transfer.export_config import ExportConfig
from arae_transfer.layout import ExportLayout, RunLayout
from arae_transfer.recipe import recipe_from_table
from arae_transfer.training.data import TrainingData
from arae_transfer.training.lineage import trained_in_all
from arae_transfer.training.loop import Trainer
from arae_transfer.training.reporter import SilentReporter

LINES = {
    name: [f"the food was {word} {end}" for end in "abcdefgh"] for name, word in (("bad", "cold"), ("good", "warm"))
}
SMALL = {"code_size": 8, "embedding_size": 8, "hidden_size": 8}
RECIPE = recipe_from_table(
    {
        "tokenizer": {"vocabulary_size": 300},
        "model": SMALL,
        "adversary": {"weight": 0.0, "generator_layers": [4], "critic_layers": [4]},
        "training": {"sentences": 24, "batch_size": 4, "schedule": "joint"},
        "validation": {"sentences": 4},
    }
)
SEEN = 24


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root, initial = tmp_path_factory.mktemp("runs"), None
    for name in ("first", "second", "third"):
        data = TrainingData(LINES, LINES)
        Trainer(RECIPE, data, root / name, SilentReporter(), device="cpu", initial=initial).train()
        initial = root / name
    return root


@pytest.mark.parametrize(("name", "runs"), [("first", 1), ("second", 2), ("third", 3)])
def test_every_run_of_the_chain_counts(chain: Path, name: str, runs: int) -> None:
    found = trained_in_all(chain / name, "latest")
    assert (found.examples, found.runs, found.complete) == (SEEN * runs, runs, True)
    assert found.minutes >= trained_in_all(chain / "first", "latest").minutes


def test_the_card_of_an_export_counts_the_whole_chain(chain: Path, tmp_path: Path) -> None:
    folder = tmp_path / "tiny"
    arguments = ["export", str(chain / "third"), "-o", str(folder), "--checkpoint", "latest", "--quiet"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.stderr
    training = ExportConfig.read(ExportLayout(folder).config).training
    assert (training["sentences"], training["runs"], training["complete"]) == (3 * SEEN, 3, True)
    card = " ".join(ExportLayout(folder).card.read_text("utf-8").split())
    assert f"{3 * SEEN} sentences seen" in card
    assert "in 3 runs of which each went on from the one before" in card
    # A run that learned on from the export counts what the export counts.
    Trainer(
        RECIPE, TrainingData(LINES, LINES), tmp_path / "fourth", SilentReporter(), device="cpu", initial=folder
    ).train()
    found = trained_in_all(tmp_path / "fourth", "latest")
    assert (found.examples, found.runs, found.complete) == (4 * SEEN, 4, True)


def test_a_run_that_is_gone_is_said(chain: Path, tmp_path: Path) -> None:
    for name in ("second", "third"):
        shutil.copytree(chain / name, tmp_path / name)
        record = RunLayout(tmp_path / name).environment
        before = {"second": "first", "third": "second"}[name]
        table = json.loads(record.read_text("utf-8")) | {"initial": str(tmp_path / before)}
        record.write_text(json.dumps(table), "utf-8")
    found = trained_in_all(tmp_path / "third", "latest")
    assert (found.examples, found.runs, found.complete) == (2 * SEEN, 2, False)


def test_a_last_run_that_is_gone_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(AraeError):
        trained_in_all(tmp_path / "nowhere", "best")
