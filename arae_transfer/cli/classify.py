"""`arae classify`: label each line with its class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from arae_transfer.cli.command import report
from arae_transfer.cli.lines import STANDARD_INPUT, json_line, progress_bar, quick_start, sources_of
from arae_transfer.cli.messages import repaired_bytes
from arae_transfer.cli.options import (
    INPUT_AND_OUTPUT,
    BatchSizeOption,
    DeviceOption,
    EncodingOption,
    FormOption,
    ModelOption,
    OutputOption,
    QuietOption,
    ThreadsOption,
)
from arae_transfer.encodings import UTF_8, check_encoding
from arae_transfer.errors import AraeError
from arae_transfer.runtime.model_folder import ModelFolder

if TYPE_CHECKING:
    from arae_transfer.runtime.classifier import Verdict
    from arae_transfer.runtime.stream import Line

CHECK = "Check"


def classify(
    ctx: typer.Context,
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FILE",
            help=(
                "Text files with one sentence per line, or with two sentences and a tab between them for a "
                "model of sentence pairs. Default, or '-': standard input."
            ),
            rich_help_panel=INPUT_AND_OUTPUT,
            show_default=False,
        ),
    ] = None,
    model: ModelOption = None,
    form: FormOption = "auto",
    encoding: EncodingOption = UTF_8,
    output: OutputOption = None,
    tsv: Annotated[
        bool, typer.Option("--tsv", help="Write class, tab and source on each line.", rich_help_panel=INPUT_AND_OUTPUT)
    ] = False,
    json_lines: Annotated[
        bool,
        typer.Option(
            "--json",
            help="Write one JSON object per line: source, label, probabilities, truncated, incomplete, repaired.",
            rich_help_panel=INPUT_AND_OUTPUT,
        ),
    ] = False,
    fail_on: Annotated[
        str | None,
        typer.Option(
            metavar="CLASS",
            help=(
                "Write only the lines of this class, as FILE:LINE: CLASS PROBABILITY: TEXT, and exit with "
                "status 1 if there are any. With --tsv, --json or --output, write every line as well."
            ),
            rich_help_panel=CHECK,
        ),
    ] = None,
    min_confidence: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            metavar="P",
            help="With --fail-on: ignore lines whose class has a probability below P.  [default: 0]",
            rich_help_panel=CHECK,
        ),
    ] = None,
    device: DeviceOption = "auto",
    threads: ThreadsOption = None,
    batch_size: BatchSizeOption = 64,
    quiet: QuietOption = False,
) -> None:
    """Label text line by line, with probabilities.

    One line in, one class out, in order; an empty line stays empty. A model of sentence pairs reads two sentences
    with a tab between them.

    \b
      arae classify reviews.txt
      printf 'a man sleeps\\ta person is awake\\n' | arae classify --model exported/snli-classification --json
      arae classify --fail-on negative --min-confidence 0.9 replies.txt
    """
    if tsv and json_lines:
        ctx.fail("Options '--tsv' and '--json' exclude each other.")
    if min_confidence is not None and fail_on is None:
        ctx.fail("Option '--min-confidence' needs '--fail-on'.")
    folder = ModelFolder.find(model)
    folder.require_classifier()
    encoding = check_encoding(encoding)
    check = None if fail_on is None else Check(folder.find_class(fail_on), min_confidence or 0.0)
    answering = check is None or tsv or json_lines or output is not None
    names = files or [STANDARD_INPUT]
    sources = sources_of(names)

    with quick_start():
        from arae_transfer.cli.answers import open_answers
        from arae_transfer.runtime.batching import BATCHES_PER_CHUNK
        from arae_transfer.runtime.classifier import Classifier
        from arae_transfer.runtime.stream import LineReader

        classifier = Classifier.load(folder.address, device=device, threads=threads, form=form)

    counts = _Counts()
    # A check names the place of each line; without one, lines of several files share batches.
    groups = [sources] if check is None else [[source] for source in sources]
    render = _as_tsv if tsv else _as_json if json_lines else _as_text
    with open_answers(output if answering else None) as write, progress_bar(names, output, quiet=quiet) as advance:
        for group in groups:
            number = 0
            for chunk in LineReader(group, encoding).chunks(batch_size * BATCHES_PER_CHUNK):
                verdicts = classifier.classify_chunk([line.text for line in chunk], batch_size=batch_size)
                if answering:
                    write("".join(map(render, chunk, verdicts)).encode())
                found = [] if check is None else check.find(group[0].name, number, verdicts)
                if answering:
                    for each in found:
                        report(each)
                else:
                    write("".join(f"{each}\n" for each in found).encode())
                number += len(chunk)
                counts.add(chunk, verdicts)
                advance(sum(line.size for line in chunk))
    if not quiet:
        counts.say(folder, encoding)
    if check is not None and check.found:
        raise AraeError(
            f"{check.found:,} of {counts.lines:,} lines {'is' if check.found == 1 else 'are'} {check.label}",
            "change these lines, or ignore more of them with a greater --min-confidence.",
        )


@dataclass
class Check:
    """Finds lines of a class that must not occur.

    Attributes:
        label: The class.
        confidence: The least probability that counts.
        found: How many there were.
    """

    label: str
    confidence: float
    found: int = 0

    def find(self, name: str, before: int, verdicts: Sequence[Verdict]) -> list[str]:
        """Return one message per line that has the class.

        Args:
            name: The file that they are of.
            before: How many of its lines stand before them.
            verdicts: What was found for each line.
        """
        from arae_transfer.runtime.preparation import one_line

        said = []
        for number, verdict in enumerate(verdicts, before + 1):
            probability = verdict.probabilities.get(self.label, 0.0)
            if verdict.label == self.label and probability >= self.confidence:
                said.append(f"{name}:{number}: {self.label} {probability:.2f}: {one_line(verdict.source)}")
        self.found += len(said)
        return said


@dataclass
class _Counts:
    """How many lines were classified, and how many of them with a remark."""

    lines: int = 0
    truncated: int = 0
    incomplete: int = 0
    repaired: int = 0

    def add(self, chunk: Sequence[Line], verdicts: Sequence[Verdict]) -> None:
        """Count some lines and what was found for them."""
        self.lines += len(chunk)
        self.truncated += sum(verdict.truncated for verdict in verdicts)
        self.incomplete += sum(verdict.incomplete for verdict in verdicts)
        self.repaired += sum(line.repaired > 0 for line in chunk)

    def say(self, folder: ModelFolder, encoding: str) -> None:
        """Report the remarks."""
        for number, what in (
            (self.incomplete, "left without a class: no tab between two sentences"),
            (self.truncated, f"truncated to {folder.maximum_tokens - 1} tokens, the limit of {folder.name}"),
            (self.repaired, repaired_bytes(encoding)),
        ):
            if number:
                report(f"{number:,} of {self.lines:,} lines {'was' if number == 1 else 'were'} {what}")


def _as_text(line: Line, verdict: Verdict) -> str:
    return f"{verdict.label}\n"


def _as_tsv(line: Line, verdict: Verdict) -> str:
    from arae_transfer.runtime.preparation import one_line

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
