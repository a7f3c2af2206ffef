"""Converts an exported model to the newest format: its graphs stay the same, but their weights move."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import onnx
from onnx import helper

import arae_transfer
from arae_transfer.errors import AraeError
from arae_transfer.export.card import GenerationCard, RewritingCard
from arae_transfer.export.card_parts import EVALUATION_BEGIN, EVALUATION_END, Card
from arae_transfer.export.external_weights import load_whole_graph
from arae_transfer.export.folder import check_destination, graph_metadata, records_of, write_model
from arae_transfer.export.graph_files import GraphFiles, Graphs, empty_weights
from arae_transfer.export_config import FP16, FP32, GENERATION, INT8, REWRITING, ExportConfig, Variant
from arae_transfer.layout import ExportLayout
from arae_transfer.runtime.model_folder import ModelFolder


def upgrade_export(
    root: Path,
    destination: Path,
    *,
    name: str,
    beam: int | None = None,
    evaluation: str = "",
    languages: Sequence[str] = (),
) -> ExportConfig:
    """Write an exported model in the newest format; its answers stay the same.

    Args:
        root: The folder of the export.
        destination: The folder to write; it may be the export's own.
        name: The model's name.
        beam: The default beam width; None: that of the export.
        evaluation: The report of an evaluation as Markdown, for the card; empty: that of the card.
        languages: The language codes of the text, for the card; empty: those of the card.

    Returns:
        The new description.

    Raises:
        AraeError: The export is damaged or has no decoders, or the destination holds something else.
    """
    destination = Path(os.path.abspath(destination))  # noqa: PTH100 -- unlike resolve(), this keeps symbolic links
    check_destination(destination)
    folder = ModelFolder.find(root)
    if folder.config.task not in (REWRITING, GENERATION):
        raise AraeError(
            f"{root} is an export whose files are the same in every format", "keep it as it is: it is read as before."
        )
    metadata, layout = graph_metadata(name), ExportLayout(destination)
    main, further, variants = _convert_graphs(folder, layout, metadata)
    replaced = {file for variant in folder.variants.values() for file in variant.file_names}
    kept = {
        file: _load(folder, file, metadata).SerializeToString() if file.endswith(".onnx") else folder.read_file(file)
        for file in folder.files
        if file not in replaced
    }
    contents = main | {file: kept[file] for file in kept if file != folder.tokenizer} | further
    contents[folder.tokenizer] = kept[folder.tokenizer]
    config = replace(
        folder.config,
        name=name,
        variants=variants,
        files=records_of(contents),
        beam=folder.beam if beam is None else beam,
        arae_version=arae_transfer.__version__,
    )
    card = _card_of(root, config, evaluation, languages)
    write_model(contents, card, destination)
    return config


def _convert_graphs(
    folder: ModelFolder, layout: ExportLayout, metadata: Mapping[str, str]
) -> tuple[dict[str, bytes], dict[str, bytes], dict[str, Variant]]:
    """Move the weights of all graphs.

    Returns:
        The files of the fp32 graphs, those of all others, and the entries of ``config.json`` on the graphs.
    """
    weights = {precision: empty_weights(layout, precision, folder.classes) for precision in (FP32, INT8)}
    weights[FP16] = weights[FP32]
    contents: dict[str, dict[str, bytes]] = {}
    variants: dict[str, Variant] = {}
    for precision, variant in folder.variants.items():
        graphs = Graphs(
            _load(folder, variant.encoder, metadata),
            {label: _load(folder, file, metadata) for label, file in variant.decoders.items()},
            {label: _load(folder, file, metadata) for label, file in (variant.candidates or {}).items()},
        )
        converted = GraphFiles.of(graphs, layout, precision, weights[precision])
        contents[precision] = converted.files
        variants[precision] = converted.described(variant.storage, variant.agreement, variant.accepted)
    # Graphs in fp16 may have added to the weights of those in fp32.
    further = {
        name: content for precision in contents if precision != FP32 for name, content in contents[precision].items()
    }
    return contents[FP32], further, variants


def _load(folder: ModelFolder, file: str, metadata: Mapping[str, str]) -> onnx.ModelProto:
    """Return a graph with its weights and the metadata of this version."""
    graph = load_whole_graph(folder, file)
    helper.set_model_props(graph, {**{entry.key: entry.value for entry in graph.metadata_props}, **metadata})
    return graph


def _card_of(root: Path, config: ExportConfig, evaluation: str, languages: Sequence[str]) -> Card:
    """Return the card of a model, with the texts of its earlier card."""
    try:
        earlier = ExportLayout(root).card.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        earlier = ""
    kept = re.search(f"{re.escape(EVALUATION_BEGIN)}\n\n(.*?)\n\n{re.escape(EVALUATION_END)}", earlier, re.DOTALL)
    head = earlier.split("\n---\n", 1)[0]
    known = re.search(r"^language:\n((?:- .*\n?)+)", head, re.MULTILINE)
    codes = re.findall(r'^- "?([^"\n]+)"?$', known[1], re.MULTILINE) if known else []
    kind: type[RewritingCard] | type[GenerationCard] = RewritingCard
    if config.task == GENERATION:
        kind = GenerationCard
    description, data_source = (str(config.recipe.get(key, "")) for key in ("description", "data_source"))
    return kind(config, description, data_source, evaluation or (kept[1] if kept else ""), languages or codes)
