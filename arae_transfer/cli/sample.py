"""`arae sample`: generate sentences or images from noise."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from arae_transfer.cli.command import report
from arae_transfer.cli.lines import known_classes
from arae_transfer.cli.options import (
    BatchSizeOption,
    DeviceOption,
    ModelOption,
    OutputOption,
    QuietOption,
    ThreadsOption,
    complete_class,
)
from arae_transfer.errors import AraeError
from arae_transfer.runtime.model_folder import ModelFolder

SECONDS_BETWEEN_LINES = 10


def sample(
    ctx: typer.Context,
    number: Annotated[
        int, typer.Option("--number", "-n", min=1, metavar="N", help="Number of sentences or images.")
    ] = 10,
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            "-t",
            metavar="CLASS",
            help=(
                "Class whose decoder writes the sentences, or the start of its name; not needed for a model of "
                "one class."
            ),
            autocompletion=complete_class,
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Random seed; another seed gives other sentences.")] = 0,
    model: ModelOption = None,
    output: OutputOption = None,
    json_lines: Annotated[
        bool,
        typer.Option("--json", help="Write one JSON object per line: number, output, to, seed, vectors, unfinished."),
    ] = False,
    device: DeviceOption = "auto",
    threads: ThreadsOption = None,
    batch_size: BatchSizeOption = 64,
    quiet: QuietOption = False,
) -> None:
    """Generate new sentences or images from noise.

    A model of images writes a PNG. Sentences are in the form of the model's corpus. The same seed gives the same
    sentences, and a larger number starts with them. The number of vectors in a code is drawn from the lengths of
    the corpus's sentences.

    \b
      arae sample --model yelp-sentiment -n 5 --to positive --seed 7
      arae sample --model snli-generation -n 100000 -o sentences.txt
      arae sample --model mnist -n 64 -o grid.png
    """
    folder = ModelFolder.find(model, "any") if to is not None else _needs_no_class(model)
    if folder is not None and folder.image is not None:
        if json_lines:
            ctx.fail("Option '--json' does not apply to models of images, which write a picture.")
        from arae_transfer.paper.images.picture_commands import sample_picture

        sample_picture(folder, number, to, seed, output, device, threads)
        return
    if folder is None:
        ctx.fail(f"Missing option '--to' / '-t'.{known_classes(model)}")
    class_name = folder.match_class(to or folder.classes[0])

    from arae_transfer.cli.answers import open_answers
    from arae_transfer.runtime.code_space import CodeSpace
    from arae_transfer.runtime.sessions import Sessions

    space = CodeSpace(Sessions(folder, device, threads))
    place = 0
    with open_answers(output) as write, sampling_progress(number, output, quiet=quiet) as advance:
        for chunk in space.sample_chunks(number, class_name, seed=seed, batch_size=batch_size):
            lines = []
            for sentence in chunk:
                line = sentence.output
                if json_lines:
                    record = {
                        "number": place,
                        "output": sentence.output,
                        "to": class_name,
                        "seed": seed,
                        "vectors": sentence.vectors,
                        "unfinished": sentence.unfinished,
                    }
                    line = json.dumps(record, ensure_ascii=False)
                lines.append(f"{line}\n")
                place += 1
            write("".join(lines).encode())
            advance(len(chunk))


@contextmanager
def sampling_progress(number: int, output: Path | None, *, quiet: bool) -> Iterator[Callable[[int], None]]:
    """Report progress of long runs: a bar on a terminal, elsewhere a line now and then."""
    shows_bar = sys.stderr is not None and sys.stderr.isatty() and (output is not None or not sys.stdout.isatty())
    if quiet or sys.stderr is None or (sys.stderr.isatty() and not shows_bar):
        yield lambda count: None
        return
    if shows_bar:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

        columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("", total=number)
            yield lambda count: bar.advance(task, count)
        return
    begun = said = time.monotonic()
    done = 0

    def advance(count: int) -> None:
        nonlocal said, done
        done += count
        now = time.monotonic()
        if now - said >= SECONDS_BETWEEN_LINES or (done == number and said > begun):
            said = now
            report(f"{done:,} of {number:,} sentences, {done / (now - begun):,.0f} a second")

    yield advance


def _needs_no_class(wish: str | None) -> ModelFolder | None:
    """Return a model of images or of one class, or None for a model that needs `--to`."""
    try:
        folder = ModelFolder.find(wish, "any")
    except AraeError:
        return None
    return folder if folder.image is not None or len(folder.classes) == 1 else None
