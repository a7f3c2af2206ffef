"""The graphs of a model in one precision, as models and as files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import onnx

from arae_transfer.export.external_weights import WeightsFile, WeightsFiles
from arae_transfer.export_config import Variant
from arae_transfer.layout import ExportLayout

File = tuple[str, bytes]


@dataclass(frozen=True)
class Graphs:
    """The graphs of a model in one precision.

    Attributes:
        encoder: The encoder.
        decoders: The greedy decoder of each class.
        candidates: The graph of each class that writes several hypotheses.
    """

    encoder: onnx.ModelProto
    decoders: Mapping[str, onnx.ModelProto]
    candidates: Mapping[str, onnx.ModelProto]


@dataclass(frozen=True)
class GraphFiles:
    """The serialized graphs of one precision, each with the name of its file.

    Attributes:
        encoder: The encoder.
        decoders: The greedy decoder of each class.
        candidates: The graph of each class that writes several hypotheses.
        weights: The file of weights that all graphs read; None: there is none.
        class_weights: The file of weights that only the graphs of each class read.
    """

    encoder: File
    decoders: Mapping[str, File]
    candidates: Mapping[str, File]
    weights: File | None = None
    class_weights: Mapping[str, File] = field(default_factory=dict)

    @classmethod
    def of(
        cls, graphs: Graphs, layout: ExportLayout, precision: str = "fp32", weights: WeightsFiles | None = None
    ) -> GraphFiles:
        """Serialize graphs.

        Args:
            graphs: The graphs; their weights move to files of their own.
            layout: The names of the files.
            precision: The precision of the graphs.
            weights: The files that the weights move to, which may hold those of another precision already; None: the
                weights stay in the graphs.
        """
        if weights is not None:
            own = {
                label: [graph, *([graphs.candidates[label]] if label in graphs.candidates else [])]
                for label, graph in graphs.decoders.items()
            }
            weights.take(graphs.encoder, own)

        def filled(file: WeightsFile) -> File | None:
            return (file.name, content) if (content := file.content) else None

        by_class = {} if weights is None else {label: filled(file) for label, file in weights.by_class.items()}
        return cls(
            (layout.encoder_in(precision).name, graphs.encoder.SerializeToString()),
            {
                label: (layout.decoder(label, precision).name, graph.SerializeToString())
                for label, graph in graphs.decoders.items()
            },
            {
                label: (layout.candidates(label, precision).name, graph.SerializeToString())
                for label, graph in graphs.candidates.items()
            },
            None if weights is None else filled(weights.shared),
            {label: file for label, file in by_class.items() if file is not None},
        )

    @property
    def weight_files(self) -> list[File]:
        """All weight files."""
        return [*([self.weights] if self.weights else []), *self.class_weights.values()]

    @property
    def files(self) -> dict[str, bytes]:
        """The contents by file name."""
        return dict([self.encoder, *self.weight_files, *self.decoders.values(), *self.candidates.values()])

    def described(self, storage: str, agreement: Mapping[str, Any] | None, accepted: bool = True) -> Variant:
        """Return the entries of ``config.json`` on the graphs.

        Args:
            storage: The precision of stored weights.
            agreement: The agreement of the answers with the trained model's; None: it was not measured.
            accepted: Whether they agree closely enough for the graphs to run by default.
        """
        return Variant(
            encoder=self.encoder[0],
            decoders={label: name for label, (name, _) in self.decoders.items()},
            weights=self.weights[0] if self.weights else None,
            class_weights={label: name for label, (name, _) in self.class_weights.items()},
            accepted=accepted,
            candidates={label: name for label, (name, _) in self.candidates.items()} or None,
            storage=storage,
            agreement=agreement,
        )


def empty_weights(layout: ExportLayout, precision: str, classes: tuple[str, ...]) -> WeightsFiles:
    """Return empty files for the weights of graphs; fp32 and fp16 share their files."""
    return WeightsFiles(
        WeightsFile(layout.weights_in(precision).name),
        {label: WeightsFile(layout.class_weights_in(precision, label).name) for label in classes},
    )
