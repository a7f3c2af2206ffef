"""`arae classify`: lines in, classes out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from arae_transfer.cli.command import report
from arae_transfer.cli.options import (
    INPUT_AND_OUTPUT,
    SPEED,
    DeviceOption,
    FormOption,
    ModelOption,
    OutputOption,
    QuietOption,
    ThreadsOption,
)
from arae_transfer.cli.transfer import STANDARD_INPUT, json_line, progress_bar, quick_start, sources_of
from arae_transfer.runtime.model_folder import ModelFolder

if TYPE_CHECKING:
    from arae_transfer.runtime.classifier import Verdict
    from arae_transfer.runtime.stream import Line


def classify(
    ctx: typer.Context,
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FILE",
            help="Text files, one sentence a line, or two with a tab between for a model of pairs; "
            "none, or -: standard input.",
            rich_help_panel=INPUT_AND_OUTPUT,
            show_default=False,
        ),
    ] = None,
    model: ModelOption = None,
    form: FormOption = "auto",
    output: OutputOption = None,
    tsv: Annotated[
        bool, typer.Option("--tsv", help="Write class, tab, source.", rich_help_panel=INPUT_AND_OUTPUT)
    ] = False,
    json_lines: Annotated[
        bool,
        typer.Option(
            "--json",
            help="Write one JSON object a line: source, label, probabilities, truncated, incomplete, repaired.",
            rich_help_panel=INPUT_AND_OUTPUT,
        ),
    ] = False,
    device: DeviceOption = "auto",
    threads: ThreadsOption = None,
    batch_size: Annotated[
        int,
        typer.Option(
            min=1,
            metavar="N",
            help="The most lines classified at once; it does not change the answers.",
            rich_help_panel=SPEED,
        ),
    ] = 64,
    quiet: QuietOption = False,
) -> None:
    """Label text line by line, with probabilities.

    One line in, one class out, in order, always; a blank line stays blank. A model of pairs reads two sentences with a
    tab between.

    \b
      arae classify reviews.txt
      printf 'a man sleeps\\ta person is awake\\n' | arae classify --model exported/snli-classification --json
    """
    if tsv and json_lines:
        ctx.fail("Options '--tsv' and '--json' exclude each other.")
    folder = ModelFolder.find(model)
    folder.require_classifier()
    names = files or [STANDARD_INPUT]
    sources = sources_of(names)

    with quick_start():
        from arae_transfer.cli.answers import open_answers
        from arae_transfer.runtime.classifier import Classifier
        from arae_transfer.runtime.rewriter import BATCHES_PER_CHUNK
        from arae_transfer.runtime.stream import LineReader

        classifier = Classifier.load(folder.address, device=device, threads=threads, form=form)

    lines, truncated, incomplete, repaired = 0, 0, 0, 0
    with open_answers(output) as write:
        render = _as_tsv if tsv else _as_json if json_lines else _as_text
        with progress_bar(names, output, quiet=quiet) as advance:
            for chunk in LineReader(sources).chunks(batch_size * BATCHES_PER_CHUNK):
                verdicts = classifier.classify_chunk([line.text for line in chunk], batch_size=batch_size)
                write("".join(map(render, chunk, verdicts)).encode())
                lines += len(chunk)
                truncated += sum(verdict.truncated for verdict in verdicts)
                incomplete += sum(verdict.incomplete for verdict in verdicts)
                repaired += sum(line.repaired > 0 for line in chunk)
                advance(sum(line.size for line in chunk))
    if quiet:
        return
    for number, what in (
        (incomplete, "left without a class: not two sentences with a tab between"),
        (truncated, f"cut to {folder.maximum_tokens - 1} tokens, the most that {folder.name} reads"),
        (repaired, "repaired: bytes that are not UTF-8 became \N{REPLACEMENT CHARACTER}"),
    ):
        if number:
            report(f"{number:,} of {lines:,} lines {'was' if number == 1 else 'were'} {what}")


def _as_text(line: Line, verdict: Verdict) -> str:
    return f"{verdict.label}\n"


def _as_tsv(line: Line, verdict: Verdict) -> str:
    from arae_transfer.runtime.rewriter import one_line

    return f"{verdict.label}\t{one_line(line.text)}\n"


def _as_json(line: Line, verdict: Verdict) -> str:
    return json_line(
        {
            "source": line.text,
            "label": verdict.label,
            "probabilities": {name: round(value, 6) for name, value in verdict.probabilities.items()},
            "truncated": verdict.truncated,
            "incomplete": verdict.incomplete,
            "repaired": line.repaired,
        }
    )
