"""`arae bench serve`: how many requests a second a server answers here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from arae_transfer.errors import AraeError
from arae_transfer.layout import MODEL_VARIABLE


def bench_serve(
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="MODEL", help="An exported model; without this, the shipped one.", envvar=MODEL_VARIABLE
        ),
    ] = None,
    to: Annotated[
        str | None, typer.Option("--to", "-t", metavar="CLASS", help="The class; without this, the model's last.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Lines to rewrite; -: standard input; without this, a few of its own."),
    ] = None,
    clients: Annotated[
        list[str] | None, typer.Option(metavar="N", help="Clients at once; repeatable; without this, 1, 8 and 32.")
    ] = None,
    cores: Annotated[
        list[str] | None,
        typer.Option(metavar="N", help="Processors of the server; repeatable; without this, all that may be used."),
    ] = None,
    seconds: Annotated[float, typer.Option(min=0.5, metavar="S", help="How long each measurement lasts.")] = 5,
    beam: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Candidates searched; without this, as the model asks for.")
    ] = None,
    json_report: Annotated[bool, typer.Option("--json", help="Write the report as JSON.")] = False,
) -> None:
    """Measure how many requests a second `arae serve` answers on this machine.

    Two servers run by turns, one that rewrites together what waits together, and one that takes line by line. The
    clients work on the same processors, so a server with a machine of its own does more. Compare within a report, not
    between reports.
    """
    from arae_transfer.cli.bench import read_lines
    from arae_transfer.cli.extras import require

    require("starlette", "uvicorn", "prometheus_client", extra="serve", command="arae bench serve")
    from arae_transfer.bench.serving import measure_serving, to_table, verdicts
    from arae_transfer.runtime.model_folder import ModelFolder
    from arae_transfer.runtime.sessions import default_threads

    folder = ModelFolder.find(model)
    options: dict[str, Any] = {"to": folder.match_class(to or folder.classes[-1])}
    if beam is not None:
        options["beam"] = beam
    numbers = _numbers("--clients", clients, ["1", "8", "32"])
    processors = _numbers("--cores", cores, [str(default_threads())])
    if max(processors) > default_threads():
        raise AraeError(f"this process may use {default_threads()} processors", "use fewer --cores.")
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
    table = Table(title=f"{folder.name}, to {options['to']}, a line a request")
    for column in ("cores", "clients", "lines", "requests/s", "p50 ms", "p95 ms", "processor ms"):
        table.add_column(column, justify="left" if column == "lines" else "right")
    for load in loads:
        cells = [f"{value:,.1f}" for value in (load.rate, load.median, load.percentile_95)]
        cost = "" if load.cost is None else f"{load.cost:.2f}"
        how = "together" if load.batched else "one by one"
        table.add_row(str(load.cores), str(load.clients), how, *cells, cost)
    console.print(table)
    for what, found, bar, met in verdicts(loads):
        console.print(f"{what}: {found:.2f} (hoped for: {bar:g}; {'met' if met else 'missed'})")


def _numbers(option: str, given: list[str] | None, default: list[str]) -> list[int]:
    numbers = [int(wish) if wish.isdecimal() else 0 for wish in given or default]
    if min(numbers) < 1:
        raise AraeError(f"{option} takes numbers from 1: {', '.join(given or [])}", f"use {option} {default[0]}.")
    return numbers
