"""The command line: one module per command, imported when its command is asked for."""

from __future__ import annotations

import gc
import io
import sys
from typing import Annotated

import typer

from arae_transfer import __version__
from arae_transfer.cli.command import AraeGroup, CommandSource

# In the order of the help, which reads nothing but this: importing and declaring every command would take longer than
# Typer itself. A command's module must import nothing heavy outside its function.
COMMANDS = (
    CommandSource("transfer", "transfer", "Rewrite text from one style to another, line by line."),
    CommandSource("classify", "classify", "Label text line by line, with probabilities."),
    CommandSource(
        "sample", "sample", "Write sentences that nobody gave: noise, through the generator, to a class's decoder."
    ),
    CommandSource("interpolate", "interpolate", "Write the sentences on the way from one code to another."),
    CommandSource(
        "offset",
        "offset",
        "Give sentences a property by moving their codes along the mean difference of two groups of sentences.",
    ),
    CommandSource("train", "train", "Train a model by a recipe."),
    CommandSource("export", "export", "Export a trained model to a folder that runs without PyTorch."),
    CommandSource("evaluate", "evaluate", "Measure style, content and fluency of rewrites."),
    CommandSource("study", "study", "Have people rate rewrites without knowing who wrote them."),
    CommandSource(
        "diagnose",
        "diagnose",
        "Look into the code space of a run: the paper's first experiment, and what the code carries.",
    ),
    CommandSource(
        "transfer-table",
        "transfer_table",
        "Train a plain autoencoder and adversarially regularized ones, and measure how they transfer.",
    ),
    CommandSource(
        "generation-table",
        "generation_table",
        "Compare generated sentences with those of a plain autoencoder, a language model, and real text.",
    ),
    CommandSource(
        "semi-supervised",
        "semi_supervised.semi_supervised",
        "Compare what unlabelled sentences are worth: supervised, with an autoencoder, adversarially regularized.",
    ),
    CommandSource(
        "corpus", "corpus", "Write the quickstart's corpus: sentences from a grammar, in the form that --data reads."
    ),
    CommandSource("bench", "bench", "Measure how fast it is here, beside what this machine can do."),
)


class _Arae(AraeGroup):
    sources = COMMANDS


app = typer.Typer(
    name="arae",
    cls=_Arae,
    help="Rewrite text from one style to another, with models that learn from unpaired text.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"arae {__version__}")
        raise typer.Exit


@app.callback()
def arae(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Hold the options of `arae` itself."""


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
