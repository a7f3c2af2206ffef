"""Speed of rewriting: latency, and throughput by batch size and precision, measured alternately."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import cycle, islice
from typing import Any

import numpy as np

from arae_transfer.runtime.decoding import GREEDY, DecodingOptions
from arae_transfer.runtime.rewriter import Rewriter

_ROUNDS = 3
_ALONE = 40
# What the PyTorch loop does too; matrix products alone are counted for it.
_GREEDY = DecodingOptions(beam=1, if_unchanged="keep", faithful=False)


@dataclass(frozen=True)
class Latency:
    """Seconds from a line to its answer, with a ready model."""

    median: float
    percentile_99: float


@dataclass
class TransferReport:
    """Results of a benchmark of rewriting.

    Attributes:
        model: The model's name.
        to: The class.
        lines: How many lines each round of throughput rewrote.
        threads: CPU threads.
        latency: For one line at a time, by variant.
        throughput: Lines a second, by variant and batch size; the median of the rounds.
        latency_searching: As ``latency``, with what ``arae transfer`` does beyond the one greedy rewrite: it takes the
            best of the beam that the model's export asks for, or searches where the greedy rewrite is the source
            itself. Empty where the model cannot.
        throughput_searching: As ``throughput``, with that search.
        pytorch: Lines a second of the plain PyTorch loop with the same weights, greedy rewrites alone, by batch size.
        times_pytorch: How many times as fast each variant is, each at its best batch size.
        ceiling: 10^9 operations a second of the products of ``decoder_shapes``, each alone and one after the other, by
            variant.
        share: The share of that ceiling which the products of the best throughput reach, by variant.
    """

    model: str
    to: str
    lines: int
    threads: int
    latency: dict[str, Latency] = field(default_factory=dict)
    throughput: dict[str, dict[int, float]] = field(default_factory=dict)
    latency_searching: dict[str, Latency] = field(default_factory=dict)
    throughput_searching: dict[str, dict[int, float]] = field(default_factory=dict)
    pytorch: dict[int, float] = field(default_factory=dict)
    times_pytorch: dict[str, float] = field(default_factory=dict)
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
    """Measure rewriters alternately on the same lines, so that other load affects all equally.

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
    ways = [_Way.of(rewriter, to, _GREEDY, report.latency, report.throughput) for rewriter in rewriters.values()]
    if first.searches:
        into = (report.latency_searching, report.throughput_searching)
        ways += [_Way.of(rewriter, to, GREEDY, *into) for rewriter in rewriters.values()]
    for rewriter in rewriters.values():
        rewriter.prepare(to, options=_GREEDY)
        rewriter.prepare(to)
    for way in ways:
        way.rewrite(lines, batch_sizes[0])
    alone: list[list[float]] = [[] for _ in ways]
    for line in islice(cycle(lines), _ALONE):
        for way, seconds in zip(ways, alone, strict=True):
            seconds.append(_seconds(partial(way.rewrite, [line], 1)))
    for way, seconds in zip(ways, alone, strict=True):
        way.latency[way.variant] = Latency(float(np.median(seconds)), float(np.percentile(seconds, 99)))
        way.throughput[way.variant] = {}
    for size in batch_sizes:
        rewrites = [way.rewrite for way in ways] + ([pytorch] if pytorch else [])
        rounds: list[list[float]] = [[] for _ in rewrites]
        for _ in range(_ROUNDS):
            for rewrite, seconds in zip(rewrites, rounds, strict=True):
                seconds.append(_seconds(partial(rewrite, lines, size)))
        rates = [len(lines) / float(np.median(seconds)) for seconds in rounds]
        for way, rate in zip(ways, rates, strict=False):
            way.throughput[way.variant][size] = rate
        if pytorch:
            report.pytorch[size] = rates[-1]
    if report.pytorch:
        best = max(report.pytorch.values())
        report.times_pytorch = {name: max(rates.values()) / best for name, rates in report.throughput.items()}
    return report


@dataclass(frozen=True)
class _Way:
    """A measured way of rewriting, and its parts of the report."""

    variant: str
    rewrite: Rewrite
    latency: dict[str, Latency]
    throughput: dict[str, dict[int, float]]

    @classmethod
    def of(
        cls,
        rewriter: Rewriter,
        to: str,
        options: DecodingOptions,
        latency: dict[str, Latency],
        throughput: dict[str, dict[int, float]],
    ) -> _Way:
        def rewrite(lines: Sequence[str], size: int) -> object:
            return rewriter.rewrite_chunk(lines, to, batch_size=size, options=options)

        return cls(rewriter.variant, rewrite, latency, throughput)


def add_ceiling(
    report: TransferReport, rates: Mapping[tuple[int, int], Mapping[str, float]], operations_per_line: float
) -> None:
    """Add the machine's peak rates to a report, and the share that the best throughput reaches.

    Args:
        report: The report.
        rates: 10^9 operations a second of a product, by its inputs and outputs and by variant.
        operations_per_line: The multiplications and additions that a line's matrix products take.
    """
    weights = {shape: shape[0] * shape[1] for shape in rates}
    for name in next(iter(rates.values())):
        seconds = sum(weight / rates[shape][name] for shape, weight in weights.items())
        report.ceiling[name] = sum(weights.values()) / seconds
        if report.throughput.get(name):
            best = max(report.throughput[name].values())
            report.share[name] = best * operations_per_line / 1e9 / report.ceiling[name]


def operations_per_line(sizes: Mapping[str, Any], tokens: float, choices: int) -> float:
    """Return the operations of a line's matrix products in encoder and decoder; two per weight.

    Args:
        sizes: Those in the model's ``config.json``.
        tokens: The tokens of the line.
        choices: The tokens that the decoder chooses among at each step, those of the line itself not counted.
    """
    hidden, embedding = sizes["hidden"], sizes["embedding"]
    laid_over = sizes.get("code") == "superposed"
    # What decoders read at a place; laid into one vector and read from it, each takes two products more.
    code = embedding if laid_over else sizes["code_size"]
    superposition = 2 * embedding * sizes["code_size"] if laid_over else 0
    directions = 2 if sizes["bidirectional"] else 1
    first = 4 * hidden * (embedding + hidden)
    deeper = 4 * hidden * (directions * hidden + hidden)
    encoder = directions * (first + (sizes["encoder_layers"] - 1) * deeper) + directions * hidden * code
    upper = (sizes["decoder_layers"] - 1) * 4 * hidden * (2 * hidden + code)
    output = choices * embedding + embedding * (hidden + code) + hidden * code
    return float(2 * tokens * (encoder + superposition + first + upper + output))


def decoder_shapes(sizes: Mapping[str, Any], choices: int) -> list[tuple[int, int]]:
    """Return inputs and outputs of a decoder's matrix products: the gates of its layers, and its output layer.

    Args:
        sizes: As in ``operations_per_line``.
        choices: As in ``operations_per_line``.
    """
    hidden, embedding = sizes["hidden"], sizes["embedding"]
    code = embedding if sizes.get("code") == "superposed" else sizes["code_size"]
    shapes = [(embedding + hidden, 4 * hidden), (embedding, choices)]
    return [*shapes, (2 * hidden + code, 4 * hidden)] if sizes["decoder_layers"] > 1 else shapes


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
