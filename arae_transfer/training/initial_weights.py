"""Initial weights of a run, from another run or an exported model, and the record of where they came from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from arae_transfer.atomic import explain_read_failure
from arae_transfer.errors import AraeError, quoted
from arae_transfer.export_config import EDITING
from arae_transfer.layout import ExportLayout, RunLayout, WhichCheckpoint
from arae_transfer.model.arae import ARAE
from arae_transfer.model.transformer import TransformerEncoder
from arae_transfer.recipe import Recipe
from arae_transfer.training.checkpoint import load_run
from arae_transfer.training.reporter import Reporter


@dataclass(frozen=True)
class InitialWeights:
    """The weights that a run started from.

    Attributes:
        initial: Another run, or an exported model; None: random weights.
        checkpoint: Which weights of that run.
    """

    initial: Path | None = None
    checkpoint: WhichCheckpoint = "best"

    def to_table(self) -> dict[str, str | None]:
        """Return the entry for the run's record of its environment."""
        if self.initial is None:
            return {"initial": None}
        return {"initial": str(self.initial), "initial_checkpoint": self.checkpoint}


def recorded_initial_weights(layout: RunLayout) -> InitialWeights:
    """Return the initial weights that a run's record of its environment names.

    Raises:
        AraeError: There is no such record, or it is damaged.
    """
    try:
        recorded = json.loads(layout.environment.read_text("utf-8"))
        initial = recorded["initial"]
        if initial is None:
            return InitialWeights()
        # Runs of before do not say which: they took the best.
        return InitialWeights(Path(initial), "latest" if recorded.get("initial_checkpoint") == "latest" else "best")
    except PermissionError as error:
        raise explain_read_failure(layout.environment, error) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise AraeError(
            f"{layout.environment} is damaged, and no other file records what {layout.root} started from",
            f"restore it from a copy, or start a new run from its weights: --from {quoted(layout.root)}",
        ) from error


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
    if model.quality is not None and loaded.model.quality is None:
        encoder = cast("object", model.encoder)
        assert isinstance(encoder, TransformerEncoder)
        model.quality.start_from(encoder)
    reporter.message(f"starting from {start.initial}, step {loaded.state.step:,}")


def _take_exported_weights(model: ARAE, recipe: Recipe, root: Path, reporter: Reporter) -> None:
    from arae_transfer.export.restore import exported_recipe, restore_weights  # needs onnx, which takes a while
    from arae_transfer.export.restore_editor import restore_editor

    exported, classes = exported_recipe(root)
    _require_classes(model, root, classes)
    # The origin of the exported model's weights does not matter.
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
