"""Options that several commands share, and their completion in a shell."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from arae_transfer.cli.command import report
from arae_transfer.errors import AraeError
from arae_transfer.folders import MODEL_VARIABLE, hub_address, list_models
from arae_transfer.runtime.model_folder import ModelFolder

INPUT_AND_OUTPUT = "Input and output"
MODEL = "Model"
SPEED = "Speed"
MESSAGES = "Messages"


def complete_model(incomplete: str) -> list[str]:
    """Return the names of models with this prefix, for the shell."""
    return [name for name in list_models() if name.startswith(incomplete)]


def complete_class(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the classes of the chosen model with this prefix, for the shell."""
    if hub_address(ctx.params.get("model")):
        return []  # pressing a key must not use the network
    try:
        classes = ModelFolder.find(ctx.params.get("model")).classes
    except AraeError:
        return []
    return [name for name in classes if name.startswith(incomplete)]


def announce_downloads(ctx: typer.Context, model: str | list[str] | None) -> str | list[str] | None:
    """Report downloads of models from the Hub, unless ``--quiet`` is set."""
    wishes = model if isinstance(model, list) else [model]
    if any(hub_address(wish) for wish in wishes or [None]):
        from arae_transfer.runtime import hub

        hub.tell = lambda message: None if ctx.params.get("quiet") else report(message)
    return model


def typed_text(argument: str) -> str:
    """Return an argument as UTF-8 in any locale; invalid bytes become U+FFFD."""
    return os.fsencode(argument).decode("utf-8", errors="replace")


# Of commands that run an exported model on lines.
ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        metavar="NAME|PATH|hf://OWNER/NAME",
        help=(
            "Name or folder of an exported model, or its address on the Hugging Face Hub (@REVISION pins it). "
            "Default: the shipped model."
        ),
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
        help="Form of the input: ordinary text, or the tokenized form of the model's corpus.",
        rich_help_panel=INPUT_AND_OUTPUT,
    ),
]
EncodingOption = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="Encoding of the input, such as latin-1. Answers are UTF-8.",
        rich_help_panel=INPUT_AND_OUTPUT,
    ),
]
OutputOption = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="Write to this file, which appears when it is complete.",
        rich_help_panel=INPUT_AND_OUTPUT,
    ),
]
DeviceOption = Annotated[
    str,
    typer.Option(
        metavar="auto|cpu|cuda[:N]",
        help="Device to run on; auto: a usable GPU, else the CPU.",
        rich_help_panel=SPEED,
    ),
]
VariantOption = Annotated[
    str,
    typer.Option(
        metavar="auto|fp32|fp16|int8",
        help=(
            "Precision of the model; auto: int8 on a CPU, fp16 on a GPU, or fp32 if the export found that "
            "too inaccurate."
        ),
        rich_help_panel=SPEED,
    ),
]
ThreadsOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="CPU threads. Default: all that this process may use.",
        envvar="ARAE_THREADS",
        rich_help_panel=SPEED,
    ),
]
BatchSizeOption = Annotated[
    int,
    typer.Option(
        min=1,
        metavar="N",
        help="Maximum number of lines per batch; it does not change the answers.",
        rich_help_panel=SPEED,
    ),
]
QuietOption = Annotated[
    bool, typer.Option("--quiet", "-q", help="Write nothing but errors to standard error.", rich_help_panel=MESSAGES)
]

# Of commands that train.
SettingsOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Set one key of the recipe; repeatable."),
]
TrainingDeviceOption = Annotated[
    str,
    typer.Option(
        metavar="auto|cpu|cuda[:N]",
        help="Device to train on; auto: a GPU if there is one, else the CPU.",
        rich_help_panel=SPEED,
    ),
]
TrainingThreadsOption = Annotated[
    int | None,
    typer.Option(
        min=1, metavar="N", help="CPU threads. Default: all that this process may use.", rich_help_panel=SPEED
    ),
]
