"""`arae evaluate`: how good rewrites are, beside the copied source and real text."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast
from urllib.parse import quote

import typer

from arae_transfer.cli.command import report
from arae_transfer.cli.status import status
from arae_transfer.errors import AraeError

if TYPE_CHECKING:
    from arae_transfer.evaluation.outputs import Alignment, Outputs
    from arae_transfer.evaluation.real_text import LabelledText
    from arae_transfer.evaluation.systems import System
    from arae_transfer.evaluation.words import Tokenization

REWRITES = "Rewrites"
DATA = "Data"
SPEED = "Speed"
OUTPUT = "Output"
OUTPUTS = "outputs"
# Wide enough for any table where no terminal sets a limit.
PLAIN_WIDTH = 400


def evaluate(
    ctx: typer.Context,
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="MODEL",
            help="An exported model's name or folder, a run (its best checkpoint; RUN:latest for the latest), or a "
            "folder of rewrites CLASS-to-CLASS.txt; further ones are tested against the first.",
            show_default=False,
        ),
    ] = None,
    outputs: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CLASS-to-CLASS=FILE",
            help="Any system's rewrites, one for each line of the split; repeatable.",
            rich_help_panel=REWRITES,
        ),
    ] = None,
    compare: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODEL|RUN|FOLDER",
            help="A further model, run or folder of rewrites, tested against the first; repeatable.",
            rich_help_panel=REWRITES,
        ),
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option(
            "--data",
            "-d",
            metavar="CLASS=FILE|FOLDER|TABLE",
            help="A text file of one class, a folder of SPLIT.CLASS.txt, or a .tsv, .csv or .jsonl file; repeatable.",
            rich_help_panel=DATA,
        ),
    ] = None,
    split: Annotated[
        str, typer.Option(metavar="NAME", help="The split that is rewritten.", rich_help_panel=DATA)
    ] = "test",
    limit: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Only the first N lines or images of a class.", rich_help_panel=DATA),
    ] = None,
    references: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CLASS=FILE[,FILE...]|FOLDER",
            help="Human rewrites of the lines of a class (CLASS-to-CLASS= with more than two classes), or a folder of "
            "CLASS-to-CLASS.txt; repeatable.",
            rich_help_panel=DATA,
        ),
    ] = None,
    judge_data: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CLASS=FILE|FOLDER|TABLE",
            help="What the judges learn from; without this, --data's 'extra' split, or its train split; repeatable.",
            rich_help_panel=DATA,
        ),
    ] = None,
    judge_split: Annotated[
        str | None, typer.Option(metavar="NAME", help="The split that the judges learn from.", rich_help_panel=DATA)
    ] = None,
    language_model_data: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CLASS=FILE|FOLDER|TABLE",
            help="What the language model learns from; without this, what the judges learn from; repeatable.",
            rich_help_panel=DATA,
        ),
    ] = None,
    text_column: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The column of tables that holds the text; without this, the one that the model learned from, or "
            "text.",
            rich_help_panel=DATA,
        ),
    ] = None,
    label_column: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The column of tables that holds the class; without this, the one that the model learned from, or "
            "label.",
            rich_help_panel=DATA,
        ),
    ] = None,
    words: Annotated[
        str,
        typer.Option(
            metavar="none|13a|char",
            help="What a word is, as sacrebleu names it: between blanks, punctuation split off, a character.",
            rich_help_panel=DATA,
        ),
    ] = "none",
    device: Annotated[
        str,
        typer.Option(
            metavar="auto|cpu|cuda[:N]",
            help="Where models run; auto: a GPU that can be used, else the CPU.",
            rich_help_panel=SPEED,
        ),
    ] = "auto",
    threads: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="CPU threads; without this, all that may be used.",
            envvar="ARAE_THREADS",
            rich_help_panel=SPEED,
        ),
    ] = None,
    batch_size: Annotated[
        int,
        typer.Option(min=1, metavar="N", help="The most lines rewritten at once.", rich_help_panel=SPEED),
    ] = 64,
    save_outputs: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Write the models' rewrites there, as CLASS-to-CLASS.txt.", rich_help_panel=OUTPUT
        ),
    ] = None,
    curve: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Plot style against content there, a point for each system.", rich_help_panel=OUTPUT
        ),
    ] = None,
    rule_sample: Annotated[
        int | None,
        typer.Option(min=1, metavar="K", help="Show every K-th line and its rewrite.", rich_help_panel=OUTPUT),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Write one JSON object instead of tables.", rich_help_panel=OUTPUT)
    ] = False,
    as_markdown: Annotated[
        bool, typer.Option("--markdown", help="Write Markdown instead of tables.", rich_help_panel=OUTPUT)
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Say nothing but errors.", rich_help_panel=OUTPUT)
    ] = False,
) -> None:
    """Measure style, content and fluency of rewrites.

    Two judges of style and a language model learn from real text, best from text that the model never saw. Beside
    the rewrites stand the copied source, real text, and human rewrites where there are some. Models of images are
    measured by reconstruction, and their samples by a judge that learns from the training images.

    \b
      arae evaluate yelp-sentiment --data yelp
      arae evaluate runs/yelp-sentiment/first --data yelp
      arae evaluate --outputs negative-to-positive=mine.txt --data yelp
      arae evaluate mine --compare other-outputs/ --data yelp
      arae evaluate early middle late --data yelp --curve curve.png
      arae evaluate mnist --data FOLDER-OF-IDX-FILES
    """
    if words not in ("none", "13a", "char"):
        ctx.fail(f"Invalid value for '--words': {words!r} is not one of none, 13a, char.")
    if as_json and as_markdown:
        ctx.fail("Options '--json' and '--markdown' exclude each other.")

    from arae_transfer.cli.extras import require

    require("sacrebleu", "sklearn", "torch", extra="train", command="arae evaluate")
    if curve is not None:
        require("matplotlib", extra="plots", command="arae evaluate --curve")
        if curve.is_dir():  # known before minutes of work
            raise AraeError(f"cannot write {curve}: it is a folder", "name a file in it, such as curve.png.")
    from arae_transfer.evaluation.evaluate import EvaluationOptions
    from arae_transfer.evaluation.evaluate import evaluate as measure
    from arae_transfer.evaluation.outputs import (
        read_output_folder,
        read_output_options,
        read_references,
        write_output_folder,
    )
    from arae_transfer.evaluation.real_text import read_evaluated_split, read_unseen_text
    from arae_transfer.evaluation.report import to_data
    from arae_transfer.evaluation.systems import (
        FROM_FILES,
        RunCheckpoint,
        describe_rewriter,
        describe_run,
        find_system,
        name_systems,
        reading_options,
        rewrite_by_run,
        rewrite_split,
    )
    from arae_transfer.runtime.model_folder import ModelFolder
    from arae_transfer.runtime.rewriter import Rewriter
    from arae_transfer.training.checkpoint import LoadedRun

    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    wishes: list[str | None] = list(models or [])
    if not wishes and not outputs:
        wishes.append(None)
    found = {wish or "": find_system(wish) for wish in [*wishes, *(compare or [])]}
    if any(isinstance(system, ModelFolder) and system.image is not None for system in found.values()):
        unfit = {
            "--outputs": outputs,
            "--references": references,
            "--judge-data": judge_data,
            "--judge-split": judge_split,
            "--language-model-data": language_model_data,
            "--save-outputs": save_outputs,
            "--curve": curve,
            "--rule-sample": rule_sample,
        }
        for option, given in unfit.items():
            if given:
                ctx.fail(f"Option '{option}' has no place with a model of images.")
        with status(quiet) as progress:
            results = _evaluate_images(found, data or [], limit, device, threads, progress)
        typer.echo(_render_images(results, as_json=as_json, as_markdown=as_markdown), nl=False)
        return
    if save_outputs is not None and all(isinstance(system, Path) for system in found.values()):
        ctx.fail("Option '--save-outputs' needs a model: what is read from files is there already.")
    options = reading_options(found.values(), text_column, label_column)
    with status(quiet) as progress:
        # What cannot be used is said before anything is read.
        loaded = {wish: system.load() for wish, system in found.items() if isinstance(system, RunCheckpoint)}
        progress("reading")
        if data:
            owners: list[System | LoadedRun] = [loaded.get(wish) or system for wish, system in found.items()]
            known = next((owner.classes for owner in owners if isinstance(owner, ModelFolder | LoadedRun)), None)
            source, alignment = read_evaluated_split(data, split, limit, options, known)
            judge_text = read_unseen_text(data, list(source.lines), judge_data or (), judge_split, options)
        else:
            source, alignment, judge_text = _read_builtin(found.values(), split, limit)
            if judge_data:
                judge_text = read_unseen_text([], list(source.lines), judge_data, judge_split, options)
        fluent_text = None
        if language_model_data:
            fluent_text = read_unseen_text([], list(source.lines), language_model_data, None, options)
        if judge_text.caution and not quiet:
            report(f"warning: {judge_text.caution}")
        human = read_references(references or [], list(source.lines), alignment)
        names = name_systems(found)
        systems: dict[str, Outputs] = {}
        decoding: dict[str, str] = {}
        if outputs:
            name = f"--{OUTPUTS}" if OUTPUTS in names else OUTPUTS
            systems[name] = read_output_options(outputs, list(source.lines), alignment)
            decoding[name] = FROM_FILES
        for name, (wish, system) in zip(names, found.items(), strict=True):
            if isinstance(system, Path):
                systems[name] = read_output_folder(system, list(source.lines), alignment)
                decoding[name] = FROM_FILES
                continue
            if isinstance(system, RunCheckpoint):
                progress(f"{name} rewrites")
                systems[name] = rewrite_by_run(loaded[wish], source, name)
                decoding[name] = describe_run(loaded[wish])
            else:
                rewriter = Rewriter.load(system.address, device=device, threads=threads)
                systems[name] = rewrite_split(rewriter, source, batch_size, progress)
                decoding[name] = describe_rewriter(rewriter)
            if save_outputs is not None:
                folder = save_outputs / quote(name, safe=" ") if len(found) > 1 else save_outputs
                write_output_folder(folder, systems[name])
        evaluation = measure(
            source,
            systems,
            judge_text,
            fluent_text,
            human,
            EvaluationOptions(tokenization=cast("Tokenization", words), form=options.form),
            progress,
            decoding,
        )
    results = to_data(evaluation)
    samples = list(_sample(source, systems, rule_sample)) if rule_sample else []
    if as_json:
        typer.echo(json.dumps(results | {"samples": samples}, ensure_ascii=False, indent=2))
    else:
        typer.echo(_render(results, samples, as_markdown=as_markdown), nl=False)
    if curve is not None:
        from arae_transfer.atomic import write_bytes
        from arae_transfer.evaluation.curve import draw_curve

        write_bytes(curve, draw_curve(results))


def _evaluate_images(
    systems: Mapping[str, System],
    data: list[str],
    limit: int | None,
    device: str,
    threads: int | None,
    progress: Callable[[str], None],
) -> dict[str, Any]:
    """Measure models of images.

    Raises:
        AraeError: One is of text or of images of another size, or the data cannot be used.
    """
    from arae_transfer.corpus.images import image_sources
    from arae_transfer.evaluation.images import SAMPLES, evaluate_images, read_image_data
    from arae_transfer.recipe import Image
    from arae_transfer.runtime.image_model import ImageModel
    from arae_transfer.runtime.model_folder import ModelFolder
    from arae_transfer.runtime.sessions import Sessions

    models = {}
    for wish, system in systems.items():
        if not isinstance(system, ModelFolder) or system.image is None:
            raise AraeError(f"{wish} is not a model of images, as others here are", "evaluate it by itself.")
        models[system.name if system.name not in models else wish] = ImageModel(Sessions(system, device, threads))
    if not data:
        raise AraeError(
            "there is nothing to measure on: --data is missing",
            "give the folder of IDX files, images and labels, of the splits train and test (or t10k).",
        )
    shape = next(iter(models.values())).image
    for name, model in models.items():
        if model.image != shape:
            raise AraeError(f"{name} makes images of another size or of other levels", "evaluate it by itself.")
    image = Image(height=shape.height, width=shape.width, levels=shape.levels)
    progress("reading")
    read = read_image_data(image_sources(data), image, limit)
    return evaluate_images(models, read, image, samples=min(limit or SAMPLES, SAMPLES), progress=progress)


def _render_images(results: Mapping[str, Any], *, as_json: bool, as_markdown: bool) -> str:
    from rich.console import Console

    from arae_transfer.evaluation.image_report import image_footnotes, make_image_table, render_image_markdown

    if as_json:
        return json.dumps(results, ensure_ascii=False, indent=2) + "\n"
    if as_markdown:
        return render_image_markdown(results)
    terminal = sys.stdout.isatty()
    drawn = io.StringIO()
    console = Console(file=drawn, force_terminal=terminal, width=None if terminal else PLAIN_WIDTH)
    console.print(make_image_table(results))
    table = "".join(f"{line.rstrip()}\n" for line in drawn.getvalue().split("\n")[:-1])
    return table + "\n".join([*image_footnotes(results), ""])


def _read_builtin(
    systems: Iterable[System], split: str, limit: int | None
) -> tuple[LabelledText, Alignment, LabelledText]:
    """Return the text that models have learned from which brought their own corpus.

    Raises:
        AraeError: A model needs data.
    """
    from arae_transfer.evaluation.real_text import make_builtin_text
    from arae_transfer.evaluation.systems import builtin_corpus

    every = list(systems)
    if not every or any(isinstance(system, Path) or not builtin_corpus(system) for system in every):
        raise AraeError(
            "there is nothing to measure on: --data is missing",
            "give --data CLASS=FILE for each class, a folder of SPLIT.CLASS.txt, or a .tsv, .csv or .jsonl file.",
        )
    return make_builtin_text(split, limit)


def _sample(
    source: LabelledText, systems: Mapping[str, Outputs], every: int
) -> Iterator[dict[str, str | int | dict[str, str]]]:
    """Yield every K-th line of each direction with its rewrites."""
    for direction in next(iter(systems.values())):
        lines = source.lines[direction.source]
        for place in range(every - 1, len(lines), every):
            rewrites = {name: outputs[direction][place] for name, outputs in systems.items()}
            yield {"direction": str(direction), "line": place + 1, "source": lines[place], "rewrites": rewrites}


def _render(results: Mapping[str, Any], samples: Sequence[Mapping[str, Any]], *, as_markdown: bool) -> str:
    """Return the answer for a person."""
    from rich.console import Console

    from arae_transfer.evaluation.report import footnotes, make_tables, render_markdown

    if as_markdown:
        text = render_markdown(results)
    else:
        terminal = sys.stdout.isatty()
        drawn = io.StringIO()
        console = Console(file=drawn, force_terminal=terminal, width=None if terminal else PLAIN_WIDTH)
        for table in make_tables(results):
            console.print(table)
        # Cells are padded to the width of their column; at the end of a line that helps nobody.
        text = "".join(f"{line.rstrip()}\n" for line in drawn.getvalue().split("\n")[:-1])
        text += "\n".join([*footnotes(results), ""])
    for sample in samples:
        head = f"\n{sample['direction']} {sample['line']}: {sample['source']}\n"
        text += head + "".join(f"  ▸ {line}{_author(name, sample)}\n" for name, line in sample["rewrites"].items())
    return text


def _author(name: str, sample: Mapping[str, Any]) -> str:
    """Return who wrote a rewrite, where several did."""
    return f"   ({name})" if len(sample["rewrites"]) > 1 else ""
