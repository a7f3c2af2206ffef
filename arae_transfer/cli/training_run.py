"""What `arae train` does once it knows recipe and run: it reads the data, trains, and says what next."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import typer

from arae_transfer.errors import AraeError, quoted
from arae_transfer.layout import WhichCheckpoint

if TYPE_CHECKING:
    from arae_transfer.cli.training_reporter import PlainReporter
    from arae_transfer.parallel.examples import ParallelExample
    from arae_transfer.quality.ratings import Rating
    from arae_transfer.recipe import Recipe
    from arae_transfer.tasks.task import DataSource, Task
    from arae_transfer.training.loop import Outcome
    from arae_transfer.training.processes import Processes

Record = TypeVar("Record", "ParallelExample", "Rating")


def train_run(
    recipe: Recipe,
    run: Path,
    data: list[str] | None,
    settings: list[str],
    given: list[str],
    ratings: list[Path] | None,
    *,
    resume: bool,
    initial: Path | None,
    which: WhichCheckpoint,
    device: str,
    threads: int | None,
    processes: Processes,
    quiet: bool,
) -> None:
    """Read the data, train, and say what next.

    Args:
        recipe: The recipe, not yet adapted to the data.
        run: The folder of the run.
        data: The values of ``--data``.
        settings: The values of ``--set``.
        given: The values of ``--examples``.
        ratings: The files of ``--ratings``.
        resume: Whether the run is continued.
        initial: The run or export that the training starts from.
        which: The checkpoint of it.
        device: Where to train.
        threads: The number of CPU threads.
        processes: The processes that train together.
        quiet: Whether nothing is said.
    """
    from arae_transfer.cli.training_reporter import make_reporter, reading_progress
    from arae_transfer.recipe import set_keys
    from arae_transfer.tasks import task_of
    from arae_transfer.tasks.task import Reading
    from arae_transfer.training.device import use_threads
    from arae_transfer.training.loop import Trainer
    from arae_transfer.training.processes import leave_processes
    from arae_transfer.training.run_data import sources_of_run

    task = task_of(recipe)
    task.check_devices(recipe, processes.size)
    use_threads(threads, processes)
    reporter = make_reporter(quiet or not processes.leads)
    sources = data or (sources_of_run(run) if resume else [])
    recipe = task.find_writing(recipe, sources)
    training_data = task.read(recipe, sources, Reading(reporter.message, reading_progress))
    if recipe.data.adapt:
        recipe, found = task.adapt(recipe, training_data, run.name, set_keys(settings), initial)
        reporter.message(found)
    if given:
        training_data = _with_examples(recipe, training_data, given)
    if ratings:
        training_data = _with_ratings(recipe, training_data, ratings)
    with reporter:
        outcome = Trainer(
            recipe,
            training_data,
            run,
            reporter,
            device=device,
            resume=resume,
            initial=initial,
            initial_checkpoint=which,
            processes=processes,
        ).train()
    leave_processes()
    if not processes.leads:
        raise typer.Exit(0 if outcome.finished else 130)
    _say_what_next(outcome, reporter, task, recipe.name, processes.size)


def _say_what_next(outcome: Outcome, reporter: PlainReporter, task: Task, name: str, processes: int) -> None:
    """Write the run's folder, and say which commands go on with it.

    Raises:
        typer.Exit: The training was interrupted.
    """
    typer.echo(outcome.run)
    if not outcome.finished:
        more = f" --devices {processes}" if processes > 1 else ""
        reporter.interrupted(outcome, f"arae train {quoted(outcome.run)} --resume{more}")
        raise typer.Exit(130)
    model = quoted(_free_export(name))
    export = f"arae export {quoted(outcome.run)} -o {model}"
    reporter.finished(outcome, [export, task.use_command(model, outcome.state.classes)])


def _free_export(name: str) -> Path:
    """Return a new folder for an export."""
    numbered = (Path("exported") / (f"{name}-{number}" if number > 1 else name) for number in itertools.count(1))
    return next(folder for folder in numbered if not folder.exists() and not folder.is_symlink())


def _with_examples(recipe: Recipe, data: DataSource, values: list[str]) -> DataSource:
    """Return the data with the examples of ``--examples``, in the corpus's text format.

    Raises:
        AraeError: The recipe does not learn from examples, or they cannot be read.
    """
    from arae_transfer.parallel.examples import read_given_examples
    from arae_transfer.tasks import task_of
    from arae_transfer.training.data import TrainingData

    if not task_of(recipe).learns_from_parallel(recipe):
        raise AraeError(
            f"the recipe {recipe.name} does not learn from parallel examples",
            "leave --examples out, or use a recipe that rewrites text in the joint schedule.",
        )
    assert isinstance(data, TrainingData)
    found = read_given_examples(values, list(data.train))
    return replace(data, pairs=tuple(_in_corpus_format(recipe, found, "sentence", "rewrite")))


def _with_ratings(recipe: Recipe, data: DataSource, files: list[Path]) -> DataSource:
    """Return the data with the ratings of ``--ratings``, in the corpus's text format.

    Raises:
        AraeError: The recipe has no quality estimator, or they cannot be read.
    """
    from arae_transfer.quality.ratings import read_ratings
    from arae_transfer.training.data import TrainingData

    if recipe.quality.layers == 0:
        raise AraeError(
            f"the recipe {recipe.name} has no quality estimator",
            "leave --ratings out, or set quality.layers in a recipe of the task editing.",
        )
    assert isinstance(data, TrainingData)
    found = [rating for file in files for rating in read_ratings(file, list(data.train))]
    return replace(data, ratings=tuple(_in_corpus_format(recipe, found, "source", "rewrite")))


def _in_corpus_format(recipe: Recipe, records: list[Record], *names: str) -> list[Record]:
    """Return examples or ratings with the texts of some attributes in the corpus's text format."""
    from arae_transfer.corpus.labelled import in_form

    if recipe.data.writing != "ordinary":
        return records
    columns = [in_form([getattr(each, name) for each in records], recipe.form) for name in names]
    texts = zip(*columns, strict=True)
    return [replace(each, **dict(zip(names, own, strict=True))) for each, own in zip(records, texts, strict=True)]
