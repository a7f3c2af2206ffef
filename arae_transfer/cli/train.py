"""`arae train`: a recipe and a corpus in, a run out."""

from __future__ import annotations

import itertools
import json
import os
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from arae_transfer.cli.command import report
from arae_transfer.cli.options import QuietOption, SettingsOption, TrainingDeviceOption, TrainingThreadsOption
from arae_transfer.errors import AraeError, quoted
from arae_transfer.layout import ExportLayout, RunLayout, WhichCheckpoint, find_recipe, list_recipes, split_checkpoint

if TYPE_CHECKING:
    from arae_transfer.recipe import Recipe
    from arae_transfer.tasks.task import DataSource

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
    encoding: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="How the files of --data are encoded, such as latin-1; without this, UTF-8 (data.encoding).",
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
        typer.Option(
            metavar="NAME",
            help="The run's name, and with the recipe rewriting the model's; without this, the time.",
            rich_help_panel=RUN,
        ),
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
    examples: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[CLASS-to-CLASS=]FILE",
            help="Learn from these example rewrites, not from mined ones: lines of a sentence, a tab and its rewrite, "
            "as `arae transfer --tsv` writes them, or a table with the columns of a run's pairs.tsv; repeatable.",
            rich_help_panel=RUN,
        ),
    ] = None,
    ratings: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help="Teach the quality estimator by these ratings: a table with the columns class, source, rewrite and "
            "overall, 1 to 5, parted by tabs; repeatable.",
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
            ctx.fail("Missing argument 'RECIPE'. `arae train` alone lists them; quickstart learns from any classes.")
        _print_recipes()
        return
    if encoding is not None:
        settings = [*(settings or []), f"data.encoding={json.dumps(encoding)}"]
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
        known = _resolve_recipe(recipe, run, resume, settings or [])
        task_of(known).check_devices(known, devices)
        if initial is not None:
            _refuse_keys_without_effect(known, settings or [], RunLayout(initial), bool(examples or parallel))

    from arae_transfer.cli.extras import require

    require("torch", "safetensors", "sacrebleu", "filelock", extra="train", command="arae train")
    if devices > 1 and not launched:
        from arae_transfer.cli.processes import own_command, run_processes

        raise typer.Exit(run_processes(devices, own_command()))
    from arae_transfer.cli.training_reporter import make_reporter, reading_progress
    from arae_transfer.recipe import set_keys
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
    resolved = task.find_writing(resolved, sources)
    training_data = task.read(resolved, sources, Reading(reporter.message, reading_progress))
    if resolved.data.adapt:
        given_keys = set_keys(settings or [])
        resolved, found = task.adapt(resolved, training_data, run.name, given_keys, initial)
        reporter.message(found)
    if parallel and processes.leads:
        report("--parallel and --pairs are now called --examples")
    given = [*(examples or []), *(parallel or [])]
    if given:
        training_data = _with_examples(resolved, training_data, given)
    if ratings:
        training_data = _with_ratings(resolved, training_data, ratings)
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
        reporter.interrupted(outcome, f"arae train {quoted(outcome.run)} --resume{more}")
        raise typer.Exit(130)
    model = quoted(_free_export(resolved.name))
    export = f"arae export {quoted(outcome.run)} -o {model}"
    reporter.finished(outcome, [export, task.use_command(model, outcome.state.classes)])


def _free_export(name: str) -> Path:
    """Return a folder for an export that none has yet."""
    numbered = (Path("exported") / (f"{name}-{number}" if number > 1 else name) for number in itertools.count(1))
    return next(folder for folder in numbered if not folder.exists() and not folder.is_symlink())


def _with_examples(recipe: Recipe, data: DataSource, values: list[str]) -> DataSource:
    """Return the data with the examples of ``--examples``, in the form of writing that the model reads.

    Raises:
        AraeError: The recipe does not learn from examples, or they cannot be read.
    """
    from arae_transfer.corpus.labelled import in_form
    from arae_transfer.parallel.examples import read_given_examples
    from arae_transfer.tasks import task_of
    from arae_transfer.training.data import TrainingData

    if not task_of(recipe).learns_from_parallel(recipe):
        raise AraeError(
            f"the recipe {recipe.name} does not learn from example rewrites",
            "leave --examples out, or use a recipe that rewrites text in the joint schedule.",
        )
    assert isinstance(data, TrainingData)
    found = read_given_examples(values, list(data.train))
    if recipe.data.writing == "ordinary":
        sentences = in_form([each.sentence for each in found], recipe.form)
        rewrites = in_form([each.rewrite for each in found], recipe.form)
        pairs = zip(found, sentences, rewrites, strict=True)
        found = [replace(each, sentence=sentence, rewrite=rewrite) for each, sentence, rewrite in pairs]
    return replace(data, pairs=tuple(found))


def _with_ratings(recipe: Recipe, data: DataSource, files: list[Path]) -> DataSource:
    """Return the data with the ratings of ``--ratings``, in the form of writing that the model reads.

    Raises:
        AraeError: The recipe has no quality estimator, or they cannot be read.
    """
    from arae_transfer.corpus.labelled import in_form
    from arae_transfer.quality.ratings import read_ratings
    from arae_transfer.training.data import TrainingData

    if recipe.quality.layers == 0:
        raise AraeError(
            f"the recipe {recipe.name} has no quality estimator that could learn from ratings",
            "leave --ratings out, or set quality.layers in a recipe of the task editing.",
        )
    assert isinstance(data, TrainingData)
    found = [rating for file in files for rating in read_ratings(file, list(data.train))]
    if recipe.data.writing == "ordinary":
        sources = in_form([each.source for each in found], recipe.form)
        rewrites = in_form([each.rewrite for each in found], recipe.form)
        rated = zip(found, sources, rewrites, strict=True)
        found = [replace(each, source=source, rewrite=rewrite) for each, source, rewrite in rated]
    return replace(data, ratings=tuple(found))


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
            raise AraeError(f"{given} is a run that exists", f"continue it with `arae train {quoted(given)} --resume`.")
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
    if run.exists() and not _is_begun(run):
        raise AraeError(
            f"the run {run} exists", f"give another --name, or continue it with `arae train {quoted(run)} --resume`."
        )
    return run


def _is_begun(folder: Path) -> bool:
    """Say whether a folder holds no more than a training leaves that was killed before it could be continued."""
    layout = RunLayout(folder)
    left = (layout.lock, layout.tokenizer)
    return folder.is_dir() and all(path in left or path.name.startswith(".") for path in folder.iterdir())


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
                f"to train on with other keys, begin a run with --from {quoted(run)}",
            )
        return load_recipe(RunLayout(run).recipe, _earlier_defaults(run), recorded=True)
    return load_recipe(find_recipe(recipe), settings)


def _earlier_defaults(run: Path) -> list[str]:
    """Return the keys that a run which does not name them yet was trained with, so that it is continued on its data."""
    try:
        named = "keep_near_duplicates" in RunLayout(run).recipe.read_text("utf-8", errors="replace")
    except OSError:
        return []  # which is said where the recipe is read
    return [] if named else ["data.keep_near_duplicates=true"]


def _refuse_keys_without_effect(recipe: Recipe, settings: list[str], initial: RunLayout, given_pairs: bool) -> None:
    """Refuse keys of --set that a run which starts from another one does not read.

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
