"""A trained model to a folder that ``arae transfer`` runs: graphs, tokenizer, description and card, checked first."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import arae_transfer
from arae_transfer.atomic import explain_write_failure, replace_directory
from arae_transfer.errors import AraeError
from arae_transfer.export.agreement import Agreement, measure_agreement
from arae_transfer.export.calibration import QuantizedGraphs, build_quantized, calibration_rows, share_weights
from arae_transfer.export.card import Card, render_card
from arae_transfer.export.decoder_graph import build_decoder
from arae_transfer.export.encoder_graph import build_encoder
from arae_transfer.export.generator_graph import export_generator
from arae_transfer.export.graph import IR_VERSION, OPSET, Storage
from arae_transfer.export.parity import Parity, compare, probe_rows, rewrites_of
from arae_transfer.export.weights import storable
from arae_transfer.layout import ExportLayout
from arae_transfer.model.arae import ARAE
from arae_transfer.recipe import Recipe, recipe_to_table
from arae_transfer.runtime.model_folder import FORMAT, FORMAT_VERSION, ModelFolder
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
    """

    folder: Path
    name: str
    classes: tuple[str, ...]
    sizes: Mapping[str, int]
    parity: Parity
    agreement: Agreement


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
    weights: Storage = "fp16",
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
        weights: How matrices are stored. fp16 halves the files; arithmetic is fp32 either way.

    Raises:
        AraeError: The destination holds something else or cannot be written, the model's weights cannot be stored, or
            the graphs do not answer as the model does. Nothing is written then.
    """
    destination = Path(os.path.abspath(destination))  # noqa: PTH100 -- unlike resolve(), this keeps symbolic links
    check_destination(destination)
    stored, trained = storable(model, weights), storable(model, "fp32")
    layout = ExportLayout(destination)
    metadata = {
        "format": FORMAT,
        "format_version": str(FORMAT_VERSION),
        "name": name,
        "arae_version": _version(),
    }
    encoder = build_encoder(stored.encoder, metadata | {"part": "encoder"}, weights).SerializeToString()
    decoders = {
        label: build_decoder(
            stored.decoder(index), metadata | {"part": "decoder", "class": label}, weights
        ).SerializeToString()
        for index, label in enumerate(stored.classes)
    }
    rows, given = probe_rows(probe_lines, tokenizer, recipe.data.maximum_tokens)
    maximum_length = recipe.data.maximum_tokens + recipe.cycle.extra_tokens
    expected = rewrites_of(stored, rows, maximum_length)
    parity = compare(stored, trained, encoder, decoders, rows, given, maximum_length, expected)
    parity.require()
    quantized = build_quantized(
        trained, calibration_rows(probe_lines, tokenizer, recipe.data.maximum_tokens), maximum_length, metadata
    )
    int8 = _Int8.of(quantized, layout)
    agreement = measure_agreement(
        trained,
        int8.encoder,
        int8.decoders,
        int8.weights,
        rows,
        rewrites_of(trained, rows, maximum_length),
        maximum_length,
    )
    contents = {layout.encoder.name: encoder}
    contents |= {layout.decoder(label).name: content for label, content in decoders.items()}
    generator, generator_description = export_generator(
        stored, recipe, tokenizer, probe_lines, layout.generator.name, metadata | {"part": "generator"}
    )
    contents |= generator
    contents |= int8.files
    contents[layout.tokenizer.name] = tokenizer.serialized
    config = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "name": name,
        "arae_version": metadata["arae_version"],
        "classes": list(stored.classes),
        "special_ids": SPECIAL_IDS,
        "maximum_tokens": recipe.data.maximum_tokens,
        "form": asdict(recipe.form),
        "encoder": layout.encoder.name,
        "decoders": {label: layout.decoder(label).name for label in stored.classes},
        "tokenizer": layout.tokenizer.name,
        "generator": generator_description,
        "files": {
            file: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
            for file, content in contents.items()
        },
        # What the files above are, and what other files hold the same model in another arithmetic.
        "variants": {
            "fp32": {"arithmetic": "fp32", "weights": weights, "agreement": _agreement_of(parity)},
            "int8": {
                "arithmetic": "int8",
                "weights": "int8",
                "encoder": layout.encoder_int8.name,
                "decoders": {label: layout.decoder_int8(label).name for label in stored.classes},
                "weights_file": int8.weights[0] if int8.weights else None,
                "agreement": agreement.to_table(),
                "accepted": agreement.accepted,
            },
        },
        "onnx": {"opset": OPSET, "ir_version": IR_VERSION},
        "sizes": _sizes(stored, recipe),
        "parity": parity.to_table(),
        "scores": dict(scores or {}),
        "training": dict(training or {}),
        "recipe": _portable_recipe(recipe),
    }
    sizes = {file: len(content) for file, content in contents.items()}
    card = Card(config, sizes, recipe.description, recipe.data_source, evaluation, languages)
    contents[layout.config.name] = (json.dumps(config, indent=2, ensure_ascii=False) + "\n").encode()
    contents[layout.card.name] = render_card(card).encode()
    put_in_place(contents, destination)
    return ExportReport(destination, name, stored.classes, sizes, parity, agreement)


@dataclass(frozen=True)
class _Int8:
    """The serialized 8-bit graphs, and the name and content of the file of weights that they share, if any."""

    encoder: bytes
    decoders: Mapping[str, bytes]
    weights: tuple[str, bytes] | None
    files: Mapping[str, bytes]

    @classmethod
    def of(cls, graphs: QuantizedGraphs, layout: ExportLayout) -> _Int8:
        shared = share_weights([graphs.encoder, *graphs.decoders.values()], layout.weights_int8.name)
        weights = (layout.weights_int8.name, shared) if shared else None
        encoder = graphs.encoder.SerializeToString()
        decoders = {label: graph.SerializeToString() for label, graph in graphs.decoders.items()}
        files = {layout.encoder_int8.name: encoder, **dict([weights] if weights else [])}
        files |= {layout.decoder_int8(label).name: content for label, content in decoders.items()}
        return cls(encoder, decoders, weights, files)


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


def _version() -> str:
    try:
        return str(arae_transfer.__version__)
    except PackageNotFoundError:
        return "uninstalled"


def _sizes(model: ARAE, recipe: Recipe) -> dict[str, Any]:
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


def _portable_recipe(recipe: Recipe) -> dict[str, Any]:
    """Return the recipe without the one path in it, which says nothing on another machine."""
    table = recipe_to_table(recipe)
    table["tokenizer"]["model"] = Path(recipe.tokenizer.model).name
    return table


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
