"""The command line: one module per command, each imported at once and therefore free of heavy imports."""

from __future__ import annotations

import gc
import io
import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer

from arae_transfer.cli import (
    bench,
    bench_train,
    corpus,
    diagnose,
    evaluate,
    export,
    interpolate,
    sample,
    train,
    transfer,
    transfer_table,
)
from arae_transfer.cli.command import AraeCommand, AraeGroup

app = typer.Typer(
    name="arae",
    cls=AraeGroup,
    help="Rewrite text from one style to another, with models that learn from unpaired text.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

# In the order of the help. A command's module must import nothing heavy outside its function.
COMMANDS: tuple[Callable[..., Any], ...] = (
    transfer.transfer,
    sample.sample,
    interpolate.interpolate,
    train.train,
    export.export,
    evaluate.evaluate,
    diagnose.diagnose,
    transfer_table.transfer_table,
    corpus.corpus,
)

for function in COMMANDS:
    app.command(cls=AraeCommand)(function)
bench.bench.command("train", cls=AraeCommand)(bench_train.bench_train)
app.add_typer(bench.bench)


def _print_version(wanted: bool) -> None:
    if not wanted:
        return
    from importlib.metadata import PackageNotFoundError, version

    try:
        typer.echo(f"arae {version('arae-transfer')}")
    except PackageNotFoundError:
        typer.echo("arae, not installed: run from its source")
    raise typer.Exit


@app.callback()
def arae(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Rewrite text from one style to another, with models that learn from unpaired text."""


def main() -> None:
    """Run the command line as the console script ``arae``."""
    # Python would choose the encoding from the locale, and fail on text that the locale cannot write.
    # A file name that is no text in this locale leaves as the bytes that it is.
    for stream, errors in ((sys.stdout, "surrogateescape"), (sys.stderr, "backslashreplace")):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors=errors)
    try:
        app(prog_name="arae")
    finally:
        gc.freeze()  # the interpreter's last search for garbage would take longer than `arae --help`
