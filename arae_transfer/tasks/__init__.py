"""Tasks: objects that own data, training step, validation and export, so that no other code branches on the task."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from arae_transfer.recipe import Recipe
    from arae_transfer.tasks.task import Task

# Where each task is; the paper's model of images plugs in here.
_TASKS = {
    "rewriting": "arae_transfer.tasks.rewriting.RewritingTask",
    "editing": "arae_transfer.tasks.editing.EditingTask",
    "generation": "arae_transfer.tasks.generation.GenerationTask",
    "classification": "arae_transfer.tasks.classification.ClassificationTask",
    "image": "arae_transfer.paper.images.image_task.ImageTask",
}


def task_of(recipe: Recipe) -> Task:
    """Return the task of a recipe."""
    place = _TASKS[recipe.task if recipe.data.kind == "text" else recipe.data.kind]
    module, _, name = place.rpartition(".")
    task: Task = getattr(import_module(module), name)()
    return task
