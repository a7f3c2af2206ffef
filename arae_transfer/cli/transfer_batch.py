"""`arae transfer` of tables: read tables, write a folder of rewritten parts."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NamedTuple

import typer

from arae_transfer.batch.job import ROWS_PER_PART, Job
from arae_transfer.batch.plan import find_inputs
from arae_transfer.batch.rewrite_batch import ERROR, FAILED
from arae_transfer.batch.run import Engine, run_job
from arae_transfer.cli.command import report
from arae_transfer.cli.extras import require
from arae_transfer.errors import AraeError
from arae_transfer.folders import expanded
from arae_transfer.runtime.device import default_threads
from arae_transfer.runtime.model_folder import ModelFolder
from arae_transfer.runtime.sessions import Sessions

if TYPE_CHECKING:
    from arae_transfer.runtime.decoding import DecodingOptions

ENGINES = ("local", "ray")
ON_ERROR = ("keep", "fail")


class BatchOptions(NamedTuple):
    """Options of ``arae transfer`` for tables in parts; None: not given."""

    engine: str | None
    workers: int | None
    threads_per_worker: int | None
    rows_per_part: int | None
    resume: bool
    on_error: str | None
    address: str | None


def transfer_batch(
    ctx: typer.Context,
    names: Sequence[str],
    column: str,
    output: Path | None,
    model: str | None,
    to: str,
    decoding: DecodingOptions,
    options: BatchOptions,
    ways: Mapping[str, Any],
    *,
    quiet: bool,
) -> None:
    """Rewrite tables in parts, and report the result.

    Raises:
        AraeError: As in ``run_job``; or the input or output is not said.
    """
    engine = options.engine or "local"
    for name, value, known in (("--engine", engine, ENGINES), ("--on-error", options.on_error or "keep", ON_ERROR)):
        if value not in known:
            ctx.fail(f"Invalid value for '{name}': {value!r} is none of {', '.join(known)}.")
    if options.address is not None and engine != "ray":
        ctx.fail("Option '--address' needs --engine ray.")
    if output is None:
        ctx.fail("Tables in parts need a folder: -o FOLDER/.")
    if list(names) == ["-"]:
        ctx.fail("Tables in parts must be files; name them.")
    if engine == "ray":
        require("ray", extra="ray", command="arae transfer --engine ray")
    folder = ModelFolder.find(model)
    folder.require_rewriting()
    inputs, kind = find_inputs(names)
    if kind == "parquet":
        require("pyarrow", extra="parquet", command="arae transfer of Parquet tables")
    destination = expanded(output).absolute()
    if destination.exists() and not destination.is_dir():
        raise AraeError(f"{output} is a file", "choose a folder; it is created if it does not exist.")
    threads = options.threads_per_worker or 1
    job = Job(
        inputs=tuple(str(Path(name).absolute()) for name in inputs),
        kind=kind,
        output=destination,
        column=column,
        rewrite_column="rewrite",
        model=folder.address,
        to=folder.match_class(to),
        options=decoding,
        threads=threads,
        rows_per_part=options.rows_per_part or ROWS_PER_PART,
        keep_errors=options.on_error != "fail",
        **ways,
    )
    if folder.hub is not None:  # downloaded and said once, not by every worker
        Sessions(folder, job.device, threads, job.variant)
    workers = options.workers or max(1, default_threads() // threads)
    with _stopping_on_sigterm(), _progress(quiet=quiet) as progress:
        try:
            totals = run_job(
                job, Engine(engine, workers, options.address), resume=options.resume, warn=report, progress=progress
            )
        except KeyboardInterrupt:
            report(f"interrupted; finished parts are in {output}", "--resume continues the job.")
            raise
    if not quiet:
        _describe(totals)
    typer.echo(output)


def _describe(totals: Mapping[str, int]) -> None:
    rows = sum(totals.values())
    found = ", ".join(f"{number:,} {status}" for status, number in sorted(totals.items()) if status != FAILED)
    report(f"{rows:,} {'row' if rows == 1 else 'rows'}: {found or 'none with a text'}")
    if totals[FAILED]:
        were = "has no text and was" if totals[FAILED] == 1 else "have no text and were"
        report(f"{totals[FAILED]:,} of {rows:,} rows {were} kept; the column {ERROR} gives the reason")


@contextmanager
def _stopping_on_sigterm() -> Iterator[None]:
    """Handle SIGTERM, by which batch systems end a job, as Ctrl-C: stop the workers cleanly."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """Show a progress bar of the parts on a terminal."""
    if quiet or sys.stderr is None or not sys.stderr.isatty():
        yield lambda done, parts: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), "parts", TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, parts: bar.update(task, completed=done, total=parts)
