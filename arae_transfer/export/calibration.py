"""Calibration: records the range of each matmul's inputs on sentences, and builds int8 graphs with these ranges."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import onnx
import onnxruntime

from arae_transfer.export.candidates_graph import build_candidates
from arae_transfer.export.decoder_graph import build_decoder
from arae_transfer.export.encoder_graph import build_encoder
from arae_transfer.export.graph import Graph, Storage
from arae_transfer.export.graph_files import Graphs
from arae_transfer.export.parity import MOST_PROBES, Float32, Int64, Row, evenly_spaced, open_graph, probe_rows
from arae_transfer.export.quantization import ObservingGraph, QuantizedGraph
from arae_transfer.model.arae import ARAE
from arae_transfer.runtime.batching import pad
from arae_transfer.tokenizer import Tokenizer

_BATCH = 64
# With fewer sentences, calibration also takes those that the check uses.
_FEWEST = 64

Ranges = dict[str, Float32]


def calibration_rows(lines: Sequence[str], tokenizer: Tokenizer, maximum_tokens: int) -> list[Row]:
    """Return rows to calibrate with: other rows than those of ``probe_rows``, if there are enough."""
    rows, _ = probe_rows(unchecked(lines), tokenizer, maximum_tokens)
    return rows


def unchecked(lines: Sequence[str]) -> Sequence[str]:
    """Return the lines that ``probe_rows`` does not take, or all lines if these are few."""
    checked = set(evenly_spaced(range(len(lines)), MOST_PROBES))
    others = [line for number, line in enumerate(lines) if number not in checked]
    return others if len(others) >= _FEWEST else lines


def build_quantized(
    model: ARAE,
    rows: Sequence[Row],
    maximum_length: int,
    metadata: Mapping[str, str],
    *,
    searching: bool = True,
    shortlists: Mapping[str, Sequence[int]] | None = None,
) -> Graphs:
    """Build the int8 graphs of a model.

    Args:
        model: The model, in evaluation mode on the CPU.
        rows: Ids with end ids to calibrate with.
        maximum_length: The length limit of a rewrite in tokens.
        metadata: The metadata of the files.
        searching: As in ``build_graphs``.
        shortlists: As in ``build_graphs``.
    """
    encoder_ranges: Ranges = {}
    decoder_ranges: list[Ranges] = [{} for _ in model.classes]
    watched = open_graph(build_encoder(model.encoder, {}, graph=ObservingGraph()).SerializeToString())
    decoders = [
        open_graph(build_decoder(model.decoder(index), {}, graph=ObservingGraph()).SerializeToString())
        for index in range(len(model.classes))
    ]
    for tokens, lengths in _batches(rows):
        feed = {"tokens": tokens, "lengths": lengths}
        code, mask = _observe(watched, feed, ["code", "code_mask"], encoder_ranges)
        for decoder, ranges in zip(decoders, decoder_ranges, strict=True):
            reading = {"code": code, "code_mask": mask, "maximum_length": np.array(maximum_length)}
            _observe(decoder, reading, [], ranges)
    metadata = {**metadata, "variant": "int8"}
    return build_graphs(
        model,
        metadata,
        "fp32",
        lambda index: QuantizedGraph(encoder_ranges if index is None else decoder_ranges[index]),
        searching=searching,
        shortlists=shortlists,
    )


def build_graphs(
    model: ARAE,
    metadata: Mapping[str, str],
    storage: Storage,
    empty: Callable[[int | None], Graph | None] = lambda index: None,
    *,
    searching: bool = True,
    shortlists: Mapping[str, Sequence[int]] | None = None,
) -> Graphs:
    """Build the graphs of a model.

    Args:
        model: The model, in evaluation mode on the CPU.
        metadata: The metadata of the files.
        storage: How matrices are stored.
        empty: Returns an empty graph in another precision, for the encoder (None) or for the decoder of a class's
            index; None: a graph in fp32, stored as ``storage`` says.
        searching: Whether to build the graphs that write several hypotheses.
        shortlists: The ids that each class's decoder may write besides those of its source; None: all.
    """
    parts: dict[str, dict[str, onnx.ModelProto]] = {"candidates": {}}
    for part, build in [("decoder", build_decoder), ("candidates", build_candidates)][: 2 if searching else 1]:
        parts[part] = {
            label: build(
                model.decoder(index),
                {**metadata, "part": part, "class": label},
                storage,
                graph=empty(index),
                shortlist=None if shortlists is None else shortlists[label],
            )
            for index, label in enumerate(model.classes)
        }
    encoder = build_encoder(model.encoder, {**metadata, "part": "encoder"}, storage, graph=empty(None))
    return Graphs(encoder, parts["decoder"], parts["candidates"])


def _batches(rows: Sequence[Row]) -> Iterator[tuple[Int64, Int64]]:
    order = sorted(rows, key=len)
    return (pad(order[start : start + _BATCH]) for start in range(0, len(order), _BATCH))


def _observe(
    session: onnxruntime.InferenceSession, feed: Mapping[str, Float32 | Int64], wanted: Sequence[str], ranges: Ranges
) -> list[Float32]:
    """Run an observing graph, widen the ranges by its observations, and return the outputs in ``wanted``."""
    prefix, suffix = "range.", ".by_step"
    names = [output.name for output in session.get_outputs() if output.name.startswith(prefix)]
    values = session.run([*wanted, *names], feed)
    for name, seen in zip(names, values[len(wanted) :], strict=True):
        key = name.removeprefix(prefix).removesuffix(suffix)
        seen = seen.reshape(-1, seen.shape[-1]).max(axis=0)
        ranges[key] = np.maximum(ranges[key], seen) if key in ranges else seen
    return list(values[: len(wanted)])
