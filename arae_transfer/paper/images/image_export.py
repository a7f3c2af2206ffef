"""Export an image model to graphs, description and card, after a check."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto

from arae_transfer.errors import AraeError
from arae_transfer.export.facts import ModelFacts
from arae_transfer.export.folder import check_destination, graph_metadata, records_of, write_model
from arae_transfer.export.generator_graph import append_perceptron, export_generator, unit_norm
from arae_transfer.export.graph import IR_VERSION, OPSET, Graph, make_model, value
from arae_transfer.export.weights import round_weights_for_storage
from arae_transfer.export_config import FP32, IMAGE, ExportConfig, ImageShape, Variant
from arae_transfer.layout import ExportLayout
from arae_transfer.model.arae import ARAE
from arae_transfer.paper.images.image_card import ImageCard
from arae_transfer.paper.images.image_files import Images
from arae_transfer.paper.images.image_networks import ImageDecoder, ImageEncoder, image_decoder
from arae_transfer.recipe import Recipe, recipe_to_table

# Of codes (norm 1) and of probabilities; sums in another order differ by about 1e-6.
GREATEST_DIFFERENCE = 1e-4
_PROBES = 256
_SEED = 1111


def build_image_encoder(encoder: ImageEncoder, metadata: Mapping[str, str]) -> onnx.ModelProto:
    """Build the encoder's graph: ``pixels`` uint8 (batch, pixels) levels to ``code`` float32 (batch, 1, code_size)."""
    graph = Graph("fp32")
    levels = graph.node("Cast", ["pixels"], "levels", to=TensorProto.FLOAT)
    scale = graph.constant("scale", 2.0 / (encoder.levels - 1), np.float32)
    scaled = graph.node("Mul", [levels, scale], "levels.scaled")
    read = graph.node("Sub", [scaled, graph.constant("one", 1.0, np.float32)], "read")
    unit = unit_norm(graph, append_perceptron(graph, read, encoder), axis=1)  # (batch, code_size)
    graph.node("Unsqueeze", [unit, graph.constant("axis.1", [1])], "code")
    first = encoder.layers[0]
    assert isinstance(first, torch.nn.Linear)
    inputs = [value("pixels", TensorProto.UINT8, ["batch", first.in_features])]
    outputs = [value("code", TensorProto.FLOAT, ["batch", 1, encoder.last.out_features])]
    return make_model(graph.build("encoder", inputs, outputs), metadata, "Levels of pixels to a code of unit norm.")


def build_image_decoder(decoder: ImageDecoder, metadata: Mapping[str, str]) -> onnx.ModelProto:
    """Build a decoder's graph: ``code`` float32 (batch, 1, code_size) to ``probabilities`` (batch, pixels, levels)."""
    graph = Graph("fp32")
    read = graph.node("Squeeze", ["code", graph.constant("axis.1", [1])], "read")  # (batch, code_size)
    logits = append_perceptron(graph, read, decoder)  # (batch, pixels x levels)
    pixels = decoder.last.out_features // decoder.levels
    shaped = graph.node("Reshape", [logits, graph.constant("shape", [-1, pixels, decoder.levels])], "logits")
    graph.node("Softmax", [shaped], "probabilities", axis=2)
    first = decoder.layers[0]
    assert isinstance(first, torch.nn.Linear)
    inputs = [value("code", TensorProto.FLOAT, ["batch", 1, first.in_features])]
    outputs = [value("probabilities", TensorProto.FLOAT, ["batch", pixels, decoder.levels])]
    return make_model(graph.build("decoder", inputs, outputs), metadata, "A code to the levels of pixels.")


@dataclass(frozen=True)
class ImageExportReport:
    """Result of an export.

    Attributes:
        folder: The exported model.
        name: Its name.
        classes: Its classes in order.
        sizes: The bytes of each file, by file name.
        images: The images that the graphs were checked with.
        difference: The greatest difference of a code or a probability from the trained model's.
    """

    folder: Path
    name: str
    classes: tuple[str, ...]
    sizes: Mapping[str, int]
    images: int
    difference: float

    def describe(self) -> list[str]:
        """Return lines about the export for the user."""
        size = sum(self.sizes.values()) / 1e6
        return [
            f"{self.name}: {', '.join(self.classes)}; {size:.1f} MB in {len(self.sizes)} files, fp32; on "
            f"{self.images:,} images codes and probabilities differ from the model's by at most {self.difference:.0e}"
        ]


def export_image_model(
    model: ARAE,
    recipe: Recipe,
    destination: Path,
    *,
    held_out: Images | None = None,
    **facts: Unpack[ModelFacts],
) -> ImageExportReport:
    """Export an image model, after checking that its graphs give the model's outputs.

    Weights are stored as fp32: normalisation is folded into them.

    Args:
        model: The trained model; it is not changed.
        recipe: Its resolved recipe.
        destination: The folder to write. An earlier export there is replaced as a whole.
        held_out: Images to check with; None: random ones.
        facts: What is told of the model, see ``ModelFacts``.

    Raises:
        AraeError: The destination holds something else or cannot be written, the model's weights are not finite, or
            the graphs do not answer as the model does. Nothing is written then.
    """
    destination = destination.absolute()
    check_destination(destination)
    stored = round_weights_for_storage(model, "fp32")
    layout = ExportLayout(destination)
    about = graph_metadata(facts["name"])
    assert isinstance(stored.encoder, ImageEncoder)
    contents = {
        layout.encoder.name: build_image_encoder(stored.encoder, about | {"part": "encoder"}).SerializeToString()
    }
    for index, label in enumerate(stored.classes):
        graph = build_image_decoder(image_decoder(stored, index), about | {"part": "decoder", "class": label})
        contents[layout.decoder(label).name] = graph.SerializeToString()
    images, difference = _parity(stored, recipe, contents, layout, held_out)
    generator, description = export_generator(
        stored, recipe, None, (), layout.generator.name, about | {"part": "generator"}
    )
    contents |= generator
    image = recipe.image
    config = ExportConfig(
        name=facts["name"],
        classes=stored.classes,
        task=IMAGE,
        variants={FP32: Variant(layout.encoder.name, {label: layout.decoder(label).name for label in stored.classes})},
        files=records_of(contents),
        generator=description,
        image=ImageShape(image.height, image.width, image.levels),
        arae_version=about["arae_version"],
        onnx={"opset": OPSET, "ir_version": IR_VERSION},
        sizes={
            "parameters": sum(parameter.numel() for parameter in stored.autoencoder_parameters()),
            "code_size": recipe.model.code_size,
            **{key: list(sizes) for key, sizes in asdict(image).items() if key.endswith("_layers")},
        },
        parity={
            "images": images,
            "difference": difference,
            "onnxruntime": onnxruntime.__version__,
            "torch": torch.__version__,
        },
        scores=facts.get("scores", {}),
        training=facts.get("training", {}),
        recipe=recipe_to_table(recipe),
    )
    card = ImageCard(config, recipe.description, recipe.data_source, facts.get("evaluation", ""))
    sizes = write_model(contents, card, destination)
    return ImageExportReport(destination, config.name, stored.classes, sizes, images, difference)


@torch.no_grad()
def _parity(
    model: ARAE, recipe: Recipe, contents: Mapping[str, bytes], layout: ExportLayout, held_out: Images | None
) -> tuple[int, float]:
    """Compare graphs and model on images; return the number of images and the greatest difference.

    Raises:
        AraeError: It is too great.
    """
    shape = (_PROBES, recipe.image.height * recipe.image.width)
    pixels = np.random.default_rng(_SEED).integers(0, recipe.image.levels, shape).astype(np.uint8)
    if held_out is not None:
        pixels = held_out.values[:_PROBES]
    lengths = torch.full((len(pixels),), pixels.shape[1])
    code, _ = model.encoder(torch.from_numpy(pixels.astype(np.int64)), lengths)
    (own,) = _run(contents[layout.encoder.name], "code", {"pixels": pixels})
    differences = [float(np.abs(own - code.numpy()).max())]
    for index, label in enumerate(model.classes):
        (shares,) = _run(contents[layout.decoder(label).name], "probabilities", {"code": code.numpy()})
        wanted = image_decoder(model, index).logits(code).softmax(2).numpy()
        differences.append(float(np.abs(shares - wanted).max()))
    # Written so that a difference that is not a number is refused too.
    if all(difference <= GREATEST_DIFFERENCE for difference in differences):
        return len(pixels), max(differences)
    raise AraeError(
        f"the exported graphs differ from the model by up to {max(differences):.1g}",
        "export another checkpoint of the run: its training may have diverged.",
    )


def _run(content: bytes, output: str, feed: Mapping[str, Any]) -> list[Any]:
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    answers: list[Any] = session.run([output], dict(feed))
    return answers
