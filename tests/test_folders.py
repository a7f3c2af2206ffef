"""Models and recipes are found by name and by path, or their absence is explained."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from arae_transfer import folders
from arae_transfer.errors import AraeError
from arae_transfer.folders import find_model, find_recipe, list_models, list_recipes, split_checkpoint
from arae_transfer.layout import ExportLayout


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty working folder, with a package that ships nothing and no wish in the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(folders, "PACKAGE", tmp_path / "installed" / "arae_transfer")
    monkeypatch.delenv("ARAE_MODEL", raising=False)
    return tmp_path


def _put_model(folder: Path) -> Path:
    folder.mkdir(parents=True)
    ExportLayout(folder).config.write_text("{}")
    return folder


def test_a_checkpoint_is_named_behind_a_colon(tmp_path: Path) -> None:
    assert split_checkpoint("runs/a") == (Path("runs/a"), "best")
    assert split_checkpoint("runs/a:best") == (Path("runs/a"), "best")
    assert split_checkpoint("runs/a:latest") == (Path("runs/a"), "latest")
    assert split_checkpoint("runs/a:newest") == (Path("runs/a:newest"), "best")
    (tmp_path / "a:latest").mkdir()  # a folder's own name
    assert split_checkpoint(str(tmp_path / "a:latest")) == (tmp_path / "a:latest", "best")


def test_a_model_is_found_by_name_and_by_path(place: Path) -> None:
    shipped = _put_model(folders.PACKAGE / "exported" / "shipped")
    mine = _put_model(place / "exported" / "mine")
    stray = _put_model(place / "stray")
    assert list(list_models()) == ["mine", "shipped"]
    assert find_model("mine").resolve() == mine
    assert find_model("shipped") == shipped
    for wish in (stray, "stray", "./stray", str(stray), stray / "config.json"):
        assert find_model(wish).resolve() == stray


def test_the_working_folder_comes_before_the_package(place: Path) -> None:
    _put_model(folders.PACKAGE / "exported" / "same")
    near = _put_model(place / "exported" / "same")
    assert find_model("same").resolve() == near
    assert list_models()["same"].resolve() == near


def test_the_checkout_is_searched_only_where_it_is_one(place: Path) -> None:
    beside = _put_model(folders.PACKAGE.parent / "exported" / "beside")
    assert "beside" not in list_models()
    (folders.PACKAGE.parent / "pyproject.toml").touch()
    assert find_model("beside") == beside


def test_the_environment_comes_before_the_default(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    default = _put_model(folders.PACKAGE / "exported" / folders.DEFAULT_MODEL)
    other = _put_model(folders.PACKAGE / "exported" / "other")
    assert find_model() == default
    monkeypatch.setenv("ARAE_MODEL", "other")
    assert find_model() == other
    assert find_model(folders.DEFAULT_MODEL) == default
    monkeypatch.setenv("ARAE_MODEL", "")
    assert find_model() == default
    monkeypatch.setenv("ARAE_MODEL", "nothing")
    with pytest.raises(AraeError, match="ARAE_MODEL"):
        find_model()


def test_a_misspelt_model_is_answered_with_the_nearest_and_all(place: Path) -> None:
    for name in ("yelp", "amazon"):
        _put_model(place / "exported" / name)
    with pytest.raises(AraeError) as caught:
        find_model("yelpp")
    assert caught.value.hint is not None
    assert "did you mean yelp?" in caught.value.hint and "amazon, yelp" in caught.value.hint


@pytest.mark.parametrize("wish", ["none/such", "folder", "plain-name"])
def test_a_model_that_is_not_there_is_an_error(place: Path, wish: str) -> None:
    (place / "folder").mkdir()
    with pytest.raises(AraeError):
        find_model(wish)


def test_recipes_are_found_by_name_by_file_and_by_folder(place: Path) -> None:
    folder = folders.PACKAGE / "recipes" / "yelp"
    folder.mkdir(parents=True)
    for variant in ("recipe", "paper"):
        (folder / f"{variant}.toml").touch()
    assert list_recipes() == {"yelp": folder / "recipe.toml", "yelp/paper": folder / "paper.toml"}
    assert find_recipe("yelp") == folder / "recipe.toml"
    assert find_recipe("yelp/paper") == folder / "paper.toml"
    assert find_recipe(folder) == folder / "recipe.toml"
    assert find_recipe(folder / "paper.toml") == folder / "paper.toml"
    with pytest.raises(AraeError) as caught:
        find_recipe("yelp/papr")
    assert "did you mean yelp/paper?" in str(caught.value)
    shutil.rmtree(folder)
    with pytest.raises(AraeError, match="no recipe"):
        find_recipe("yelp")


def test_this_checkout_has_recipes() -> None:
    recipes = list_recipes()
    assert recipes, f"no recipes in {folders.recipes_directory()}"
    assert all(find_recipe(name) == path for name, path in recipes.items())
