"""Export of models that write text to a folder that ``arae transfer`` runs; the graphs are checked first."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Unpack

from arae_transfer.export.card import GenerationCard, RewritingCard
from arae_transfer.export.checked_graphs import GraphBuilder
from arae_transfer.export.export_report import ExportReport as ExportReport
from arae_transfer.export.facts import ModelFacts
from arae_transfer.export.folder import check_destination, graph_metadata, portable_recipe, records_of, write_model
from arae_transfer.export.generator_graph import export_generator
from arae_transfer.export.graph import IR_VERSION, OPSET, Storage
from arae_transfer.export.parity import probe_rows
from arae_transfer.export.scorer_graph import export_scorer
from arae_transfer.export.weights import round_weights_for_storage
from arae_transfer.export_config import ExportConfig
from arae_transfer.language_model.compact import compact
from arae_transfer.layout import ExportLayout
from arae_transfer.model.arae import ARAE
from arae_transfer.recipe import Recipe
from arae_transfer.tokenizer import SPECIAL_IDS, Tokenizer


def export_model(
    model: ARAE,
    recipe: Recipe,
    tokenizer: Tokenizer,
    destination: Path,
    *,
    probe_lines: Sequence[str] = (),
    class_lines: Mapping[str, Sequence[str]] | None = None,
    further_lines: Sequence[str] = (),
    language_models: Mapping[str, bytes] | None = None,
    weights: Storage = "fp16",
    beam: int = 1,
    searching: bool = True,
    progress: Callable[[str], None] = lambda message: None,
    **facts: Unpack[ModelFacts],
) -> ExportReport:
    """Write a model to a folder that runs without PyTorch, after comparing its answers with the model's.

    Args:
        model: The trained model; it is not changed.
        recipe: Its resolved recipe.
        tokenizer: Its tokenizer.
        destination: The folder to write. An earlier export there is replaced as a whole.
        probe_lines: Held-out sentences in the corpus's text format; random sequences join them when they are few.
        class_lines: Sentences of each class, in the corpus's text format, from which language models are learned; None:
            the export has no language models, unless they are given.
        further_lines: Sentences in the corpus's text format whose rewrites, with those of the probe lines, show which
            tokens decoders write; without any, those of ``class_lines``.
        language_models: The language models, as ``language_model.compact`` wrote them.
        weights: The precision of stored matrices. fp16 halves the files and adds graphs for GPUs that compute in fp16.
        beam: The default beam width, if the model can search.
        searching: Whether the model rewrites, so that it can search hypotheses and score their style.
        progress: Receives messages on the progress; an export takes minutes.
        facts: Facts for description and card, see ``ModelFacts``.

    Raises:
        AraeError: The destination holds something else or cannot be written, the model's weights cannot be stored, or
            the answers of the graphs differ from the model's. Nothing is written then.
    """
    destination = Path(os.path.abspath(destination))  # noqa: PTH100 -- unlike resolve(), this keeps symbolic links
    check_destination(destination)
    layout, metadata = ExportLayout(destination), graph_metadata(facts["name"])
    rows, given = probe_rows(probe_lines, tokenizer, recipe.data.maximum_tokens)
    stored, trained = (round_weights_for_storage(model, storage) for storage in (weights, "fp32"))
    builder = GraphBuilder(
        stored, trained, recipe, tokenizer, layout, metadata, weights, searching, rows, given, progress
    )
    checked = builder.build(probe_lines, {"": further_lines} if further_lines else class_lines or {})
    generator, generator_description = export_generator(
        stored, recipe, tokenizer, probe_lines, layout.generator.name, {**metadata, "part": "generator"}
    )
    contents = checked.fp32.files | generator
    if searching:
        contents[layout.scorer.name] = export_scorer(stored.scorer, {**metadata, "part": "scorer"}, weights)
        if class_lines and not language_models:
            progress("learning language models")
            language_models = _learn_language_models(class_lines, stored.classes, tokenizer)
    language_files = {label: layout.language_model(label).name for label in language_models or {}}
    contents |= {language_files[label]: content for label, content in (language_models or {}).items()}
    contents |= checked.further_files
    contents[layout.tokenizer.name] = tokenizer.serialized
    config = ExportConfig(
        name=facts["name"],
        classes=stored.classes,
        task=recipe.task,
        variants=checked.described(weights),
        files=records_of(contents),
        maximum_tokens=recipe.data.maximum_tokens,
        form=asdict(recipe.form),
        tokenizer=layout.tokenizer.name,
        scorer=layout.scorer.name if searching else None,
        language_models=language_files or None,
        beam=beam if searching else 1,
        generator=generator_description,
        shortlist=checked.shortlist,
        arae_version=metadata["arae_version"],
        special_ids=SPECIAL_IDS,
        onnx={"opset": OPSET, "ir_version": IR_VERSION},
        sizes=sizes_of(stored, recipe),
        parity=checked.parity.to_table(),
        scores=facts.get("scores", {}),
        training=facts.get("training", {}),
        recipe=portable_recipe(recipe),
    )
    kind = RewritingCard if searching else GenerationCard
    card = kind(config, recipe.description, recipe.data_source, facts.get("evaluation", ""), facts.get("languages", ()))
    sizes = write_model(contents, card, destination)
    agreements = (checked.agreement, checked.half_agreement)
    return ExportReport(destination, config.name, config.classes, sizes, checked.parity, *agreements)


def _learn_language_models(
    class_lines: Mapping[str, Sequence[str]], classes: Sequence[str], tokenizer: Tokenizer
) -> dict[str, bytes]:
    """Return a language model of each class, for the ranking of hypotheses."""
    encoded = {label: tokenizer.encode_lines(list(class_lines[label])) for label in classes}
    return {label: compact([ids for ids in own if ids], tokenizer.vocabulary_size) for label, own in encoded.items()}


def sizes_of(model: ARAE, recipe: Recipe) -> dict[str, Any]:
    """Return the sizes of a model's networks."""
    shape = recipe.model
    return {
        "parameters": sum(parameter.numel() for parameter in model.autoencoder_parameters()),
        "vocabulary": model.vocabulary_size,
        "code": shape.code,
        "code_size": shape.code_size,
        "embedding": shape.embedding_size,
        "hidden": shape.hidden_size,
        "encoder_layers": shape.encoder_layers,
        "bidirectional": shape.bidirectional,
        "decoder_layers": shape.decoder_layers,
    }
