"""The paper's transfer table: what differs between the systems, what is trained once, and what the table says."""

from __future__ import annotations

import json
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from arae_transfer.cli.training_reporter import PlainReporter
from arae_transfer.corpus.quickstart import make_sentences
from arae_transfer.errors import AraeError
from arae_transfer.evaluation.evaluate import COPY, REAL, EvaluationOptions
from arae_transfer.evaluation.real_text import LabelledText
from arae_transfer.layout import RunLayout
from arae_transfer.paper import transfer_table
from arae_transfer.paper.transfer_table import (
    System,
    make_systems,
    measure_trainings,
    render,
    tell_trends,
    train_systems,
)
from arae_transfer.recipe import Recipe, load_recipe, recipe_from_table, recipe_to_table
from arae_transfer.training.data import TrainingData
from arae_transfer.training.reporter import Progress

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
        "training.schedule=joint",
        "training.optimizer=adam",
        "training.decay=linear",
        "training.batch_size=4",
        "training.sentences=16",
        "validation.sentences=4",
        "validation.log_every=1",
    ],
)
SENTENCES = make_sentences(3, train_lines=60, held_out_lines=12)
DATA = TrainingData(SENTENCES["train"], SENTENCES["valid"])


def keys(recipe: Recipe) -> set[tuple[str, str]]:
    """Every key of a recipe with its value."""
    sections = {name: table for name, table in recipe_to_table(recipe).items() if isinstance(table, dict)}
    return {(f"{name}.{key}", repr(value)) for name, table in sections.items() for key, value in table.items()}


def train(folder: Path, recipe: Recipe = RECIPE, beginning: int = 0) -> tuple[list[Any], list[str]]:
    """Train all systems; return what became of them, and which were trained now."""
    now: list[str] = []

    def make_reporter(system: System, seed: int) -> PlainReporter:
        now.append(f"{system.name}-{seed}")
        return PlainReporter(quiet=True)

    systems = make_systems([0.5, 5])
    found = train_systems(recipe, systems, [7], DATA, folder, make_reporter, beginning=beginning, device="cpu")
    assert found is not None
    return found, now


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Any], list[str]]:
    """Return the folder of all systems, what became of them, and which were trained."""
    folder = tmp_path_factory.mktemp("systems")
    return folder, *train(folder)


def test_the_systems_differ_in_critic_and_classifier_alone() -> None:
    plain, weak, strong = (system.recipe(RECIPE, 7, Path("t")) for system in make_systems([0.5, 5]))
    assert keys(plain) - keys(weak) == {("adversary.weight", "0.0"), ("attribute.weight", "0.0")}
    assert keys(strong) - keys(weak) == {("attribute.weight", "5")}
    assert weak.training.seed == 7


def test_each_system_is_trained_once_and_kept(trained: tuple[Path, list[Any], list[str]]) -> None:
    folder, first, now = trained
    assert now == ["autoencoder-7", "arae-0.5-7", "arae-5-7"]
    assert [(each.sentences, each.beginning, each.epochs) for each in first] == [(16, 0, 0.13)] * 3
    again, now = train(folder)
    assert (again, now) == (first, [])
    assert len({(RunLayout(Path(each.run)).tokenizer).read_bytes() for each in first}) == 1
    with pytest.raises(AraeError, match="with another recipe"):
        train(folder, replace(RECIPE, training=replace(RECIPE.training, learning_rate=0.5)))


def test_the_systems_of_a_seed_go_on_from_one_beginning(tmp_path: Path) -> None:
    found, now = train(tmp_path, beginning=24)
    assert now == ["beginning-7", "autoencoder-7", "arae-0.5-7", "arae-5-7"]
    assert [(each.sentences, each.beginning) for each in found] == [(40, 24)] * 3
    for each in found:
        environment = json.loads(RunLayout(Path(each.run)).environment.read_text("utf-8"))
        assert environment["initial"] == str(tmp_path / "beginning-7")
        assert environment["initial_checkpoint"] == "latest"  # its end, whatever it was best at
    assert train(tmp_path, beginning=24) == (found, [])
    with pytest.raises(AraeError, match="started from another place"):
        train(tmp_path)
    beginning = load_recipe(RunLayout(tmp_path / "beginning-7").recipe)
    assert (beginning.adversary.weight, beginning.training.decay) == (0.0, "none")


class Interrupting(PlainReporter):
    """Presses Ctrl-C after the first step."""

    def progress(self, progress: Progress) -> None:
        signal.raise_signal(signal.SIGINT)


def test_an_interrupted_training_gives_no_table(tmp_path: Path) -> None:
    found = train_systems(
        RECIPE, make_systems([0.5, 5]), [7], DATA, tmp_path, lambda *_: Interrupting(quiet=True), device="cpu"
    )
    assert found is None
    assert not list(tmp_path.glob("arae-*"))
    trained, now = train(tmp_path)
    assert now[0] == "autoencoder-7", "what was interrupted goes on"
    assert [each.sentences for each in trained] == [16] * 3


def test_all_rewrites_are_measured_and_kept(trained: tuple[Path, list[Any], list[str]], tmp_path: Path) -> None:
    _, trainings, _ = trained
    source = LabelledText("made test", SENTENCES["test"])
    judges = LabelledText("made train", make_sentences(4, train_lines=200, held_out_lines=1)["train"])
    table = measure_trainings(trainings, source, judges, tmp_path, options=EvaluationOptions(resamples=20))
    assert list(table["seeds"]) == ["7"]
    assert list(table["seeds"]["7"]["together"]["systems"]) == ["autoencoder", "arae-0.5", "arae-5"]
    for each in trainings:
        written = (tmp_path / "rewrites" / Path(each.run).name / "negative-to-positive.txt").read_text("utf-8")
        assert written.count("\n") == len(SENTENCES["test"]["negative"])
    assert (tmp_path / "table.json").is_file()
    assert "| published: autoencoder | 59.3 |" in render(table)


def made_table(seeds: list[dict[str, tuple[float, float]]]) -> dict[str, Any]:
    """A table of given transfer and perplexity, the other columns 1."""

    def scores(transfer: float, perplexity: float) -> dict[str, Any]:
        values = {"accuracy_linear": transfer, "accuracy_neural": transfer + 2, "perplexity": perplexity}
        return {key: {"value": values.get(key, 1.0)} for key, _ in transfer_table.COLUMNS}

    def evaluation(systems: dict[str, tuple[float, float]]) -> dict[str, Any]:
        baselines = {COPY: scores(5, 9), REAL: scores(95, 9)}
        return {
            "signature": {"arae": "1"},
            "together": {"systems": {name: scores(*pair) for name, pair in systems.items()}, "baselines": baselines},
        }

    told = {"system": "autoencoder", "seed": 1, "sentences": 400, "beginning": 100, "epochs": 2.5, "minutes": 3.0}
    return {"trainings": [told], "seeds": {str(n): evaluation(systems) for n, systems in enumerate(seeds)}}


def test_the_table_holds_means_and_deviations_over_seeds() -> None:
    one, two = {"autoencoder": (50.0, 40.0)}, {"autoencoder": (54.0, 42.0)}
    text = render(made_table([one, two]))
    # Deviation of 50 and 54: sqrt(8); of 40 and 42: sqrt(2).
    assert "| autoencoder | 52.0 ± 2.8 | 54.0 ± 2.8 | 1.0 ± 0.0 | 41.0 ± 1.4 | 1.0 ± 0.0 |" in text
    assert "400 sentences, 100 of them in common pretraining (2.5 of the published 25 epochs), 3.0 minutes" in text
    assert "| autoencoder | 50.0 | 52.0 |" in render(made_table([one]))


def test_trends_are_told_as_they_are() -> None:
    as_published = {"autoencoder": (59.3, 31.9), "arae-1": (73.4, 29.7), "arae-10": (81.8, 27.7)}
    assert [sentence.rpartition(":")[2].strip() for sentence in tell_trends(made_table([as_published]))] == [
        "holds (+14.1).",
        "holds (+8.4).",
        "holds (31.9, 29.7, 27.7).",
    ]
    otherwise = {"autoencoder": (59.3, 31.9), "arae-1": (69.2, 33.0), "arae-10": (69.0, 27.7)}
    assert [sentence.rpartition(":")[2].strip() for sentence in tell_trends(made_table([otherwise]))] == [
        "is not confirmed (+9.9).",
        "is not confirmed (-0.2).",
        "is not confirmed (31.9, 33.0, 27.7).",
    ]
