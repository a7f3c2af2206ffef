"""`arae bench`: measure speed here, beside what this machine can do; one subcommand per measurement."""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from arae_transfer.cli.command import AraeGroup, CommandSource, report
from arae_transfer.errors import AraeError
from arae_transfer.folders import MODEL_VARIABLE

if TYPE_CHECKING:
    from arae_transfer.bench.transfer import TransferReport


class _Bench(AraeGroup):
    sources = (
        CommandSource(
            "transfer",
            "bench.transfer",
            "Measure rewriting on the CPU: latency of one line, and throughput by batch size and variant.",
        ),
        CommandSource("train", "bench_train.bench_train", "Measure how fast a recipe trains on this machine."),
        CommandSource(
            "serve",
            "bench_serve.bench_serve",
            "Measure how many requests per second `arae serve` answers on this machine.",
        ),
    )


bench = typer.Typer(
    name="bench",
    cls=_Bench,
    help="Measure the speed on this machine.",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
)


@bench.callback()
def _options() -> None:
    """Make this a group; its commands are declared elsewhere."""


SENTENCES = (
    "the food was cold and the waiter was rude .",
    "great service !",
    "we waited an hour for a table and left hungry .",
    "the room was clean , the bed was soft and the staff was friendly .",
    "i will never come back to this place again .",
    "the best breakfast in town .",
    "the soup tasted like water and the bread was stale .",
    "they were so nice and the prices are fair .",
)


def transfer(
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
    run: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN", help="Folder of the model's training run, to measure the plain PyTorch loop as well."
        ),
    ] = None,
    batch_size: Annotated[
        list[str] | None,
        typer.Option(metavar="N", help="Batch size to measure; repeatable. Default: 1, 16, 64 and 256."),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="CPU threads. Default: all that this process may use.")
    ] = None,
    lines: Annotated[int, typer.Option(min=1, metavar="N", help="Number of lines per round of measurement.")] = 512,
    json_report: Annotated[bool, typer.Option("--json", help="Write the report as JSON.")] = False,
) -> None:
    """Measure rewriting on the CPU: latency of one line, and throughput by batch size and variant.

    Measurements alternate within one run, so compare them within a report, not between reports. Rows with only a
    variant's name use greedy decoding, like the PyTorch loop and the shares of the peak. `arae transfer` uses the
    model's default beam, or searches after copies; the rows "and search" measure this.
    """
    sizes = _batch_sizes(batch_size)
    texts = read_lines(data)

    from arae_transfer.bench.transfer import measure_transfer
    from arae_transfer.export_config import FP16
    from arae_transfer.runtime.device import default_threads
    from arae_transfer.runtime.model_folder import ModelFolder
    from arae_transfer.runtime.rewriter import Rewriter

    folder = ModelFolder.find(model)
    class_name = folder.match_class(to or folder.classes[-1])
    threads = threads or default_threads()
    rewriters = {
        name: Rewriter.load(folder.address, device="cpu", threads=threads, variant=name)
        for name in folder.variants
        if name != FP16
    }
    texts = (texts * (-(-lines // len(texts))))[:lines]
    pytorch = None
    if run is not None:
        from arae_transfer.cli.extras import require

        require("torch", "onnx", "safetensors", extra="train", command="arae bench transfer --run")
        from arae_transfer.bench.pytorch_loop import pytorch_loop

        pytorch = pytorch_loop(run, class_name, threads)
    found = measure_transfer(rewriters, texts, class_name, sizes, threads, pytorch)
    if folder.edits:
        report("the machine's peak is not shown: the work of a model that edits depends on the line")
    elif find_spec("onnx") is None:
        report("the machine's peak is not shown: measuring it needs onnx, which the base install does not have")
    else:
        from arae_transfer.bench.ceiling import measure_ceiling

        measure_ceiling(found, next(iter(rewriters.values())), texts, max(sizes), threads)
    if json_report:
        typer.echo(json.dumps(found.to_table(), indent=2, ensure_ascii=False))
    else:
        _print_tables(found)


def _batch_sizes(wishes: list[str] | None) -> list[int]:
    sizes = [int(wish) if wish.isdecimal() else 0 for wish in wishes or ["1", "16", "64", "256"]]
    if min(sizes) < 1:
        raise AraeError(
            f"every batch size must be a number from 1, not {', '.join(wishes or [])}", "use --batch-size 64."
        )
    return sizes


def read_lines(data: Path | None) -> list[str]:
    """Return the lines of a file or of standard input that are not blank, or a few built-in sentences.

    Raises:
        AraeError: They cannot be read, or there are none.
    """
    if data is None:
        return list(SENTENCES)
    try:
        content = sys.stdin.buffer.read() if str(data) == "-" else data.read_bytes()
    except OSError as error:
        raise AraeError(f"cannot read {data}: {error.strerror or error}") from error
    texts = [line for line in content.decode("utf-8", "replace").split("\n") if line.strip()]
    if not texts:
        raise AraeError(f"{data} has no line to rewrite")
    return texts


def _print_tables(found: TransferReport) -> None:
    from rich.console import Console
    from rich.table import Table

    from arae_transfer.export_config import FP32, INT8

    console = Console(markup=False)
    table = Table(title=f"{found.model}, to {found.to}: {found.lines} lines, {found.threads} threads")
    for column in ("", "one line, median ms", "99 %", *(f"lines/s, batch {size}" for size in _sizes(found))):
        table.add_column(column, justify="left" if not column else "right")
    for label, latencies, throughput in (
        ("{}", found.latency, found.throughput),
        ("{} and search", found.latency_searching, found.throughput_searching),
    ):
        for name, rates in throughput.items():
            latency = latencies[name]
            cells = [f"{1e3 * latency.median:.1f}", f"{1e3 * latency.percentile_99:.1f}"]
            table.add_row(label.format(name), *cells, *(f"{rate:,.0f}" for rate in rates.values()))
    if found.pytorch:
        table.add_row("PyTorch loop", "", "", *(f"{rate:,.0f}" for rate in found.pytorch.values()))
    console.print(table)
    for name, times in found.times_pytorch.items():
        console.print(f"{name}: {times:.1f} times the PyTorch loop, each at its best batch size")
    best = {name: max(rates.values()) for name, rates in found.throughput.items()}
    if FP32 in best and INT8 in best:
        console.print(f"{INT8}: {best[INT8] / best[FP32]:.1f} times {FP32}")
    for name, rate in found.ceiling.items():
        share = f"; the best batch size reaches {100 * found.share[name]:.0f} % of it" if name in found.share else ""
        console.print(
            f"{name}: peak of its matrix products on this machine {rate:,.0f} billion operations a second{share}"
        )


def _sizes(found: TransferReport) -> list[int]:
    return list(next(iter(found.throughput.values())))
