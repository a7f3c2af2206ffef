"""Builds the graphs of a model in every precision, and compares them with the model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from arae_transfer.export.agreement import Agreement, measure_agreement, rewrites_by_graphs
from arae_transfer.export.calibration import build_graphs, build_quantized, calibration_rows, unchecked
from arae_transfer.export.code_graph import BLOCK
from arae_transfer.export.external_weights import WeightsFiles
from arae_transfer.export.graph import Storage
from arae_transfer.export.graph_files import GraphFiles, empty_weights
from arae_transfer.export.half_precision import HalfGraph, RoundedGraph
from arae_transfer.export.parity import (
    Parity,
    Row,
    compare,
    evenly_spaced,
    interleave,
    probe_rows,
    require_greedy,
    rewrites_of,
)
from arae_transfer.export.shortlist import choose_shortlists, worth_a_shortlist
from arae_transfer.export_config import FP16, FP32, INT8, Variant
from arae_transfer.layout import ExportLayout
from arae_transfer.model.arae import ARAE
from arae_transfer.recipe import Recipe
from arae_transfer.tokenizer import Tokenizer

# Rewrites, to all classes together, that tell what decoders write: rare words take many.
_MOST_WRITTEN = 40_000

Shortlists = Mapping[str, Sequence[int]]


@dataclass(frozen=True)
class CheckedGraphs:
    """The graphs in every precision, and the comparison of their answers with the model's.

    Attributes:
        fp32: The graphs in fp32.
        half: The graphs in fp16; None: weights are stored in fp32.
        int8: The graphs in int8.
        parity: The comparison of those in fp32.
        agreement: The comparison of those in int8.
        half_agreement: The comparison of those in fp16.
        shortlist: The entry of ``config.json`` on the vocabulary shortlist.
    """

    fp32: GraphFiles
    half: GraphFiles | None
    int8: GraphFiles
    parity: Parity
    agreement: Agreement
    half_agreement: Agreement | None
    shortlist: dict[str, Any] | None

    @property
    def further_files(self) -> dict[str, bytes]:
        """The files of the graphs in precisions other than fp32."""
        return (self.half.files if self.half is not None else {}) | self.int8.files

    def described(self, weights: Storage) -> dict[str, Variant]:
        """Return the entries of ``config.json`` on the graphs."""
        share = round(self.parity.identical / self.parity.compared, 4)
        variants = {FP32: self.fp32.described(weights, {"compared": self.parity.compared, "identical": share})}
        if self.half is not None and self.half_agreement is not None:
            measured = {"measured": "on a CPU, by graphs that round as these do on a GPU"}
            agreement = self.half_agreement
            variants[FP16] = self.half.described("fp16", agreement.to_table() | measured, agreement.accepted)
        variants[INT8] = self.int8.described("int8", self.agreement.to_table(), self.agreement.accepted)
        return variants


@dataclass(frozen=True)
class GraphBuilder:
    """Builds the graphs of one model.

    Attributes:
        stored: The model with its weights as they are stored.
        trained: The model as it was trained.
        recipe: Its recipe.
        tokenizer: Its tokenizer.
        layout: The names of the files.
        metadata: The metadata of each graph.
        weights: The precision of stored weights.
        searching: Whether to build graphs that write several hypotheses.
        rows: The rows of ids that all graphs are compared on.
        given: How many of these are probe lines.
        progress: Receives messages on the progress.
    """

    stored: ARAE
    trained: ARAE
    recipe: Recipe
    tokenizer: Tokenizer
    layout: ExportLayout
    metadata: Mapping[str, str]
    weights: Storage
    searching: bool
    rows: Sequence[Row]
    given: int
    progress: Callable[[str], None]

    @property
    def maximum_length(self) -> int:
        """The length limit of a rewrite in tokens."""
        return self.recipe.data.maximum_tokens + self.recipe.cycle.extra_tokens

    def build(self, probe_lines: Sequence[str], others: Mapping[str, Sequence[str]]) -> CheckedGraphs:
        """Build the graphs in every precision, and compare their answers with the model's.

        Args:
            probe_lines: Held-out sentences.
            others: Further sentences by class, whose rewrites show which tokens decoders write.

        Raises:
            AraeError: Graphs do not answer as the model does.
        """
        whole, weights = self._build_fp32(None)
        shortlists = None
        if self.searching and worth_a_shortlist(self.tokenizer.vocabulary_size):
            shortlists = self._choose_shortlists(whole, probe_lines, others)
        self.progress("building fp32 graphs and comparing them with the model")
        expected = rewrites_of(self.stored, self.rows, self.maximum_length)
        unrounded = rewrites_of(self.trained, self.rows, self.maximum_length)
        fp32, table = whole, None
        if shortlists is not None:
            short, weights_of_short = self._build_fp32(shortlists)
            agreed = measure_agreement(self.stored, short, self.rows, expected, self.maximum_length)
            most = max(map(len, shortlists.values()))
            table = {"tokens": most, "agreement": agreed.to_table(), "accepted": agreed.accepted}
            if agreed.accepted:
                fp32, weights = short, weights_of_short
            else:
                shortlists = None
        parity = compare(self.stored, self.trained, fp32, self.rows, self.given, self.maximum_length, expected)
        parity.require()
        int8 = self._build_int8(probe_lines, shortlists)
        agreement = measure_agreement(self.trained, int8, self.rows, unrounded, self.maximum_length)
        half, half_agreement = None, None
        if self.weights == "fp16":
            self.progress("building fp16 graphs and comparing them with the model")
            half, half_agreement = self._build_half(weights, unrounded, shortlists)
        if self.searching:
            self.progress("comparing beam search with greedy rewrites")
            for variant in filter(None, (fp32, half, int8)):
                require_greedy(variant, self.rows, self.maximum_length)
        return CheckedGraphs(fp32, half, int8, parity, agreement, half_agreement, table)

    def _build_fp32(self, shortlists: Shortlists | None) -> tuple[GraphFiles, WeightsFiles]:
        """Build the graphs in fp32; return them and the files of their weights."""
        graphs = build_graphs(self.stored, self.metadata, self.weights, searching=self.searching, shortlists=shortlists)
        weights = empty_weights(self.layout, FP32, self.stored.classes)
        return GraphFiles.of(graphs, self.layout, FP32, weights), weights

    def _build_int8(self, probe_lines: Sequence[str], shortlists: Shortlists | None) -> GraphFiles:
        """Build the graphs in int8, calibrated on other rows than those of the comparison."""
        self.progress("building 8-bit graphs and comparing them with the model")
        graphs = build_quantized(
            self.trained,
            calibration_rows(probe_lines, self.tokenizer, self.recipe.data.maximum_tokens),
            self.maximum_length,
            self.metadata,
            searching=self.searching,
            shortlists=shortlists,
        )
        return GraphFiles.of(graphs, self.layout, INT8, empty_weights(self.layout, INT8, self.stored.classes))

    def _build_half(
        self, weights: WeightsFiles, expected: Mapping[str, Sequence[Row]], shortlists: Shortlists | None
    ) -> tuple[GraphFiles, Agreement]:
        """Build the graphs whose matmuls run in fp16; return them and their agreement with the model.

        This needs no GPU. A CPU runs the graphs, but without roundings; graphs that round where a GPU does are run as
        well, and the worse result of both counts.
        """
        metadata = {**self.metadata, "variant": FP16}
        half, rounded = (
            build_graphs(self.stored, metadata, "fp16", empty, searching=searching, shortlists=shortlists)
            for empty, searching in ((lambda index: HalfGraph(), self.searching), (lambda index: RoundedGraph(), False))
        )
        files = GraphFiles.of(half, self.layout, FP16, weights)
        measured = [
            measure_agreement(self.trained, graphs, self.rows, expected, self.maximum_length)
            for graphs in (GraphFiles.of(rounded, self.layout), files)
        ]
        return files, min(measured, key=lambda each: (each.accepted, each.identical))

    def _choose_shortlists(
        self, whole: GraphFiles, probe_lines: Sequence[str], others: Mapping[str, Sequence[str]]
    ) -> Shortlists:
        """Choose the shortlist of each class by what its decoder writes with the whole vocabulary."""
        most = _MOST_WRITTEN // len(self.stored.classes)
        chosen = {label: evenly_spaced(own, most // len(others)) for label, own in others.items()}
        lines = [*unchecked(probe_lines), *interleave(chosen)]
        more, _ = probe_rows(lines, self.tokenizer, self.recipe.data.maximum_tokens, most=most)
        self.progress(f"rewriting {len(more):,} sentences to see which tokens the decoders write")
        written = rewrites_by_graphs(whole, more, self.maximum_length)
        return choose_shortlists(more, written, self.tokenizer.vocabulary_size, BLOCK)
