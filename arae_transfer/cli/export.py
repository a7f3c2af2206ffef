"""`arae export`: turn a training run into a folder that `arae transfer` can use."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, cast

import typer

from arae_transfer.cli.command import report
from arae_transfer.cli.options import QuietOption
from arae_transfer.cli.status import status
from arae_transfer.errors import AraeError, quoted
from arae_transfer.export_config import EDITING, MOST_CANDIDATES, ExportConfig
from arae_transfer.layout import ExportLayout, RunLayout, WhichCheckpoint

CARD = "Model card"
MODEL = "Model"
WEB = "Page for browsers"


def export(
    ctx: typer.Context,
    origin: Annotated[
        str,
        typer.Argument(
            metavar="RUN",
            help="Folder of a training run, or of an export to rebuild; with --web a model, as `arae transfer --model` "
            "takes it.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FOLDER",
            help="Folder to write; its last part names the model. Default: exported/RECIPE.",
            rich_help_panel=MODEL,
        ),
    ] = None,
    checkpoint: Annotated[
        str, typer.Option(metavar="best|latest", help="Checkpoint to export.", rich_help_panel=MODEL)
    ] = "best",
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="fp16|fp32",
            help=(
                "Precision of the stored weights. fp16 halves the files and adds graphs for GPUs. A model that "
                "edits is stored in int8 only, unless you set this.  [default: fp16]"
            ),
            rich_help_panel=MODEL,
        ),
    ] = None,
    beam: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=MOST_CANDIDATES,
            metavar="N",
            help=(
                "Beam width that `arae transfer` uses by default with this model; it answers with the best "
                "hypothesis. Default: 1."
            ),
            rich_help_panel=MODEL,
        ),
    ] = None,
    probes: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help=(
                "Held-out sentences in the corpus's text format, to check the export. Default: the run's own. Graphs "
                "of an export are rebuilt only with this."
            ),
            rich_help_panel=MODEL,
        ),
    ] = None,
    sentences: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help=(
                "More sentences in the corpus's text format, whose rewrites determine the vocabulary shortlist of "
                "each decoder. Default: the run's training sentences; an export has none."
            ),
            rich_help_panel=MODEL,
        ),
    ] = None,
    quality: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN",
            help="Run whose quality estimator to use, for a model that edits. Default: the run itself.",
            rich_help_panel=MODEL,
        ),
    ] = None,
    scores: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Report of `arae evaluate --json` for the model card.", rich_help_panel=CARD),
    ] = None,
    language: Annotated[
        list[str] | None,
        typer.Option(metavar="CODE", help="Language of the text, such as en; repeatable.", rich_help_panel=CARD),
    ] = None,
    web: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Write a page that rewrites in the browser alone, which any file server serves.",
            rich_help_panel=WEB,
        ),
    ] = None,
    runtime: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="The onnxruntime-web for the page: the unpacked npm package, or the archive that `npm pack "
            "onnxruntime-web` writes.  [default: node_modules/onnxruntime-web]",
            rich_help_panel=WEB,
        ),
    ] = None,
    quiet: QuietOption = False,
) -> None:
    """Export a trained model, so that it runs without PyTorch.

    Writes the folder after checking that its files give the outputs of the trained model. The path goes to standard
    output, messages to standard error.

    Given an export instead of a run, writes it in this version's format. With --probes, rebuilds its graphs from its
    own weights.

    \b
      arae export runs/quickstart/20260131-120000 -o exported/quickstart
      arae export exported/old -o exported/new --scores report.json
      arae export exported/old -o exported/new --probes valid.txt
      arae export yelp-sentiment --web site
    """
    if web is not None:
        _refuse_beside_web(ctx)
        _export_page(origin, web, runtime, quiet=quiet)
        return
    if runtime is not None:
        ctx.fail("--runtime is for the page that --web writes.")
    run = Path(origin)
    if checkpoint not in ("best", "latest"):
        ctx.fail(f"Invalid value for '--checkpoint': {checkpoint!r} is neither best nor latest.")
    if weights not in (None, "fp16", "fp32"):
        ctx.fail(f"Invalid value for '--weights': {weights!r} is neither fp16 nor fp32.")
    evaluation = _read_report(scores) if scores else ""
    further = _read_lines(sentences) if sentences else []

    from arae_transfer.cli.extras import require

    require("torch", "onnx", "safetensors", "sacrebleu", extra="train", command="arae export")
    from arae_transfer.export.folder import check_destination
    from arae_transfer.tasks import task_of
    from arae_transfer.tasks.task import ExportRequest
    from arae_transfer.training.checkpoint import load_run

    if ExportLayout(run).config.is_file() and not RunLayout(run).recipe.is_file():
        _write_anew(ctx, run, output, probes, further, beam, evaluation, language or (), quiet=quiet)
        return
    loaded = load_run(run, cast(WhichCheckpoint, checkpoint))
    task = task_of(loaded.recipe)
    shown = output or Path("exported") / loaded.recipe.name
    folder = shown.absolute()
    check_destination(folder)
    several = beam is not None and beam > 1
    if quality is not None and loaded.recipe.task != EDITING:
        ctx.fail("Option '--quality' is for models that edit.")
    for wrong in task.unfit_export_options(
        loaded.recipe.name, beam=several, sentences=sentences is not None, scores=scores is not None
    ):
        ctx.fail(wrong)

    def notice(message: str, remedy: str) -> None:
        if not quiet:
            report(message, remedy)

    with status(quiet) as progress:
        said = task.export(
            ExportRequest(
                run,
                loaded,
                folder,
                checkpoint,
                cast(Literal["fp16", "fp32"] | None, weights),
                _read_lines(probes) if probes else None,
                further,
                beam,
                evaluation,
                language or (),
                notice,
                progress,
                load_run(quality) if quality is not None else None,
            )
        )
    if not quiet:
        typer.echo("\n".join(said), err=True)
    typer.echo(shown)


def _write_anew(
    ctx: typer.Context,
    root: Path,
    output: Path | None,
    probes: Path | None,
    further: Sequence[str],
    beam: int | None,
    evaluation: str,
    languages: Sequence[str],
    *,
    quiet: bool,
) -> None:
    """Write an export anew: in the newest format, or with sentences to check with, with graphs built anew."""
    for name in ("checkpoint", "weights"):
        source = ctx.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            ctx.fail(f"Option '--{name}' needs a run; an export keeps its weights.")
    if output is None:
        ctx.fail("Writing an export anew needs --output, the folder to write.")
    folder = output.absolute()
    if probes is not None:
        _rebuild(root, folder, _read_lines(probes), further, beam, evaluation, languages, quiet=quiet)
    elif further:
        ctx.fail("--sentences needs --probes, held-out sentences: without these the graphs stay as they are.")
    else:
        from arae_transfer.export.upgrade import upgrade_export

        upgrade_export(root, folder, name=folder.name, beam=beam, evaluation=evaluation, languages=languages)
    typer.echo(output)


def _refuse_beside_web(ctx: typer.Context) -> None:
    """Refuse options that say how a run is exported, of which a page knows nothing."""
    for name in ctx.params:
        given = ctx.get_parameter_source(name)
        if name not in ("origin", "web", "runtime", "quiet") and given is not None and given.name == "COMMANDLINE":
            ctx.fail(f"--{name} does not go with --web, which takes a model as it is.")


def _export_page(source: str, folder: Path, runtime: Path | None, *, quiet: bool) -> None:
    """Write a page that rewrites by an exported model."""
    from arae_transfer.runtime.model_folder import ModelFolder
    from arae_transfer.web.runtime import read_runtime
    from arae_transfer.web.site import describe, write_site

    run = RunLayout(Path(source))
    if run.recipe.is_file() and not ExportLayout(run.root).config.is_file():
        raise AraeError(
            f"{source} is a training run, and the page needs an exported model",
            f"arae export {quoted(source)} -o MODEL, then arae export MODEL --web {quoted(folder)}",
        )
    with status(quiet) as progress:
        progress("Writing the page ...")
        sizes = write_site(ModelFolder.find(source), read_runtime(runtime), folder.absolute())
    if not quiet:
        typer.echo("\n".join(describe(sizes, folder)), err=True)
    typer.echo(folder)


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
    """Rebuild an export from its own weights."""
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
        weights = ExportConfig.read(ExportLayout(folder).config).fp32.storage
        typer.echo("\n".join(exported.describe(cast(Literal["fp16", "fp32"], weights))), err=True)


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
        raise AraeError(
            f"{path} is not a report of an evaluation", "give the output of `arae evaluate --json`."
        ) from error


def _read_lines(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8", errors="replace").split("\n")
    except OSError as error:
        raise AraeError(f"cannot read {path}: {error.strerror or error}") from error
