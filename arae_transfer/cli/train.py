"""`arae train`: train a model from a recipe and a corpus."""

from __future__ import annotations

import json
import os
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from arae_transfer.cli.command import report
from arae_transfer.cli.options import QuietOption, SettingsOption, TrainingDeviceOption, TrainingThreadsOption
from arae_transfer.cli.training_run import train_run
from arae_transfer.errors import AraeError, quoted
from arae_transfer.folders import find_recipe, list_recipes, split_checkpoint
from arae_transfer.layout import ExportLayout, RunLayout, WhichCheckpoint

if TYPE_CHECKING:
    from arae_transfer.recipe import Recipe

DATA = "Data"
RUN = "Run"
MOST_RUNS_NAMED = 5
ANY_CORPUS = "rewriting"


def train(
    ctx: typer.Context,
    recipe: Annotated[
        str | None,
        typer.Argument(
            metavar="RECIPE",
            help="Name or file of a recipe, or folder of a run to continue. Without it: list the recipes.",
            show_default=False,
        ),
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option(
            "--data",
            "-d",
            metavar="CLASS=FILE|FOLDER|TABLE",
            help=(
                "Training data: a text file of one class, a folder of SPLIT.CLASS.txt, or a .csv, .tsv, .jsonl "
                "or .parquet file; repeatable."
            ),
            rich_help_panel=DATA,
        ),
    ] = None,
    encoding: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Encoding of the --data files, such as latin-1. Default: UTF-8 (data.encoding).",
            rich_help_panel=DATA,
        ),
    ] = None,
    settings: SettingsOption = None,
    list_keys: Annotated[
        bool,
        typer.Option("--list-keys", help="List every key of the recipe with its default.", rich_help_panel=RUN),
    ] = False,
    runs: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Folder that holds the runs.", rich_help_panel=RUN)
    ] = Path("runs"),
    name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Name of the run and, with the recipe rewriting, of the model. Default: the time.",
            rich_help_panel=RUN,
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Continue the newest run of the recipe, or the given run.", rich_help_panel=RUN),
    ] = False,
    begin_from: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="RUN[:latest]|MODEL",
            help=(
                "Start from the best weights, the tokenizer and the parallel examples of a run (RUN:latest: "
                "its latest weights), or from an exported model."
            ),
            rich_help_panel=RUN,
        ),
    ] = None,
    examples: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[CLASS-to-CLASS=]FILE",
            help="File of parallel examples, used in place of mined ones: source, tab and rewrite on each line, as "
            "`arae transfer --tsv` writes, or a table with the columns of a run's pairs.tsv; repeatable.",
            rich_help_panel=RUN,
        ),
    ] = None,
    ratings: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help="File of readers' ratings to train the quality estimator on: a tab-separated table with the columns "
            "class, source, rewrite and overall (1 to 5); repeatable.",
            rich_help_panel=RUN,
        ),
    ] = None,
    parallel: Annotated[
        list[str] | None, typer.Option("--parallel", "--pairs", hidden=True, help="Old names of --examples.")
    ] = None,
    device: TrainingDeviceOption = "auto",
    threads: TrainingThreadsOption = None,
    devices: Annotated[
        int,
        typer.Option(
            min=1,
            metavar="N",
            help="Number of GPUs, or of CPU processes, that share each batch. 1: this process only.",
            rich_help_panel=RUN,
        ),
    ] = 1,
    quiet: QuietOption = False,
) -> None:
    """Train a model from a recipe and a corpus.

    Progress goes to standard error, and finally the run's folder to standard output. The first Ctrl-C finishes the
    step, saves the run and shows how to continue; the second stops at once.

    \b
      arae train rewriting --data FOLDER --name mine
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
            ctx.fail("Missing argument 'RECIPE'. `arae train` lists the recipes; rewriting learns from any classes.")
        _print_recipes()
        return
    if encoding is not None:
        settings = [*(settings or []), f"data.encoding={json.dumps(encoding)}"]
    if begin_from is not None and resume:
        ctx.fail("--from starts a new run; --resume continues one.")
    initial, which = _initial_weights(begin_from)
    settings = settings or []
    given = [*(examples or []), *(parallel or [])]
    from arae_transfer.tasks import task_of

    launched = int(os.environ.get("WORLD_SIZE", "1")) > 1
    if not launched:
        # Said here, once: what is wrong with no need to train for it.
        run = _choose_run(recipe, runs, name, resume, settings)
        known = _resolve_recipe(recipe, run, resume, settings)
        task_of(known).check_devices(known, devices)
        if initial is not None:
            _refuse_keys_without_effect(known, settings, RunLayout(initial), bool(given))

    from arae_transfer.cli.extras import require

    require("torch", "safetensors", "sacrebleu", "filelock", extra="train", command="arae train")
    if devices > 1 and not launched:
        from arae_transfer.cli.processes import own_command, run_processes

        raise typer.Exit(run_processes(devices, own_command()))
    from arae_transfer.training.processes import join_processes

    processes = join_processes()
    if launched:
        run = processes.from_leader(lambda: _choose_run(recipe, runs, name, resume, settings))
    if parallel and processes.leads:
        report("--parallel and --pairs are now called --examples")
    resolved = _resolve_recipe(recipe, run, resume, settings)
    train_run(
        resolved,
        run,
        data,
        settings,
        given,
        ratings,
        resume=resume,
        initial=initial,
        which=which,
        device=device,
        threads=threads,
        processes=processes,
        quiet=quiet,
    )


def _initial_weights(begin_from: str | None) -> tuple[Path | None, WhichCheckpoint]:
    """Return the run or export that the training starts from, and which checkpoint of it.

    Raises:
        AraeError: It is neither.
    """
    if begin_from is None:
        return None, "best"
    initial, which = split_checkpoint(begin_from)
    if not _is_run(initial) and not ExportLayout(initial).config.is_file():
        raise AraeError(
            f"{initial} is neither a run nor an exported model",
            "give the folder of a training run, such as runs/RECIPE/NAME, or of an export.",
        )
    return initial.absolute(), which  # a run that is resumed elsewhere finds it again


def _print_recipes() -> None:
    from arae_transfer.recipe import load_recipe

    recipes = list_recipes()
    for name, path in sorted(recipes.items(), key=lambda item: item[0] != ANY_CORPUS):
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
            raise AraeError(f"the run {given} exists", f"continue it with `arae train {quoted(given)} --resume`.")
        return given
    try:
        path = find_recipe(recipe)
    except AraeError as error:
        if not resume:
            raise
        known = sorted((folder for folder in runs.glob("*/*") if _is_run(folder)), key=_last_change, reverse=True)
        raise AraeError(
            f"there is neither a run nor a recipe named {recipe!r}",
            f"the newest runs in {runs}: {', '.join(map(str, known[:MOST_RUNS_NAMED])) or 'none'}.",
        ) from error
    parent = runs / _recipe_name(path, settings)
    if resume:
        candidates = [parent / name] if name else sorted(parent.glob("*"), key=_last_change)
        started = [run for run in candidates if _is_run(run)]
        if not started:
            raise AraeError(
                f"there is no run {name} in {parent}" if name else f"there is no run in {parent}",
                "start one without --resume, or give the folder of a run.",
            )
        return started[-1]
    run = parent / (name or datetime.now().strftime("%Y%m%d-%H%M%S"))
    if run.exists() and not _is_begun(run):
        raise AraeError(
            f"the run {run} exists", f"give another --name, or continue it with `arae train {quoted(run)} --resume`."
        )
    return run


def _is_begun(folder: Path) -> bool:
    """Return whether a folder is from a training that was killed before its first checkpoint."""
    layout = RunLayout(folder)
    left = (layout.lock, layout.tokenizer)
    return folder.is_dir() and all(path in left or path.name.startswith(".") for path in folder.iterdir())


def _is_run(folder: Path) -> bool:
    """Return whether a folder holds a run's recipe and tokenizer, with or without a checkpoint."""
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
                "--set cannot change the recipe of a run that is continued",
                f"start a new run with other keys: --from {quoted(run)}",
            )
        return load_recipe(RunLayout(run).recipe, _earlier_defaults(run), recorded=True)
    return load_recipe(find_recipe(recipe), settings)


def _earlier_defaults(run: Path) -> list[str]:
    """Return the earlier defaults of keys that an old run does not record."""
    try:
        named = "keep_near_duplicates" in RunLayout(run).recipe.read_text("utf-8", errors="replace")
    except OSError:
        return []  # which is said where the recipe is read
    return [] if named else ["data.keep_near_duplicates=true"]


def _refuse_keys_without_effect(recipe: Recipe, settings: list[str], initial: RunLayout, given_pairs: bool) -> None:
    """Refuse keys of --set that have no effect on a run that starts from another.

    Raises:
        AraeError: There is such a key; the message says what takes its place.
    """
    from arae_transfer.recipe import set_keys

    taken = {
        "tokenizer.vocabulary_size": "the tokenizer",
        "tokenizer.model": "the tokenizer",
        "training.initialization": "the weights",
    }
    mined = ("parallel.", "phrase_table.", "phrase_search.", "rewrite_scores.")
    learned = ("parallel.back", "parallel.forward")
    inherited = initial.pairs.is_file() and recipe.parallel.sentences > 0 and recipe.self_training.rewrites == 0
    for key in sorted(set_keys(settings)):
        what, source = taken.get(key), str(initial.root)
        if (given_pairs or inherited) and key.startswith(mined) and key not in learned:
            what, source = "the examples", "--examples" if given_pairs else source
        if what is not None:
            raise AraeError(
                f"--set {key} has no effect: {what} of {source} {'are' if what.endswith('s') else 'is'} used",
                f"leave {key} out, or leave {'--examples' if source == '--examples' else '--from'} out to begin anew.",
            )
