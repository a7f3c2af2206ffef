"""The quality estimator in training: it learns to tell good rewrites from bad ones, alone or beside the decoders."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from arae_transfer.errors import AraeError
from arae_transfer.layout import RunLayout
from arae_transfer.quality.ratings import Rating
from arae_transfer.recipe import Recipe, recipe_from_table
from arae_transfer.training.checkpoint import load_run
from arae_transfer.training.loop import Trainer
from arae_transfer.training.quality import area_under_curve
from tests.training.editing_data import data, logged, table
from tests.training.listener import Listener

RATINGS = tuple(
    Rating("good", f"the {thing} was {word} .", f"the {thing} was {other} .", accepted)
    for thing in ("food", "soup", "staff", "room", "place", "music")
    for word in ("cold", "rude")
    for other, accepted in (("warm", 1.0), ("slow", 0.02))
)


def trained(run: Path, recipe: Recipe, ratings: tuple[Rating, ...] = RATINGS, **more: Any) -> Trainer:
    own = Trainer(recipe, replace(data(), ratings=ratings), run, Listener(), device="cpu", **more)
    own.train()
    return own


def recipe_of(**sections: dict[str, Any]) -> Recipe:
    own: dict[str, Any] = {"quality": {"layers": 1, "share": 1.0}, "model": {"frozen_layers": 1}}
    return recipe_from_table(
        table() | {"quality": {}} | {k: table().get(k, {}) | v for k, v in (own | sections).items()}
    )


def test_an_estimator_learns_to_tell_good_from_bad(tmp_path: Path) -> None:
    recipe = recipe_of(
        training={"sentences": 2400}, validation={"every": 1200}, model={"dropout": 0.0, "frozen_layers": 1}
    )
    trained(tmp_path, recipe)
    losses = logged(tmp_path, "train", "quality")
    assert sum(losses[-20:]) < 0.7 * sum(losses[:20])
    assert all(0 <= area <= 100 for area in logged(tmp_path, "valid", "corrupted"))
    assert logged(tmp_path, "train", "examples") == []


def test_an_estimator_alone_leaves_the_decoders_as_they_are(tmp_path: Path) -> None:
    own = trained(tmp_path / "run", recipe_of(training={"sentences": 64}))
    weights = load_run(tmp_path / "run", "latest").model.state_dict()
    before = Trainer(own.recipe, replace(data(), ratings=RATINGS), tmp_path / "other", Listener(), device="cpu")
    start = before.model.state_dict()
    changed = {name.partition(".")[0] for name in start if not torch.equal(start[name], weights[name])}
    assert changed == {"quality"}


def test_a_resumed_run_ends_as_one_that_was_not_stopped(tmp_path: Path) -> None:
    recipe = recipe_of(quality={"layers": 1, "share": 0.5})
    trained(tmp_path / "whole", recipe)
    half = Trainer(recipe, replace(data(), ratings=RATINGS), tmp_path / "half", Listener(), device="cpu")
    half.steps //= 2
    half.train()
    trained(tmp_path / "half", recipe, ratings=(), resume=True)
    one, other = (load_run(tmp_path / name, "latest").model.state_dict() for name in ("whole", "half"))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_ratings_stay_with_their_run(tmp_path: Path) -> None:
    recipe = recipe_of(training={"sentences": 32})
    trained(tmp_path, recipe)
    assert RunLayout(tmp_path).ratings.is_file()
    with pytest.raises(AraeError, match="other ratings"):
        trained(tmp_path, recipe, ratings=RATINGS[:3], resume=True)


def test_an_estimator_is_added_to_a_run_without_one(tmp_path: Path) -> None:
    plain = recipe_of(quality={"layers": 0}, training={"sentences": 32})
    trained(tmp_path / "plain", plain, ratings=())
    trained(tmp_path / "more", recipe_of(training={"sentences": 32}), initial=tmp_path / "plain")
    one, other = (load_run(tmp_path / name).model for name in ("plain", "more"))
    assert one.quality is None
    assert other.quality is not None
    assert torch.equal(one.decoders[0].state_dict()["style"], other.decoders[0].state_dict()["style"])


def test_without_examples_an_estimator_is_refused(tmp_path: Path) -> None:
    own = Trainer(recipe_of(), replace(data(examples=False), ratings=RATINGS), tmp_path, Listener(), device="cpu")
    with pytest.raises(AraeError, match=r"quality\.layers = 1\n.*--examples"):
        own.train()


def test_more_layers_than_learn_are_refused() -> None:
    with pytest.raises(AraeError, match=r"quality\.layers"):
        recipe_of(quality={"layers": 3})


@pytest.mark.parametrize(
    ("scores", "positive", "area"),
    [
        ([1, 2, 3, 4], [False, False, True, True], 1.0),
        ([1, 2, 3, 4], [True, True, False, False], 0.0),
        ([1, 1, 1, 1], [True, False, True, False], 0.5),
        ([1, 2, 3], [True, False, True], 0.5),
        ([1, 2], [True, True], None),
        ([], [], None),
    ],
)
def test_the_area_under_the_curve(scores: list[float], positive: list[bool], area: float | None) -> None:
    assert area_under_curve(scores, positive) == area
