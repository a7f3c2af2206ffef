"""The command line: one module per command, imported when its command is asked for."""

from __future__ import annotations

from typing import Annotated

import typer

from arae_transfer import __version__
from arae_transfer.cli.command import AraeGroup, CommandSource

# In the order of the help, which reads nothing but this: importing and declaring every command would take longer than
# Typer itself. A command's module must import nothing heavy outside its function.
USE, MAKE = "Use a model", "Make a model"
LOOK, REPEAT = "Look into the code space", "Repeat the paper"
COMMANDS = (
    CommandSource("transfer", "transfer", "Rewrite text from one style to another, line by line.", USE),
    CommandSource("classify", "classify", "Label text line by line, with probabilities.", USE),
    CommandSource("serve", "serve", "Serve a model over HTTP, with a page to try it on.", USE),
    CommandSource("sample", "sample", "Generate new sentences (or images) from noise.", USE),
    CommandSource("train", "train", "Train a model from a recipe and a corpus.", MAKE),
    CommandSource("export", "export", "Export a trained model; it then needs no PyTorch.", MAKE),
    CommandSource("evaluate", "evaluate", "Measure style, content and fluency of rewrites.", MAKE),
    CommandSource("study", "study", "Have people rate rewrites without knowing who wrote them.", MAKE),
    CommandSource("corpus", "corpus", "Write the quickstart's small corpus to a folder.", MAKE),
    CommandSource("bench", "bench", "Measure the speed on this machine.", MAKE),
    CommandSource("interpolate", "interpolate", "Write the sentences between two sentences.", LOOK),
    CommandSource("offset", "offset", "Change a property by shifting codes (vector arithmetic).", LOOK),
    CommandSource("diagnose", "diagnose", "Report what the codes of a trained run carry.", LOOK),
    CommandSource("transfer-table", "transfer_table", "Compare style transfer by ARAE and an autoencoder.", REPEAT),
    CommandSource("generation-table", "generation_table", "Compare generation by ARAE and a language model.", REPEAT),
    CommandSource(
        "semi-supervised", "semi_supervised.semi_supervised", "Compare classifiers that learn from few labels.", REPEAT
    ),
)


class _Arae(AraeGroup):
    sources = COMMANDS


app = typer.Typer(
    name="arae",
    cls=_Arae,
    help="Rewrite text from one style to another.",
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
