"""`arae evaluate`: score rewrites, beside the copied source and real text."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from arae_transfer.cli.command import report
from arae_transfer.cli.options import BatchSizeOption, DeviceOption, QuietOption, ThreadsOption
from arae_transfer.cli.status import status
from arae_transfer.errors import AraeError

if TYPE_CHECKING:
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
            help=(
                "Exported model, run, or folder of rewrites named CLASS-to-CLASS.txt. RUN means its best "
                "checkpoint, RUN:latest its latest. Further systems are tested against the first."
            ),
            show_default=False,
        ),
    ] = None,
    outputs: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CLASS-to-CLASS=FILE",
            help="File of any system's rewrites, one per line of the split; repeatable.",
            rich_help_panel=REWRITES,
        ),
    ] = None,
    compare: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODEL|RUN|FOLDER",
            help="Further model, run or folder of rewrites, tested against the first; repeatable.",
            rich_help_panel=REWRITES,
        ),
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option(
            "--data",
            "-d",
            metavar="CLASS=FILE|FOLDER|TABLE",
            help=(
                "Test data: a text file of one class, a folder of SPLIT.CLASS.txt, or a .tsv, .csv or .jsonl "
                "file; repeatable."
            ),
            rich_help_panel=DATA,
        ),
    ] = None,
    split: Annotated[str, typer.Option(metavar="NAME", help="Split to rewrite.", rich_help_panel=DATA)] = "test",
    limit: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="Use only the first N lines or images of each class.", rich_help_panel=DATA
        ),
    ] = None,
    references: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CLASS=FILE[,FILE...]|FOLDER",
            help=(
                "Human rewrites of a class's lines (CLASS-to-CLASS=FILE for more than two classes), or a "
                "folder of CLASS-to-CLASS.txt; repeatable."
            ),
            rich_help_panel=DATA,
        ),
    ] = None,
    judge_data: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CLASS=FILE|FOLDER|TABLE",
            help=(
                "Training data of the classifiers that score style; repeatable. Default: the 'extra' split of "
                "--data, or its train split."
            ),
            rich_help_panel=DATA,
        ),
    ] = None,
    judge_split: Annotated[
        str | None, typer.Option(metavar="NAME", help="Split of the classifiers' training data.", rich_help_panel=DATA)
    ] = None,
    language_model_data: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CLASS=FILE|FOLDER|TABLE",
            help=(
                "Training data of the language model that scores fluency; repeatable. Default: the "
                "classifiers' training data."
            ),
            rich_help_panel=DATA,
        ),
    ] = None,
    text_column: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Table column that holds the text. Default: the model's, or 'text'.",
            rich_help_panel=DATA,
        ),
    ] = None,
    label_column: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Table column that holds the class. Default: the model's, or 'label'.",
            rich_help_panel=DATA,
        ),
    ] = None,
    words: Annotated[
        str,
        typer.Option(
            metavar="none|13a|char",
            help=(
                "Tokenization for BLEU, by sacrebleu's names: none splits at spaces, 13a also at punctuation, "
                "char into characters."
            ),
            rich_help_panel=DATA,
        ),
    ] = "none",
    device: DeviceOption = "auto",
    threads: ThreadsOption = None,
    batch_size: BatchSizeOption = 64,
    save_outputs: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Folder to write the models' rewrites into, as CLASS-to-CLASS.txt.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    curve: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Image file for a plot of style against content, with one point per system.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    rule_sample: Annotated[
        int | None,
        typer.Option(min=1, metavar="K", help="Show every K-th line with its rewrites.", rich_help_panel=OUTPUT),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Write one JSON object instead of tables.", rich_help_panel=OUTPUT)
    ] = False,
    as_markdown: Annotated[
        bool, typer.Option("--markdown", help="Write Markdown instead of tables.", rich_help_panel=OUTPUT)
    ] = False,
    quiet: QuietOption = False,
) -> None:
    """Measure style, content and fluency of rewrites.

    Two classifiers of style and a language model learn from real text, which the evaluated model should not have
    seen. The report also scores the copied source, real text, and human rewrites if given. For models of images it
    measures reconstruction, and scores samples with a classifier trained on the training images.

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
    from arae_transfer.evaluation.run import EvaluationRequest, run_evaluation
    from arae_transfer.evaluation.systems import find_system
    from arae_transfer.runtime.model_folder import ModelFolder

    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    wishes: list[str | None] = list(models or [])
    if not wishes and not outputs:
        wishes.append(None)
    found = {wish or "": find_system(wish) for wish in [*wishes, *(compare or [])]}
    if any(isinstance(system, ModelFolder) and system.image is not None for system in found.values()):
        _require_fit_for_images(
            ctx,
            {
                "--outputs": outputs,
                "--references": references,
                "--judge-data": judge_data,
                "--judge-split": judge_split,
                "--language-model-data": language_model_data,
                "--save-outputs": save_outputs,
                "--curve": curve,
                "--rule-sample": rule_sample,
            },
        )
        with status(quiet) as progress:
            from arae_transfer.paper.images.image_evaluation import evaluate_image_systems

            results = evaluate_image_systems(found, data or [], limit, device, threads, progress)
        typer.echo(_render_images(results, as_json=as_json, as_markdown=as_markdown), nl=False)
        return
    if save_outputs is not None and all(isinstance(system, Path) for system in found.values()):
        ctx.fail("Option '--save-outputs' needs a model; rewrites from files exist already.")
    request = EvaluationRequest(
        systems=found,
        outputs=outputs or (),
        references=references or (),
        data=data or (),
        split=split,
        limit=limit,
        judge_data=judge_data or (),
        judge_split=judge_split,
        language_model_data=language_model_data or (),
        text_column=text_column,
        label_column=label_column,
        words=cast("Tokenization", words),
        device=device,
        threads=threads,
        batch_size=batch_size,
        save_outputs=save_outputs,
        rule_sample=rule_sample,
    )
    with status(quiet) as progress:
        results, samples = run_evaluation(request, progress, lambda text: None if quiet else report(text))
    if as_json:
        typer.echo(json.dumps(results | {"samples": samples}, ensure_ascii=False, indent=2))
    else:
        typer.echo(_render(results, samples, as_markdown=as_markdown), nl=False)
    if curve is not None:
        from arae_transfer.atomic import write_bytes
        from arae_transfer.evaluation.curve import draw_curve

        write_bytes(curve, draw_curve(results))


def _require_fit_for_images(ctx: typer.Context, given: Mapping[str, object]) -> None:
    """Refuse the options in ``given`` that have a value, because they are for models of text."""
    for option, value in given.items():
        if value:
            ctx.fail(f"Option '{option}' does not apply to models of images.")


def _render_images(results: Mapping[str, Any], *, as_json: bool, as_markdown: bool) -> str:
    from rich.console import Console

    from arae_transfer.paper.images.image_report import image_footnotes, make_image_table, render_image_markdown

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


def _render(results: Mapping[str, Any], samples: Sequence[Mapping[str, Any]], *, as_markdown: bool) -> str:
    """Return the report as text or Markdown."""
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
    """Return the author of a rewrite, if there are several."""
    return f"   ({name})" if len(sample["rewrites"]) > 1 else ""
