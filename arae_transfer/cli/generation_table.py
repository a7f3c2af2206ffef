"""`arae generation-table`: train ARAE and simpler systems, sample from them and compare the samples."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from arae_transfer.cli.command import report
from arae_transfer.cli.options import QuietOption, SettingsOption, TrainingDeviceOption, TrainingThreadsOption
from arae_transfer.errors import AraeError
from arae_transfer.folders import find_recipe


def generation_table(
    recipe: Annotated[
        str, typer.Argument(metavar="RECIPE", help="Name or file of a recipe whose task is generation.")
    ] = "snli-generation",
    data: Annotated[
        list[str] | None,
        typer.Option(
            "--data",
            "-d",
            metavar="FILE|FOLDER|TABLE|unlabelled=FILE",
            help="Training and test data, such as a text file or a folder of SNLI's .jsonl files; repeatable.",
        ),
    ] = None,
    number: Annotated[
        int, typer.Option("--number", "-n", min=100, metavar="N", help="Number of samples per system.")
    ] = 100_000,
    further: Annotated[
        list[str] | None,
        typer.Option(
            "--samples",
            metavar="NAME=FILE",
            help="Samples of another system, one sentence per line, as `arae sample` writes them; repeatable.",
        ),
    ] = None,
    settings: SettingsOption = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FOLDER",
            help=(
                "Folder for runs, samples and numbers; existing results are reused.  [default: "
                "runs/RECIPE-generation-table]"
            ),
        ),
    ] = None,
    device: TrainingDeviceOption = "auto",
    threads: TrainingThreadsOption = None,
    quiet: QuietOption = False,
) -> None:
    """Compare text generation by ARAE and by a language model.

    The paper's language-model experiment: forward and reverse perplexity, beside the published rows. The table goes
    to standard output as Markdown. After an interruption, the same command continues.

    \b
      arae generation-table snli-generation --data snli_1.0
      arae generation-table snli-generation --data mine.txt --samples other=other.txt
    """
    from arae_transfer.cli.extras import require
    from arae_transfer.recipe import load_recipe
    from arae_transfer.tasks import task_of
    from arae_transfer.tasks.generation import GenerationTask
    from arae_transfer.tasks.task import Reading

    resolved = load_recipe(find_recipe(recipe), settings or [])
    task = task_of(resolved)
    if not isinstance(task, GenerationTask):
        raise AraeError(
            f"the recipe {resolved.name} is not for generation", 'choose a recipe with task = "generation".'
        )
    if resolved.adversary.weight == 0:
        raise AraeError(f"the recipe {resolved.name} trains no generator", "set adversary.weight above 0.")
    require("torch", "safetensors", "sacrebleu", extra="train", command="arae generation-table")
    from arae_transfer.cli.training_reporter import make_reporter, reading_progress
    from arae_transfer.corpus.sources import absolute_source
    from arae_transfer.paper.diagnosis.coder import Coder
    from arae_transfer.paper.generation_table import (
        describe,
        measure_generators,
        sample_systems,
        train_generators,
    )
    from arae_transfer.training.checkpoint import load_run
    from arae_transfer.training.data import TrainingData
    from arae_transfer.training.device import use_threads

    use_threads(threads)

    def say(message: str) -> None:
        if not quiet:
            report(message)

    folder = output or Path("runs") / f"{resolved.name}-generation-table"
    others = [_read_samples(text) for text in further or []]
    sources = data or []
    task.require_data(resolved, sources)
    # All of it before hours of training: what is wrong with it is known now.
    train, valid, test = task.read_splits(resolved, sources, ("train", "valid", "test"), Reading(say, reading_progress))
    corpus = TrainingData(train, valid, tuple(absolute_source(source) for source in sources))
    runs = train_generators(resolved, corpus, folder, lambda name: make_reporter(quiet), device=device)
    if runs is None:
        say("interrupted; repeat the command to continue")
        raise typer.Exit(130)
    samples = sample_systems(runs, corpus, number, folder, say)
    say("measuring")
    trained = {run.name: describe(run, corpus) for run in (runs.arae, runs.autoencoder, runs.on_fixed_codes)}
    lines = [line for own in test.values() for line in own]
    coder = Coder(load_run(runs.arae, "best"))
    typer.echo(measure_generators(samples | dict(others), coder, corpus, lines, folder, trained), nl=False)


def _read_samples(text: str) -> tuple[str, list[str]]:
    name, _, path = text.partition("=")
    if not name or not path:
        raise AraeError(f"--samples {text} does not name a file", "write --samples NAME=FILE.")
    try:
        lines = Path(path).read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise AraeError(f"cannot read {path}: {error}") from error
    if not lines:
        raise AraeError(f"{path} has no samples", "write one sentence per line.")
    return name, lines
