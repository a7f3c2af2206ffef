"""Options that several commands have, each declared once, and what completes them in a shell."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from arae_transfer.cli.command import report
from arae_transfer.errors import AraeError
from arae_transfer.layout import MODEL_VARIABLE, hub_address, list_models
from arae_transfer.runtime.model_folder import ModelFolder

INPUT_AND_OUTPUT = "Input and output"
MODEL = "Model"
SPEED = "Speed"
MESSAGES = "Messages"


def complete_model(incomplete: str) -> list[str]:
    """Return the names of models that begin so, for the shell."""
    return [name for name in list_models() if name.startswith(incomplete)]


def complete_class(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the classes of the wished model that begin so, for the shell."""
    if hub_address(ctx.params.get("model")):
        return []  # pressing a key must not use the network
    try:
        classes = ModelFolder.find(ctx.params.get("model")).classes
    except AraeError:
        return []
    return [name for name in classes if name.startswith(incomplete)]


def announce_downloads(ctx: typer.Context, model: str | list[str] | None) -> str | list[str] | None:
    """Have downloads of models on the Hub said as this command says things, and not at all with ``--quiet``."""
    wishes = model if isinstance(model, list) else [model]
    if any(hub_address(wish) for wish in wishes or [None]):
        from arae_transfer.runtime import hub

        hub.tell = lambda message: None if ctx.params.get("quiet") else report(message)
    return model


def typed_text(argument: str) -> str:
    """Return text given as an argument, read as UTF-8 in any locale; bytes that are none become U+FFFD."""
    return os.fsencode(argument).decode("utf-8", errors="replace")


# Of commands that run an exported model on lines.
ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        metavar="NAME|PATH|hf://OWNER/NAME",
        help="An exported model, or one on the Hugging Face Hub (@REVISION pins it); without this, the shipped one.",
        callback=announce_downloads,
        envvar=MODEL_VARIABLE,
        autocompletion=complete_model,
        rich_help_panel=MODEL,
    ),
]
FormOption = Annotated[
    str,
    typer.Option(
        metavar="auto|ordinary|corpus",
        help="How the lines are written: ordinary writing, or the form of the model's corpus.",
        rich_help_panel=INPUT_AND_OUTPUT,
    ),
]
EncodingOption = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="How the characters of the input are encoded, such as latin-1; answers are UTF-8.",
        rich_help_panel=INPUT_AND_OUTPUT,
    ),
]
OutputOption = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="Write here; the file appears when it is complete.",
        rich_help_panel=INPUT_AND_OUTPUT,
    ),
]
DeviceOption = Annotated[
    str,
    typer.Option(
        metavar="auto|cpu|cuda[:N]",
        help="Where to run; auto: a GPU that can be used, else the CPU.",
        rich_help_panel=SPEED,
    ),
]
ThreadsOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="CPU threads; without this, all that this process may use.",
        envvar="ARAE_THREADS",
        rich_help_panel=SPEED,
    ),
]
BatchSizeOption = Annotated[
    int,
    typer.Option(
        min=1,
        metavar="N",
        help="The most lines decoded at once; it does not change them.",
        rich_help_panel=SPEED,
    ),
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.", rich_help_panel=MESSAGES)]

# Of commands that train.
SettingsOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Change one key of the recipe; repeatable."),
]
TrainingDeviceOption = Annotated[
    str,
    typer.Option(
        metavar="auto|cpu|cuda[:N]", help="Where to train; auto: a GPU if there is one.", rich_help_panel=SPEED
    ),
]
TrainingThreadsOption = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="CPU threads; without this, all that may be used.", rich_help_panel=SPEED),
]
