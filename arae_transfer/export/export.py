"""A trained model to a folder that ``arae transfer`` runs: graphs, tokenizer, description and card, checked first."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import arae_transfer
from arae_transfer.export.agreement import Agreement, measure_agreement, rewrites_by_graphs
from arae_transfer.export.calibration import (
    build_graphs,
    build_quantized,
    calibration_rows,
    unchecked,
)
from arae_transfer.export.candidates_graph import require_greedy
from arae_transfer.export.card import GenerationCard, RewritingCard
from arae_transfer.export.decoder_graph import BLOCK
from arae_transfer.export.export_report import ExportReport as ExportReport
from arae_transfer.export.folder import check_destination, portable_recipe, put_in_place, records_of
from arae_transfer.export.generator_graph import export_generator
from arae_transfer.export.graph import IR_VERSION, OPSET, Storage
from arae_transfer.export.hub_metadata import license_text
from arae_transfer.export.parity import Parity, Row, compare, evenly_spaced, interleave, probe_rows, rewrites_of
from arae_transfer.export.scorer_graph import export_scorer
from arae_transfer.export.shortlist import choose_shortlists, worth_a_shortlist
from arae_transfer.export.variants import GraphFiles, contents_of, half_variant
from arae_transfer.export.weights import round_weights_for_storage
from arae_transfer.export_config import (
    FORMAT,
    FORMAT_VERSION,
    FP16,
    FP32,
    INT8,
    ExportConfig,
    Variant,
)
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
    name: str,
    scores: Mapping[str, Any] | None = None,
    training: Mapping[str, Any] | None = None,
    evaluation: str = "",
    languages: Sequence[str] = (),
    probe_lines: Sequence[str] = (),
    class_lines: Mapping[str, Sequence[str]] | None = None,
    further_lines: Sequence[str] = (),
    language_models: Mapping[str, bytes] | None = None,
    weights: Storage = "fp16",
    beam: int = 1,
    searching: bool = True,
    progress: Callable[[str], None] | None = None,
) -> ExportReport:
    """Write a model as a folder that runs without PyTorch, after proving that it answers as the model does.

    Args:
        model: The trained model; it is not changed.
        recipe: Its resolved recipe.
        tokenizer: Its tokenizer.
        destination: The folder to write. An earlier export there is replaced as a whole.
        name: The model's name.
        scores: Validation scores, for the card.
        training: What the training took (``sentences``, ``minutes``), for the card.
        evaluation: The report of an evaluation as Markdown, for the card.
        languages: The language codes of the text, for the card.
        probe_lines: Held-out sentences in the form of the corpus; random sequences join them when they are few.
        class_lines: Sentences of each class, in the form of the corpus, to learn language models from; None: the export
            has no such, and candidates are ranked without, unless they are given.
        further_lines: Sentences in the form of the corpus whose rewrites tell which tokens decoders write, beside the
            probe lines; without these, those of ``class_lines``.
        language_models: The language models, as ``language_model.compact`` wrote them.
        weights: How matrices are stored. fp16 halves the files and gives them graphs for GPUs that compute in fp16.
        beam: The candidates that are searched for a line where nobody says how many; only where it can be searched.
        searching: Whether the model rewrites: there are candidates to choose from, and a style to choose them by.
        progress: Is told what is being done; an export takes minutes.

    Raises:
        AraeError: The destination holds something else or cannot be written, the model's weights cannot be stored, or
            the graphs do not answer as the model does. Nothing is written then.
    """
    destination = Path(os.path.abspath(destination))  # noqa: PTH100 -- unlike resolve(), this keeps symbolic links
    check_destination(destination)
    rows, given = probe_rows(probe_lines, tokenizer, recipe.data.maximum_tokens)
    export = _Export(
        stored=round_weights_for_storage(model, weights),
        trained=round_weights_for_storage(model, "fp32"),
        recipe=recipe,
        tokenizer=tokenizer,
        layout=ExportLayout(destination),
        metadata={
            "format": FORMAT,
            "format_version": str(FORMAT_VERSION),
            "name": name,
            "arae_version": arae_transfer.__version__,
        },
        weights=weights,
        searching=searching,
        rows=rows,
        given=given,
        tell=progress or (lambda message: None),
    )
    others = {"": further_lines} if further_lines else class_lines or {}
    checked = export.checked_graphs(probe_lines, others)
    contents = checked.fp32.files
    generator, generator_description = export_generator(
        export.stored, recipe, tokenizer, probe_lines, export.layout.generator.name, export.about("generator")
    )
    contents |= generator
    if searching:
        contents[export.layout.scorer.name] = export_scorer(export.stored.scorer, export.about("scorer"), weights)
        if class_lines and not language_models:
            language_models = export.learn_language_models(class_lines)
    language_files = {label: export.layout.language_model(label).name for label in language_models or {}}
    contents |= {language_files[label]: content for label, content in (language_models or {}).items()}
    contents |= checked.further_files
    contents[export.layout.tokenizer.name] = tokenizer.serialized
    config = ExportConfig(
        name=name,
        classes=export.stored.classes,
        task=recipe.task,
        variants=checked.described(weights),
        files=records_of(contents),
        maximum_tokens=recipe.data.maximum_tokens,
        form=asdict(recipe.form),
        tokenizer=export.layout.tokenizer.name,
        scorer=export.layout.scorer.name if searching else None,
        language_models=language_files or None,
        beam=beam if searching else 1,
        generator=generator_description,
        shortlist=checked.shortlist,
        arae_version=export.metadata["arae_version"],
        special_ids=SPECIAL_IDS,
        onnx={"opset": OPSET, "ir_version": IR_VERSION},
        sizes=sizes_of(export.stored, recipe),
        parity=checked.parity.to_table(),
        scores=dict(scores or {}),
        training=dict(training or {}),
        recipe=portable_recipe(recipe),
    )
    sizes = {file: len(content) for file, content in contents.items()}
    card = (RewritingCard if searching else GenerationCard)(
        config, recipe.description, recipe.data_source, evaluation, languages
    )
    contents[export.layout.config.name] = config.to_json()
    contents[export.layout.card.name] = card.render().encode()
    contents[export.layout.license.name] = license_text(name, recipe.data_source).encode()
    put_in_place(contents, destination)
    agreements = (checked.agreement, checked.half_agreement)
    return ExportReport(destination, name, config.classes, sizes, checked.parity, *agreements)


@dataclass(frozen=True)
class _CheckedGraphs:
    """The graphs in every precision, and how their answers compare to the model's.

    Attributes:
        fp32: In fp32.
        half: In fp16; None: weights are stored in fp32.
        int8: In int8.
        parity: Of those in fp32.
        agreement: Of those in int8.
        half_agreement: Of those in fp16.
        shortlist: What ``config.json`` says of the vocabulary that decoders choose among.
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
        """The files of the graphs in other precisions than fp32."""
        return (self.half.files if self.half is not None else {}) | self.int8.files

    def described(self, weights: Storage) -> dict[str, Variant]:
        """Return what ``config.json`` says of the graphs."""
        variants = {FP32: self.fp32.described(weights, _agreement_of(self.parity))}
        if self.half is not None and self.half_agreement is not None:
            measured = {"measured": "on a CPU, by graphs that round as these do on a GPU"}
            agreement, accepted = self.half_agreement.to_table() | measured, self.half_agreement.accepted
            variants[FP16] = self.half.described("fp16", agreement, accepted, variants[FP32])
        variants[INT8] = self.int8.described("int8", self.agreement.to_table(), self.agreement.accepted)
        return variants


@dataclass(frozen=True)
class _Export:
    """One export while it is made.

    Attributes:
        stored: The model with its weights as they are stored.
        trained: The model as it was trained.
        recipe: Its recipe.
        tokenizer: Its tokenizer.
        layout: The files to write.
        metadata: What each graph says about itself.
        weights: How weights are stored.
        searching: Whether the model rewrites.
        rows: What all graphs are compared on.
        given: How many of these are probe lines.
        tell: Is told what is being done.
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
    tell: Callable[[str], None]

    @property
    def maximum_length(self) -> int:
        """The most tokens of a rewrite."""
        return self.recipe.data.maximum_tokens + self.recipe.cycle.extra_tokens

    def about(self, part: str) -> dict[str, str]:
        """Return what the graph of a part says about itself."""
        return {**self.metadata, "part": part}

    def checked_graphs(self, probe_lines: Sequence[str], others: Mapping[str, Sequence[str]]) -> _CheckedGraphs:
        """Build the graphs in every precision, and compare their answers with the model's.

        Raises:
            AraeError: Those in fp32 do not answer as the model does.
        """
        whole = self._fp32(None)
        shortlists = None
        if self.searching and worth_a_shortlist(self.tokenizer.vocabulary_size):
            shortlists = self._shortlists(whole, probe_lines, others)
        self.tell("building fp32 graphs and comparing them with the model")
        expected = rewrites_of(self.stored, self.rows, self.maximum_length)
        unrounded = rewrites_of(self.trained, self.rows, self.maximum_length)
        fp32, table = whole, None
        if shortlists is not None:
            fp32 = self._fp32(shortlists)
            agreed = self._agreement(self.stored, fp32, expected)
            most = max(map(len, shortlists.values()))
            table = {"tokens": most, "agreement": agreed.to_table(), "accepted": agreed.accepted}
            if not agreed.accepted:
                shortlists, fp32 = None, whole
        parity = compare(
            self.stored,
            self.trained,
            fp32.encoder[1],
            contents_of(fp32.decoders),
            self.rows,
            self.given,
            self.maximum_length,
            expected,
            weights=fp32.weights,
        )
        parity.require()
        int8 = self._int8(probe_lines, shortlists)
        agreement = self._agreement(self.trained, int8, unrounded)
        half, half_agreement = None, None
        if self.weights == "fp16":
            self.tell("building fp16 graphs and comparing them with the model")
            half, half_agreement = half_variant(
                self.stored,
                self.trained,
                self.metadata,
                fp32,
                self.layout,
                self.rows,
                unrounded,
                self.maximum_length,
                searching=self.searching,
                shortlists=shortlists,
            )
        if self.searching:
            self.tell("comparing candidates with greedy rewrites")
            for variant in filter(None, (fp32, half, int8)):
                self._require_greedy(variant)
        return _CheckedGraphs(fp32, half, int8, parity, agreement, half_agreement, table)

    def learn_language_models(self, class_lines: Mapping[str, Sequence[str]]) -> dict[str, bytes]:
        """Return a language model of each class, for the ranking of candidates."""
        self.tell("learning language models")
        size = self.tokenizer.vocabulary_size
        encoded = {label: self.tokenizer.encode_lines(list(class_lines[label])) for label in self.stored.classes}
        return {label: compact([ids for ids in own if ids], size) for label, own in encoded.items()}

    def _fp32(self, shortlists: Mapping[str, Sequence[int]] | None) -> GraphFiles:
        graphs = build_graphs(self.stored, self.metadata, self.weights, searching=self.searching, shortlists=shortlists)
        layout = self.layout
        return GraphFiles.of(graphs, (layout.encoder, layout.decoder, layout.candidates, layout.weights))

    def _int8(self, probe_lines: Sequence[str], shortlists: Mapping[str, Sequence[int]] | None) -> GraphFiles:
        self.tell("building 8-bit graphs and comparing them with the model")
        # Other rows than those that all is measured with.
        rows = calibration_rows(probe_lines, self.tokenizer, self.recipe.data.maximum_tokens)
        graphs = build_quantized(
            self.trained,
            rows,
            self.maximum_length,
            self.metadata,
            searching=self.searching,
            shortlists=shortlists,
        )
        layout = self.layout
        return GraphFiles.of(
            graphs, (layout.encoder_int8, layout.decoder_int8, layout.candidates_int8, layout.weights_int8)
        )

    def _shortlists(
        self, whole: GraphFiles, probe_lines: Sequence[str], others: Mapping[str, Sequence[str]]
    ) -> Mapping[str, Sequence[int]]:
        """Choose the tokens of each class by what its decoder writes, choosing among all."""
        most = _MOST_WRITTEN // len(self.stored.classes)
        chosen = {label: evenly_spaced(own, most // len(others)) for label, own in others.items()}
        lines = [*unchecked(probe_lines), *interleave(chosen)]
        more, _ = probe_rows(lines, self.tokenizer, self.recipe.data.maximum_tokens, most=most)
        self.tell(f"rewriting {len(more):,} sentences to see which tokens the decoders write")
        written = rewrites_by_graphs(
            whole.encoder[1], contents_of(whole.decoders), whole.weights, more, self.maximum_length
        )
        return choose_shortlists(more, written, self.tokenizer.vocabulary_size, BLOCK)

    def _agreement(self, model: ARAE, graphs: GraphFiles, expected: Mapping[str, Sequence[Row]]) -> Agreement:
        return measure_agreement(
            model,
            graphs.encoder[1],
            contents_of(graphs.decoders),
            graphs.weights,
            self.rows,
            expected,
            self.maximum_length,
        )

    def _require_greedy(self, graphs: GraphFiles) -> None:
        require_greedy(
            graphs.encoder[1],
            graphs.decoders,
            contents_of(graphs.candidates),
            graphs.weights,
            self.rows,
            self.maximum_length,
            graphs.source_files,
        )


# Rewrites, to all classes together, that tell what decoders write: rare words take many.
_MOST_WRITTEN = 40_000


def _agreement_of(parity: Parity) -> dict[str, Any]:
    return {"compared": parity.compared, "identical": round(parity.identical / parity.compared, 4)}


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
