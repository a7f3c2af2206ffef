"""Writes the folder of an export beside its destination, reads it back, and renames it."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import arae_transfer
from arae_transfer.atomic import explain_write_failure, replace_directory
from arae_transfer.errors import AraeError
from arae_transfer.export.card_parts import Card
from arae_transfer.export.hub_metadata import license_text
from arae_transfer.export_config import FORMAT, FORMAT_VERSION, FileRecord
from arae_transfer.layout import ExportLayout
from arae_transfer.recipe import Recipe, recipe_to_table
from arae_transfer.runtime.model_folder import ModelFolder


def check_destination(destination: Path) -> None:
    """Raise an error for a destination that holds anything but an earlier export.

    Raises:
        AraeError: The destination is a file, or a folder with files that no export wrote.
    """
    try:
        if not destination.exists() and not destination.is_symlink():
            return
        found = {path.name for path in destination.iterdir()}
    except NotADirectoryError as error:
        raise AraeError(f"{destination} is not a folder", "choose another destination.") from error
    except OSError as error:
        raise explain_write_failure(destination, error) from error
    if not found:
        return
    layout = ExportLayout(destination)
    known = {layout.config.name, layout.card.name, layout.license.name}
    try:
        known.update(ModelFolder.read(destination).files)
    except AraeError as error:
        raise AraeError(
            f"{destination} holds something that is no exported model: {min(found)}",
            "choose another destination, or remove that folder first.",
        ) from error
    foreign = sorted(found - known)
    if foreign:
        raise AraeError(
            f"{destination} holds {foreign[0]}, which an export would remove",
            "move it out of the folder, or choose another destination.",
        )


def portable_recipe(recipe: Recipe) -> dict[str, Any]:
    """Return the recipe with its paths replaced by names, because paths mean nothing on another machine."""
    table = recipe_to_table(recipe)
    table["tokenizer"]["model"] = Path(recipe.tokenizer.model).name
    table["model"]["pretrained"] = Path(recipe.model.pretrained).name
    return table


def records_of(contents: Mapping[str, bytes]) -> dict[str, FileRecord]:
    """Return the size and SHA-256 of each file."""
    return {name: FileRecord(hashlib.sha256(content).hexdigest(), len(content)) for name, content in contents.items()}


def graph_metadata(name: str) -> dict[str, str]:
    """Return the metadata of each graph of a model.

    Args:
        name: The model's name.
    """
    return {
        "format": FORMAT,
        "format_version": str(FORMAT_VERSION),
        "name": name,
        "arae_version": arae_transfer.__version__,
    }


def write_model(contents: Mapping[str, bytes], card: Card, destination: Path) -> dict[str, int]:
    """Write the files of a model with description, card and terms.

    Args:
        contents: The contents of the files in the description.
        card: The card, with the description.
        destination: The folder, checked by ``check_destination``.

    Returns:
        The bytes of each of the files.

    Raises:
        AraeError: They cannot be written; the destination is then unchanged.
    """
    layout = ExportLayout(destination)
    described = {
        layout.config.name: card.config.to_json(),
        layout.card.name: card.render().encode(),
        layout.license.name: license_text(card.config.name, card.data_source).encode(),
    }
    put_in_place({**contents, **described}, destination)
    return {name: len(content) for name, content in contents.items()}


def put_in_place(contents: Mapping[str, bytes], destination: Path) -> None:
    """Write files into a new folder beside the destination, read them back, and rename the folder.

    Raises:
        AraeError: They cannot be written; the destination is then unchanged.
    """
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{destination.name}.", dir=destination.parent) as place:
            staged = Path(place) / destination.name  # a folder inside, because temporary ones are private
            staged.mkdir()
            for name, content in contents.items():
                with (staged / name).open("wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
            folder = ModelFolder.read(staged)
            for name in folder.files:
                folder.read_file(name)
            replace_directory(staged, destination)
    except OSError as error:
        raise explain_write_failure(destination, error) from error
