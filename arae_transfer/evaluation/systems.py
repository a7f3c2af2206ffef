"""Sources of rewrites: models and runs, or files of any system."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from arae_transfer.corpus.reading import DEFAULT_OPTIONS, ReadingOptions
from arae_transfer.encodings import UTF_8, check_encoding
from arae_transfer.errors import AraeError
from arae_transfer.evaluation.edited import Editor
from arae_transfer.evaluation.outputs import Outputs, all_directions
from arae_transfer.evaluation.real_text import LabelledText
from arae_transfer.export_config import EDITING
from arae_transfer.folders import expanded, split_checkpoint
from arae_transfer.layout import ExportLayout, RunLayout, WhichCheckpoint
from arae_transfer.paper.diagnosis.coder import Coder
from arae_transfer.recipe import load_recipe
from arae_transfer.runtime.model_folder import ModelFolder
from arae_transfer.runtime.rewriter import SECOND_BEAM, Rewriter
from arae_transfer.tasks import task_of
from arae_transfer.text import TextFormat
from arae_transfer.training.checkpoint import LoadedRun, load_run

FROM_FILES = "read from files"


@dataclass(frozen=True)
class RunCheckpoint:
    """A checkpoint of a training run.

    Attributes:
        run: The folder of the run.
        which: ``"best"`` or ``"latest"``.
    """

    run: Path
    which: WhichCheckpoint = "best"

    @property
    def name(self) -> str:
        """Name of the run's folder, with the checkpoint unless it is the best one."""
        own = self.run.resolve().name
        return own if self.which == "best" else f"{own}:{self.which}"

    def load(self) -> LoadedRun:
        """Load the checkpoint.

        Raises:
            AraeError: It is missing or damaged, or does not rewrite text.
        """
        recipe = load_recipe(RunLayout(self.run).recipe, recorded=True)
        task_of(recipe).require_rewriting(str(self.run))
        return load_run(self.run, self.which)


System = Path | ModelFolder | RunCheckpoint
"""A folder of rewrites, an exported model, or a run."""


def find_system(wish: str | None) -> System:
    """Return a folder of rewrites, an exported model, or a run (``RUN`` or ``RUN:latest``) for a name or path.

    Raises:
        AraeError: It is none of these.
    """
    if wish is not None:
        folder = expanded(wish)
        if folder.is_dir() and not ExportLayout(folder).config.is_file():
            return RunCheckpoint(folder) if _is_run(folder) else folder
        run, which = split_checkpoint(wish)
        if _is_run(run):
            return RunCheckpoint(run, which)
    return ModelFolder.find(wish, "any")


def _is_run(folder: Path) -> bool:
    layout = RunLayout(folder)
    return layout.recipe.is_file() and layout.environment.is_file()


def name_systems(systems: Mapping[str, System]) -> list[str]:
    """Return a short name for each system, or the user's text if short names are equal."""
    short = [system.resolve().name if isinstance(system, Path) else system.name for system in systems.values()]
    return [name if short.count(name) == 1 else wish for name, wish in zip(short, systems, strict=True)]


def builtin_corpus(system: ModelFolder | RunCheckpoint) -> str:
    """Return the name of the built-in corpus that a model or run learned from, or an empty string."""
    return str(_data_keys(system).get("builtin", ""))


def reading_options(
    systems: Iterable[System], text_column: str | None = None, label_column: str | None = None
) -> ReadingOptions:
    """Return the reading options of the evaluated data: the user's, else those of the first model.

    Args:
        systems: What is evaluated.
        text_column: The column of the text that the user names, or None.
        label_column: The column of the class that the user names, or None.

    Raises:
        AraeError: The model's text format is invalid.
    """
    model = next((system for system in systems if not isinstance(system, Path)), None)
    keys = {} if model is None else _data_keys(model)
    form = None
    if model is not None and keys.get("writing") == "ordinary":
        form = (
            TextFormat(**model.form)
            if isinstance(model, ModelFolder)
            else load_recipe(RunLayout(model.run).recipe, recorded=True).form
        )
    return ReadingOptions(
        text_column=text_column or str(keys.get("text_column", "text")),
        label_column=label_column or str(keys.get("label_column", "label")),
        maximum_characters=int(keys.get("maximum_characters", DEFAULT_OPTIONS.maximum_characters)),
        form=form,
        encoding=check_encoding(str(keys.get("encoding", UTF_8))),
        labels=dict(keys.get("labels", {})),
        keep_near_duplicates=bool(keys.get("keep_near_duplicates", False)),
    )


def _data_keys(system: ModelFolder | RunCheckpoint) -> Mapping[str, Any]:
    """Return the section [data] of a model's recipe, or nothing."""
    if isinstance(system, RunCheckpoint):
        return asdict(load_recipe(RunLayout(system.run).recipe, recorded=True).data)
    keys = system.config.recipe.get("data")
    return keys if isinstance(keys, dict) else {}


def rewrite_split(
    rewriter: Rewriter, source: LabelledText, batch_size: int, progress: Callable[[str], None]
) -> Outputs:
    """Rewrite every class of a split to every other class.

    Raises:
        AraeError: The model lacks a class of the split, or cannot run.
    """
    classes = list(source.lines)
    _check_classes(rewriter.folder.name, rewriter.classes, classes)
    outputs: Outputs = {}
    for direction in all_directions(classes):
        progress(f"{rewriter.folder.name} rewrites {direction}")
        lines = source.lines[direction.source]
        outputs[direction] = list(rewriter.transfer(lines, direction.target, batch_size=batch_size, form="corpus"))
    return outputs


def describe_rewriter(rewriter: Rewriter) -> str:
    """Return a description of how an exported model rewrites a split."""
    if rewriter.folder.beam > 1:
        return f"exported model, {rewriter.variant}, best hypothesis of a beam of {rewriter.folder.beam}"
    searched = f", for copies a beam of {SECOND_BEAM}" if rewriter.searches else ""
    return f"exported model, {rewriter.variant}, greedy{searched}"


def rewrite_by_run(loaded: LoadedRun, source: LabelledText, name: str) -> Outputs:
    """Rewrite every class of a split to every other class with a run, greedily and without code noise.

    Raises:
        AraeError: The run lacks a class of the split.
    """
    classes = list(source.lines)
    _check_classes(name, loaded.classes, classes)
    coder = Editor(loaded) if loaded.recipe.task == EDITING else Coder(loaded)
    return {
        direction: coder.reconstruct(lines, [direction.target] * len(lines))
        for direction in all_directions(classes)
        for lines in (source.lines[direction.source],)
    }


def describe_run(loaded: LoadedRun) -> str:
    """Return a description of how a run rewrites a split."""
    return f"run, step {loaded.state.step:,}, greedy, no noise on the code"


def _check_classes(name: str, own: Sequence[str], wanted: Sequence[str]) -> None:
    missing = [label for label in wanted if label not in own]
    if missing:
        raise AraeError(
            f"the model {name} has no class {', '.join(map(repr, missing))}",
            f"its classes are: {', '.join(own)}; give data of these classes.",
        )
