"""Initial weights of a run, from another run or an exported model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from arae_transfer.errors import AraeError
from arae_transfer.export_config import EDITING
from arae_transfer.layout import ExportLayout
from arae_transfer.model.arae import ARAE
from arae_transfer.recipe import Recipe
from arae_transfer.training.checkpoint import InitialWeights, load_run
from arae_transfer.training.reporter import Reporter


def take_initial_weights(model: ARAE, recipe: Recipe, start: InitialWeights, reporter: Reporter) -> None:
    """Load a run's initial weights into its networks.

    Raises:
        AraeError: They cannot be read, or do not fit.
    """
    if start.initial is None:
        return
    if ExportLayout(start.initial).config.is_file():
        _take_exported_weights(model, recipe, start.initial, reporter)
        return
    loaded = load_run(start.initial, start.checkpoint)
    _require_classes(model, start.initial, loaded.classes)
    weights = loaded.model.state_dict()
    if model.quality is not None and loaded.model.quality is None:
        weights |= {f"quality.{name}": tensor for name, tensor in model.quality.state_dict().items()}
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise AraeError(
            f"the weights of {start.initial} do not fit the recipe's networks",
            "copy the sections [data], [model], [adversary] and [attribute] of its recipe.",
        ) from error
    reporter.message(f"starting from {start.initial}, step {loaded.state.step:,}")


def _take_exported_weights(model: ARAE, recipe: Recipe, root: Path, reporter: Reporter) -> None:
    from arae_transfer.export.restore import exported_recipe, restore_weights  # needs onnx, which takes a while
    from arae_transfer.export.restore_editor import restore_editor

    exported, classes = exported_recipe(root)
    _require_classes(model, root, classes)
    # Where the exported model's weights began is no matter.
    networks = replace(exported.model, pretrained=recipe.model.pretrained)
    same_task = exported.task == recipe.task
    if not same_task or networks != recipe.model or exported.data.maximum_tokens != recipe.data.maximum_tokens:
        raise AraeError(
            f"the model {root} does not fit the recipe {recipe.name}",
            'copy the sections [data] and [model] from "recipe" in its config.json.',
        )
    if recipe.task == EDITING:
        restore_editor(model, root)
        reporter.message(f"starting from the exported model {root}")
        return
    restore_weights(model, root)
    reporter.message(f"starting from the exported model {root}; generator, critic and classifier start at random")


def _require_classes(model: ARAE, root: Path, classes: Sequence[str]) -> None:
    """Raise an error if the initial model has other classes."""
    if tuple(classes) != model.classes:
        raise AraeError(
            f"{root} has the classes {', '.join(classes)}, the data has {', '.join(model.classes)}",
            "give data of the same classes in the same order.",
        )
