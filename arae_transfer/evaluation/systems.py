"""Where rewrites come from: models that rewrite the split now, and files of any other system."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from arae_transfer.corpus.reading import ReadingOptions
from arae_transfer.errors import AraeError
from arae_transfer.evaluation.outputs import Outputs, all_directions
from arae_transfer.evaluation.real_text import LabelledText
from arae_transfer.form import Form
from arae_transfer.layout import ExportLayout, expanded
from arae_transfer.runtime.model_folder import ModelFolder
from arae_transfer.runtime.rewriter import Rewriter


def find_system(wish: str | None) -> Path | ModelFolder:
    """Return what a name or path means: a folder of rewrites, or an exported model.

    Raises:
        AraeError: It is neither.
    """
    if wish is not None:
        folder = expanded(wish)
        if folder.is_dir() and not ExportLayout(folder).config.is_file():
            return folder
    return ModelFolder.find(wish, "any")


def name_systems(systems: Mapping[str, Path | ModelFolder]) -> list[str]:
    """Return a short name for each system, given by what the user typed; that itself where two would be the same."""
    short = [system.resolve().name if isinstance(system, Path) else system.name for system in systems.values()]
    return [name if short.count(name) == 1 else wish for name, wish in zip(short, systems, strict=True)]


def builtin_corpus(folder: ModelFolder) -> str:
    """Return the name of the built-in corpus that a model learned from, or an empty string."""
    return str(_data_keys(folder).get("builtin", ""))


def reading_options(
    systems: Iterable[Path | ModelFolder], text_column: str | None = None, label_column: str | None = None
) -> ReadingOptions:
    """Return how data are read that are evaluated: as the first model's own were, unless the user says otherwise.

    Args:
        systems: What is evaluated.
        text_column: The column of the text that the user names, or None.
        label_column: The column of the class that the user names, or None.

    Raises:
        AraeError: The model's form of writing makes no sense.
    """
    model = next((system for system in systems if isinstance(system, ModelFolder)), None)
    keys = {} if model is None else _data_keys(model)
    form = Form(**model.form) if model is not None and keys.get("writing") == "ordinary" else None
    return ReadingOptions(
        text_column=text_column or str(keys.get("text_column", "text")),
        label_column=label_column or str(keys.get("label_column", "label")),
        form=form,
    )


def _data_keys(folder: ModelFolder) -> Mapping[str, Any]:
    """Return the section [data] of the recipe that a model was trained by; nothing where it has none."""
    try:
        keys = json.loads(ExportLayout(folder.root).config.read_bytes())["recipe"]["data"]
    except (KeyError, TypeError):
        return {}
    return keys if isinstance(keys, dict) else {}


def rewrite_split(
    rewriter: Rewriter, source: LabelledText, batch_size: int, progress: Callable[[str], None]
) -> Outputs:
    """Rewrite every class of a split to every other class.

    Raises:
        AraeError: The model lacks a class of the split, or cannot run.
    """
    classes = list(source.lines)
    missing = [name for name in classes if name not in rewriter.classes]
    if missing:
        raise AraeError(
            f"the model {rewriter.folder.name} has no class {', '.join(map(repr, missing))}",
            f"its classes are: {', '.join(rewriter.classes)}; give data of these.",
        )
    outputs: Outputs = {}
    for direction in all_directions(classes):
        progress(f"{rewriter.folder.name} rewrites {direction}")
        lines = source.lines[direction.source]
        outputs[direction] = list(rewriter.transfer(lines, direction.target, batch_size=batch_size, form="corpus"))
    return outputs
