"""`arae bench serve`: measure how many requests per second a server answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from arae_transfer.errors import AraeError
from arae_transfer.folders import MODEL_VARIABLE


def bench_serve(
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="MODEL",
            help="Name or folder of an exported model. Default: the shipped model.",
            envvar=MODEL_VARIABLE,
        ),
    ] = None,
    to: Annotated[
        str | None, typer.Option("--to", "-t", metavar="CLASS", help="Target class. Default: the model's last class.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="File of lines to rewrite; '-' reads standard input. Default: a few built-in sentences.",
        ),
    ] = None,
    clients: Annotated[
        list[str] | None,
        typer.Option(metavar="N", help="Number of concurrent clients; repeatable. Default: 1, 8 and 32."),
    ] = None,
    cores: Annotated[
        list[str] | None,
        typer.Option(
            metavar="N", help="Number of CPU cores for the server; repeatable. Default: all that this process may use."
        ),
    ] = None,
    seconds: Annotated[float, typer.Option(min=0.5, metavar="S", help="Duration of each measurement, in seconds.")] = 5,
    beam: Annotated[int | None, typer.Option(min=1, metavar="N", help="Beam width. Default: the model's own.")] = None,
    json_report: Annotated[bool, typer.Option("--json", help="Write the report as JSON.")] = False,
) -> None:
    """Measure how many requests per second `arae serve` answers on this machine.

    Two servers alternate: one with batching and one without. The clients use the same cores, so a server on a
    machine of its own is faster. Compare within a report, not between reports.
    """
    from arae_transfer.cli.bench import read_lines
    from arae_transfer.cli.extras import require

    require("starlette", "uvicorn", "prometheus_client", extra="serve", command="arae bench serve")
    from arae_transfer.bench.serving import measure_serving, to_table, verdicts
    from arae_transfer.runtime.device import default_threads
    from arae_transfer.runtime.model_folder import ModelFolder

    folder = ModelFolder.find(model)
    options: dict[str, Any] = {"to": folder.match_class(to or folder.classes[-1])}
    if beam is not None:
        options["beam"] = beam
    numbers = _numbers("--clients", clients, ["1", "8", "32"])
    processors = _numbers("--cores", cores, [str(default_threads())])
    if max(processors) > default_threads():
        raise AraeError(f"this process may use only {default_threads()} cores", "give --cores a smaller number.")
    loads = measure_serving(
        read_lines(data), options, numbers, processors, seconds, ["--model", folder.address, "--device", "cpu"]
    )
    if json_report:
        bars = [
            {"what": what, "found": round(found, 2), "bar": bar, "met": met}
            for what, found, bar, met in verdicts(loads)
        ]
        typer.echo(json.dumps({"model": folder.name, **options, "loads": to_table(loads), "bars": bars}, indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    console = Console(markup=False)
    table = Table(title=f"{folder.name}, to {options['to']}, one line per request")
    for column in ("cores", "clients", "lines", "requests/s", "p50 ms", "p95 ms", "processor ms"):
        table.add_column(column, justify="left" if column == "lines" else "right")
    for load in loads:
        cells = [f"{value:,.1f}" for value in (load.rate, load.median, load.percentile_95)]
        cost = "" if load.cost is None else f"{load.cost:.2f}"
        how = "together" if load.batched else "one by one"
        table.add_row(str(load.cores), str(load.clients), how, *cells, cost)
    console.print(table)
    for what, found, bar, met in verdicts(loads):
        console.print(f"{what}: {found:.2f} (target: {bar:g}; {'met' if met else 'missed'})")


def _numbers(option: str, given: list[str] | None, default: list[str]) -> list[int]:
    numbers = [int(wish) if wish.isdecimal() else 0 for wish in given or default]
    if min(numbers) < 1:
        raise AraeError(f"{option} takes numbers from 1, not {', '.join(given or [])}", f"use {option} {default[0]}.")
    return numbers
