"""`arae bench train`: how fast a recipe trains on this machine, beside what the machine can do."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from arae_transfer.cli.options import SettingsOption, TrainingDeviceOption, TrainingThreadsOption
from arae_transfer.errors import AraeError
from arae_transfer.layout import find_recipe

if TYPE_CHECKING:
    from arae_transfer.bench.training import TrainingSpeed
    from arae_transfer.recipe import Recipe
    from arae_transfer.training.data import TrainingData

DEFAULT_RECIPE = "yelp-sentiment/paper"


def bench_train(
    recipe: Annotated[
        str, typer.Argument(metavar="RECIPE", help="A recipe's name or file; the paper's own by default.")
    ] = DEFAULT_RECIPE,
    data: Annotated[
        list[str] | None,
        typer.Option(
            "--data",
            "-d",
            metavar="CLASS=FILE|FOLDER|TABLE",
            help="What to train on; without this, the quickstart's corpus.",
        ),
    ] = None,
    settings: SettingsOption = None,
    steps: Annotated[int, typer.Option(min=1, metavar="N", help="Steps to measure.")] = 10,
    reference: Annotated[
        bool, typer.Option("--reference/--no-reference", help="Measure the plain reference step as well.")
    ] = True,
    device: TrainingDeviceOption = "auto",
    threads: TrainingThreadsOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write one JSON object.")] = False,
) -> None:
    """Measure how fast a recipe trains on this machine.

    Sentences per second, where the time goes, and the share of the machine's own matrix-product rate that is reached;
    and how many times as long a plain step takes that pads, draws at random and scores padding too, and an iteration
    of the authors' released code.

    \b
      arae bench train
      arae bench train quickstart --steps 20 --json
    """
    from arae_transfer.cli.extras import require
    from arae_transfer.recipe import load_recipe
    from arae_transfer.tasks import task_of
    from arae_transfer.tasks.text import TextTask

    resolved = load_recipe(find_recipe(recipe), settings or [])
    if not isinstance(task_of(resolved), TextTask):
        raise AraeError(f"{resolved.name} is a recipe for images; the benchmark is of text", "give a recipe for text.")
    require("torch", "safetensors", "sacrebleu", extra="train", command="arae bench train")
    from arae_transfer.bench.training import measure_training
    from arae_transfer.training.device import use_threads

    use_threads(threads)
    lines = _lines(resolved, data)
    # A joint recipe has no plain reference: the reference is the paper's own, alternating algorithm.
    compare = reference and resolved.training.schedule == "alternating"
    speed = measure_training(resolved, lines, device=device, steps=steps, reference=compare)
    text = json.dumps(speed.table(), ensure_ascii=False) if as_json else "\n".join(describe(speed))
    typer.echo(text)


def _lines(recipe: Recipe, data: list[str] | None) -> TrainingData:
    from arae_transfer.corpus.quickstart import make_sentences
    from arae_transfer.corpus.reading import ReadingOptions, read_corpus
    from arae_transfer.training.data import TrainingData

    if not data:
        sentences = make_sentences()
        return TrainingData(sentences["train"], sentences["valid"])
    options = ReadingOptions.of(recipe)
    training = read_corpus(data, "train", options, classes=recipe.data.classes or None)
    held_out = read_corpus(data, "valid", options, classes=training.classes)
    return TrainingData(training.lines, held_out.lines)


def describe(speed: TrainingSpeed) -> list[str]:
    """Return what a person reads of a measurement."""
    operations = sum(speed.operations_per_sentence.values())
    bf16 = "cannot" if speed.bf16_rate is None else f"{speed.bf16_rate / 1e9:,.0f} GFLOP/s"
    lines = [
        f"{speed.recipe} on {speed.device}, {speed.threads} CPU threads, {speed.precision}",
        f"{speed.sentences_per_second:,.0f} sentences/s (median of {speed.steps} steps of {speed.sentences_per_step}; "
        f"{speed.mean_tokens:.1f} tokens each, vocabulary {speed.vocabulary:,})",
    ]
    whole = sum(speed.network_milliseconds.values())
    for name, milliseconds in sorted(speed.network_milliseconds.items(), key=lambda entry: -entry[1]):
        lines.append(f"  {name:<30} {milliseconds:8.1f} ms  {100 * milliseconds / whole:3.0f} %")
    lines += [
        f"needed: {operations / 1e6:,.1f} million operations a sentence, counted from the sizes, padding left out",
        f"machine's matrix product: fp32 {speed.fp32_rate / 1e9:,.0f} GFLOP/s, bf16 {bf16}",
        f"reached: {100 * speed.share_of_ceiling:.1f} % of the matrix product in {speed.precision}",
    ]
    if speed.reference_ratio is not None:
        lines.append(f"a plain reference step takes {speed.reference_ratio:.2f} times as long")
    if speed.released_ratio is not None:
        lines.append(
            f"an iteration of the authors' released code takes {speed.released_ratio:.2f} times as long "
            f"({speed.sentences_per_second / speed.released_ratio:,.0f} sentences/s)"
        )
    return lines
