"""The command line: one module per command, imported only when that command runs."""

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
    CommandSource("sample", "sample", "Generate new sentences or images from noise.", USE),
    CommandSource("train", "train", "Train a model from a recipe and a corpus.", MAKE),
    CommandSource("export", "export", "Export a trained model, so that it runs without PyTorch.", MAKE),
    CommandSource("evaluate", "evaluate", "Measure style, content and fluency of rewrites.", MAKE),
    CommandSource("study", "study", "Have people rate rewrites blindly, and sum up their ratings.", MAKE),
    CommandSource("corpus", "corpus", "Write the small synthetic corpus of the quickstart.", MAKE),
    CommandSource("bench", "bench", "Measure the speed on this machine.", MAKE),
    CommandSource("interpolate", "interpolate", "Write the sentences on the path between two sentences.", LOOK),
    CommandSource("offset", "offset", "Add a property to sentences by shifting their code vectors.", LOOK),
    CommandSource("diagnose", "diagnose", "Analyse what the code vectors of a trained run encode.", LOOK),
    CommandSource(
        "transfer-table", "transfer_table", "Compare style transfer by ARAE and by a plain autoencoder.", REPEAT
    ),
    CommandSource(
        "generation-table", "generation_table", "Compare text generation by ARAE and by a language model.", REPEAT
    ),
    CommandSource(
        "semi-supervised", "semi_supervised.semi_supervised", "Compare classifiers trained on few labels.", REPEAT
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
    """Declare the options of `arae` itself."""
