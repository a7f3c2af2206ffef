"""`arae offset`: give sentences a property by shifting their codes by the mean difference of two groups."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from arae_transfer.cli.command import report
from arae_transfer.cli.lines import STANDARD_INPUT, json_line, progress_bar, quick_start, sources_of
from arae_transfer.cli.messages import repaired_bytes
from arae_transfer.cli.options import (
    INPUT_AND_OUTPUT,
    MODEL,
    DeviceOption,
    EncodingOption,
    FormOption,
    ModelOption,
    OutputOption,
    QuietOption,
    ThreadsOption,
    complete_class,
    typed_text,
)
from arae_transfer.encodings import UTF_8, check_encoding
from arae_transfer.errors import AraeError
from arae_transfer.runtime.model_folder import ModelFolder

if TYPE_CHECKING:
    from arae_transfer.runtime.stream import Line, Source

GROUPS = "Groups of sentences"
_LINES_PER_CHUNK = 256


def offset(
    ctx: typer.Context,
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FILE",
            help=(
                "Text files, one sentence per line. Default, or '-': standard input; with --measure, sentences "
                "of the groups."
            ),
            rich_help_panel=INPUT_AND_OUTPUT,
            show_default=False,
        ),
    ] = None,
    words: Annotated[
        list[str] | None,
        typer.Option(
            "--word",
            "-w",
            metavar="WORD",
            help="Shift towards sentences with this word; repeatable with --measure.",
            rich_help_panel=GROUPS,
        ),
    ] = None,
    having: Annotated[
        Path | None,
        typer.Option(
            "--with", metavar="FILE", help="File of sentences that have the property.", rich_help_panel=GROUPS
        ),
    ] = None,
    lacking: Annotated[
        Path | None,
        typer.Option(
            "--without", metavar="FILE", help="File of sentences that do not have the property.", rich_help_panel=GROUPS
        ),
    ] = None,
    corpus: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help=("File of sentences to form the groups with and without the word from. Default: generated sentences."),
            rich_help_panel=GROUPS,
        ),
    ] = None,
    pool: Annotated[
        int,
        typer.Option(
            min=100, metavar="N", help="Number of sentences to generate for the groups.", rich_help_panel=GROUPS
        ),
    ] = 20_000,
    seed: Annotated[
        int, typer.Option(min=0, metavar="N", help="Random seed of the generated sentences.", rich_help_panel=GROUPS)
    ] = 0,
    steps: Annotated[int, typer.Option(min=1, metavar="N", help="Number of strengths to try.")] = 10,
    strongest: Annotated[float, typer.Option(metavar="X", help="Greatest multiple of the offset.")] = 5.0,
    measure: Annotated[
        bool,
        typer.Option("--measure", help="Measure how often the shift succeeds, and how much of each sentence it keeps."),
    ] = False,
    number: Annotated[
        int,
        typer.Option(
            "--number", "-n", min=1, metavar="N", help="With --measure: maximum number of sentences to shift."
        ),
    ] = 1000,
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            "-t",
            metavar="CLASS",
            help="Class whose decoder writes the sentences; not needed for a model of one class.",
            autocompletion=complete_class,
            rich_help_panel=MODEL,
        ),
    ] = None,
    model: ModelOption = None,
    form: FormOption = "auto",
    encoding: EncodingOption = UTF_8,
    output: OutputOption = None,
    json_lines: Annotated[
        bool,
        typer.Option(
            "--json",
            help=(
                "Write one JSON object per line: source, output, match, strength, precision; with --measure: "
                "word, with, without, sentences, match, precision, strength."
            ),
            rich_help_panel=INPUT_AND_OUTPUT,
        ),
    ] = False,
    device: DeviceOption = "auto",
    threads: ThreadsOption = None,
    quiet: QuietOption = False,
) -> None:
    """Add a property to sentences by shifting their code vectors.

    One line in, one line out. Shifts the code by growing multiples of the offset until the sentence has the word
    (with --with and --without: until its code is closer to the first group). The match is the share of sentences
    that succeed; the precision is the share of an output's words that occur in its source.

    \b
      echo "a man is sleeping ." | arae offset --model snli-generation --word walking
      arae offset --model snli-generation --word walking --word dog --measure
    """
    _check_options(
        ctx, words, having, lacking, measure=measure, given_files=bool(files), corpus=corpus, strongest=strongest
    )
    reading = _Reading(check_encoding(encoding))
    folder = ModelFolder.find(model)
    if to is None and len(folder.classes) > 1:
        ctx.fail(f"Missing option '--to' / '-t'. Classes of {folder.name}: {', '.join(folder.classes)}.")
    class_name = folder.match_class(to or folder.classes[0])
    sources = sources_of(files or [STANDARD_INPUT]) if files or not measure else []

    with quick_start():
        from arae_transfer.cli.answers import open_answers
        from arae_transfer.paper.offset_finder import OffsetFinder
        from arae_transfer.paper.offsets import generated_pool
        from arae_transfer.runtime.code_space import CodeSpace
        from arae_transfer.runtime.preparation import make_normalizer
        from arae_transfer.runtime.sessions import Sessions

        space = CodeSpace(Sessions(folder, device, threads))
    strengths = [strongest * (place + 1) / steps for place in range(steps)]
    say = (lambda text: None) if quiet else report
    finder = OffsetFinder(space, class_name, make_normalizer(folder, form), strengths, reading.all_of, say)
    lines: list[str] = []
    if words:
        if corpus is None and not quiet and sys.stderr is not None and sys.stderr.isatty():
            report(f"generating {pool:,} sentences, with and without the word")
        own = finder.read_pool(corpus) if corpus is not None else generated_pool(space, class_name, pool, seed)
        if measure and not files:
            own, lines = own.hold_out()  # what is moved has no part in the means
        found = [finder.of_word(typed_text(word), own, word) for word in words]
    else:
        assert having is not None
        assert lacking is not None
        found = [finder.of_groups(having.name, finder.read_pool(having), finder.read_pool(lacking), None)]

    chunks = reading.chunks(sources) if files or not measure else iter(())
    with open_answers(output) as write:
        if measure:
            lines += [finder.normalizer.normalize(line.text)[0] for chunk in chunks for line in chunk]
            rows = [each.measure(lines, number) for each in found]
            write(("".join(map(json_line, rows)) if json_lines else _table(rows)).encode())
            reading.say_what_was_repaired(quiet=quiet)
            return
        with progress_bar(files or [STANDARD_INPUT], output, quiet=quiet) as advance:
            matched = total = 0
            for chunk in chunks:
                records = found[0].move(chunk, finder.normalizer)
                texts = (json_line(each) if json_lines else f"{each['output']}\n" for each in records)
                write("".join(texts).encode())
                matched += sum(each["match"] for each in records)
                total += sum(bool(line.text.strip()) for line in chunk)
                advance(sum(line.size for line in chunk))
    reading.say_what_was_repaired(quiet=quiet)
    if total > matched and not quiet:
        report(f"{total - matched:,} of {total:,} lines did not get the property")


def _check_options(
    ctx: typer.Context,
    words: list[str] | None,
    having: Path | None,
    lacking: Path | None,
    *,
    measure: bool,
    given_files: bool,
    corpus: Path | None,
    strongest: float,
) -> None:
    """Refuse options that do not say which groups of sentences are compared, and how far codes are shifted."""
    if bool(words) == (having is not None or lacking is not None) or (having is None) != (lacking is None):
        ctx.fail("Give either --word, or both --with and --without.")
    if words and len(words) > 1 and not measure:
        ctx.fail("Several '--word' options need --measure.")
    if having is not None and measure and not given_files:
        ctx.fail("'--measure' with --with and --without needs a FILE of sentences to shift.")
    if corpus is not None and not words:
        ctx.fail("Option '--corpus' needs --word.")
    if not 0 < strongest < math.inf:
        ctx.fail("Invalid value for '--strongest': it must be a finite number above 0.")


def _table(rows: Sequence[dict[str, Any]]) -> str:
    heads = ("towards", "sentences with", "without", "moved", "match %", "precision %", "strength")
    lines = [heads, ("---", *["---:"] * (len(heads) - 1))]
    for row in rows:
        lines.append(
            (
                row["word"],
                f"{row['with']:,}",
                f"{row['without']:,}",
                f"{row['sentences']:,}",
                f"{row['match']:.1f}",
                f"{row['precision']:.1f}",
                f"{row['strength']:.2f}",
            )
        )
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


class _Reading:
    """Reads lines in an encoding, and counts those with invalid bytes."""

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding
        self._repaired = 0

    def chunks(self, sources: Sequence[Source]) -> Iterator[list[Line]]:
        """Yield the lines of sources in chunks."""
        from arae_transfer.runtime.stream import LineReader

        for chunk in LineReader(sources, self._encoding).chunks(_LINES_PER_CHUNK):
            self._repaired += sum(line.repaired > 0 for line in chunk)
            yield chunk

    def all_of(self, path: Path) -> list[str]:
        """Return the lines of a file that have text.

        Raises:
            AraeError: It cannot be read, or it has no line.
        """
        from arae_transfer.runtime.stream import Source

        lines = [line.text for chunk in self.chunks([Source.from_path(path)]) for line in chunk if line.text.strip()]
        if not lines:
            raise AraeError(f"{path} is empty", "write one sentence per line.")
        return lines

    def say_what_was_repaired(self, *, quiet: bool) -> None:
        """Report how many lines have invalid bytes."""
        if self._repaired and not quiet:
            report(f"{self._repaired:,} line{'s' if self._repaired > 1 else ''} {repaired_bytes(self._encoding)}")
