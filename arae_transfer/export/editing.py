"""Export of models that edit: graphs, tokenizer, description and card; the graphs are checked first."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import torch

import arae_transfer
from arae_transfer.editing.edits import find_edits
from arae_transfer.errors import AraeError
from arae_transfer.export.agreement import Agreement, compare_answers
from arae_transfer.export.card import EditingCard
from arae_transfer.export.edit_decoder_graph import build_edit_decoder
from arae_transfer.export.edit_encoder_graph import build_edit_encoder
from arae_transfer.export.edit_parity import (
    Bool,
    EditGraphs,
    answers_of,
    compare_edits,
    edit_decoder,
    edits_of,
    same_edits,
)
from arae_transfer.export.export import sizes_of
from arae_transfer.export.export_report import describe_variant
from arae_transfer.export.external_weights import move_int8_weights, share_weights
from arae_transfer.export.folder import check_destination, portable_recipe, put_in_place, records_of
from arae_transfer.export.graph import IR_VERSION, OPSET, Graph, Storage
from arae_transfer.export.hub_metadata import license_text
from arae_transfer.export.parity import Parity, probe_rows
from arae_transfer.export.quality_graph import build_quality_estimator
from arae_transfer.export.quality_parity import compare_quality
from arae_transfer.export.row_quantization import RowQuantizedGraph
from arae_transfer.export.scorer_graph import export_scorer
from arae_transfer.export.weights import round_weights_for_storage
from arae_transfer.export_config import EDITING, EDITING_VERSION, FORMAT, FP32, INT8, ExportConfig, Variant
from arae_transfer.layout import ExportLayout, RunLayout
from arae_transfer.model.arae import ARAE
from arae_transfer.model.edit_decoder import NEVER
from arae_transfer.model.transformer import TransformerEncoder
from arae_transfer.packing import SUFFIX, pack
from arae_transfer.parallel.examples import ParallelExample, read_parallel
from arae_transfer.recipe import Recipe
from arae_transfer.runtime.faithful import ENGLISH_TOKENS
from arae_transfer.tasks.task import ExportRequest
from arae_transfer.text.words import pack_words
from arae_transfer.tokenizer import SPECIAL_IDS, Tokenizer
from arae_transfer.training.checkpoint import LoadedRun

RANKING_BY_QUALITY = {"quality": 1.0, "fluency": 2.0}
"""By what candidates are ranked where there is a quality estimator; see ``recipes/LOG.md``."""

RANKING_BY_FLUENCY = {"fluency": 1.0, "content": 0.5}
"""By what they are ranked without one: the style scorer looks for single words, and favors half rewrites."""

# A token that fewer examples write is mostly a name: two, and one in so many.
_LEAST_WRITTEN = 2
_EXAMPLES_PER_WRITTEN = 30_000
_FEWEST_WRITTEN = 1000

DEFAULT_BEAM = 4
"""Rewrites that are searched for a line by default; the best is the answer."""


@dataclass(frozen=True)
class EditorExport:
    """The result of an export.

    Attributes:
        folder: The exported model.
        classes: Its classes in order.
        sizes: The bytes of each file, by file name.
        parity: How the answers of graphs in fp32 compare to the model's.
        agreement: How those of the 8-bit graphs do.
        weights: The precision of the weights of the fp32 graphs; None: only the 8-bit graphs were written.
    """

    folder: Path
    classes: tuple[str, ...]
    sizes: Mapping[str, int]
    parity: Parity
    agreement: Agreement
    weights: Storage | None

    def describe(self) -> list[str]:
        """Return lines about the export for the user."""
        parity = self.parity
        lines = [
            f"{self.folder.name}: {', '.join(self.classes)}; {sum(self.sizes.values()) / 1e6:.1f} MB in "
            f"{len(self.sizes)} files",
            f"{parity.identical:,} of {parity.compared:,} rewrites are the model's, edit by edit; "
            f"{parity.near_ties:,} part at a near tie, {parity.different:,} differ",
        ]
        if self.weights is None:
            lines.append("its graphs are in 8-bit integers alone; --weights fp16 or fp32 writes others beside them")
        lines.append(describe_variant(INT8, self.agreement, "CPUs", judged=True))
        return lines


def export_editor(
    request: ExportRequest, probe_lines: Sequence[str], class_lines: Mapping[str, Sequence[str]] | None
) -> list[str]:
    """Write an exported model that edits; return lines about it for the user.

    Args:
        request: What to export, and the destination.
        probe_lines: As in ``export_edits``.
        class_lines: Training sentences of each class; None: they are missing.

    Raises:
        AraeError: It cannot be written, or its answers differ from the trained model's.
    """
    from arae_transfer.training.lineage import trained_in_all

    loaded = request.loaded
    if request.quality is not None:
        take_estimator(loaded, request.quality)
    layout = RunLayout(request.run)
    if layout.pairs.is_file():
        restrict_output(loaded.model, written_tokens(read_parallel(layout.pairs), loaded.tokenizer))
    return export_edits(
        loaded.model,
        loaded.recipe,
        loaded.tokenizer,
        request.folder,
        scores=loaded.state.scores,
        training=trained_in_all(request.run, request.checkpoint).to_table("sentences"),
        evaluation=request.evaluation,
        languages=request.languages,
        probe_lines=probe_lines,
        lines=[line for lines in (class_lines or {}).values() for line in lines],
        weights=request.weights,
        beam=request.beam or DEFAULT_BEAM,
        progress=request.progress,
    ).describe()


def written_tokens(examples: Sequence[ParallelExample], tokenizer: Tokenizer) -> list[int]:
    """Return the tokens that the edits of several examples insert, in order.

    A decoder has met all other tokens only as the originals of damaged ones.
    """
    counts: Counter[int] = Counter()
    sentences = tokenizer.encode_lines([example.sentence for example in examples])
    rewrites = tokenizer.encode_lines([example.rewrite for example in examples])
    for example, sentence, rewrite in zip(examples, sentences, rewrites, strict=True):
        pairs = [(sentence, rewrite)] + ([(rewrite, sentence)] if example.kind == "rewrite" else [])
        for before, after in pairs:
            counts.update(token for edit in find_edits(before, after, tokenizer.begins_word) for token in edit.tokens)
    least = max(_LEAST_WRITTEN, len(examples) // _EXAMPLES_PER_WRITTEN)
    return sorted(token for token, count in counts.items() if count >= least)


@torch.no_grad()
def restrict_output(model: ARAE, tokens: Sequence[int]) -> None:
    """Restrict the output of decoders to some tokens, unless these are few."""
    if len(tokens) < _FEWEST_WRITTEN:
        return
    barred = torch.ones(model.vocabulary_size, dtype=torch.bool)
    barred[list(tokens)] = False
    edit_decoder(model, 0).network.output.bias[barred] = NEVER


def take_estimator(loaded: LoadedRun, other: LoadedRun) -> None:
    """Replace a run's quality estimator by another run's, which has the same tokens and the same frozen layers.

    Raises:
        AraeError: The other run has none, or its tokens or frozen layers differ.
    """
    mine, theirs = loaded.model, other.model
    if theirs.quality is None:
        raise AraeError("the run of --quality has no quality estimator", "train one with quality.layers above 0.")
    same = loaded.tokenizer.serialized == other.tokenizer.serialized and loaded.classes == other.classes
    own, given = (_frozen_weights(model) for model in (mine, theirs))
    if not same or own.keys() != given.keys() or not all(torch.equal(own[name], given[name]) for name in own):
        raise AraeError(
            "the quality estimator reads other tokens, classes or frozen layers than the model",
            "train it with tokenizer.model, model.pretrained and model.frozen_layers of the model's run, or --from it.",
        )
    mine.quality = theirs.quality


def _frozen_weights(model: ARAE) -> dict[str, torch.Tensor]:
    """Return the weights of an encoder that do not learn."""
    frozen = {name for name, each in model.encoder.named_parameters() if not each.requires_grad}
    return {name: tensor for name, tensor in model.encoder.state_dict().items() if name in frozen}


def export_edits(
    model: ARAE,
    recipe: Recipe,
    tokenizer: Tokenizer,
    destination: Path,
    *,
    scores: Mapping[str, Any] | None = None,
    training: Mapping[str, Any] | None = None,
    evaluation: str = "",
    languages: Sequence[str] = (),
    probe_lines: Sequence[str] = (),
    lines: Sequence[str] = (),
    weights: Storage | None = None,
    beam: int = DEFAULT_BEAM,
    progress: Callable[[str], None] = lambda message: None,
) -> EditorExport:
    """Write a model that edits to a folder that runs without PyTorch, after comparing its answers with the model's.

    Args:
        model: The trained model; it is not changed.
        recipe: Its resolved recipe.
        tokenizer: Its tokenizer.
        destination: The folder to write, named as the model is. An earlier export there is replaced as a whole.
        scores: Validation scores, for the card.
        training: The cost of the training, for the card.
        evaluation: The report of an evaluation as Markdown, for the card.
        languages: The language codes of the text, for the card.
        probe_lines: Held-out sentences in the corpus's text format; random sequences join them when they are few.
        lines: Training sentences in the corpus's text format, for the word list; without any, or if the corpus is not
            in Penn Treebank tokens, the export has no word list.
        weights: The precision of the matrices of fp32 graphs. None: only the 8-bit graphs are written if they agree
            closely enough; otherwise also fp32 graphs that store fp16.
        beam: The default beam width.
        progress: Receives messages on the progress.

    Raises:
        AraeError: The destination holds something else or cannot be written, the model's weights cannot be stored, or
            the answers of the graphs differ from the model's. Nothing is written then.
    """
    destination = Path(os.path.abspath(destination))  # noqa: PTH100 -- unlike resolve(), this keeps symbolic links
    check_destination(destination)
    layout, name = ExportLayout(destination), destination.name
    metadata = {
        "format": FORMAT,
        "format_version": str(EDITING_VERSION),
        "name": name,
        "arae_version": arae_transfer.__version__,
    }
    trained = round_weights_for_storage(model, "fp32")
    begins: Bool = np.array(tokenizer.begins_word)
    rows, given = probe_rows(probe_lines, tokenizer, recipe.data.maximum_tokens)
    unrounded = edits_of(trained, rows, begins)
    expected = answers_of(rows, unrounded)

    progress("building 8-bit graphs and comparing them with the model")
    hidden = recipe.model.hidden_size
    int8 = _Files.build(trained, begins, metadata | {"variant": INT8}, RowQuantizedGraph, layout, int8=True)
    graphs = int8.open(hidden)
    found = {label: graphs.search(rows, index) for index, label in enumerate(trained.classes)}
    agreement = compare_answers(trained, rows, expected, answers_of(rows, found))

    progress("building fp32 graphs and comparing them with the model")
    stored_as: Storage | None = weights or (None if agreement.accepted else "fp16")
    storage: Storage = stored_as or "fp32"
    stored = round_weights_for_storage(model, storage)
    fp32 = _Files.build(stored, begins, metadata, lambda: Graph(storage), layout, int8=False)
    unchanged = same_edits(edits_of(stored, rows, begins), unrounded)
    parity = compare_edits(stored, fp32.open(hidden), rows, given, begins, unchanged)
    parity.require()

    contents = int8.contents if stored_as is None else fp32.contents | int8.contents
    contents[layout.scorer.name] = export_scorer(stored.scorer, metadata | {"part": "scorer"}, stored_as or "int8")
    contents[layout.tokenizer.name] = tokenizer.serialized
    listed = bool(lines) and recipe.form.tokens == ENGLISH_TOKENS
    if listed:
        contents[layout.words.name] = pack_words(lines)
    ranking, quality = RANKING_BY_FLUENCY, {}
    if int8.quality is not None:
        progress("comparing the quality estimator with the model's")
        quality = {"quality": compare_quality(trained, int8.quality[1], int8.weights, rows, unrounded)}
        contents[int8.quality[0]] = int8.quality[1]
        ranking = RANKING_BY_QUALITY
    variants = {INT8: int8.described(trained, "int8", agreement.to_table(), accepted=agreement.accepted)}
    if stored_as is not None:
        agreed = {"compared": parity.compared, "identical": round(parity.identical / parity.compared, 4)}
        variants = {FP32: fp32.described(stored, stored_as, agreed, accepted=True), **variants}
    config = ExportConfig(
        name=name,
        classes=stored.classes,
        task=EDITING,
        variants=variants,
        files=records_of(contents),
        maximum_tokens=recipe.data.maximum_tokens,
        form=asdict(recipe.form),
        tokenizer=layout.tokenizer.name,
        scorer=layout.scorer.name,
        words=layout.words.name if listed else None,
        quality=None if int8.quality is None else int8.quality[0],
        ranking=ranking,
        beam=beam,
        arae_version=metadata["arae_version"],
        special_ids=SPECIAL_IDS,
        onnx={"opset": OPSET, "ir_version": IR_VERSION},
        sizes=sizes_of(stored, recipe) | {"attention_heads": recipe.model.attention_heads},
        parity=parity.to_table() | quality,
        scores=dict(scores or {}),
        training=dict(training or {}),
        recipe=portable_recipe(recipe),
    )
    sizes = {file: len(content) for file, content in contents.items()}
    contents[layout.config.name] = config.to_json()
    contents[layout.card.name] = (
        EditingCard(config, recipe.description, recipe.data_source, evaluation, languages).render().encode()
    )
    contents[layout.license.name] = license_text(name, recipe.data_source).encode()
    put_in_place(contents, destination)
    return EditorExport(destination, stored.classes, sizes, parity, agreement, stored_as)


@dataclass(frozen=True)
class _Files:
    """The serialized graphs of one precision, each with the name of its file.

    Attributes:
        encoder: The encoder.
        decoder: The decoder of all classes.
        weights: The weights that they share, if any.
        quality: The quality estimator, in 8-bit integers alone, if the model has one.
    """

    encoder: tuple[str, bytes]
    decoder: tuple[str, bytes]
    weights: tuple[str, bytes] | None
    quality: tuple[str, bytes] | None = None

    @classmethod
    def build(
        cls,
        model: ARAE,
        begins_word: Bool,
        metadata: Mapping[str, str],
        empty: Callable[[], Graph],
        layout: ExportLayout,
        *,
        int8: bool,
    ) -> _Files:
        """Build the graphs, and store their weights in a shared file."""
        read = cast("object", model.encoder)
        assert isinstance(read, TransformerEncoder)
        encoder = build_edit_encoder(read, begins_word.tolist(), {**metadata, "part": "encoder"}, empty())
        decoders = [edit_decoder(model, index) for index in range(len(model.classes))]
        decoder = build_edit_decoder(decoders, {**metadata, "part": "decoder"}, empty())
        graphs = [encoder, decoder]
        if int8 and model.quality is not None:
            graphs.append(build_quality_estimator(model.quality, read, {**metadata, "part": "quality"}, empty()))
        shared = layout.weights_packed if int8 else layout.weights
        store = move_int8_weights if int8 else share_weights
        content = store(graphs, shared.name)
        names = (layout.encoder_int8, layout.edit_decoder_int8) if int8 else (layout.encoder, layout.edit_decoder)

        def file(path: Path, graph: onnx.ModelProto) -> tuple[str, bytes]:
            return path.name, graph.SerializeToString()

        quality = file(layout.quality, graphs[2]) if len(graphs) > 2 else None
        weights = (shared.name, content) if content else None
        return cls(file(names[0], encoder), file(names[1], decoder), weights, quality)

    @property
    def contents(self) -> dict[str, bytes]:
        """The contents by file name."""
        weights = [self.weights] if self.weights else []
        packed = [(name, pack(content) if name.endswith(SUFFIX) else content) for name, content in weights]
        return dict([self.encoder, self.decoder, *packed])

    def open(self, hidden: int) -> EditGraphs:
        """Open the graphs; ``hidden`` is the size of the decoder's states."""
        return EditGraphs(self.encoder[1], self.decoder[1], self.weights, hidden)

    def described(self, model: ARAE, storage: str, agreement: Mapping[str, Any], *, accepted: bool) -> Variant:
        """Return the entries of ``config.json`` on the graphs."""
        return Variant(
            encoder=self.encoder[0],
            decoders=dict.fromkeys(model.classes, self.decoder[0]),
            weights=self.weights[0] if self.weights else None,
            accepted=accepted,
            storage=storage,
            agreement=agreement,
        )
