"""`arae train`: a recipe and a corpus in, a run out."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from arae_transfer.errors import AraeError, quoted
from arae_transfer.layout import ExportLayout, RunLayout, WhichCheckpoint, find_recipe, list_recipes, split_checkpoint

if TYPE_CHECKING:
    from arae_transfer.corpus.labelled import LabelledData
    from arae_transfer.corpus.reading import LabelledLines
    from arae_transfer.recipe import Recipe
    from arae_transfer.training.data import TrainingData
    from arae_transfer.training.image_data import ImageData
    from arae_transfer.training.loop import Outcome

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
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="SECTION.KEY=VALUE",
            help="Change one key of the recipe; repeatable.",
            rich_help_panel=RUN,
        ),
    ] = None,
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
    pairs: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[CLASS-to-CLASS=]FILE",
            help="Learn from these pairs, in the place of searched ones: a sentence, a tab, its rewrite, as `arae "
            "transfer --tsv` writes them, or a run's pairs.tsv; can be repeated.",
            rich_help_panel=RUN,
        ),
    ] = None,
    device: Annotated[
        str,
        typer.Option(
            metavar="auto|cpu|cuda[:N]",
            help="Where to train; auto: a GPU if there is one.",
            rich_help_panel=RUN,
        ),
    ] = "auto",
    threads: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="CPU threads; without this, all that may be used.", rich_help_panel=RUN),
    ] = None,
    devices: Annotated[
        int,
        typer.Option(
            min=1,
            metavar="N",
            help="GPUs, or processes on a CPU, that share each batch; 1: this process alone.",
            rich_help_panel=RUN,
        ),
    ] = 1,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.", rich_help_panel=RUN)] = False,
) -> None:
    """Train a model by a recipe.

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
    launched = int(os.environ.get("WORLD_SIZE", "1")) > 1
    if not launched:
        # Said here, once: what is wrong with no need to train for it.
        run = _choose_run(recipe, runs, name, resume, settings or [])
        known = _resolve_recipe(recipe, run, resume, settings or [])
        _check_devices(known, devices)
        if initial is not None:
            _refuse_keys_without_effect(known, settings or [], RunLayout(initial), pairs)

    from arae_transfer.cli.extras import require

    require("torch", "safetensors", "sacrebleu", "filelock", extra="train", command="arae train")
    if devices > 1 and not launched:
        from arae_transfer.cli.processes import own_command, run_processes

        raise typer.Exit(run_processes(devices, own_command()))
    from arae_transfer.cli.training_reporter import make_reporter
    from arae_transfer.corpus.adaptation import find_writing
    from arae_transfer.corpus.labelled import LabelledData
    from arae_transfer.training.classification import ClassificationTrainer
    from arae_transfer.training.device import use_threads
    from arae_transfer.training.loop import Trainer
    from arae_transfer.training.processes import join_processes, leave_processes

    processes = join_processes()
    if launched:
        run = processes.from_leader(lambda: _choose_run(recipe, runs, name, resume, settings or []))
    resolved = _resolve_recipe(recipe, run, resume, settings or [])
    _check_devices(resolved, processes.size)
    use_threads(threads, processes)
    reporter = make_reporter(quiet or not processes.leads)
    sources = data_sources(resolved, data, run, resume)
    resolved = find_writing(resolved, sources)
    training_data: LabelledData | TrainingData | ImageData
    if resolved.task == "classification":
        training_data = _read_labelled_data(resolved, sources)
    elif resolved.data.kind == "image":
        training_data = read_images(resolved, sources)
    else:
        training_data = read_training_data(resolved, sources, reporter.message)
    if resolved.data.adapt:
        resolved = _adapted(resolved, training_data, run, settings or [], initial, reporter.message)
    if pairs:
        training_data = _with_pairs(resolved, training_data, pairs)
    with reporter:
        start: dict[str, Any] = {
            "device": device,
            "resume": resume,
            "initial": initial,
            "initial_checkpoint": which,
        }
        trainer: Trainer
        if isinstance(training_data, LabelledData):
            trainer = ClassificationTrainer(resolved, training_data, run, reporter, **start)
        else:
            trainer = Trainer(resolved, training_data, run, reporter, processes=processes, **start)
        outcome = trainer.train()
    leave_processes()
    if not processes.leads:
        raise typer.Exit(0 if outcome.finished else 130)
    typer.echo(outcome.run)
    if not outcome.finished:
        more = f" --devices {processes.size}" if processes.size > 1 else ""
        reporter.interrupted(outcome, f"arae train {quoted(outcome.run)} --resume{more}")
        raise typer.Exit(130)
    reporter.finished(outcome, _next_commands(resolved, outcome))


def _adapted(
    recipe: Recipe,
    data: LabelledData | TrainingData | ImageData,
    run: Path,
    settings: list[str],
    initial: Path | None,
    message: Callable[[str], None],
) -> Recipe:
    """Return a recipe for any corpus as it fits this one, and say what was found.

    Raises:
        AraeError: The recipe does not rewrite text.
    """
    from arae_transfer.corpus.adaptation import adapt
    from arae_transfer.recipe import load_recipe
    from arae_transfer.training.data import TrainingData

    if not isinstance(data, TrainingData) or recipe.task != "rewriting":
        raise AraeError("data.adapt sizes recipes that rewrite text, which this one does not", "set data.adapt=false.")
    given = {setting.partition("=")[0].strip() for setting in settings}
    if initial is not None:  # whose tokenizer and length of lines are taken over
        given |= {"tokenizer.vocabulary_size", "data.maximum_tokens"}
        if RunLayout(initial).recipe.is_file():
            maximum = load_recipe(RunLayout(initial).recipe).data.maximum_tokens
            recipe = replace(recipe, data=replace(recipe.data, maximum_tokens=maximum))
    adapted, found = adapt(recipe, data.train, run.name, given)
    message(found)
    return adapted


def _free_export(name: str) -> Path:
    """Return a folder for an export that none has yet."""
    numbered = (Path("exported") / (f"{name}-{number}" if number > 1 else name) for number in itertools.count(1))
    return next(folder for folder in numbered if not folder.exists() and not folder.is_symlink())


def _next_commands(recipe: Recipe, outcome: Outcome) -> list[str]:
    """Return what to type after a training: commands that a shell can be given as they are."""
    model = quoted(_free_export(recipe.name))
    use = f"arae transfer --model {model} --to {quoted(outcome.state.classes[-1])}"
    if recipe.task == "classification":
        use = f"arae classify --model {model}"
    elif recipe.task == "generation":
        use = f"arae sample --model {model} -n 20"
    elif recipe.data.kind == "image":
        use = f"arae sample --model {model} -n 64 -o grid.png"
    return [f"arae export {quoted(outcome.run)} -o {model}", use]


def _with_pairs(recipe: Recipe, data: LabelledData | TrainingData | ImageData, values: list[str]) -> TrainingData:
    """Return the data with the pairs of ``--pairs``.

    Raises:
        AraeError: The recipe does not learn from pairs, or they cannot be read.
    """
    from arae_transfer.pairs.pair import read_given_pairs
    from arae_transfer.training.data import TrainingData

    if not isinstance(data, TrainingData) or recipe.task != "rewriting" or recipe.training.schedule != "joint":
        raise AraeError(
            f"the recipe {recipe.name} does not learn from pairs",
            "leave --pairs out, or use a recipe that rewrites text in the joint schedule.",
        )
    return replace(data, pairs=tuple(read_given_pairs(values, list(data.train))))


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
        return load_recipe(RunLayout(run).recipe, _earlier_defaults(run))
    return load_recipe(find_recipe(recipe), settings)


def _earlier_defaults(run: Path) -> list[str]:
    """Return the keys that a run which does not name them yet was trained with, so that it is continued on its data."""
    try:
        named = "keep_near_duplicates" in RunLayout(run).recipe.read_text("utf-8", errors="replace")
    except OSError:
        return []  # which is said where the recipe is read
    return [] if named else ["data.keep_near_duplicates=true"]


def _refuse_keys_without_effect(
    recipe: Recipe, settings: list[str], initial: RunLayout, pairs: list[str] | None
) -> None:
    """Refuse keys of --set that a run which starts from another one does not read.

    Raises:
        AraeError: There is such a key; the message says what takes its place.
    """
    given = {setting.partition("=")[0].strip() for setting in settings}
    taken = {
        "tokenizer.vocabulary_size": "the tokenizer",
        "tokenizer.model": "the tokenizer",
        "training.initialization": "the weights",
    }
    if pairs or (initial.pairs.is_file() and recipe.pairs.sentences and not recipe.pairs.propose):
        taken["pairs.sentences"] = taken["pairs.naturalness"] = "the pairs"
    for key in sorted(given & taken.keys()):
        source = "--pairs" if pairs and key.startswith("pairs.") else str(initial.root)
        raise AraeError(
            f"--set {key} has no effect: {taken[key]} of {source} {'are' if taken[key].endswith('s') else 'is'} used",
            f"leave {key} out, or leave --from out to begin anew.",
        )


def _check_devices(recipe: Recipe, devices: int) -> None:
    """Refuse several processes for what trains in one.

    Raises:
        AraeError: Saying so.
    """
    if devices > 1 and (recipe.task == "classification" or recipe.data.kind == "image"):
        what = "for images" if recipe.data.kind == "image" else "a classification"
        raise AraeError(f"the recipe {recipe.name} is {what}, which trains on one device", "use --devices 1.")


def data_sources(recipe: Recipe, data: list[str] | None, run: Path, resumed: bool) -> list[str]:
    """Return what is read: what was given, or what a run that is continued was given; nothing: the recipe's own."""
    data = data or (sources_of_run(run) if resumed else [])
    if not data and not recipe.data.builtin and recipe.data.kind == "text":
        forms = "--data CLASS=FILE for each class, a folder of SPLIT.CLASS.txt, a .csv, .tsv, .jsonl or .parquet."
        if recipe.task == "generation":
            forms = "--data FILE.txt, one sentence a line, or --data FOLDER with SNLI's files."
        if recipe.labels.pairs:
            forms = "--data FOLDER with SNLI's files: https://nlp.stanford.edu/projects/snli/snli_1.0.zip"
        where = f" The data: {recipe.data_source}" if recipe.data_source else ""
        raise AraeError(f"the recipe {recipe.name} needs data", f"give {forms}{where}")
    return data


def _read_labelled_data(recipe: Recipe, sources: list[str]) -> LabelledData:
    from dataclasses import replace

    from arae_transfer.corpus.labelled import read_labelled_data
    from arae_transfer.corpus.reading import ReadingOptions
    from arae_transfer.corpus.sources import absolute_source

    options = ReadingOptions.of(recipe)
    pairs, classes = recipe.labels.pairs, recipe.data.classes
    found = read_labelled_data(sources, recipe.form, options, pairs=pairs, classes=classes)
    return replace(found, sources=tuple(absolute_source(source) for source in sources))


def read_training_data(recipe: Recipe, data: list[str], message: Callable[[str], None]) -> TrainingData:
    """Read what a recipe learns from, or make the corpus that it brings."""
    from dataclasses import replace

    from arae_transfer.corpus.reading import ReadingOptions, is_large, read_corpus, stream_corpus
    from arae_transfer.corpus.sources import absolute_source
    from arae_transfer.training.data import TrainingData

    if not data:
        return _builtin_data()
    options = replace(ReadingOptions.of(recipe), classes_key="data.classes")
    from arae_transfer.cli.training_reporter import reading_progress

    classes = recipe.data.classes or None
    if recipe.task == "generation":
        training_text, held_out_text = read_generation_text(recipe, data, ("train", "valid"), message)
        return TrainingData(training_text, held_out_text, tuple(absolute_source(source) for source in data))
    with reading_progress() as progress:
        read = stream_corpus if is_large(data) else read_corpus
        training = read(data, "train", options, classes=classes, progress=progress)
        held_out = read_corpus(data, "valid", options, classes=training.classes)
    for sentence in training.report.lines():
        message(sentence)
    return TrainingData(training.lines, held_out.lines, tuple(absolute_source(source) for source in data))


def read_generation_text(
    recipe: Recipe, data: list[str], splits: Sequence[str], message: Callable[[str], None]
) -> list[LabelledLines]:
    """Read splits of the one kind of text that a generation learns, each as lines under the name of its class."""
    from dataclasses import replace

    from arae_transfer.cli.training_reporter import reading_progress
    from arae_transfer.corpus.one_kind import read_one_kind
    from arae_transfer.corpus.reading import ReadingOptions

    options = replace(ReadingOptions.of(recipe), minimum_classes=1, form=None)
    found = []
    for split in splits:
        with reading_progress() as progress:
            text = read_one_kind(
                data, split, recipe.form, options, classes=recipe.data.classes or None, progress=progress
            )
        for sentence in text.messages:
            message(sentence)
        found.append(text.lines)
    return found


def sources_of_run(run: Path) -> list[str]:
    """Return the data that a run was begun with; none where it does not say."""
    try:
        environment = json.loads(RunLayout(run).environment.read_text("utf-8"))
        return [str(source) for source in environment.get("data", [])]
    except (OSError, ValueError, AttributeError):
        return []


def read_images(recipe: Recipe, data: list[str]) -> ImageData:
    """Read the training images and the held-out ones that ``--data`` names.

    Raises:
        AraeError: There are none, or they cannot be used.
    """
    from arae_transfer.corpus.images import image_sources, read_split
    from arae_transfer.training.image_data import ImageData

    if not data:
        raise AraeError(
            f"the recipe {recipe.name} needs images",
            "give --data FOLDER, which holds train-images-idx3-ubyte.gz, or --data CLASS=FOLDER for each class.",
        )
    sources = image_sources(data)
    train, valid = (
        {source.name: read_split(source, split, recipe.image)[0] for source in sources} for split in ("train", "valid")
    )
    # Relative folders would not be found when the run is continued from elsewhere.
    return ImageData(train, valid, tuple(f"{source.name}={source.folder.absolute()}" for source in sources))


def _builtin_data() -> TrainingData:
    from arae_transfer.corpus.quickstart import make_sentences
    from arae_transfer.training.data import TrainingData

    sentences = make_sentences()
    return TrainingData(sentences["train"], sentences["valid"])
