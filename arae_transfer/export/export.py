"""A trained model to a folder that ``arae transfer`` runs: graphs, tokenizer, description and card, checked first."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import arae_transfer
from arae_transfer.atomic import explain_write_failure, replace_directory
from arae_transfer.errors import AraeError
from arae_transfer.export.agreement import Agreement, measure_agreement, rewrites_by_graphs
from arae_transfer.export.calibration import (
    Graphs,
    build_graphs,
    build_quantized,
    calibration_rows,
    share_weights,
    unchecked,
)
from arae_transfer.export.candidates_graph import refer_to, require_greedy
from arae_transfer.export.card import GenerationCard, RewritingCard
from arae_transfer.export.decoder_graph import BLOCK
from arae_transfer.export.generator_graph import export_generator
from arae_transfer.export.graph import IR_VERSION, OPSET, Storage
from arae_transfer.export.half_precision import HalfGraph, RoundedGraph
from arae_transfer.export.parity import Parity, Row, compare, evenly_spaced, interleave, probe_rows, rewrites_of
from arae_transfer.export.scorer_graph import export_scorer
from arae_transfer.export.shortlist import choose_shortlists, worth_a_shortlist
from arae_transfer.export.weights import round_weights_for_storage
from arae_transfer.export_config import (
    FORMAT,
    FORMAT_VERSION,
    FP16,
    FP32,
    INT8,
    ExportConfig,
    FileRecord,
    Variant,
)
from arae_transfer.language_model.compact import compact
from arae_transfer.layout import ExportLayout
from arae_transfer.model.arae import ARAE
from arae_transfer.recipe import Recipe, recipe_to_table
from arae_transfer.runtime.model_folder import ModelFolder
from arae_transfer.tokenizer import SPECIAL_IDS, Tokenizer


@dataclass(frozen=True)
class ExportReport:
    """What an export wrote.

    Attributes:
        folder: The exported model.
        name: Its name.
        classes: Its classes in order.
        sizes: The bytes of each file, by file name.
        parity: How its answers compare to the model's.
        agreement: How the answers of its 8-bit graphs do.
        half_agreement: How those of its fp16 graphs do; None: it has none, as its weights are stored in fp32.
    """

    folder: Path
    name: str
    classes: tuple[str, ...]
    sizes: Mapping[str, int]
    parity: Parity
    agreement: Agreement
    half_agreement: Agreement | None = None

    def describe(self, weights: Storage) -> list[str]:
        """Return what a person should know of the export, in lines."""
        parity, size = self.parity, sum(self.sizes.values()) / 1e6
        lines = [
            f"{self.name}: {', '.join(self.classes)}; {size:.1f} MB in {len(self.sizes)} files",
            f"{parity.identical:,} of {parity.compared:,} rewrites are the model's, token by token; "
            f"{parity.near_ties:,} part at a near tie, {parity.different:,} differ",
        ]
        if parity.unrounded_identical < 1:
            share = 100 * (1 - parity.unrounded_identical)
            lines.append(f"{share:.1f} % of rewrites changed by rounding the weights to {weights}")
        for name, agreement, places in (("fp16", self.half_agreement, "GPUs"), ("int8", self.agreement, "CPUs")):
            if agreement is not None:
                lines.append(describe_variant(name, agreement, places, judged=len(self.classes) > 1))
        return lines


def describe_variant(name: str, agreement: Agreement, places: str, *, judged: bool) -> str:
    """Say how the answers of a variant agree with the model's, and where it is used."""
    style = f"{agreement.style_cost:.2f} points of style and " if judged else ""
    return (
        f"{name}: {100 * agreement.identical:.1f} % of rewrites are the model's, "
        f"{100 * agreement.tokens:.1f} % of tokens; "
        f"it costs {style}{agreement.self_bleu_cost:.2f} points of BLEU to the source, "
        f"{f'and is used on {places}' if agreement.accepted else f'so that it is used only with --variant {name}'}"
    )


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
    tell = progress or (lambda message: None)
    stored, trained = round_weights_for_storage(model, weights), round_weights_for_storage(model, "fp32")
    layout = ExportLayout(destination)
    metadata = {
        "format": FORMAT,
        "format_version": str(FORMAT_VERSION),
        "name": name,
        "arae_version": arae_transfer.__version__,
    }
    rows, given = probe_rows(probe_lines, tokenizer, recipe.data.maximum_tokens)
    # Other rows than those that all is measured with.
    other_rows = calibration_rows(probe_lines, tokenizer, recipe.data.maximum_tokens)
    maximum_length = recipe.data.maximum_tokens + recipe.cycle.extra_tokens
    shortlists, shortlist_table = None, None

    def build_fp32() -> _Variant:
        return _Variant.of(
            build_graphs(stored, metadata, weights, searching=searching, shortlists=shortlists),
            (layout.encoder, layout.decoder, layout.candidates, layout.weights),
        )

    fp32 = whole = build_fp32()
    if searching and worth_a_shortlist(tokenizer.vocabulary_size):
        most = _MOST_WRITTEN // len(stored.classes)
        others = {"": further_lines} if further_lines else class_lines or {}
        chosen = {label: evenly_spaced(own, most // len(others)) for label, own in others.items()}
        lines = [*unchecked(probe_lines), *interleave(chosen)]
        more, _ = probe_rows(lines, tokenizer, recipe.data.maximum_tokens, most=most)
        tell(f"rewriting {len(more):,} sentences to see which tokens the decoders write")
        written = rewrites_by_graphs(whole.encoder[1], _contents(whole.decoders), whole.weights, more, maximum_length)
        shortlists = choose_shortlists(more, written, tokenizer.vocabulary_size, BLOCK)
    tell("building fp32 graphs and comparing them with the model")
    expected = rewrites_of(stored, rows, maximum_length)
    unrounded = rewrites_of(trained, rows, maximum_length)
    if shortlists is not None:
        fp32 = build_fp32()
        agreed = measure_agreement(
            stored, fp32.encoder[1], _contents(fp32.decoders), fp32.weights, rows, expected, maximum_length
        )
        shortlist_table = {
            "tokens": max(map(len, shortlists.values())),
            "agreement": agreed.to_table(),
            "accepted": agreed.accepted,
        }
        if not agreed.accepted:
            shortlists, fp32 = None, whole
    parity = compare(
        stored,
        trained,
        fp32.encoder[1],
        _contents(fp32.decoders),
        rows,
        given,
        maximum_length,
        expected,
        weights=fp32.weights,
    )
    parity.require()
    tell("building 8-bit graphs and comparing them with the model")
    quantized = build_quantized(
        trained, other_rows, maximum_length, metadata, searching=searching, shortlists=shortlists
    )
    int8 = _Variant.of(
        quantized, (layout.encoder_int8, layout.decoder_int8, layout.candidates_int8, layout.weights_int8)
    )
    agreement = measure_agreement(
        trained,
        int8.encoder[1],
        _contents(int8.decoders),
        int8.weights,
        rows,
        unrounded,
        maximum_length,
    )
    half, half_agreement = None, None
    if weights == "fp16":
        tell("building fp16 graphs and comparing them with the model")
        half, half_agreement = _half_variant(
            stored,
            trained,
            metadata,
            fp32,
            layout,
            rows,
            unrounded,
            maximum_length,
            searching=searching,
            shortlists=shortlists,
        )
    if searching:
        tell("comparing candidates with greedy rewrites")
    for variant in filter(None, (fp32, half, int8)) if searching else ():
        require_greedy(
            variant.encoder[1],
            variant.decoders,
            _contents(variant.candidates),
            variant.weights,
            rows,
            maximum_length,
            variant.source_files,
        )
    contents = fp32.files
    generator, generator_description = export_generator(
        stored, recipe, tokenizer, probe_lines, layout.generator.name, metadata | {"part": "generator"}
    )
    contents |= generator
    if searching:
        contents[layout.scorer.name] = export_scorer(stored.scorer, metadata | {"part": "scorer"}, weights)
    if searching and class_lines and not language_models:
        tell("learning language models")
        language_models = {
            label: compact(
                [ids for ids in tokenizer.encode_lines(list(class_lines[label])) if ids], tokenizer.vocabulary_size
            )
            for label in stored.classes
        }
    language_files = {label: layout.language_model(label).name for label in language_models or {}}
    contents |= {language_files[label]: content for label, content in (language_models or {}).items()}
    if half is not None:
        contents |= half.files
    contents |= int8.files
    contents[layout.tokenizer.name] = tokenizer.serialized
    variants = {FP32: fp32.described(weights, _agreement_of(parity))}
    if half is not None and half_agreement is not None:
        measured = {"measured": "on a CPU, by graphs that round as these do on a GPU"}
        variants[FP16] = half.described(
            "fp16", half_agreement.to_table() | measured, half_agreement.accepted, variants[FP32]
        )
    variants[INT8] = int8.described("int8", agreement.to_table(), agreement.accepted)
    config = ExportConfig(
        name=name,
        classes=stored.classes,
        task=recipe.task,
        variants=variants,
        files=records_of(contents),
        maximum_tokens=recipe.data.maximum_tokens,
        form=asdict(recipe.form),
        tokenizer=layout.tokenizer.name,
        scorer=layout.scorer.name if searching else None,
        language_models=language_files or None,
        beam=beam if searching else 1,
        generator=generator_description,
        shortlist=shortlist_table,
        arae_version=metadata["arae_version"],
        special_ids=SPECIAL_IDS,
        onnx={"opset": OPSET, "ir_version": IR_VERSION},
        sizes=sizes_of(stored, recipe),
        parity=parity.to_table(),
        scores=dict(scores or {}),
        training=dict(training or {}),
        recipe=portable_recipe(recipe),
    )
    sizes = {file: len(content) for file, content in contents.items()}
    kind = RewritingCard if searching else GenerationCard
    contents[layout.config.name] = config.to_json()
    contents[layout.card.name] = (
        kind(config, recipe.description, recipe.data_source, evaluation, languages).render().encode()
    )
    put_in_place(contents, destination)
    return ExportReport(destination, name, stored.classes, sizes, parity, agreement, half_agreement)


# Rewrites, to all classes together, that tell what decoders write: rare words take many.
_MOST_WRITTEN = 40_000

File = tuple[str, bytes]


@dataclass(frozen=True)
class _Variant:
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
    source: _Variant | None = None

    @classmethod
    def of(
        cls,
        graphs: Graphs,
        paths: tuple[Path, Callable[[str], Path], Callable[[str], Path], Path],
    ) -> _Variant:
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
        cls, source: _Variant, graphs: Graphs, paths: tuple[Path, Callable[[str], Path], Callable[[str], Path]]
    ) -> _Variant:
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


def _half_variant(
    stored: ARAE,
    trained: ARAE,
    metadata: Mapping[str, str],
    fp32: _Variant,
    layout: ExportLayout,
    rows: Sequence[Row],
    expected: Mapping[str, Sequence[Row]],
    maximum_length: int,
    *,
    searching: bool,
    shortlists: Mapping[str, Sequence[int]] | None,
) -> tuple[_Variant, Agreement]:
    """Return the graphs whose products run in fp16, and the agreement of their answers on a GPU with the model's.

    No GPU is needed: a CPU runs the graphs themselves, but leaves roundings out, so that graphs that round where they
    do are run as well, and the worse of both counts.
    """
    metadata = {**metadata, "variant": "fp16"}
    graphs = build_graphs(
        stored, metadata, "fp16", lambda index: HalfGraph(), searching=searching, shortlists=shortlists
    )
    half = _Variant.beside(fp32, graphs, (layout.encoder_fp16, layout.decoder_fp16, layout.candidates_fp16))
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
        _contents(half.decoders),
        half.weights,
        rows,
        expected,
        maximum_length,
        half.source_files,
    )
    return half, min(on_gpu, on_cpu, key=lambda each: (each.accepted, each.identical))


def _contents(files: Mapping[str, File]) -> dict[str, bytes]:
    return {label: content for label, (_, content) in files.items()}


def _agreement_of(parity: Parity) -> dict[str, Any]:
    return {"compared": parity.compared, "identical": round(parity.identical / parity.compared, 4)}


def check_destination(destination: Path) -> None:
    """Make sure that writing a folder destroys nothing but an earlier export.

    Raises:
        AraeError: The destination is a file, or a folder that holds anything that no export wrote.
    """
    try:
        if not destination.exists() and not destination.is_symlink():
            return
        found = {path.name for path in destination.iterdir()}
    except NotADirectoryError as error:
        raise AraeError(f"{destination} is not a folder", "choose another destination.") from error
    except OSError as error:
        raise explain_write_failure(destination, error) from error
    if not found:
        return
    layout = ExportLayout(destination)
    known = {layout.config.name, layout.card.name}
    try:
        known.update(ModelFolder.read(destination).files)
    except AraeError as error:
        raise AraeError(
            f"{destination} holds something that is no exported model: {min(found)}",
            "choose another destination, or remove that folder first.",
        ) from error
    foreign = sorted(found - known)
    if foreign:
        raise AraeError(
            f"{destination} holds {foreign[0]}, which an export would remove",
            "move it out of the folder, or choose another destination.",
        )


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


def portable_recipe(recipe: Recipe) -> dict[str, Any]:
    """Return the recipe without the one path in it, which says nothing on another machine."""
    table = recipe_to_table(recipe)
    table["tokenizer"]["model"] = Path(recipe.tokenizer.model).name
    return table


def records_of(contents: Mapping[str, bytes]) -> dict[str, FileRecord]:
    """Return what each file must be."""
    return {name: FileRecord(hashlib.sha256(content).hexdigest(), len(content)) for name, content in contents.items()}


def put_in_place(contents: Mapping[str, bytes], destination: Path) -> None:
    """Write files into a new folder beside the destination, read them back, and rename the folder.

    Raises:
        AraeError: They cannot be written; the destination is then as it was.
    """
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{destination.name}.", dir=destination.parent) as place:
            staged = Path(place) / destination.name  # a folder inside, because temporary ones are private
            staged.mkdir()
            for name, content in contents.items():
                with (staged / name).open("wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
            folder = ModelFolder.read(staged)
            for name in folder.files:
                folder.read_file(name)
            replace_directory(staged, destination)
    except OSError as error:
        raise explain_write_failure(destination, error) from error
