"""`arae bench train`: measure how fast a recipe trains, beside what the machine can do."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from arae_transfer.cli.options import SettingsOption, TrainingDeviceOption, TrainingThreadsOption
from arae_transfer.errors import AraeError
from arae_transfer.folders import find_recipe

if TYPE_CHECKING:
    from arae_transfer.bench.training import TrainingSpeed
    from arae_transfer.recipe import Recipe
    from arae_transfer.training.data import TrainingData

DEFAULT_RECIPE = "yelp-sentiment/paper"


def bench_train(
    recipe: Annotated[
        str, typer.Argument(metavar="RECIPE", help="Name or file of a recipe. Default: the paper's sentiment recipe.")
    ] = DEFAULT_RECIPE,
    data: Annotated[
        list[str] | None,
        typer.Option(
            "--data",
            "-d",
            metavar="CLASS=FILE|FOLDER|TABLE",
            help="Training data, as for `arae train`. Default: the quickstart's corpus.",
        ),
    ] = None,
    settings: SettingsOption = None,
    steps: Annotated[int, typer.Option(min=1, metavar="N", help="Number of training steps to measure.")] = 10,
    reference: Annotated[
        bool,
        typer.Option("--reference/--no-reference", help="Also measure a plain PyTorch implementation of the step."),
    ] = True,
    device: TrainingDeviceOption = "auto",
    threads: TrainingThreadsOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write one JSON object instead of text.")] = False,
) -> None:
    """Measure how fast a recipe trains on this machine.

    The report shows sentences per second, the time per network, and the share of the peak of matrix products. It
    compares with a plain step, which pads, samples at random and scores padding, and with the authors' released
    code.

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
        raise AraeError(
            f"the recipe {resolved.name} is for images; this benchmark is for text", "choose a recipe for text."
        )
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
    """Return a measurement as text."""
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
        f"required: {operations / 1e6:,.1f} million operations per sentence, computed from the layer "
        "sizes, without padding",
        f"peak of matrix products on this machine: fp32 {speed.fp32_rate / 1e9:,.0f} GFLOP/s, bf16 {bf16}",
        f"reached: {100 * speed.share_of_ceiling:.1f} % of the peak in {speed.precision}",
    ]
    if speed.reference_ratio is not None:
        lines.append(f"a plain PyTorch step takes {speed.reference_ratio:.2f} times as long")
    if speed.released_ratio is not None:
        lines.append(
            f"an iteration of the authors' released code takes {speed.released_ratio:.2f} times as long "
            f"({speed.sentences_per_second / speed.released_ratio:,.0f} sentences/s)"
        )
    return lines
