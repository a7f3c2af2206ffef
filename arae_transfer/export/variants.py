"""The graphs of a model in one precision as files, with the weights that they share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from arae_transfer.export.agreement import Agreement, measure_agreement
from arae_transfer.export.calibration import Graphs, build_graphs, share_weights
from arae_transfer.export.candidates_graph import refer_to
from arae_transfer.export.half_precision import HalfGraph, RoundedGraph
from arae_transfer.export.parity import Row
from arae_transfer.export_config import Variant
from arae_transfer.layout import ExportLayout
from arae_transfer.model.arae import ARAE

File = tuple[str, bytes]


@dataclass(frozen=True)
class GraphFiles:
    """The serialized graphs of one arithmetic, each with the name of its file.

    Attributes:
        encoder: The encoder.
        decoders: The decoders by class.
        candidates: The graphs of candidates by class, whose weights lie in the decoder's file.
        weights: The weights that encoder and decoders share, if any.
        source: The variant in whose files all of its weights lie, if any.
    """

    encoder: File
    decoders: Mapping[str, File]
    candidates: Mapping[str, File]
    weights: File | None
    source: GraphFiles | None = None

    @classmethod
    def of(
        cls,
        graphs: Graphs,
        paths: tuple[Path, Callable[[str], Path], Callable[[str], Path], Path],
    ) -> GraphFiles:
        """Serialize graphs; ``paths`` are those of encoder, decoders, candidates and shared weights."""
        encoder, decoder, candidates, shared = paths
        content = share_weights([graphs.encoder, *graphs.decoders.values()], shared.name)
        weights = (shared.name, content) if content else None
        decoders = {label: (decoder(label).name, graph.SerializeToString()) for label, graph in graphs.decoders.items()}
        for label, graph in graphs.candidates.items():
            refer_to(graph, dict([decoders[label], *([weights] if weights else [])]))
        return cls(
            (encoder.name, graphs.encoder.SerializeToString()),
            decoders,
            {label: (candidates(label).name, graph.SerializeToString()) for label, graph in graphs.candidates.items()},
            weights,
        )

    @classmethod
    def beside(
        cls, source: GraphFiles, graphs: Graphs, paths: tuple[Path, Callable[[str], Path], Callable[[str], Path]]
    ) -> GraphFiles:
        """Serialize graphs of the same weights as another variant's; ``paths`` are as in ``of``."""
        shared = [source.weights] if source.weights else []
        encoder, decoder, candidates = paths
        refer_to(graphs.encoder, dict([*shared, source.encoder]))
        for own in (graphs.decoders, graphs.candidates):
            for label, graph in own.items():
                refer_to(graph, dict([*shared, source.decoders[label]]))
        return cls(
            (encoder.name, graphs.encoder.SerializeToString()),
            {label: (decoder(label).name, graph.SerializeToString()) for label, graph in graphs.decoders.items()},
            {label: (candidates(label).name, graph.SerializeToString()) for label, graph in graphs.candidates.items()},
            source.weights,
            source,
        )

    @property
    def source_files(self) -> list[File]:
        """The other variant's graphs, in whose files weights lie."""
        return [] if self.source is None else [self.source.encoder, *self.source.decoders.values()]

    @property
    def files(self) -> dict[str, bytes]:
        """The contents by file name."""
        shared = [self.weights] if self.weights else []
        return dict([self.encoder, *shared, *self.decoders.values(), *self.candidates.values()])

    def described(
        self, storage: str, agreement: Mapping[str, Any], accepted: bool = True, source: Variant | None = None
    ) -> Variant:
        """Return what ``config.json`` says of the graphs."""
        return Variant(
            encoder=self.encoder[0],
            decoders={label: name for label, (name, _) in self.decoders.items()},
            weights=self.weights[0] if self.weights else None,
            accepted=accepted,
            candidates={label: name for label, (name, _) in self.candidates.items()} or None,
            source=source,
            storage=storage,
            agreement=agreement,
        )


def half_variant(
    stored: ARAE,
    trained: ARAE,
    metadata: Mapping[str, str],
    fp32: GraphFiles,
    layout: ExportLayout,
    rows: Sequence[Row],
    expected: Mapping[str, Sequence[Row]],
    maximum_length: int,
    *,
    searching: bool,
    shortlists: Mapping[str, Sequence[int]] | None,
) -> tuple[GraphFiles, Agreement]:
    """Return the graphs whose products run in fp16, and the agreement of their answers on a GPU with the model's.

    No GPU is needed: a CPU runs the graphs themselves, but leaves roundings out, so that graphs that round where they
    do are run as well, and the worse of both counts.
    """
    metadata = {**metadata, "variant": "fp16"}
    graphs = build_graphs(
        stored, metadata, "fp16", lambda index: HalfGraph(), searching=searching, shortlists=shortlists
    )
    half = GraphFiles.beside(fp32, graphs, (layout.encoder_fp16, layout.decoder_fp16, layout.candidates_fp16))
    rounded = build_graphs(
        stored, metadata, "fp16", lambda index: RoundedGraph(), searching=False, shortlists=shortlists
    )
    decoders = {label: graph.SerializeToString() for label, graph in rounded.decoders.items()}
    on_gpu = measure_agreement(
        trained, rounded.encoder.SerializeToString(), decoders, None, rows, expected, maximum_length
    )
    on_cpu = measure_agreement(
        trained,
        half.encoder[1],
        contents_of(half.decoders),
        half.weights,
        rows,
        expected,
        maximum_length,
        half.source_files,
    )
    return half, min(on_gpu, on_cpu, key=lambda each: (each.accepted, each.identical))


def contents_of(files: Mapping[str, File]) -> dict[str, bytes]:
    """Return the contents of files without their names."""
    return {label: content for label, (_, content) in files.items()}
