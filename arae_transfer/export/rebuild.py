"""Rebuilds an exported model's graphs with this version, from its stored weights, without its run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

import torch

from arae_transfer.errors import AraeError
from arae_transfer.export.export import ExportReport, export_model
from arae_transfer.export.graph import Storage
from arae_transfer.export.restore import exported_recipe, restore_generator, restore_weights
from arae_transfer.model.arae import ARAE
from arae_transfer.runtime.model_folder import ModelFolder
from arae_transfer.runtime.preparation import load_tokenizer


def rebuild_export(
    root: Path,
    destination: Path,
    probe_lines: Sequence[str],
    *,
    name: str,
    beam: int | None = None,
    further_lines: Sequence[str] = (),
    evaluation: str = "",
    languages: Sequence[str] = (),
    progress: Callable[[str], None] = lambda message: None,
) -> ExportReport:
    """Rewrite an export with rebuilt graphs; weights, style scorer and language models stay the same.

    Args:
        root: The folder of the export.
        destination: The folder to write; it may be the export's own.
        probe_lines: Held-out sentences in the corpus's text format, to calibrate 8-bit graphs and to check all graphs.
        name: The model's name.
        beam: The default beam width; None: that of the export.
        further_lines: As in ``export_model``.
        evaluation: The report of an evaluation as Markdown, for the card.
        languages: The language codes of the text, for the card.
        progress: As in ``export_model``.

    Raises:
        AraeError: The export does not rewrite text, is damaged, or has an unknown version; or ``export_model`` fails.
    """
    recipe, classes = exported_recipe(root)
    folder = ModelFolder.find(root)
    if folder.edits:
        raise AraeError(
            f"{root} edits lines, and such models are exported from their training runs alone",
            "give the folder of its run, such as runs/RECIPE/NAME.",
        )
    tokenizer = load_tokenizer(folder)
    config = folder.config
    # What an export does not hold, critic and classifier, is drawn anew, and is not exported.
    with torch.random.fork_rng():
        model = ARAE(recipe, classes, tokenizer.vocabulary_size)
    restore_weights(model, root)
    if config.generator is not None:
        restore_generator(model.generator, root)
    model.eval()
    return export_model(
        model,
        recipe,
        tokenizer,
        destination,
        name=name,
        scores=config.scores,
        training=config.training,
        evaluation=evaluation,
        languages=languages,
        probe_lines=probe_lines,
        further_lines=further_lines,
        progress=progress,
        language_models={label: folder.read_file(file) for label, file in (folder.language_models or {}).items()},
        weights=cast(Storage, config.fp32.storage),
        beam=folder.beam if beam is None else beam,
    )
