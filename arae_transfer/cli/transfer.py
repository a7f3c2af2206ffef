"""`arae transfer`: rewrite lines, documents or tables."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from arae_transfer.cli.command import exit_without_cleanup
from arae_transfer.cli.lines import (
    STANDARD_INPUT,
    json_line,
    known_classes,
    progress_bar,
    quick_start,
    sources_of,
)
from arae_transfer.cli.messages import Messages
from arae_transfer.cli.options import (
    INPUT_AND_OUTPUT,
    MESSAGES,
    MODEL,
    SPEED,
    BatchSizeOption,
    DeviceOption,
    EncodingOption,
    FormOption,
    ModelOption,
    QuietOption,
    ThreadsOption,
    complete_class,
)
from arae_transfer.encodings import UTF_8, check_encoding
from arae_transfer.errors import AraeError
from arae_transfer.layout import list_models
from arae_transfer.runtime.model_folder import ModelFolder

if TYPE_CHECKING:
    from arae_transfer.documents.formats import FormatChoice
    from arae_transfer.runtime.decoding import DecodingOptions
    from arae_transfer.runtime.rewrite import Rewrite
    from arae_transfer.runtime.stream import Line

CANDIDATES = "Candidates"
PARTS = "Many rows: tables in parts, -o FOLDER/"

DEFAULT_RANKING = "style=1,fluency=0.25,content=1.5,language=0.2"


def transfer(
    ctx: typer.Context,
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FILE",
            help=(
                "Text files with one sentence per line, documents (see --format) or tables. Default, or '-': "
                "standard input."
            ),
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
            help="Target class, or the start of its name.",
            autocompletion=complete_class,
            rich_help_panel=MODEL,
        ),
    ] = None,
    model: ModelOption = None,
    form: FormOption = "auto",
    encoding: EncodingOption = UTF_8,
    long: Annotated[
        str,
        typer.Option(
            metavar="split|keep|truncate",
            help=(
                "How to treat long lines. split: rewrite each sentence, and split what the model cannot read "
                "at once; keep: leave lines unchanged that are too long; truncate: drop the excess."
            ),
            rich_help_panel=INPUT_AND_OUTPUT,
        ),
    ] = "split",
    protect: Annotated[
        list[str] | None,
        typer.Option(
            metavar="REGEX",
            help=(
                "Keep text that matches this regular expression, such as 'JIRA-[0-9]+'; repeatable. Numbers, "
                "addresses, tags and code are always kept."
            ),
            rich_help_panel=INPUT_AND_OUTPUT,
        ),
    ] = None,
    glossary: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Text file of terms to keep, such as product names, one per line.",
            rich_help_panel=INPUT_AND_OUTPUT,
        ),
    ] = None,
    document: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="text|markdown|html|srt|csv:COLUMN|jsonl:FIELD",
            help=(
                "Format of the documents: only their text is rewritten. Default: by the file extension (.md, "
                ".html, .srt, .vtt; .csv, .tsv and .jsonl with --column), else lines of text."
            ),
            rich_help_panel=INPUT_AND_OUTPUT,
        ),
    ] = None,
    column: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Column of a table that holds the text: its name, its number, or a field (a.b is b inside a).",
            rich_help_panel=INPUT_AND_OUTPUT,
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE|FOLDER/",
            help=(
                "Write to this file, which appears when it is complete. Several documents, and tables in parts "
                "(see below), need a folder."
            ),
            rich_help_panel=INPUT_AND_OUTPUT,
        ),
    ] = None,
    tsv: Annotated[
        bool,
        typer.Option("--tsv", help="Write source, tab and answer on each line.", rich_help_panel=INPUT_AND_OUTPUT),
    ] = False,
    json_lines: Annotated[
        bool,
        typer.Option(
            "--json",
            help=(
                "Write one JSON object per line. Fields: source, output, to, tokens, truncated, unfinished, "
                "status, pieces, kept, unfaithful, unread, repaired; with a search, candidates with their "
                "scores, and unsure; with --from, from and already; from a model that edits, keep, the "
                "probability that the line needs no change."
            ),
            rich_help_panel=INPUT_AND_OUTPUT,
        ),
    ] = False,
    beam: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Search with a beam of N hypotheses and answer with the best one; 1 is greedy decoding.",
            rich_help_panel=CANDIDATES,
        ),
    ] = None,
    sample: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="K",
            help="Draw K random samples instead, and answer with the best one.",
            rich_help_panel=CANDIDATES,
        ),
    ] = None,
    temperature: Annotated[
        float | None,
        typer.Option(
            metavar="T",
            help="Temperature of --sample: lower is closer to the most probable rewrite.  [default: 1]",
            rich_help_panel=CANDIDATES,
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="S",
            help="Random seed of --sample; samples depend only on the seed and the line.  [default: 0]",
            rich_help_panel=CANDIDATES,
        ),
    ] = None,
    n_best: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="K",
            help="With --json: write the K best candidates of each line. Default: all.",
            rich_help_panel=CANDIDATES,
        ),
    ] = None,
    rerank: Annotated[
        str | None,
        typer.Option(
            metavar="NAME=WEIGHT,...",
            help=(
                "Weights of the scores that rank candidates: style, fluency, content, language; scores that "
                f"you leave out count nothing.  [default: {DEFAULT_RANKING}]"
            ),
            rich_help_panel=CANDIDATES,
        ),
    ] = None,
    min_confidence: Annotated[
        float | None,
        typer.Option(
            metavar="P",
            help="Leave a line unchanged if its best candidate has the target style with a probability below P.",
            rich_help_panel=CANDIDATES,
        ),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="auto",
            help=(
                "Class of the input; auto: classify each line, and leave lines unchanged that are in the "
                "target class already."
            ),
            rich_help_panel=MODEL,
        ),
    ] = None,
    if_already: Annotated[
        str | None,
        typer.Option(
            metavar="keep|rewrite",
            help=(
                "With --from auto: leave lines unchanged that are in the target class already, or rewrite "
                "them.  [default: keep]"
            ),
            rich_help_panel=MODEL,
        ),
    ] = None,
    if_unchanged: Annotated[
        str | None,
        typer.Option(
            metavar="search|keep",
            help=(
                "If greedy decoding copies the line: search a small beam for a hypothesis in the target class, "
                "or keep the line. Implies --beam 1.  [default: search, if the model has a classifier]"
            ),
            rich_help_panel=MODEL,
        ),
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(
            metavar="local|ray",
            help="What runs the work: processes on this machine, or a Ray cluster.  [default: local]",
            rich_help_panel=PARTS,
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Number of parts to rewrite at the same time. Default: as many as the CPU cores allow.",
            rich_help_panel=PARTS,
        ),
    ] = None,
    threads_per_worker: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="CPU threads per worker.  [default: 1]", rich_help_panel=PARTS),
    ] = None,
    rows_per_part: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="Maximum number of rows per part.  [default: 100,000]", rich_help_panel=PARTS
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Continue a job in the same folder: keep finished parts and rewrite the rest.",
            rich_help_panel=PARTS,
        ),
    ] = False,
    on_error: Annotated[
        str | None,
        typer.Option(
            metavar="keep|fail",
            help="Rows without a text: keep them and record the problem, or stop the job.  [default: keep]",
            rich_help_panel=PARTS,
        ),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help=(
                "With --engine ray: address of the cluster, such as auto or ray://HOST:10001. All its machines "
                "must see the files. Default: start Ray on this machine."
            ),
            rich_help_panel=PARTS,
        ),
    ] = None,
    copy_above: Annotated[
        float | None,
        typer.Option(
            metavar="P",
            help=(
                "With a model that edits: leave a line unchanged if it needs no change with a probability "
                "above P.  [default: the model's own]"
            ),
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
            help=(
                "Precision of the model; auto: int8 on a CPU, fp16 on a GPU, or fp32 if the export found that "
                "too inaccurate."
            ),
            rich_help_panel=SPEED,
        ),
    ] = "auto",
    threads: ThreadsOption = None,
    batch_size: BatchSizeOption = 64,
    quiet: QuietOption = False,
    verbose: Annotated[
        bool,
        typer.Option("--verbose", "-v", help="Report the device and the speed.", rich_help_panel=MESSAGES),
    ] = False,
) -> None:
    """Rewrite text from one style to another, line by line.

    One line in, one line out, in order; an empty line stays empty. Rewrites go to standard output, messages to
    standard error.

    \b
      echo "the food was cold" | arae transfer --to positive
      arae transfer --to negative reviews.txt > bitter.txt
      arae transfer --to positive README.md -o kind.md
      arae transfer --to positive reviews.csv --column text > kind.csv

    With a folder as output, several processes rewrite Parquet, JSON Lines, CSV or text files in parts. All columns
    stay, and the columns rewrite, arae_status and arae_error are new; _manifest.json is written last.

    \b
      arae transfer --to positive reviews.parquet --column text -o kind/ --workers 8
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
    encoding = check_encoding(encoding)
    names = files or [STANDARD_INPUT]
    folder_wanted = output is not None and (output.endswith(("/", os.sep)) or Path(output).is_dir())
    target = None if output is None else Path(output)
    in_parts = (engine, workers, threads_per_worker, rows_per_part, on_error, address, resume or None)
    if any(value is not None for value in in_parts) or (document is None and folder_wanted and _are_tables(names)):
        for name, value in (
            *(("--format", document), ("--tsv", tsv), ("--json", json_lines)),
            ("--encoding", encoding != UTF_8),
        ):
            if value:
                ctx.fail(f"Option '{name}' does not go with tables in parts.")
        from arae_transfer.cli.transfer_batch import BatchOptions, transfer_batch

        settings = BatchOptions(
            engine, workers, threads_per_worker or threads, rows_per_part, resume, on_error, address
        )
        options = _decoding_options(
            beam,
            sample,
            temperature,
            seed,
            n_best,
            rerank,
            min_confidence,
            source,
            if_already,
            if_unchanged,
            copy_above,
        )
        ways = {
            "protect": tuple(protect or ()),
            "glossary": tuple(_read_glossary(glossary)),
            "form": form,
            "long": long,
            "batch_size": batch_size,
            "device": device,
            "variant": variant,
        }
        transfer_batch(ctx, names, column or "text", target, model, to, options, settings, ways, quiet=quiet)
        return
    kind = _document(document, column, names) if document or column or files else None
    if kind is not None and (tsv or json_lines):
        ctx.fail(
            f"Option '{'--tsv' if tsv else '--json'}' is for lines, not for documents ({kind.name}); give lines "
            "on standard input."
        )
    if kind is not None and encoding != UTF_8:
        ctx.fail(
            f"Option '--encoding' is for lines; documents ({kind.name}) are read and written as UTF-8, or as "
            "UTF-16 with a byte order mark."
        )
    options = _decoding_options(
        beam, sample, temperature, seed, n_best, rerank, min_confidence, source, if_already, if_unchanged, copy_above
    )
    folder = ModelFolder.find(model)
    folder.require_rewriting()
    class_name = folder.match_class(to)
    sources = sources_of(names)
    terms = _read_glossary(glossary)
    unit = "line" if kind is None else "sentence"
    messages = Messages(folder, encoding, quiet=quiet, verbose=verbose, unit=unit)

    with quick_start():
        from arae_transfer.runtime.sessions import Sessions

        sessions = Sessions(folder, device, threads, variant)
        sessions.open_early(
            class_name, searching=options.resolve(folder.beam).needs_hypotheses
        )  # while the rest is imported

        from arae_transfer.cli.answers import open_answers
        from arae_transfer.runtime.rewriter import Rewriter
        from arae_transfer.runtime.stream import LineReader
        from arae_transfer.text.protected import Protector

        rewriter = Rewriter(sessions, Protector(protect or (), terms))
        rewriter.prepare(class_name, form, options)

    if kind is not None:
        from arae_transfer.cli.transfer_documents import output_paths, transfer_documents

        def rewrite(texts: list[str]) -> list[str | None]:
            rewrites = rewriter.rewrite_chunk(
                texts, class_name, batch_size=batch_size, form=form, long=long, options=options
            )
            messages.count([], rewrites)
            return [each.output for each in rewrites]

        outputs = output_paths(names, target, folder=folder_wanted)
        messages.ready(rewriter, class_name, names)
        with progress_bar(names, target, quiet=quiet) as advance:
            at_once = rewriter.chunk_size(batch_size)
            transfer_documents(kind, sources, outputs, rewrite, at_once, advance, quiet=quiet)
        messages.finished(class_name, options)
        exit_without_cleanup()
        return

    with open_answers(target) as write:
        messages.ready(rewriter, class_name, names)
        render = _as_tsv if tsv else _as_json if json_lines else _as_text
        with progress_bar(names, target, quiet=quiet) as advance:
            for chunk in LineReader(sources, encoding).chunks(rewriter.chunk_size(batch_size)):
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


def _are_tables(names: Sequence[str]) -> bool:
    """Return whether the inputs are tables, or folders of them, to rewrite in parts."""
    from arae_transfer.batch.job import SUFFIXES

    return all(Path(name).suffix.lower() in SUFFIXES or Path(name).is_dir() for name in names)


def _document(document: str | None, column: str | None, names: Sequence[str]) -> FormatChoice | None:
    """Return the format of the input documents, or None for lines of text.

    Raises:
        AraeError: There is no such format, or the names of the files do not say which it is.
    """
    from arae_transfer.documents.formats import FormatChoice, guess_format

    if document is None:
        return guess_format(names, column)
    if column is not None:
        raise AraeError(
            "both --format and --column name a column",
            f"use --format {document.partition(':')[0]}:{column}, or --column.",
        )
    return FormatChoice.parse(document)


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
    """Return the decoding options, with defaults for those not given.

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


def _read_glossary(path: Path | None) -> list[str]:
    """Return the terms of a file, one per line, without blank lines.

    Raises:
        AraeError: The file cannot be read.
    """
    if path is None:
        return []
    try:
        return path.read_text("utf-8-sig").splitlines()
    except OSError as error:
        raise AraeError(
            f"cannot read the glossary {path}: {error.strerror or error}", "give a text file with one term per line."
        ) from error
    except UnicodeDecodeError as error:
        raise AraeError(f"the glossary {path} is not UTF-8: {error.reason}", "save it as UTF-8 text.") from error


def _print_models() -> None:
    models = list_models()
    if not models:
        raise AraeError("no exported models were found", "train and export a model, or give --model PATH.")
    for name, path in models.items():
        try:
            classes = ", ".join(ModelFolder.read(path).classes)
        except AraeError as error:
            classes = f"({error.message})"
        typer.echo(f"{name}\t{classes}\t{path}")


def _as_text(line: Line, rewrite: Rewrite, options: DecodingOptions) -> str:
    return f"{rewrite.output}\n"


def _as_tsv(line: Line, rewrite: Rewrite, options: DecodingOptions) -> str:
    from arae_transfer.runtime.preparation import one_line

    return "\t".join(one_line(text).replace("\t", " ") for text in (line.text, rewrite.output)) + "\n"


def _as_json(line: Line, rewrite: Rewrite, options: DecodingOptions) -> str:
    from arae_transfer.runtime.records import rewrite_record

    return json_line({**rewrite_record(rewrite, options, line.repaired), "source": line.text})
