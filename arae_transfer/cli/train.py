"""`arae train`: a recipe and a corpus in, a run out."""

from __future__ import annotations

import json
import os
import shlex
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from arae_transfer.cli.command import report
from arae_transfer.cli.options import QuietOption, SettingsOption, TrainingDeviceOption, TrainingThreadsOption
from arae_transfer.errors import AraeError
from arae_transfer.layout import ExportLayout, RunLayout, WhichCheckpoint, find_recipe, list_recipes, split_checkpoint

if TYPE_CHECKING:
    from arae_transfer.recipe import Recipe
    from arae_transfer.tasks.task import DataSource

DATA = "Data"
RUN = "Run"
MOST_RUNS_NAMED = 5


def train(
    ctx: typer.Context,
    recipe: Annotated[
        str | None,
        typer.Argument(
            metavar="RECIPE",
            help="A recipe's name or file, or the folder of a run to continue; none: list the recipes.",
            show_default=False,
        ),
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option(
            "--data",
            "-d",
            metavar="CLASS=FILE|FOLDER|TABLE",
            help="A text file of one class, a folder of SPLIT.CLASS.txt, a .csv, .tsv, .jsonl or .parquet; repeatable.",
            rich_help_panel=DATA,
        ),
    ] = None,
    settings: SettingsOption = None,
    list_keys: Annotated[
        bool,
        typer.Option("--list-keys", help="List every key of a recipe with its default.", rich_help_panel=RUN),
    ] = False,
    runs: Annotated[Path, typer.Option(metavar="FOLDER", help="Where runs are kept.", rich_help_panel=RUN)] = Path(
        "runs"
    ),
    name: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The run's folder; without this, the time.", rich_help_panel=RUN),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Continue the newest run of the recipe, or the run given.", rich_help_panel=RUN),
    ] = False,
    begin_from: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="RUN[:latest]|MODEL",
            help="Start from the best weights (RUN:latest: the latest), the tokenizer and the pairs of a run, or from "
            "an exported model.",
            rich_help_panel=RUN,
        ),
    ] = None,
    parallel: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[CLASS-to-CLASS=]FILE",
            help="Learn from these parallel examples, not from mined ones: lines of a sentence, a tab and its rewrite, "
            "as `arae transfer --tsv` writes them, or a run's pairs.tsv; repeatable.",
            rich_help_panel=RUN,
        ),
    ] = None,
    pairs: Annotated[list[str] | None, typer.Option("--pairs", hidden=True, help="The old name of --parallel.")] = None,
    device: TrainingDeviceOption = "auto",
    threads: TrainingThreadsOption = None,
    devices: Annotated[
        int,
        typer.Option(
            min=1,
            metavar="N",
            help="GPUs, or processes on a CPU, that share each batch; 1: this process alone.",
            rich_help_panel=RUN,
        ),
    ] = 1,
    quiet: QuietOption = False,
) -> None:
    """Train a model from a recipe and a corpus.

    Progress goes to standard error; the run's folder goes to standard output when it has ended. The first
    Ctrl-C finishes the step, saves and says how to continue; the second leaves at once.

    \b
      arae train quickstart
      arae train yelp-sentiment --data negative=neg.txt --data positive=pos.txt
    """
    if list_keys:
        _print_keys()
        return
    if recipe is None:
        if resume:
            ctx.fail("--resume needs a recipe or the folder of a run.")
        if data or settings or name or begin_from:
            ctx.fail("Missing argument 'RECIPE'. `arae train` alone lists them; quickstart learns from any classes.")
        _print_recipes()
        return
    if begin_from is not None and resume:
        ctx.fail("--from begins a new run; --resume continues one.")
    initial: Path | None
    which: WhichCheckpoint
    initial, which = (None, "best") if begin_from is None else split_checkpoint(begin_from)
    if initial is not None:
        if not _is_run(initial) and not ExportLayout(initial).config.is_file():
            raise AraeError(
                f"{initial} is neither a run nor an exported model",
                "give the folder of a training run, such as runs/RECIPE/NAME, or of an export.",
            )
        initial = initial.absolute()  # a run that is resumed elsewhere finds it again
    from arae_transfer.tasks import task_of
    from arae_transfer.tasks.task import Reading

    launched = int(os.environ.get("WORLD_SIZE", "1")) > 1
    if not launched:
        # Said here, once: what is wrong with no need to train for it.
        run = _choose_run(recipe, runs, name, resume, settings or [])
        resolved = _resolve_recipe(recipe, run, resume, settings or [])
        task_of(resolved).check_devices(resolved, devices)

    from arae_transfer.cli.extras import require

    require("torch", "safetensors", "sacrebleu", "filelock", extra="train", command="arae train")
    if devices > 1 and not launched:
        from arae_transfer.cli.processes import own_command, run_processes

        raise typer.Exit(run_processes(devices, own_command()))
    from arae_transfer.cli.training_reporter import make_reporter, reading_progress
    from arae_transfer.training.device import use_threads
    from arae_transfer.training.loop import Trainer
    from arae_transfer.training.processes import join_processes, leave_processes
    from arae_transfer.training.run_data import sources_of_run

    processes = join_processes()
    if launched:
        run = processes.from_leader(lambda: _choose_run(recipe, runs, name, resume, settings or []))
    resolved = _resolve_recipe(recipe, run, resume, settings or [])
    task = task_of(resolved)
    task.check_devices(resolved, processes.size)
    use_threads(threads, processes)
    reporter = make_reporter(quiet or not processes.leads)
    sources = data or (sources_of_run(run) if resume else [])
    training_data = task.read(resolved, sources, Reading(reporter.message, reading_progress))
    if pairs and processes.leads:
        report("--pairs is now called --parallel")
    given = [*(parallel or []), *(pairs or [])]
    if given:
        training_data = _with_parallel(resolved, training_data, given)
    with reporter:
        outcome = Trainer(
            resolved,
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
    typer.echo(outcome.run)
    if not outcome.finished:
        more = f" --devices {processes.size}" if processes.size > 1 else ""
        reporter.interrupted(outcome, f"arae train {shlex.quote(str(outcome.run))} --resume{more}")
        raise typer.Exit(130)
    use = task.use_command(resolved.name, outcome.state.classes)
    reporter.finished(outcome, [f"arae export {outcome.run} -o exported/{resolved.name}", use])


def _with_parallel(recipe: Recipe, data: DataSource, values: list[str]) -> DataSource:
    """Return the data with the examples of ``--parallel``.

    Raises:
        AraeError: The recipe does not learn from pairs, or they cannot be read.
    """
    from arae_transfer.parallel.examples import read_given_examples
    from arae_transfer.tasks import task_of
    from arae_transfer.training.data import TrainingData

    if not task_of(recipe).learns_from_parallel(recipe):
        raise AraeError(
            f"the recipe {recipe.name} does not learn from pairs",
            "leave --parallel out, or use a recipe that rewrites text in the joint schedule.",
        )
    assert isinstance(data, TrainingData)
    return replace(data, pairs=tuple(read_given_examples(values, list(data.train))))


def _print_recipes() -> None:
    from arae_transfer.recipe import load_recipe

    for name, path in list_recipes().items():
        typer.echo(f"{name}\t{load_recipe(path).description}")


def _print_keys() -> None:
    from arae_transfer.recipe import recipe_keys

    for key, (documentation, default) in recipe_keys().items():
        typer.echo(f"{key} = {json.dumps(default, default=list)}\t{documentation}")


def _choose_run(recipe: str, runs: Path, name: str | None, resume: bool, settings: list[str]) -> Path:
    """Return the folder of the run."""
    given = Path(recipe)
    if _is_run(given):
        if not resume:
            raise AraeError(f"{given} is a run that exists", f"continue it with `arae train {given} --resume`.")
        return given
    try:
        path = find_recipe(recipe)
    except AraeError as error:
        if not resume:
            raise
        known = sorted((folder for folder in runs.glob("*/*") if _is_run(folder)), key=_last_change, reverse=True)
        raise AraeError(
            f"there is neither a run nor a recipe {recipe!r} to continue",
            f"the newest runs in {runs}: {', '.join(map(str, known[:MOST_RUNS_NAMED])) or 'none'}.",
        ) from error
    parent = runs / _recipe_name(path, settings)
    if resume:
        candidates = [parent / name] if name else sorted(parent.glob("*"), key=_last_change)
        started = [run for run in candidates if _is_run(run)]
        if not started:
            raise AraeError(
                f"there is no run {name} in {parent}" if name else f"there is no run in {parent}",
                "start one without --resume, or give the run's folder in place of the recipe.",
            )
        return started[-1]
    run = parent / (name or datetime.now().strftime("%Y%m%d-%H%M%S"))
    if run.exists() and (not run.is_dir() or any(path != RunLayout(run).lock for path in run.iterdir())):
        raise AraeError(
            f"the run {run} exists", f"give another --name, or continue it with `arae train {run} --resume`."
        )
    return run


def _is_run(folder: Path) -> bool:
    """Say whether a training has written its recipe and its tokenizer here, with or without a checkpoint."""
    layout = RunLayout(folder)
    return layout.recipe.is_file() and (layout.tokenizer.is_file() or layout.environment.is_file())


def _last_change(run: Path) -> float:
    layout = RunLayout(run)
    return max((path.stat().st_mtime for path in (layout.latest, layout.tokenizer) if path.is_file()), default=0.0)


def _recipe_name(path: Path, settings: list[str]) -> str:
    from arae_transfer.recipe import load_recipe

    return load_recipe(path, settings).name


def _resolve_recipe(recipe: str, run: Path, resumed: bool, settings: list[str]) -> Recipe:
    from arae_transfer.recipe import load_recipe

    if resumed:
        if settings:
            raise AraeError(
                "--set cannot change a run that is continued: its recipe is part of it",
                "start a new run without --resume.",
            )
        return load_recipe(RunLayout(run).recipe, recorded=True)
    return load_recipe(find_recipe(recipe), settings)
