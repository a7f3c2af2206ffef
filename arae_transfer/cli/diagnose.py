"""`arae diagnose`: analyse a run's code space in numbers, plots and sentences."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from arae_transfer.cli.command import report
from arae_transfer.cli.options import QuietOption, TrainingThreadsOption
from arae_transfer.errors import AraeError
from arae_transfer.layout import RunLayout, WhichCheckpoint
from arae_transfer.recipe import load_recipe
from arae_transfer.tasks import task_of
from arae_transfer.training.run_data import sources_of_run

if TYPE_CHECKING:
    from arae_transfer.training.checkpoint import LoadedRun
    from arae_transfer.training.initial_weights import InitialWeights

_Lines = Mapping[str, Sequence[str]]


def diagnose(
    ctx: typer.Context,
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a training run.", show_default=False)],
    baseline: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="Run of the same recipe without the adversary, for comparison."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FOLDER", help="Folder to write the report into. Default: RUN/diagnosis."
        ),
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option(
            "--data",
            "-d",
            metavar="CLASS=FILE|FOLDER|TABLE",
            help="The run's training data; repeatable. Default: where the run read them.",
        ),
    ] = None,
    checkpoint: Annotated[str, typer.Option(metavar="best|latest", help="Checkpoint to analyse.")] = "best",
    sentences: Annotated[
        int, typer.Option(min=10, metavar="N", help="Maximum number of held-out sentences per class.")
    ] = 500,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Random seed.")] = 1,
    plots: Annotated[bool, typer.Option("--plots/--no-plots", help="Draw plots, or write only numbers.")] = True,
    threads: TrainingThreadsOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Also write the numbers to standard output.")] = False,
    quiet: QuietOption = False,
) -> None:
    """Analyse what the code vectors of a trained run encode.

    The report shows norm and variance of codes over training, codes of similar sentences, reconstruction after
    swapped words, a linear probe for the class, information in bits, and a projection. README.md, diagnosis.json
    and the plots go to the folder; the interpretation goes to standard output.

    \b
      arae diagnose runs/quickstart/first --baseline runs/quickstart/plain
    """
    if checkpoint not in ("best", "latest"):
        ctx.fail(f"Invalid value for '--checkpoint': {checkpoint!r} is neither best nor latest.")

    from arae_transfer.cli.extras import require

    require("torch", "safetensors", "sacrebleu", "sklearn", extra="train", command="arae diagnose")
    if plots:
        require("matplotlib", extra="plots", command="arae diagnose (without --no-plots)")
    from arae_transfer.paper.diagnosis.diagnose import DiagnosisOptions, Subject
    from arae_transfer.paper.diagnosis.diagnose import diagnose as look
    from arae_transfer.paper.diagnosis.files import write_diagnosis
    from arae_transfer.paper.diagnosis.interpretation import TITLES, interpret
    from arae_transfer.training.checkpoint import load_run
    from arae_transfer.training.device import use_threads

    use_threads(threads)
    which = cast(WhichCheckpoint, checkpoint)
    subject = Subject(run, load_run(run, which))
    task_of(subject.loaded.recipe).require_sentences(str(run))
    other = Subject(baseline, load_run(baseline, which)) if baseline else None
    if baseline and other and other.loaded.recipe.adversary.weight > 0:
        raise AraeError(
            f"the baseline {baseline} is not a plain autoencoder: its adversary.weight is "
            f"{other.loaded.recipe.adversary.weight:g}",
            "give a run that was trained with --set adversary.weight=0.",
        )
    sources = data or sources_of_run(run)
    training, held_out = _read(subject.loaded, sources, run)
    commands = [] if baseline else _baseline_commands(run, sources)
    remark = ""
    if commands:
        remark = "\n".join(["To train a plain autoencoder for comparison:", "", "```", *commands, "```"])

    def progress(message: str) -> None:
        if not quiet and sys.stderr is not None and sys.stderr.isatty():
            typer.echo(f"arae: {message}", err=True)

    found = look(subject, other, training, held_out, DiagnosisOptions(sentences, seed), progress)
    found["interpretation"] = interpret(found)
    folder = output or RunLayout(run).diagnosis
    write_diagnosis(found, folder, remark, progress if plots else None)
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False))
    else:
        for key, text in found["interpretation"].items():
            typer.echo(f"{TITLES[key]}\n  {text}")
    if not quiet:
        if commands:
            report("no --baseline to compare with; to train one:", "\n      ".join(commands))
        report(f"numbers{', plots' if plots else ''} and report are in {folder}")


def _initial_weights(run: Path) -> InitialWeights:
    """Return the weights that a run started from, or None if it does not name them."""
    from arae_transfer.training.initial_weights import InitialWeights, recorded_initial_weights

    try:
        return recorded_initial_weights(RunLayout(run))
    except AraeError:
        return InitialWeights()


def _read(loaded: LoadedRun, sources: Sequence[str], run: Path) -> tuple[_Lines, _Lines]:
    """Return the run's training sentences and its held-out sentences.

    Raises:
        AraeError: They cannot be read, or nothing says where they are.
    """
    recipe = loaded.recipe
    try:
        training, held_out = (
            task_of(recipe).read_part(recipe, list(sources), part, loaded.classes) for part in ("train", "valid")
        )
    except AraeError as error:
        if not sources:
            raise AraeError(
                f"the run {run} does not record where its data are", "name them with --data, as for `arae train`."
            ) from error
        raise AraeError(f"cannot read the run's data: {error.message}", "name them with --data.") from error
    return _listed(training), _listed(held_out)


def _listed(lines: Mapping[str, Collection[str]]) -> _Lines:
    return {label: list(own) for label, own in lines.items()}


def _baseline_commands(run: Path, sources: Sequence[str]) -> list[str]:
    """Return the commands that train the same model without critic and classifier, with the same tokenizer.

    A run that went on from another one has a counterpart that goes on from the other's. There is none, and no command,
    where a run that this one descends from is gone, or where this one is plain itself.
    """
    descent = [run.resolve()]
    while (initial := _initial_weights(descent[0]).initial) is not None:
        descent.insert(0, initial)
        if not RunLayout(descent[0]).recipe.is_file() or descent[0] in descent[1:]:
            return []
    commands: list[str] = []
    before: Path | None = None
    for place, each in enumerate(descent):
        layout, recipe = RunLayout(each), load_recipe(RunLayout(each).recipe, recorded=True)
        weights = {"adversary.weight": recipe.adversary.weight, "attribute.weight": recipe.attribute.weight}
        if each == run.resolve() and not any(weights.values()):
            return []
        words = ["arae", "train", str(layout.recipe)]
        words += [word for key, weight in weights.items() if weight for word in ("--set", f"{key}=0")]
        if before is None:
            words += ["--set", f"tokenizer.model={layout.tokenizer}"]
        else:
            words += ["--from", str(before) if _initial_weights(each).checkpoint == "best" else f"{before}:latest"]
        words += ["--name", f"{each.name}-plain"]
        before = Path("runs") / recipe.name / f"{each.name}-plain"
        own = sources if place == len(descent) - 1 else sources_of_run(each)
        for source in own:
            words += ["--data", str(source)]
        commands.append(shlex.join(words))
    return commands
