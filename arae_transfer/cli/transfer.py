"""`arae transfer`: lines in, rewritten lines out."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from arae_transfer.cli.answers import open_answers
from arae_transfer.cli.command import report
from arae_transfer.errors import AraeError
from arae_transfer.layout import MODEL_VARIABLE, list_models
from arae_transfer.runtime.model_folder import ModelFolder

if TYPE_CHECKING:
    from arae_transfer.runtime.rewriter import Rewrite, Rewriter
    from arae_transfer.runtime.stream import BlockReader, Line, Source

INPUT_AND_OUTPUT = "Input and output"
MODEL = "Model"
SPEED = "Speed"
MESSAGES = "Messages"

Render = Callable[["Line", "Rewrite"], str]


def _complete_model(incomplete: str) -> list[str]:
    return [name for name in list_models() if name.startswith(incomplete)]


def _complete_class(ctx: typer.Context, incomplete: str) -> list[str]:
    try:
        classes = ModelFolder.find(ctx.params.get("model")).classes
    except AraeError:
        return []
    return [name for name in classes if name.startswith(incomplete)]


def transfer(
    ctx: typer.Context,
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FILE]...",
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
            autocompletion=_complete_class,
            rich_help_panel=MODEL,
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            metavar="NAME|PATH",
            help="An exported model; without this, the shipped one.",
            envvar=MODEL_VARIABLE,
            autocompletion=_complete_model,
            rich_help_panel=MODEL,
        ),
    ] = None,
    form: Annotated[
        str,
        typer.Option(
            metavar="auto|ordinary|corpus",
            help="How the lines are written: ordinary writing, or the form of the model's corpus.",
            rich_help_panel=INPUT_AND_OUTPUT,
        ),
    ] = "auto",
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Write here; the file appears when it is complete.",
            rich_help_panel=INPUT_AND_OUTPUT,
        ),
    ] = None,
    tsv: Annotated[
        bool,
        typer.Option("--tsv", help="Write source, tab, answer.", rich_help_panel=INPUT_AND_OUTPUT),
    ] = False,
    json_lines: Annotated[
        bool,
        typer.Option(
            "--json",
            help="Write one JSON object a line: source, output, to, tokens, truncated, unfinished, repaired.",
            rich_help_panel=INPUT_AND_OUTPUT,
        ),
    ] = False,
    list_the_models: Annotated[
        bool,
        typer.Option(
            "--list-models", help="List the models: name, classes, folder.", rich_help_panel=MODEL
        ),
    ] = False,
    list_the_classes: Annotated[
        bool, typer.Option("--list-classes", help="List the model's classes.", rich_help_panel=MODEL)
    ] = False,
    device: Annotated[
        str,
        typer.Option(
            metavar="auto|cpu|cuda[:N]",
            help="Where to run; auto: a GPU that can be used, else the CPU.",
            rich_help_panel=SPEED,
        ),
    ] = "auto",
    threads: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="CPU threads; without this, all that this process may use.",
            envvar="ARAE_THREADS",
            rich_help_panel=SPEED,
        ),
    ] = None,
    batch_size: Annotated[
        int,
        typer.Option(
            min=1,
            metavar="N",
            help="The most lines rewritten at once; it does not change the answers.",
            rich_help_panel=SPEED,
        ),
    ] = 64,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Say nothing but errors.", rich_help_panel=MESSAGES)
    ] = False,
    verbose: Annotated[
        bool,
        typer.Option(
            "--verbose", "-v", help="Say what runs where, and how fast.", rich_help_panel=MESSAGES
        ),
    ] = False,
) -> None:
    """Rewrite text from one style to another, line by line.

    One line in, one line out, in order, always; a blank line stays blank. Answers go to standard output, everything
    else to standard error.

    \b
      echo "the food was cold" | arae transfer --to positive
      arae transfer --to negative reviews.txt > bitter.txt
    """
    if list_the_models:
        _print_models()
        return
    if list_the_classes:
        _print_lines(ModelFolder.find(model).classes)
        return
    if to is None:
        ctx.fail(f"Missing option '--to' / '-t'.{_classes_of(model)}")
    if tsv and json_lines:
        ctx.fail("--tsv and --json exclude each other.")
    folder = ModelFolder.find(model)
    class_name = folder.match_class(to)
    sources = _sources(files or ["-"])

    from arae_transfer.runtime.rewriter import Rewriter

    started = time.perf_counter()
    with open_answers(output) as write:
        rewriter = Rewriter.load(folder.root, device=device, threads=threads)
        rewriter.prepare(class_name, form)
        messages = Messages(folder, quiet, verbose)
        messages.ready(rewriter, class_name, files, time.perf_counter() - started)
        render = _render_tsv if tsv else _render_json if json_lines else _render_plain
        _rewrite_all(rewriter, class_name, sources, write, render, messages, batch_size, form, _bar(files, output, quiet))
    messages.finished()
