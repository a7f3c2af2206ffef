"""`arae transfer`: lines in, rewritten lines out."""

from __future__ import annotations

import gc
import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from arae_transfer.cli.command import exit_without_cleanup
from arae_transfer.cli.messages import Messages
from arae_transfer.cli.options import (
    INPUT_AND_OUTPUT,
    MESSAGES,
    MODEL,
    SPEED,
    DeviceOption,
    FormOption,
    ModelOption,
    OutputOption,
    QuietOption,
    ThreadsOption,
    complete_class,
)
from arae_transfer.errors import AraeError
from arae_transfer.layout import list_models
from arae_transfer.runtime.model_folder import ModelFolder

if TYPE_CHECKING:
    from arae_transfer.runtime.decoding import DecodingOptions
    from arae_transfer.runtime.reranking import ScoredHypothesis
    from arae_transfer.runtime.rewrite import Rewrite
    from arae_transfer.runtime.stream import Line, Source

CANDIDATES = "Candidates"

STANDARD_INPUT = "-"
DEFAULT_RANKING = "style=1,fluency=0.25,content=1.5,language=0.2"
DECIMALS = 4
"""Of scores in JSON: those of a line differ by less in batches of other sizes."""


def transfer(
    ctx: typer.Context,
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FILE",
            help="Text files, one sentence a line; none, or -: standard input.",
            rich_help_panel=INPUT_AND_OUTPUT,
            show_default=False,
        ),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            "-t",
            metavar="CLASS",
            help="The class to rewrite to, or the start of its name.",
            autocompletion=complete_class,
            rich_help_panel=MODEL,
        ),
    ] = None,
    model: ModelOption = None,
    form: FormOption = "auto",
    long: Annotated[
        str,
        typer.Option(
            metavar="split|keep|truncate",
            help="Lines of several sentences, or too long for the model: rewrite piece by piece, leave as they are if "
            "too long, or leave out what is too much.",
            rich_help_panel=INPUT_AND_OUTPUT,
        ),
    ] = "split",
    output: OutputOption = None,
    tsv: Annotated[
        bool,
        typer.Option("--tsv", help="Write source, tab, answer.", rich_help_panel=INPUT_AND_OUTPUT),
    ] = False,
    json_lines: Annotated[
        bool,
        typer.Option(
            "--json",
            help="Write one JSON object a line: source, output, to, tokens, truncated, unfinished, status, pieces, "
            "kept, unread, repaired; candidates with their scores, and unsure, where there are candidates; from and "
            "already with --from; keep, the probability that nothing is to change, by a model that edits.",
            rich_help_panel=INPUT_AND_OUTPUT,
        ),
    ] = False,
    beam: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Search N candidates by beam search and answer with the best; 1 is the greedy rewrite.",
            rich_help_panel=CANDIDATES,
        ),
    ] = None,
    sample: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="K",
            help="Draw K candidates by chance instead, and answer with the best.",
            rich_help_panel=CANDIDATES,
        ),
    ] = None,
    temperature: Annotated[
        float | None,
        typer.Option(
            metavar="T",
            help="With --sample: below 1 nearer to the probable, above 1 farther from it.  [default: 1]",
            rich_help_panel=CANDIDATES,
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="S",
            help="With --sample: another seed draws other candidates; the same line has the same ones.  [default: 0]",
            rich_help_panel=CANDIDATES,
        ),
    ] = None,
    n_best: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="K",
            help="With --json: write the K best candidates of each line; without this, all.",
            rich_help_panel=CANDIDATES,
        ),
    ] = None,
    rerank: Annotated[
        str | None,
        typer.Option(
            metavar="NAME=WEIGHT,...",
            help="By what candidates are ranked: style, fluency, content, language; what is not named counts nothing."
            f"  [default: {DEFAULT_RANKING}]",
            rich_help_panel=CANDIDATES,
        ),
    ] = None,
    min_confidence: Annotated[
        float | None,
        typer.Option(
            metavar="P",
            help="Leave a line unchanged where the style score of its best candidate, a probability, is below P.",
            rich_help_panel=CANDIDATES,
        ),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="auto",
            help="Find the class of each line, and leave those as they are that have the wished one already.",
            rich_help_panel=MODEL,
        ),
    ] = None,
    if_already: Annotated[
        str | None,
        typer.Option(
            metavar="keep|rewrite",
            help="With --from auto: lines that have the wished class already.  [default: keep]",
            rich_help_panel=MODEL,
        ),
    ] = None,
    if_unchanged: Annotated[
        str | None,
        typer.Option(
            metavar="search|keep",
            help="Where the greedy rewrite would be the line itself: take the best other candidate of a small beam "
            "that has the wished class, or keep the line. Means --beam 1.  [default: search, where the model can]",
            rich_help_panel=MODEL,
        ),
    ] = None,
    copy_above: Annotated[
        float | None,
        typer.Option(
            metavar="P",
            help="With a model that edits: leave a line unchanged where the model finds, with a probability above P, "
            "that nothing is to change.  [default: the model's own]",
            rich_help_panel=CANDIDATES,
        ),
    ] = None,
    list_the_models: Annotated[
        bool,
        typer.Option("--list-models", help="List the models: name, classes, folder.", rich_help_panel=MODEL),
    ] = False,
    list_the_classes: Annotated[
        bool, typer.Option("--list-classes", help="List the model's classes.", rich_help_panel=MODEL)
    ] = False,
    device: DeviceOption = "auto",
    variant: Annotated[
        str,
        typer.Option(
            metavar="auto|fp32|fp16|int8",
            help="The arithmetic; auto: int8 on a CPU and fp16 on a GPU, if the export found its answers close enough, "
            "else fp32.",
            rich_help_panel=SPEED,
        ),
    ] = "auto",
    threads: ThreadsOption = None,
    batch_size: Annotated[
        int,
        typer.Option(
            min=1,
            metavar="N",
            help="The most lines rewritten at once; it does not change the answers.",
            rich_help_panel=SPEED,
        ),
    ] = 64,
    quiet: QuietOption = False,
    verbose: Annotated[
        bool,
        typer.Option("--verbose", "-v", help="Say what runs where, and how fast.", rich_help_panel=MESSAGES),
    ] = False,
) -> None:
    """Rewrite text from one style to another, line by line.

    One line in, one line out, in order, always; a blank line stays blank. Answers go to standard output,
    everything else to standard error.

    \b
      echo "the food was cold" | arae transfer --to positive
      arae transfer --to negative reviews.txt > bitter.txt
    """
    if list_the_models:
        _print_models()
        return
    if list_the_classes:
        for name in ModelFolder.find(model).classes:
            typer.echo(name)
        return
    if to is None:
        ctx.fail(f"Missing option '--to' / '-t'.{known_classes(model)}")
    if tsv and json_lines:
        ctx.fail("Options '--tsv' and '--json' exclude each other.")
    if long not in ("split", "keep", "truncate"):
        ctx.fail(f"Invalid value for '--long': {long!r} is none of split, keep, truncate.")
    for name, value, needed, wanted in (
        ("--temperature", temperature, "--sample", sample),
        ("--seed", seed, "--sample", sample),
        ("--if-already", if_already, "--from auto", source),
        ("--rerank", rerank, "--beam or --sample", max(beam or 1, sample or 0, n_best or 1) > 1 or sample),
        ("--n-best", n_best, "--json: each line has one answer", json_lines or n_best == 1),
    ):
        if value is not None and not wanted:
            ctx.fail(f"Option '{name}' needs {needed}.")
    if beam is not None and sample is not None:
        ctx.fail("Options '--beam' and '--sample' exclude each other.")
    options = _decoding_options(
        beam, sample, temperature, seed, n_best, rerank, min_confidence, source, if_already, if_unchanged, copy_above
    )
    folder = ModelFolder.find(model)
    folder.require_rewriting()
    class_name = folder.match_class(to)
    names = files or [STANDARD_INPUT]
    sources = sources_of(names)
    messages = Messages(folder, quiet=quiet, verbose=verbose)

    with quick_start():
        from arae_transfer.runtime.sessions import Sessions

        sessions = Sessions(folder, device, threads, variant)
        sessions.open_early(
            class_name, searching=options.resolve(folder.beam).needs_hypotheses
        )  # while the rest is imported

        from arae_transfer.cli.answers import open_answers
        from arae_transfer.runtime.rewriter import Rewriter
        from arae_transfer.runtime.stream import LineReader

        rewriter = Rewriter(sessions)
        rewriter.prepare(class_name, form, options)

    with open_answers(output) as write:
        messages.ready(rewriter, class_name, names)
        render = _as_tsv if tsv else _as_json if json_lines else _as_text
        with progress_bar(names, output, quiet=quiet) as advance:
            for chunk in LineReader(sources).chunks(rewriter.chunk_size(batch_size)):
                rewrites = rewriter.rewrite_chunk(
                    [line.text for line in chunk],
                    class_name,
                    batch_size=batch_size,
                    form=form,
                    long=long,
                    options=options,
                )
                answers = (render(line, each, options) for line, each in zip(chunk, rewrites, strict=True))
                write("".join(answers).encode())
                messages.count(chunk, rewrites)
                advance(sum(line.size for line in chunk))
    messages.finished(class_name, options)
    exit_without_cleanup()


def _decoding_options(
    beam: int | None,
    sample: int | None,
    temperature: float | None,
    seed: int | None,
    n_best: int | None,
    rerank: str | None,
    min_confidence: float | None,
    source: str | None,
    if_already: str | None,
    if_unchanged: str | None,
    copy_above: float | None,
) -> DecodingOptions:
    """Return how answers are chosen; what was not said is as a options is without it.

    Raises:
        AraeError: A value is out of range, or two do not go together.
    """
    with quick_start():
        from arae_transfer.runtime.decoding import DecodingOptions
        from arae_transfer.runtime.reranking import Ranking

    if if_unchanged is not None and beam is None and not sample and n_best is None:
        beam = 1  # it is about the one greedy rewrite
    said: dict[str, Any] = {
        "beam": beam,
        "sample": sample,
        "temperature": temperature,
        "seed": seed,
        "n_best": n_best,
        "ranking": None if rerank is None else Ranking.parse(rerank),
        "min_confidence": min_confidence,
        "source": source,
        "if_already": if_already,
        "if_unchanged": if_unchanged,
        "copy_above": copy_above,
    }
    return DecodingOptions(**{name: value for name, value in said.items() if value is not None})


@contextmanager
def quick_start() -> Iterator[None]:
    """Leave the garbage alone for a while: what is imported stays, and searching it takes a tenth of the start."""
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()


def known_classes(model: str | None) -> str:
    """Return a sentence that lists the model's classes, or nothing when there is no such model."""
    try:
        folder = ModelFolder.find(model)
    except AraeError:
        return ""
    folder.require_rewriting()  # of a model that cannot, no class is missing
    return f" Classes of {folder.name}: {', '.join(folder.classes)}."


def _print_models() -> None:
    models = list_models()
    if not models:
        raise AraeError("no exported models were found", "train and export one, or give --model PATH.")
    for name, path in models.items():
        try:
            classes = ", ".join(ModelFolder.read(path).classes)
        except AraeError as error:
            classes = f"({error.message})"
        typer.echo(f"{name}\t{classes}\t{path}")


def sources_of(names: Sequence[str]) -> list[Source]:
    """Return the inputs, after seeing that all of them can be read."""
    from arae_transfer.runtime.stream import Source

    for name in names:
        if any(map(str.isspace, name)) and not os.path.lexists(name):
            raise AraeError(
                f"there is no file called {name!r}", "a sentence comes by standard input: echo SENTENCE | arae ..."
            )
    return [_standard_input() if name == STANDARD_INPUT else Source.from_path(Path(name)) for name in names]


def _standard_input() -> Source:
    from arae_transfer.runtime.stream import Source

    if sys.stdin is None:
        raise AraeError("standard input is closed", "name a file to read.")
    stream = sys.stdin.buffer
    # Unbuffered: a thread that waits inside a buffered stream holds its lock, and the interpreter could not
    # end.
    return Source("standard input", lambda: nullcontext(getattr(stream, "raw", stream)))


def _as_text(line: Line, rewrite: Rewrite, options: DecodingOptions) -> str:
    return f"{rewrite.output}\n"


def _as_tsv(line: Line, rewrite: Rewrite, options: DecodingOptions) -> str:
    from arae_transfer.runtime.preparation import one_line

    return "\t".join(one_line(text).replace("\t", " ") for text in (line.text, rewrite.output)) + "\n"


def _as_json(line: Line, rewrite: Rewrite, options: DecodingOptions) -> str:
    record: dict[str, Any] = {
        "source": line.text,
        "output": rewrite.output,
        "to": rewrite.to,
        "tokens": rewrite.tokens,
        "truncated": rewrite.truncated,
        "unfinished": rewrite.unfinished,
        "status": rewrite.status,
        "pieces": rewrite.pieces,
        "kept": rewrite.kept,
        "unread": rewrite.unread,
        "repaired": line.repaired,
    }
    if rewrite.keep is not None:
        record["keep"] = round(rewrite.keep, DECIMALS)
    if options.source is not None:
        record |= {"from": rewrite.source_class, "already": rewrite.already}
    if options.needs_hypotheses:
        record |= {"unsure": rewrite.unsure, "candidates": [_scores_of(each) for each in rewrite.candidates]}
    return json_line(record)


def json_line(record: Mapping[str, Any]) -> str:
    """Return a record as one line of JSON, whatever is in its texts."""
    text = json.dumps(record, ensure_ascii=False)
    # JSON allows these inside a string, but programs that read lines break them there.
    return re.sub("[\x7f-\x9f\u2028\u2029]", lambda match: f"\\u{ord(match[0]):04x}", text) + "\n"


def _scores_of(hypothesis: ScoredHypothesis) -> dict[str, Any]:
    numbers = {
        name: round(getattr(hypothesis, name), DECIMALS)
        for name in ("score", "style", "fluency", "content", "language")
    }
    return {"output": hypothesis.output, **numbers, "unfinished": hypothesis.unfinished}


@contextmanager
def progress_bar(names: Sequence[str], output: Path | None, *, quiet: bool) -> Iterator[Callable[[int], None]]:
    """Show a bar where it disturbs nobody: a person looks on, and the size of the input is known."""
    paths = [Path(name) for name in names]
    shown = (
        not quiet
        and sys.stderr is not None
        and sys.stderr.isatty()
        and (output is not None or not sys.stdout.isatty())
        and all(path.is_file() for path in paths)
    )
    if not shown:
        yield lambda size: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TimeRemainingColumn

    columns = (BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=sum(path.stat().st_size for path in paths))
        yield lambda size: progress.advance(task, size)
