"""How fast a model rewrites: latency, throughput by batch size and arithmetic, all in one run and by turns."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import cycle, islice
from typing import Any

import numpy as np

from arae_transfer.runtime.rewriter import Rewriter

_ROUNDS = 3
_ALONE = 40


@dataclass(frozen=True)
class Latency:
    """Seconds from one line to its answer, the model being ready."""

    median: float
    percentile_99: float


@dataclass
class TransferReport:
    """What a benchmark of rewriting found.

    Attributes:
        model: The model's name.
        to: The class.
        lines: How many lines each round of throughput rewrote.
        threads: CPU threads.
        latency: For one line at a time, by variant.
        throughput: Lines a second, by variant and batch size; the median of the rounds.
        pytorch: Lines a second of the plain PyTorch loop with the same weights, by batch size.
        ceiling: 10^9 operations a second of single matrix products of the output layer's shape, by variant.
        share: The share of that ceiling which the products of the best throughput reach, by variant.
    """

    model: str
    to: str
    lines: int
    threads: int
    latency: dict[str, Latency] = field(default_factory=dict)
    throughput: dict[str, dict[int, float]] = field(default_factory=dict)
    pytorch: dict[int, float] = field(default_factory=dict)
    ceiling: dict[str, float] = field(default_factory=dict)
    share: dict[str, float] = field(default_factory=dict)

    def to_table(self) -> dict[str, Any]:
        """Return the report as JSON types."""
        return asdict(self)


Rewrite = Callable[[Sequence[str], int], object]


def measure_transfer(
    rewriters: Mapping[str, Rewriter],
    lines: Sequence[str],
    to: str,
    batch_sizes: Sequence[int],
    threads: int,
    pytorch: Rewrite | None = None,
) -> TransferReport:
    """Measure rewriters on the same lines by turns, so that whatever else the machine does falls on all alike.

    Args:
        rewriters: A rewriter for each variant.
        lines: What to rewrite.
        to: The exact name of the class.
        batch_sizes: The batch sizes.
        threads: The CPU threads that the rewriters use.
        pytorch: Rewrites lines in batches of a size with PyTorch, for comparison.
    """
    first = next(iter(rewriters.values()))
    report = TransferReport(first.folder.name, to, len(lines), threads)
    alone: dict[str, list[float]] = {name: [] for name in rewriters}
    for rewriter in rewriters.values():
        rewriter.prepare(to)
        rewriter.rewrite_chunk(lines[:1], to)
    for line in islice(cycle(lines), _ALONE):
        for name, rewriter in rewriters.items():
            alone[name].append(_seconds(partial(rewriter.rewrite_chunk, [line], to)))
    for name, seconds in alone.items():
        report.latency[name] = Latency(float(np.median(seconds)), float(np.percentile(seconds, 99)))
        report.throughput[name] = {}
    for size in batch_sizes:
        rounds: dict[str, list[float]] = {name: [] for name in (*rewriters, *(["pytorch"] if pytorch else []))}
        for _ in range(_ROUNDS):
            for name, rewriter in rewriters.items():
                rounds[name].append(_seconds(partial(rewriter.rewrite_chunk, lines, to, batch_size=size)))
            if pytorch is not None:
                rounds["pytorch"].append(_seconds(partial(pytorch, lines, size)))
        for name, seconds in rounds.items():
            rate = len(lines) / float(np.median(seconds))
            if name == "pytorch":
                report.pytorch[size] = rate
            else:
                report.throughput[name][size] = rate
    return report


def add_ceiling(report: TransferReport, rates: Mapping[str, float], operations_per_line: float) -> None:
    """Put the machine's own rates into a report, and the share of them that the best throughput reaches.

    Args:
        report: The report.
        rates: 10^9 operations a second by variant.
        operations_per_line: The multiplications and additions that a line's matrix products take.
    """
    report.ceiling = dict(rates)
    for name, rate in rates.items():
        if report.throughput.get(name):
            best = max(report.throughput[name].values())
            report.share[name] = best * operations_per_line / 1e9 / rate


def operations_per_line(sizes: Mapping[str, Any], tokens: float) -> float:
    """Return the operations of the matrix products of a line of so many tokens, encoder and decoder; two a weight."""
    hidden, code, embedding = sizes["hidden"], sizes["code_size"], sizes["embedding"]
    directions = 2 if sizes["bidirectional"] else 1
    first = 4 * hidden * (embedding + hidden)
    deeper = 4 * hidden * (directions * hidden + hidden)
    encoder = directions * (first + (sizes["encoder_layers"] - 1) * deeper) + directions * hidden * code
    upper = (sizes["decoder_layers"] - 1) * 4 * hidden * (2 * hidden + code)
    output = sizes["vocabulary"] * embedding + embedding * (hidden + code) + hidden * code
    return float(2 * tokens * (encoder + first + upper + output))


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
