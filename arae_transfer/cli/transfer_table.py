"""`arae transfer-table`: train an autoencoder and ARAE models, and compare their rewrites in a table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from arae_transfer.cli.command import report
from arae_transfer.cli.options import QuietOption, SettingsOption, TrainingDeviceOption, TrainingThreadsOption
from arae_transfer.errors import AraeError
from arae_transfer.folders import find_recipe

if TYPE_CHECKING:
    from arae_transfer.recipe import Recipe


def transfer_table(
    recipe: Annotated[
        str, typer.Argument(metavar="RECIPE", help="Name or file of a recipe with an adversary.")
    ] = "yelp-sentiment/paper-short",
    data: Annotated[
        list[str] | None,
        typer.Option(
            "--data",
            "-d",
            metavar="FOLDER|TABLE",
            help=(
                "Data: a folder of SPLIT.CLASS.txt, or a table, with the splits train, valid, test and, for "
                "the classifiers that score style, extra."
            ),
        ),
    ] = None,
    weights: Annotated[
        list[float] | None,
        typer.Option(
            "--weight",
            min=0,
            metavar="X",
            help=(
                "Weight of the classifier on the code (attribute.weight); repeatable. Default: the recipe's "
                "and ten times that."
            ),
        ),
    ] = None,
    beginning: Annotated[
        int,
        typer.Option(
            min=0,
            metavar="N",
            help="Start all systems from a plain autoencoder trained on N sentences; 0: train each from scratch.",
        ),
    ] = 0,
    seeds: Annotated[int, typer.Option(min=1, metavar="N", help="Number of random seeds.")] = 1,
    settings: SettingsOption = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FOLDER",
            help=(
                "Folder for runs, rewrites and numbers; existing results are reused.  [default: "
                "runs/RECIPE-transfer-table]"
            ),
        ),
    ] = None,
    split: Annotated[str, typer.Option(metavar="NAME", help="Split to rewrite.")] = "test",
    judge_split: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help=(
                "Training split of the classifiers and the language model that score rewrites. Default: extra, "
                "or train."
            ),
        ),
    ] = None,
    device: TrainingDeviceOption = "auto",
    threads: TrainingThreadsOption = None,
    quiet: QuietOption = False,
) -> None:
    """Compare style transfer by ARAE and by a plain autoencoder.

    The paper's second experiment, beside the published rows. The table goes to standard output as Markdown. After
    an interruption, the same command continues.

    \b
      arae transfer-table yelp-sentiment/paper-short --data yelp --beginning 1000000
      arae transfer-table yelp-sentiment/paper-fast --data yelp --seeds 3
    """
    from arae_transfer.cli.extras import require
    from arae_transfer.recipe import load_recipe
    from arae_transfer.tasks import task_of
    from arae_transfer.tasks.rewriting import RewritingTask
    from arae_transfer.tasks.task import Reading

    resolved = load_recipe(find_recipe(recipe), settings or [])
    task = task_of(resolved)
    if not isinstance(task, RewritingTask):
        raise AraeError(
            f"the recipe {resolved.name} does not rewrite text", "choose a recipe such as yelp-sentiment/paper-short."
        )
    _require_comparable(resolved, weights)
    wishes = list(dict.fromkeys(weights or [resolved.attribute.weight, 10 * resolved.attribute.weight]))
    require("torch", "safetensors", "sacrebleu", "sklearn", extra="train", command="arae transfer-table")
    from arae_transfer.cli.training_reporter import make_reporter, reading_progress
    from arae_transfer.corpus.reading import ReadingOptions
    from arae_transfer.evaluation.real_text import make_builtin_text, read_evaluated_split, read_unseen_text
    from arae_transfer.paper.transfer_table import make_systems, measure_trainings, render, train_systems
    from arae_transfer.training.device import use_threads

    use_threads(threads)

    def say(message: str) -> None:
        if not quiet:
            report(message)

    folder = output or Path("runs") / f"{resolved.name}-transfer-table"
    # Read before hours of training: what is wrong with it is known now.
    corpus = task.read(resolved, data or [], Reading(say, reading_progress))
    if data:
        options = ReadingOptions.of(resolved)
        source, _ = read_evaluated_split(data, split, None, options)
        judge_text = read_unseen_text(data, list(source.lines), split=judge_split, options=options)
    else:
        source, _, judge_text = make_builtin_text(split, None)
    if judge_text.caution:
        say(f"warning: {judge_text.caution}")
    first = resolved.training.seed
    trainings = train_systems(
        resolved,
        make_systems(wishes),
        range(first, first + seeds),
        corpus,
        folder,
        lambda system, seed: make_reporter(quiet),
        beginning=beginning,
        device=device,
    )
    if trainings is None:
        say("interrupted; repeat the command to continue")
        raise typer.Exit(130)
    table = measure_trainings(trainings, source, judge_text, folder, say)
    typer.echo(render(table), nl=False)


def _require_comparable(recipe: Recipe, weights: list[float] | None) -> None:
    """Raise an error if a recipe trains no ARAE, or what a plain autoencoder has no counterpart of."""
    if recipe.adversary.weight == 0 or (not weights and recipe.attribute.weight == 0):
        raise AraeError(
            f"the recipe {recipe.name} trains a plain autoencoder, which leaves nothing to compare",
            "set adversary.weight and attribute.weight above 0.",
        )
    if recipe.parallel.sentences > 0 or recipe.cycle.weight > 0:
        raise AraeError(
            f"the recipe {recipe.name} learns from parallel examples or cycles, which a plain autoencoder cannot",
            "choose a recipe such as yelp-sentiment/paper-short, or set parallel.sentences=0 and cycle.weight=0.",
        )
