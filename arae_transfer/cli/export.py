"""`arae export`: a run in, a folder out that `arae transfer` can use."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from arae_transfer.cli.command import report
from arae_transfer.cli.status import status
from arae_transfer.errors import AraeError
from arae_transfer.layout import ExportLayout, RunLayout, WhichCheckpoint
from arae_transfer.runtime.model_folder import MOST_CANDIDATES

if TYPE_CHECKING:
    from arae_transfer.corpus.reading import LabelledLines
    from arae_transfer.export.agreement import Agreement
    from arae_transfer.export.export import ExportReport
    from arae_transfer.training.checkpoint import LoadedRun

# Sentences, classes together, that language models learn from: more make their files larger, and hardly better.
_MOST_LEARNED = 600_000

CARD = "Model card"
MODEL = "Model"


def export(
    ctx: typer.Context,
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN", help="The folder of a training run, or of an export, to build it anew.", show_default=False
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FOLDER",
            help="The folder to write; its last part names the model; without this, exported/RECIPE.",
            rich_help_panel=MODEL,
        ),
    ] = None,
    checkpoint: Annotated[
        str, typer.Option(metavar="best|latest", help="Which checkpoint.", rich_help_panel=MODEL)
    ] = "best",
    weights: Annotated[
        str,
        typer.Option(
            metavar="fp16|fp32",
            help="How weights are stored; fp16 halves the files and adds graphs for GPUs that compute in fp16.",
            rich_help_panel=MODEL,
        ),
    ] = "fp16",
    beam: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=MOST_CANDIDATES,
            metavar="N",
            help="How many candidates `arae transfer` searches for a line where nobody says; the best is the answer; "
            "without this, 1.",
            rich_help_panel=MODEL,
        ),
    ] = None,
    probes: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Sentences in the form of the corpus to check with; without this, the run's held-out ones. An export "
            "has none.",
            rich_help_panel=MODEL,
        ),
    ] = None,
    sentences: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="More sentences in the form of the corpus, such as those of the training, whose rewrites tell which "
            "tokens decoders write; without this, the run's. An export has none.",
            rich_help_panel=MODEL,
        ),
    ] = None,
    scores: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="A report that `arae evaluate --json` wrote, for the card.", rich_help_panel=CARD
        ),
    ] = None,
    language: Annotated[
        list[str] | None,
        typer.Option(metavar="CODE", help="The language of the text, such as en; repeatable.", rich_help_panel=CARD),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")] = False,
) -> None:
    """Export a trained model to a folder that runs without PyTorch.

    The folder is written only after its files have been found to answer as the trained model does. Its path goes to
    standard output, everything else to standard error.

    An export in the place of a run is built anew, as this version builds it, with the weights that it has.

    \b
      arae export runs/quickstart/20260131-120000 -o exported/quickstart
      arae export exported/old -o exported/new --probes valid.txt
    """
    if checkpoint not in ("best", "latest"):
        ctx.fail(f"Invalid value for '--checkpoint': {checkpoint!r} is neither best nor latest.")
    if weights not in ("fp16", "fp32"):
        ctx.fail(f"Invalid value for '--weights': {weights!r} is neither fp16 nor fp32.")
    evaluation = _read_report(scores) if scores else ""
    further = _read_lines(sentences) if sentences else []

    from arae_transfer.cli.extras import require

    require("torch", "onnx", "safetensors", "sacrebleu", extra="train", command="arae export")
    from arae_transfer.export.export import check_destination, export_model
    from arae_transfer.training.checkpoint import load_run

    if ExportLayout(run).config.is_file() and not RunLayout(run).recipe.is_file():
        for name in ("checkpoint", "weights"):
            source = ctx.get_parameter_source(name)
            if source is not None and source.name == "COMMANDLINE":
                ctx.fail(f"--{name} is for runs: an export is built anew with the weights that it has.")
        if output is None:
            ctx.fail("--output says where the export goes when it is built anew.")
        if probes is None:
            ctx.fail("an export holds no sentences to check with: give held-out ones in the corpus's form by --probes.")
        _rebuild(run, output.absolute(), _read_lines(probes), further, beam, evaluation, language or (), quiet=quiet)
        typer.echo(output)
        return
    loaded = load_run(run, cast(WhichCheckpoint, checkpoint))
    shown = output or Path("exported") / loaded.recipe.name
    folder = shown.absolute()
    check_destination(folder)
    rewrites = loaded.recipe.task == "rewriting" and loaded.recipe.data.kind == "text"
    if beam is not None and beam > 1 and not rewrites:
        ctx.fail(f"--beam searches rewrites of text, which {loaded.recipe.name} does not make.")
    if sentences is not None and not rewrites:
        ctx.fail(f"--sentences are rewritten, which {loaded.recipe.name} does not do.")
    if loaded.recipe.data.kind == "image":
        _export_images(run, loaded, folder, evaluation, quiet=quiet)
        typer.echo(shown)
        return
    lines = _read_lines(probes) if probes else _held_out_lines(run, loaded, quiet=quiet)
    if loaded.recipe.task == "classification":
        if scores is not None:
            ctx.fail("--scores takes a report of rewrites; this run is a classification.")
        _export_classification(loaded, folder, lines, checkpoint, cast(Literal["fp16", "fp32"], weights), quiet=quiet)
        typer.echo(shown)
        return
    class_lines = _training_lines(run, loaded, quiet=quiet) if rewrites else None
    seen = loaded.state.step * loaded.recipe.training.batch_size * len(loaded.classes)
    with status(quiet) as progress:
        exported = export_model(
            loaded.model,
            loaded.recipe,
            loaded.tokenizer,
            folder,
            name=folder.name,
            scores=loaded.state.scores,
            training={"sentences": seen, "minutes": round(loaded.state.minutes, 1), "checkpoint": checkpoint},
            evaluation=evaluation,
            languages=language or (),
            probe_lines=lines,
            class_lines=class_lines,
            further_lines=further,
            weights=cast(Literal["fp16", "fp32"], weights),
            beam=beam or 1,
            progress=progress,
        )
    if not quiet:
        _describe(exported, weights)
    typer.echo(shown)


def _rebuild(
    root: Path,
    folder: Path,
    lines: Sequence[str],
    further: Sequence[str],
    beam: int | None,
    evaluation: str,
    languages: Sequence[str],
    *,
    quiet: bool,
) -> None:
    """Build an export anew."""
    from arae_transfer.export.rebuild import rebuild_export

    with status(quiet) as progress:
        exported = rebuild_export(
            root,
            folder,
            lines,
            name=folder.name,
            beam=beam,
            further_lines=further,
            evaluation=evaluation,
            languages=languages,
            progress=progress,
        )
    if not quiet:
        weights = json.loads(ExportLayout(folder).config.read_bytes())["variants"]["fp32"]["weights"]
        _describe(exported, weights)


def _export_classification(
    loaded: LoadedRun,
    folder: Path,
    lines: Sequence[str],
    checkpoint: str,
    weights: Literal["fp16", "fp32"],
    *,
    quiet: bool,
) -> None:
    from arae_transfer.export.classification import export_classifier

    training = loaded.recipe.training
    exported = export_classifier(
        loaded.model,
        loaded.recipe,
        loaded.tokenizer,
        folder,
        name=folder.name,
        scores=loaded.state.scores,
        training={
            "sentences": loaded.state.step * training.batch_size,
            "minutes": round(loaded.state.minutes, 1),
            "checkpoint": checkpoint,
        },
        probe_lines=lines,
        weights=weights,
    )
    if not quiet:
        size = sum(exported.sizes.values()) / 1e6
        typer.echo(
            f"{folder.name}: {', '.join(loaded.classes)}; {size:.1f} MB; probabilities of {exported.compared:,} probes "
            f"are the model's up to {exported.difference:.0e}",
            err=True,
        )


def _export_images(run: Path, loaded: LoadedRun, folder: Path, evaluation: str, *, quiet: bool) -> None:
    """Export a model of images."""
    from arae_transfer.cli.train import read_images, sources_of_run
    from arae_transfer.paper.images.image_export import export_image_model

    held_out = None
    try:
        held_out = next(iter(read_images(loaded.recipe, sources_of_run(run)).valid.values()))
    except AraeError as error:
        if not quiet:
            report(f"the run's held-out images cannot be read: {error.message}", "checking with random ones.")
    state = loaded.state
    seen = state.step * loaded.recipe.training.batch_size * len(loaded.classes)
    exported = export_image_model(
        loaded.model,
        loaded.recipe,
        folder,
        name=folder.name,
        scores=state.scores,
        training={"images": seen, "minutes": round(state.minutes, 1)},
        evaluation=evaluation,
        held_out=held_out,
    )
    if not quiet:
        size = sum(exported.sizes.values()) / 1e6
        typer.echo(
            f"{exported.name}: {', '.join(exported.classes)}; {size:.1f} MB in {len(exported.sizes)} files, fp32; on "
            f"{exported.images:,} images codes and probabilities differ from the model's by at most "
            f"{exported.difference:.0e}",
            err=True,
        )


def _describe(exported: ExportReport, weights: str) -> None:
    parity = exported.parity
    size = sum(exported.sizes.values()) / 1e6
    typer.echo(
        f"{exported.name}: {', '.join(exported.classes)}; {size:.1f} MB in {len(exported.sizes)} files", err=True
    )
    typer.echo(
        f"{parity.identical:,} of {parity.compared:,} rewrites are the model's, token by token; "
        f"{parity.near_ties:,} part at a near tie, {parity.different:,} differ",
        err=True,
    )
    if parity.unrounded_identical < 1:
        typer.echo(
            f"{100 * (1 - parity.unrounded_identical):.1f} % of rewrites changed by rounding the weights to {weights}",
            err=True,
        )
    for name, agreement, places in (
        ("fp16", exported.half_agreement, "GPUs"),
        ("int8", exported.agreement, "CPUs"),
    ):
        if agreement is not None:
            _describe_variant(name, agreement, places, judged=len(exported.classes) > 1)


def _describe_variant(name: str, agreement: Agreement, places: str, judged: bool) -> None:
    style = f"{agreement.style_cost:.2f} points of style and " if judged else ""
    typer.echo(
        f"{name}: {100 * agreement.identical:.1f} % of rewrites are the model's, "
        f"{100 * agreement.tokens:.1f} % of tokens; "
        f"it costs {style}{agreement.self_bleu_cost:.2f} points of BLEU to the source, "
        f"{f'and is used on {places}' if agreement.accepted else f'so that it is used only with --variant {name}'}",
        err=True,
    )


def _read_report(path: Path) -> str:
    """Return a report of `arae evaluate --json` as Markdown."""
    from arae_transfer.evaluation.report import render_markdown
    from arae_transfer.paper.images.image_report import is_image_report, render_image_markdown

    try:
        results = json.loads(path.read_bytes())
        return render_image_markdown(results) if is_image_report(results) else render_markdown(results)
    except OSError as error:
        raise AraeError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, AttributeError, StopIteration) as error:
        raise AraeError(f"{path} is no report of an evaluation", "give what `arae evaluate --json` wrote.") from error


def _read_lines(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8", errors="replace").split("\n")
    except OSError as error:
        raise AraeError(f"cannot read {path}: {error.strerror or error}") from error


def _held_out_lines(run: Path, loaded: LoadedRun, *, quiet: bool) -> Sequence[str]:
    """Return the held-out sentences of the run's corpus, the classes by turns; none where it is gone."""
    try:
        corpus = _read_part(RunLayout(run), loaded, "valid")
    except AraeError as error:
        if not quiet:
            report(f"the run's held-out sentences cannot be read: {error.message}", "checking with random ones.")
        return []
    from arae_transfer.export.parity import interleave

    return interleave(corpus)


def _training_lines(run: Path, loaded: LoadedRun, *, quiet: bool) -> Mapping[str, Sequence[str]] | None:
    """Return sentences that the run learned from, of each class; None where they are gone."""
    from arae_transfer.corpus.tokenizing import sample_lines

    try:
        lines = _read_part(RunLayout(run), loaded, "train")
    except AraeError as error:
        if not quiet:
            report(
                f"the run's training sentences cannot be read: {error.message}",
                "the export has no language models, by which candidates would be ranked, too.",
            )
        return None
    return sample_lines(lines, _MOST_LEARNED, loaded.recipe.training.seed)


def _read_part(layout: RunLayout, loaded: LoadedRun, part: str) -> LabelledLines:
    from arae_transfer.corpus.reading import ReadingOptions, read_corpus

    try:
        sources = [str(source) for source in json.loads(layout.environment.read_text("utf-8"))["data"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise AraeError(f"{layout.environment} does not say where they are") from error
    data = loaded.recipe.data
    options = ReadingOptions.of(loaded.recipe)
    if sources and loaded.recipe.task == "classification":
        from arae_transfer.corpus.labelled import read_examples

        pairs = loaded.recipe.labels.sentence_pairs
        examples = read_examples(sources, part, loaded.recipe.form, options, pairs=pairs, classes=loaded.classes)
        return {str(place): lines for place, lines in enumerate(examples.sentences)}
    if sources and loaded.recipe.task == "generation":
        from arae_transfer.cli.train import read_generation_text

        (lines,) = read_generation_text(loaded.recipe, sources, [part], lambda message: None)
        return {name: list(own) for name, own in lines.items()}
    if sources:
        return read_corpus(sources, part, options, classes=loaded.classes).lines
    if not data.builtin:  # sentences of another corpus would check less, and have other lengths
        raise AraeError(f"{layout.environment} does not say where they are")
    from arae_transfer.corpus.quickstart import write_corpus

    with tempfile.TemporaryDirectory() as folder:
        write_corpus(Path(folder))
        return read_corpus([folder], part, options, classes=loaded.classes).lines
