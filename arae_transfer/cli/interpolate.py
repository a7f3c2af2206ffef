"""`arae interpolate`: decode points on a path between two sentences or images."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from arae_transfer.cli.options import (
    DeviceOption,
    FormOption,
    ModelOption,
    OutputOption,
    ThreadsOption,
    complete_class,
    typed_text,
)
from arae_transfer.errors import AraeError
from arae_transfer.runtime.model_folder import ModelFolder

if TYPE_CHECKING:
    from arae_transfer.text import Normalizer


def interpolate(
    ctx: typer.Context,
    first: Annotated[str, typer.Argument(metavar="FIRST", help="First sentence or image.", show_default=False)],
    second: Annotated[str, typer.Argument(metavar="SECOND", help="Second sentence or image.", show_default=False)],
    steps: Annotated[
        int,
        typer.Option(
            "--steps",
            "-n",
            min=2,
            max=1000,  # all are held in surface
            metavar="N",
            help="Number of sentences, including both ends.",
        ),
    ] = 7,
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            "-t",
            metavar="CLASS",
            help="Class whose decoder writes the sentences. Default: each class in turn.",
            autocompletion=complete_class,
        ),
    ] = None,
    path: Annotated[
        str,
        typer.Option(metavar="sphere|line", help="Path: along the sphere of code vectors, or a straight line."),
    ] = "sphere",
    model: ModelOption = None,
    form: FormOption = "auto",
    output: OutputOption = None,
    json_lines: Annotated[
        bool,
        typer.Option("--json", help="Write one JSON object per line: position, output, to, path, vectors, unfinished."),
    ] = False,
    device: DeviceOption = "auto",
    threads: ThreadsOption = None,
) -> None:
    """Write the sentences on the path between two sentences.

    Each vector moves along a great circle at constant speed (sphere), or along a straight line (line), where
    vectors are shorter midway. Codes with different numbers of vectors are resampled at each step. For one class,
    writes one sentence per line; for several, class, tab and sentence. For a model of images, the ends are
    FILE:NUMBER (an IDX file) or noise:SEED, and the output is a PNG.

    \b
      arae interpolate "the food was cold ." "great service !" --to positive --model yelp-sentiment
      arae interpolate --model mnist t10k-images-idx3-ubyte.gz:0 noise:7 -o path.png
    """
    folder = ModelFolder.find(model, "any")
    if folder.image is not None:
        if json_lines:
            ctx.fail("Option '--json' does not apply to models of images, which write a picture.")
        from arae_transfer.paper.images.picture_commands import interpolate_picture

        interpolate_picture(folder, first, second, steps, to, path, output, device, threads)
        return
    first, second = typed_text(first), typed_text(second)
    classes = [folder.match_class(to)] if to is not None else list(folder.classes)
    for sentence in (first, second):
        if not sentence.strip():
            raise AraeError("an empty sentence has no code vector", "give two sentences with words.")

    from arae_transfer.cli.answers import open_answers
    from arae_transfer.runtime.code_space import CodeSpace
    from arae_transfer.runtime.paths import PATHS
    from arae_transfer.runtime.preparation import make_normalizer
    from arae_transfer.runtime.sessions import Sessions

    if path not in PATHS:
        raise AraeError(f"the path must be {' or '.join(PATHS)}, not {path!r}", f"use --path {PATHS[0]}.")
    space = CodeSpace(Sessions(folder, device, threads))
    texts, write_step = _forms(make_normalizer(folder, form), first, second, steps)
    with open_answers(output) as write:
        for class_name in classes:
            for place, decoded in enumerate(space.walk(*texts, class_name, steps, path, write_step)):
                line = decoded.output if len(classes) == 1 else f"{class_name}\t{decoded.output}"
                if json_lines:
                    record = {
                        "position": round(place / (steps - 1), 6),
                        "output": decoded.output,
                        "to": class_name,
                        "path": path,
                        "vectors": decoded.vectors,
                        "unfinished": decoded.unfinished,
                    }
                    line = json.dumps(record, ensure_ascii=False)
                write(f"{line}\n".encode())


def _forms(
    normalizer: Normalizer, first: str, second: str, steps: int
) -> tuple[tuple[str, str], Callable[[int, str], str]]:
    """Return both sentences in the corpus's text format, and what restores the typed form of the nearer one."""
    ends = [normalizer.normalize(text) for text in (first, second)]

    def write(place: int, text: str) -> str:
        return normalizer.restore(text, ends[0 if place <= (steps - 1) / 2 else 1][1])

    return (ends[0][0], ends[1][0]), write
