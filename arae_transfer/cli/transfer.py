"""`arae transfer`: rewrite lines, documents or tables."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

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
    BatchSizeOption,
    DeviceOption,
    EncodingOption,
    FormOption,
    ModelOption,
    QuietOption,
    ThreadsOption,
    VariantOption,
)
from arae_transfer.cli.transfer_options import (
    AddressOption,
    BeamOption,
    ColumnOption,
    CopyAboveOption,
    EngineOption,
    FilesArgument,
    FormatOption,
    FromOption,
    GlossaryOption,
    IfAlreadyOption,
    IfUnchangedOption,
    JsonOption,
    ListClassesOption,
    ListModelsOption,
    LongOption,
    MinConfidenceOption,
    NBestOption,
    OnErrorOption,
    OutputOption,
    ProtectOption,
    RerankOption,
    ResumeOption,
    RowsPerPartOption,
    SampleOption,
    SeedOption,
    TemperatureOption,
    ThreadsPerWorkerOption,
    ToOption,
    TsvOption,
    VerboseOption,
    WorkersOption,
    decoding_options,
    read_glossary,
)
from arae_transfer.encodings import UTF_8, check_encoding
from arae_transfer.errors import AraeError
from arae_transfer.folders import list_models
from arae_transfer.runtime.model_folder import ModelFolder
from arae_transfer.runtime.options import LONG

if TYPE_CHECKING:
    from arae_transfer.documents.formats import FormatChoice
    from arae_transfer.runtime.decoding import DecodingOptions
    from arae_transfer.runtime.rewrite import Rewrite
    from arae_transfer.runtime.rewriter import Rewriter
    from arae_transfer.runtime.stream import Line

Render = Callable[["Line", "Rewrite", "DecodingOptions"], str]


def transfer(
    ctx: typer.Context,
    files: FilesArgument = None,
    to: ToOption = None,
    model: ModelOption = None,
    form: FormOption = "auto",
    encoding: EncodingOption = UTF_8,
    long: LongOption = "split",
    protect: ProtectOption = None,
    glossary: GlossaryOption = None,
    document: FormatOption = None,
    column: ColumnOption = None,
    output: OutputOption = None,
    tsv: TsvOption = False,
    json_lines: JsonOption = False,
    beam: BeamOption = None,
    sample: SampleOption = None,
    temperature: TemperatureOption = None,
    seed: SeedOption = None,
    n_best: NBestOption = None,
    rerank: RerankOption = None,
    min_confidence: MinConfidenceOption = None,
    source: FromOption = None,
    if_already: IfAlreadyOption = None,
    if_unchanged: IfUnchangedOption = None,
    engine: EngineOption = None,
    workers: WorkersOption = None,
    threads_per_worker: ThreadsPerWorkerOption = None,
    rows_per_part: RowsPerPartOption = None,
    resume: ResumeOption = False,
    on_error: OnErrorOption = None,
    address: AddressOption = None,
    copy_above: CopyAboveOption = None,
    list_the_models: ListModelsOption = False,
    list_the_classes: ListClassesOption = False,
    device: DeviceOption = "auto",
    variant: VariantOption = "auto",
    threads: ThreadsOption = None,
    batch_size: BatchSizeOption = 64,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
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
    if long not in LONG:
        ctx.fail(f"Invalid value for '--long': {long!r} is none of {', '.join(LONG)}.")
    for name, value, needed, wanted in (
        ("--temperature", temperature, "--sample", sample),
        ("--seed", seed, "--sample", sample),
        ("--if-already", if_already, "--from auto", source),
        ("--rerank", rerank, "--beam or --sample", max(beam or 1, sample or 0, n_best or 1) > 1 or sample),
        ("--n-best", n_best, "--json: each line has one answer", json_lines or n_best == 1),
    ):
        if value is not None and not wanted:
            ctx.fail(f"Option '{name}' needs {needed}.")
    for one, other, both in (("--tsv", "--json", tsv and json_lines), ("--beam", "--sample", beam and sample)):
        if both:
            ctx.fail(f"Options '{one}' and '{other}' exclude each other.")
    encoding = check_encoding(encoding)
    names = files or [STANDARD_INPUT]
    target = None if output is None else Path(output)
    folder_wanted = output is not None and (output.endswith(("/", os.sep)) or Path(output).is_dir())
    in_parts = (engine, workers, threads_per_worker, rows_per_part, on_error, address, resume or None)
    parts = any(value is not None for value in in_parts)
    parts = parts or (document is None and folder_wanted and _are_tables(names))
    kind = _document(document, column, names) if not parts and (document or column or files) else None
    _check_input_options(ctx, kind, parts=parts, document=document, tsv=tsv, json_lines=json_lines, encoding=encoding)
    options = decoding_options(
        beam=beam, sample=sample, temperature=temperature, seed=seed, n_best=n_best, ranking=rerank,
        min_confidence=min_confidence, source=source, if_already=if_already, if_unchanged=if_unchanged,
        copy_above=copy_above,
    )  # fmt: skip
    way = Way(tuple(protect or ()), tuple(read_glossary(glossary)), form, long, batch_size, device, variant)
    if parts:
        from arae_transfer.cli.transfer_batch import BatchOptions, transfer_batch

        settings = BatchOptions(
            engine, workers, threads_per_worker or threads, rows_per_part, resume, on_error, address
        )
        transfer_batch(ctx, names, column or "text", target, model, to, options, settings, vars(way), quiet=quiet)
        return
    folder = ModelFolder.find(model)
    folder.require_rewriting()
    class_name = folder.match_class(to)
    unit = "line" if kind is None else "sentence"
    messages = Messages(folder, encoding, quiet=quiet, verbose=verbose, unit=unit)
    command = _Command(names, target, class_name, options, way, messages, quiet)
    if kind is not None:
        command.rewrite_documents(folder, threads, kind, folder_wanted=folder_wanted)
    else:
        render = _as_tsv if tsv else _as_json if json_lines else _as_text
        command.rewrite_lines(folder, threads, render, encoding)
    exit_without_cleanup()


@dataclass(frozen=True)
class Way:
    """How text is rewritten, whatever it comes in.

    Attributes:
        protect: Regular expressions; what they match stays.
        glossary: Terms that stay.
        form: How the text is written.
        long: What happens to long lines.
        batch_size: The most lines of a batch.
        device: Where the model runs.
        variant: Its precision.
    """

    protect: tuple[str, ...]
    glossary: tuple[str, ...]
    form: str
    long: str
    batch_size: int
    device: str
    variant: str


@dataclass(frozen=True)
class _Command:
    """One call of the command on lines or documents.

    Attributes:
        names: The input files.
        target: Where answers go; None: standard output.
        class_name: The class to rewrite to.
        options: How answers are chosen.
        way: How text is rewritten.
        messages: What is said about it.
        quiet: Whether nothing is said.
    """

    names: Sequence[str]
    target: Path | None
    class_name: str
    options: DecodingOptions
    way: Way
    messages: Messages
    quiet: bool

    def rewrite_lines(self, folder: ModelFolder, threads: int | None, render: Render, encoding: str) -> None:
        """Rewrite lines of text."""
        sources = sources_of(self.names)
        rewriter = self._load(folder, threads)
        with quick_start():
            from arae_transfer.cli.answers import open_answers
            from arae_transfer.runtime.stream import LineReader
        with open_answers(self.target) as write:
            self.messages.ready(rewriter, self.class_name, self.names)
            with progress_bar(self.names, self.target, quiet=self.quiet) as advance:
                for chunk in LineReader(sources, encoding).chunks(rewriter.chunk_size(self.way.batch_size)):
                    rewrites = self._rewrite(rewriter, [line.text for line in chunk])
                    answers = (render(line, each, self.options) for line, each in zip(chunk, rewrites, strict=True))
                    write("".join(answers).encode())
                    self.messages.count(chunk, rewrites)
                    advance(sum(line.size for line in chunk))
        self.messages.finished(self.class_name, self.options)

    def rewrite_documents(
        self, folder: ModelFolder, threads: int | None, kind: FormatChoice, *, folder_wanted: bool
    ) -> None:
        """Rewrite the text in documents."""
        from arae_transfer.cli.transfer_documents import output_paths, transfer_documents

        sources = sources_of(self.names)
        rewriter = self._load(folder, threads)

        def rewrite(texts: list[str]) -> list[str | None]:
            rewrites = self._rewrite(rewriter, texts)
            self.messages.count([], rewrites)
            return [each.output for each in rewrites]

        outputs = output_paths(self.names, self.target, folder=folder_wanted)
        self.messages.ready(rewriter, self.class_name, self.names)
        with progress_bar(self.names, self.target, quiet=self.quiet) as advance:
            at_once = rewriter.chunk_size(self.way.batch_size)
            transfer_documents(kind, sources, outputs, rewrite, at_once, advance, quiet=self.quiet)
        self.messages.finished(self.class_name, self.options)

    def _rewrite(self, rewriter: Rewriter, texts: list[str]) -> list[Rewrite]:
        way = self.way
        return rewriter.rewrite_chunk(
            texts, self.class_name, batch_size=way.batch_size, form=way.form, long=way.long, options=self.options
        )

    def _load(self, folder: ModelFolder, threads: int | None) -> Rewriter:
        """Open the model; its graphs are read while the rest is imported."""
        way, options = self.way, self.options
        with quick_start():
            from arae_transfer.runtime.sessions import Sessions

            sessions = Sessions(folder, way.device, threads, way.variant)
            sessions.open_early(self.class_name, searching=options.resolve(folder.beam).needs_hypotheses)

            from arae_transfer.runtime.rewriter import Rewriter
            from arae_transfer.text.protected import Protector

            rewriter = Rewriter(sessions, Protector(way.protect, way.glossary))
            rewriter.prepare(self.class_name, way.form, options)
        return rewriter


def _check_input_options(
    ctx: typer.Context,
    kind: FormatChoice | None,
    *,
    parts: bool,
    document: str | None,
    tsv: bool,
    json_lines: bool,
    encoding: str,
) -> None:
    """Refuse options that do not go with what the input is: tables in parts, a document, or lines."""
    if parts:
        other = (("--format", document), ("--tsv", tsv), ("--json", json_lines), ("--encoding", encoding != UTF_8))
        for name, value in other:
            if value:
                ctx.fail(f"Option '{name}' does not go with tables in parts.")
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
