"""The folders of models, recipes and the cache: how a name or a path leads to one."""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from arae_transfer.errors import AraeError
from arae_transfer.layout import ExportLayout, WhichCheckpoint

PACKAGE = Path(__file__).resolve().parent
DEFAULT_MODEL = "reviews-sentiment"
MODEL_VARIABLE = "ARAE_MODEL"
HUB_PREFIX = "hf://"
CACHE_VARIABLE = "ARAE_CACHE"
DEFAULT_RECIPE_VARIANT = "recipe"


def _beside_the_package(folder: str) -> Path | None:
    """Return a folder of the checkout, if this package is installed from one in editable mode, or None."""
    checkout = PACKAGE.parent
    return checkout / folder if (checkout / "pyproject.toml").is_file() else None


def expanded(path: str | os.PathLike[str]) -> Path:
    """Return a path with ``~`` expanded, or unchanged if there is no such home folder."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 -- Path's own raises there


def split_checkpoint(wish: str) -> tuple[Path, WhichCheckpoint]:
    """Return the run and the checkpoint of ``RUN:best`` or ``RUN:latest``; any other text is only a path."""
    name, _, which = wish.rpartition(":")
    if name and not expanded(wish).exists():
        if which == "latest":
            return expanded(name), "latest"
        if which == "best":
            return expanded(name), "best"
    return expanded(wish), "best"


def cache_directory() -> Path:
    """Return the cache folder: ``ARAE_CACHE``, or ``arae`` in the user's cache folder.

    Raises:
        AraeError: The user has no folder.
    """
    if wish := os.environ.get(CACHE_VARIABLE):
        return expanded(wish)
    if sys.platform == "win32":
        parent = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    elif sys.platform == "darwin":
        parent = "~/Library/Caches"
    else:
        parent = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    folder = expanded(parent)
    if folder.parts[:1] == ("~",):
        raise AraeError("there is no home folder to cache the corpus's tokens in", f"set {CACHE_VARIABLE} to a folder.")
    return folder / "arae"


def corpus_cache_directory() -> Path:
    """Return the folder of tokenized corpora."""
    return cache_directory() / "corpora"


def model_directories() -> list[Path]:
    """Return the folders to search for exported models, in order."""
    checkout = _beside_the_package("exported")
    candidates = [Path("exported"), *([checkout] if checkout else []), PACKAGE / "exported"]
    distinct: dict[Path, Path] = {}
    for candidate in candidates:
        distinct.setdefault(candidate.absolute(), candidate)
    return list(distinct.values())


def list_models() -> dict[str, Path]:
    """Return all exported models that have a name, with their folders, sorted by name."""
    found: dict[str, Path] = {}
    for directory in model_directories():
        for config in _glob(directory, f"*/{ExportLayout.CONFIG}"):
            found.setdefault(config.parent.name, config.parent)
    return dict(sorted(found.items()))


def find_model(wish: str | os.PathLike[str] | None = None) -> Path:
    """Return the folder of a model.

    Args:
        wish: A name or a path; None: the environment variable ``ARAE_MODEL``, else the shipped default. What
            holds a path separator is a path; anything else is a name first and a path second.

    Raises:
        AraeError: There is no such model; the hint lists those that exist.
    """
    variable = os.environ.get(MODEL_VARIABLE) if wish is None else None
    text = os.fspath(wish) if wish is not None else variable or DEFAULT_MODEL
    origin = f" (from {MODEL_VARIABLE})" if variable else ""
    separators = [separator for separator in (os.sep, os.altsep) if separator]
    models = list_models()
    if text in models and not isinstance(wish, Path):
        return models[text]
    path = expanded(text)
    if (path / ExportLayout.CONFIG).is_file():
        return path
    if path.name == ExportLayout.CONFIG and path.is_file():
        return path.parent
    if path.is_dir():
        raise AraeError(
            f"{path} is not an exported model: it has no {ExportLayout.CONFIG}",
            f"export a run into it with `arae export`, or choose another: {_names(models)}.",
        )
    if any(separator in text for separator in separators):
        raise AraeError(f"there is no model at {path}{origin}", f"give another path, or a name: {_names(models)}.")
    raise AraeError(f"there is no model named {text!r}{origin}", _suggest(text, models, "models", "a path"))


def hub_address(wish: str | os.PathLike[str] | None = None) -> str | None:
    """Return the Hub address in a model's name, or None for a name or a path.

    Args:
        wish: As ``find_model`` takes it. Only the prefix leads to the Hub: ``owner/name`` alone is a path.
    """
    text = os.environ.get(MODEL_VARIABLE) if wish is None else wish
    return text if isinstance(text, str) and text.startswith(HUB_PREFIX) else None


def recipes_directory() -> Path:
    """Return the folder of the recipes: in the checkout, or inside the installed package."""
    checkout = _beside_the_package("recipes")
    return checkout if checkout is not None else PACKAGE / "recipes"


def list_recipes() -> dict[str, Path]:
    """Return the recipes by name: ``FOLDER`` for ``recipe.toml`` and ``FOLDER/VARIANT`` for the others."""
    root = recipes_directory()
    recipes = {}
    for path in _glob(root, "*/*.toml"):
        name = path.parent.name if path.stem == DEFAULT_RECIPE_VARIANT else f"{path.parent.name}/{path.stem}"
        recipes[name] = path
    return dict(sorted(recipes.items()))


def find_recipe(wish: str | os.PathLike[str]) -> Path:
    """Return the path of a recipe, from its name, its file, or a folder with ``recipe.toml``.

    Raises:
        AraeError: There is no such recipe; the hint lists those that exist.
    """
    text = os.fspath(wish)
    recipes = list_recipes()
    path = expanded(text)
    if path.is_file():
        return path
    if (path / f"{DEFAULT_RECIPE_VARIANT}.toml").is_file():
        return path / f"{DEFAULT_RECIPE_VARIANT}.toml"
    if text in recipes:
        return recipes[text]
    raise AraeError(f"there is no recipe named {text!r}", _suggest(text, recipes, "recipes", "a file"))


def nearest(text: str, names: Iterable[str]) -> str | None:
    """Return the most similar name, ignoring case, or None."""
    by_folded = {name.casefold(): name for name in names}
    matches = difflib.get_close_matches(text.casefold(), by_folded, n=1)
    return by_folded[matches[0]] if matches else None


def _glob(directory: Path, pattern: str) -> list[Path]:
    """Return the sorted matches, or an empty list for a missing or unreadable folder."""
    try:
        return sorted(directory.glob(pattern))
    except OSError:
        return []


def _names(things: Mapping[str, Path]) -> str:
    return ", ".join(things) or "none found"


def _suggest(text: str, things: Mapping[str, Path], kind: str, alternative: str) -> str:
    likely = nearest(text, things)
    question = f"did you mean {likely}? " if likely else ""
    return f"{question}{kind}: {_names(things)}; or give {alternative}."
