"""`arae semi-supervised`: compare three systems of one recipe that learn from few labels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from arae_transfer.cli.options import QuietOption, SettingsOption, TrainingDeviceOption, TrainingThreadsOption
from arae_transfer.errors import AraeError
from arae_transfer.folders import find_recipe


def semi_supervised(
    recipe: Annotated[
        str,
        typer.Argument(
            metavar="RECIPE", help="Name or file of a recipe whose task is classification.", show_default=False
        ),
    ],
    data: Annotated[
        list[str],
        typer.Option(
            "--data",
            "-d",
            metavar="FOLDER|CLASS=FILE|TABLE|unlabelled=FILE",
            help="Training and test data; sentence pairs: a folder of SNLI's .jsonl files; repeatable.",
            show_default=False,
        ),
    ],
    labels: Annotated[
        list[str] | None,
        typer.Option(metavar="SHARE|N", help="Share of the labels to use, or a number of labels; repeatable."),
    ] = None,
    beginning: Annotated[
        int,
        typer.Option(
            min=0,
            metavar="N",
            help=(
                "Train autoencoder and ARAE on N unlabelled sentences first, once for all numbers of labels; "
                "0: use labels from the start."
            ),
        ),
    ] = 0,
    seeds: Annotated[int, typer.Option(min=1, metavar="N", help="Number of random seeds.")] = 3,
    settings: SettingsOption = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FOLDER", help="Folder for runs and results; existing results are reused."
        ),
    ] = None,
    device: TrainingDeviceOption = "auto",
    threads: TrainingThreadsOption = None,
    quiet: QuietOption = False,
) -> None:
    """Compare classifiers trained on few labels.

    The paper's third experiment. The table goes to standard output. After an interruption, the same command
    continues.

    \b
      arae semi-supervised snli-classification --data snli_1.0 --labels 0.222 --labels 0.108 --labels 0.0525
      arae semi-supervised yelp-classification --data yelp --labels 0.01 --labels 100 --beginning 1000000
    """
    from arae_transfer.cli.extras import require
    from arae_transfer.recipe import load_recipe
    from arae_transfer.tasks import task_of
    from arae_transfer.tasks.classification import ClassificationTask

    resolved = load_recipe(find_recipe(recipe), settings or [])
    if not isinstance(task_of(resolved), ClassificationTask):
        raise AraeError(
            f"the recipe {resolved.name} is not for classification", 'choose a recipe with task = "classification".'
        )
    wishes = [_number_of_labels(text) for text in labels or ["0.222", "0.108", "0.0525"]]
    require("torch", "safetensors", "sacrebleu", "scipy", extra="train", command="arae semi-supervised")
    from arae_transfer.cli.training_reporter import make_reporter
    from arae_transfer.corpus.labelled import read_examples, read_labelled_data
    from arae_transfer.corpus.reading import ReadingOptions
    from arae_transfer.paper.semi_supervision import Result, render, run_systems, summarize
    from arae_transfer.training.device import use_threads

    use_threads(threads)
    options = ReadingOptions.of(resolved)
    pairs = resolved.labels.sentence_pairs
    corpus = read_labelled_data(data, resolved.form, options, pairs=pairs, classes=resolved.data.classes)
    test = read_examples(data, "test", resolved.form, options, pairs=pairs, classes=corpus.classes)
    folder = output or Path("runs") / f"{resolved.name}-semi-supervised"

    def say(result: Result) -> None:
        if not quiet:
            typer.echo(
                f"{result.system}, {result.labels:,} labels, seed {result.seed}: {result.accuracy:.1f} % "
                f"({result.minutes:.1f} minutes)",
                err=True,
            )

    first = resolved.training.seed
    results = run_systems(
        resolved,
        corpus,
        test,
        wishes,
        range(first, first + seeds),
        folder,
        lambda: make_reporter(quiet=True),
        beginning=beginning,
        device=device,
        finished=say,
    )
    typer.echo(render(summarize(results)))


def _number_of_labels(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not (0 < number <= 1 or (number > 1 and number == int(number))):
        raise AraeError(f"--labels takes a share up to 1 or a number, not {text}", "use --labels 0.1 or --labels 100.")
    return number
