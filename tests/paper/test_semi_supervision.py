"""Three systems beside each other: what differs between them, what is kept, and what the table says."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from arae_transfer.corpus.labelled import Examples, LabelledData
from arae_transfer.errors import AraeError
from arae_transfer.paper.semi_supervision import SYSTEMS, Result, recipe_of, render, run_systems, summarize
from arae_transfer.recipe import Recipe, recipe_from_table, recipe_to_table
from arae_transfer.training.checkpoint import load_run
from arae_transfer.training.reporter import SilentReporter

RECIPE = recipe_from_table(
    {"name": "few"},
    [
        "task=classification",
        "training.schedule=joint",
        "tokenizer.vocabulary_size=300",
        "model.code_size=8",
        "model.embedding_size=8",
        "model.hidden_size=8",
        "adversary.generator_layers=[8]",
        "adversary.critic_layers=[8]",
        "attribute.layers=[8]",
        "training.batch_size=4",
        "training.sentences=8",
        "labels.batch_size=4",
    ],
)


def keys(system: str) -> set[tuple[str, str]]:
    """Every key of a system's recipe with its value."""
    sections = {name: table for name, table in recipe_to_table(_of(system)).items() if isinstance(table, dict)}
    return {(f"{name}.{key}", repr(value)) for name, table in sections.items() for key, value in table.items()}


def _of(system: str) -> Recipe:
    return recipe_of(RECIPE, system, 5, 0.5, Path("tokenizer.model"))


def test_systems_differ_in_what_shapes_the_code_alone() -> None:
    assert keys("autoencoder") - keys("arae") == {("adversary.weight", "0.0")}
    assert keys("supervised") - keys("arae") == {("adversary.weight", "0.0"), ("training.reconstruction", "0.0")}
    assert _of("arae").training.seed == 5


def test_labels_are_a_share_or_a_number() -> None:
    share, number = (recipe_of(RECIPE, "arae", 1, labels, Path("t")).labels for labels in (0.25, 100))
    assert (share.share, share.number) == (0.25, 0)
    assert (number.share, number.number) == (1.0, 100)


TEXTS = [f"the {thing} is {word}" for thing in ("cat", "dog", "cow") for word in ("here", "gone")]
EXAMPLES = Examples((TEXTS,), ["here", "gone"] * 3)
DATA = LabelledData(("gone", "here"), EXAMPLES, EXAMPLES, [f"{text} now" for text in TEXTS])


def test_every_system_is_trained_once_and_kept(tmp_path: Path) -> None:
    seen: list[Result] = []

    def run(labels: list[float]) -> list[Result]:
        return run_systems(
            RECIPE, DATA, EXAMPLES, labels, [1], tmp_path, SilentReporter, device="cpu", finished=seen.append
        )

    first = run([4])
    assert [(each.system, each.labels) for each in first] == [(system, 4) for system in SYSTEMS]
    assert all(0 <= each.accuracy <= 100 for each in first)
    second = run([4, 0.5])
    assert len(seen) == 6  # the first three were not trained again
    assert second[:3] == first
    assert [each.labels for each in second[3:]] == [3, 3, 3]
    assert [Result(**json.loads(line)) for line in (tmp_path / "results.jsonl").read_text().splitlines()] == second


def test_what_reads_sentences_without_labels_may_do_so_first(tmp_path: Path) -> None:
    said: list[str] = []

    class Noting(SilentReporter):
        def message(self, message: str) -> None:
            said.append(message)

    def run(beginning: int) -> list[Result]:
        return run_systems(RECIPE, DATA, EXAMPLES, [4, 5], [1], tmp_path, Noting, beginning=beginning, device="cpu")

    assert len(run(12)) == 6
    begun = load_run(tmp_path / "arae-beginning-1", "latest")
    assert begun.state.step * RECIPE.training.batch_size == 12
    assert begun.recipe.labels.weight == 0.0
    for system in ("autoencoder", "arae"):
        start = f"starting from {(tmp_path / f'{system}-beginning-1').absolute()}, step 3"
        assert said.count(start) == 2  # one beginning for both numbers of labels
    assert not (tmp_path / "supervised-beginning-1").exists()
    with pytest.raises(AraeError, match="started from another place"):
        run(0)


def test_gains_are_paired_by_seed() -> None:
    accuracies = {"supervised": (60.0, 70.0, 80.0), "autoencoder": (63.0, 72.0, 84.0)}
    results = [
        Result(system, 100, seed, value, 0.0, 1, 1.0)
        for system, values in accuracies.items()
        for seed, value in enumerate(values)
    ]
    supervised, autoencoder = summarize(results)
    assert (supervised.mean, supervised.deviation) == (70.0, 10.0)
    assert math.isnan(supervised.gain)
    # Differences 3, 2, 4: mean 3, standard error 1 / sqrt(3); Student's quantile for two degrees of freedom is 4.303.
    assert autoencoder.gain == pytest.approx(3.0)
    assert autoencoder.interval == pytest.approx((3 - 4.3027 / 3**0.5, 3 + 4.3027 / 3**0.5), abs=1e-3)
    assert "| 100 | autoencoder | 73.0 ± 10.5 | 3 | +3.0 (+0.5 to +5.5) |" in render([supervised, autoencoder])


def test_one_seed_has_no_deviation() -> None:
    [alone] = summarize([Result("arae", 10, 1, 50.0, 0.0, 1, 1.0)])
    assert math.isnan(alone.deviation)
    assert render([alone]).splitlines()[-1] == "| 10 | arae | 50.0 | 1 | – |"
