"""Export of classifiers to a folder that ``arae classify`` runs; the graphs are checked first."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import onnxruntime
import torch

from arae_transfer.errors import AraeError
from arae_transfer.export.card_parts import Card, data_section, paragraph, training_facts
from arae_transfer.export.classifier_graph import build_classifier
from arae_transfer.export.encoder_graph import build_encoder
from arae_transfer.export.facts import ModelFacts
from arae_transfer.export.folder import check_destination, graph_metadata, portable_recipe, records_of, write_model
from arae_transfer.export.graph import IR_VERSION, OPSET, Storage
from arae_transfer.export.parity import BATCH_SIZES, probe_rows
from arae_transfer.export.weights import round_weights_for_storage
from arae_transfer.export_config import (
    CLASSIFICATION,
    FP32,
    Classifier,
    ExportConfig,
    Variant,
)
from arae_transfer.layout import ExportLayout
from arae_transfer.model.arae import ARAE
from arae_transfer.model.code_space import CodeClassifier
from arae_transfer.recipe import Recipe
from arae_transfer.runtime.batching import pad
from arae_transfer.tokenizer import SPECIAL_IDS, Tokenizer

GREATEST_DIFFERENCE = 1e-4
"""Of a probability, between the graphs and the model; fp32 sums in another order move one by about 1e-7."""


@dataclass(frozen=True)
class ClassifierExport:
    """The result of an export.

    Attributes:
        folder: The exported model.
        classes: Its classes in order.
        sizes: The bytes of each file, by file name.
        compared: The number of examples compared with the trained model.
        difference: The maximum absolute difference of a probability.
    """

    folder: Path
    classes: tuple[str, ...]
    sizes: Mapping[str, int]
    compared: int
    difference: float

    def describe(self) -> list[str]:
        """Return lines about the export for the user."""
        return [
            f"{self.folder.name}: {', '.join(self.classes)}; {sum(self.sizes.values()) / 1e6:.1f} MB; probabilities of "
            f"{self.compared:,} probes are the model's up to {self.difference:.0e}"
        ]


def export_classifier(
    model: ARAE,
    recipe: Recipe,
    tokenizer: Tokenizer,
    destination: Path,
    *,
    probe_lines: Sequence[str] = (),
    weights: Storage = "fp16",
    **facts: Unpack[ModelFacts],
) -> ClassifierExport:
    """Write a classifier to a folder that runs without PyTorch, after comparing its answers with the model's.

    Args:
        model: The trained model; it is not changed.
        recipe: Its resolved recipe.
        tokenizer: Its tokenizer.
        destination: The folder to write. An earlier export there is replaced as a whole.
        probe_lines: Held-out sentences in the corpus's text format.
        weights: The precision of the encoder's stored matrices; the classifier's keep fp32.
        facts: Facts for description and card, see ``ModelFacts``.

    Raises:
        AraeError: The destination holds something else or cannot be written, the weights cannot be stored, or the
            answers of the graphs differ from the model's. Nothing is written then.
    """
    destination = Path(os.path.abspath(destination))  # noqa: PTH100 -- unlike resolve(), this keeps symbolic links
    check_destination(destination)
    stored = round_weights_for_storage(model, weights)
    assert isinstance(stored.classifier, CodeClassifier)
    layout = ExportLayout(destination)
    metadata = graph_metadata(facts["name"])
    pairs = recipe.labels.sentence_pairs
    encoder = build_encoder(stored.encoder, metadata | {"part": "encoder"}, weights).SerializeToString()
    classifier = build_classifier(
        stored.classifier, recipe.model.code_size, pairs, metadata | {"part": "classifier"}
    ).SerializeToString()
    rows, _ = probe_rows(probe_lines, tokenizer, recipe.data.maximum_tokens)
    difference = _difference(stored, encoder, classifier, rows, pairs)
    if difference > GREATEST_DIFFERENCE:
        raise AraeError(
            f"the graphs differ from the model by {difference:.1e} in a probability", "this is a fault of arae."
        )
    contents = {layout.encoder.name: encoder, layout.classifier.name: classifier}
    contents[layout.tokenizer.name] = tokenizer.serialized
    config = ExportConfig(
        name=facts["name"],
        classes=stored.classes,
        task=CLASSIFICATION,
        variants={FP32: Variant(layout.encoder.name, storage=weights)},
        files=records_of(contents),
        maximum_tokens=recipe.data.maximum_tokens,
        form=asdict(recipe.form),
        tokenizer=layout.tokenizer.name,
        classifier=Classifier(layout.classifier.name, pairs),
        arae_version=metadata["arae_version"],
        special_ids=SPECIAL_IDS,
        onnx={"opset": OPSET, "ir_version": IR_VERSION},
        parity={"compared": len(rows), "difference": difference},
        scores=facts.get("scores", {}),
        training=facts.get("training", {}),
        recipe=portable_recipe(recipe),
    )
    card = ClassificationCard(config, recipe.description, recipe.data_source)
    sizes = write_model(contents, card, destination)
    return ClassifierExport(destination, stored.classes, sizes, len(rows), difference)


@torch.no_grad()
def _difference(model: ARAE, encoder: bytes, classifier: bytes, rows: Sequence[list[int]], pairs: bool) -> float:
    """Return the maximum absolute difference of a probability; for pairs, each probe is paired with another."""
    providers = ["CPUExecutionProvider"]
    first, second = (onnxruntime.InferenceSession(graph, providers=providers) for graph in (encoder, classifier))
    greatest, start, turn = 0.0, 0, 0
    while start < len(rows):
        size = BATCH_SIZES[turn % len(BATCH_SIZES)]
        chosen = list(rows[start : start + size])
        partners = [rows[(start + place + 1) % len(rows)] for place in range(len(chosen))]
        codes: list[tuple[torch.Tensor, torch.Tensor]] = []
        feed: dict[str, Any] = {}
        for prefix, each in zip(("", "second_"), [chosen, partners] if pairs else [chosen], strict=False):
            tokens, lengths = pad(each)
            codes.append(model.encoder(torch.from_numpy(tokens), torch.from_numpy(lengths)))
            code, mask = first.run(["code", "code_mask"], {"tokens": tokens, "lengths": lengths})
            feed |= {f"{prefix}code": code, f"{prefix}code_mask": mask}
        expected = model.classifier(codes).softmax(1).numpy()
        found = second.run(["probabilities"], feed)[0]
        greatest = max(greatest, float(np.abs(found - expected).max()))
        start, turn = start + size, turn + 1
    return greatest


class ClassificationCard(Card):
    """The card of a classifier."""

    pipeline = "text-classification"

    def sections(self) -> list[str]:
        """Return its sections: classes, use, training, data."""
        config = self.config
        pairs = config.classifier is not None and config.classifier.pairs
        example = "'a man sleeps .\\ta person is awake .\\n'" if pairs else "'a sentence .\\n'"
        labels = config.recipe["labels"]
        used = f"{labels['number']:,}" if labels["number"] else f"{100 * labels['share']:g} %"
        shaped = "by reconstruction" if config.recipe["training"]["reconstruction"] > 0 else ""
        if config.recipe["adversary"]["weight"] > 0:
            shaped += (" and " if shaped else "") + "by a generator and a Wasserstein critic"
        facts, accuracy = training_facts(config.training), config.scores.get("accuracy")
        return [
            paragraph(f"Classes: {', '.join(config.classes)}. It reads {'pairs of' if pairs else 'single'} sentences."),
            f"```console\n$ printf {example} | arae classify --model {shlex.quote(config.name)}\n```\n",
            "## Training\n",
            paragraph(
                f"{used} of the labels were used; the code space was shaped {shaped or 'by the labels alone'}. "
                + (f"{facts}. " if facts else "")
                + (f"Accuracy on held-out examples, which chose the checkpoint: {accuracy:.1f} %. " if accuracy else "")
                + f"On {config.parity['compared']} sentences the probabilities of the graphs are the trained model's "
                f"up to {config.parity['difference']:.0e}."
            ),
            data_section(self),
        ]
