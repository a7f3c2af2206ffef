"""Functions that all commands share which read and write lines."""

from __future__ import annotations

import gc
import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from arae_transfer.errors import AraeError
from arae_transfer.runtime.model_folder import ModelFolder

if TYPE_CHECKING:
    from arae_transfer.runtime.stream import Source

STANDARD_INPUT = "-"


@contextmanager
def quick_start() -> Iterator[None]:
    """Start faster: freeze imported objects and pause the garbage collector."""
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()


def known_classes(model: str | None) -> str:
    """Return a sentence that lists the model's classes, or nothing if the model does not exist."""
    try:
        folder = ModelFolder.find(model)
    except AraeError:
        return ""
    folder.require_rewriting()  # of a model that cannot, no class is missing
    return f" Classes of {folder.name}: {', '.join(folder.classes)}."


def sources_of(names: Sequence[str]) -> list[Source]:
    """Return the input files after checking that each can be read."""
    from arae_transfer.runtime.stream import Source

    for name in names:
        if any(map(str.isspace, name)) and not os.path.lexists(name):
            raise AraeError(f"there is no file {name!r}", "to rewrite one sentence: echo SENTENCE | arae ...")
    return [_standard_input() if name == STANDARD_INPUT else Source.from_path(Path(name)) for name in names]


def _standard_input() -> Source:
    from arae_transfer.runtime.stream import Source

    if sys.stdin is None:
        raise AraeError("standard input is closed", "name a file to read.")
    stream = sys.stdin.buffer
    # Unbuffered: a thread that waits inside a buffered stream holds its lock, and the interpreter could not
    # end.
    return Source("standard input", lambda: nullcontext(getattr(stream, "raw", stream)))


def json_line(record: Mapping[str, Any]) -> str:
    """Return a record as one line of JSON, for any text in it."""
    text = json.dumps(record, ensure_ascii=False)
    # JSON allows these inside a string, but programs that read lines break them there.
    return re.sub("[\x7f-\x9f\u2028\u2029]", lambda match: f"\\u{ord(match[0]):04x}", text) + "\n"


@contextmanager
def progress_bar(names: Sequence[str], output: Path | None, *, quiet: bool) -> Iterator[Callable[[int], None]]:
    """Show a progress bar on a terminal if the size of the input is known."""
    paths = [Path(name) for name in names]
    shown = (
        not quiet
        and sys.stderr is not None
        and sys.stderr.isatty()
        and (output is not None or not sys.stdout.isatty())
        and all(path.is_file() for path in paths)
    )
    if not shown:
        yield lambda size: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TimeRemainingColumn

    columns = (BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=sum(path.stat().st_size for path in paths))
        yield lambda size: progress.advance(task, size)
