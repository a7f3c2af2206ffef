"""Classification with few labels: which networks move, what is learned, and that a run continues exactly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from arae_transfer.corpus.labelled import Examples, LabelledData, class_indices
from arae_transfer.errors import AraeError
from arae_transfer.model.code_space import CodeClassifier
from arae_transfer.recipe import Attribute, Labels, Model, Recipe, recipe_from_table
from arae_transfer.training.checkpoint import load_run, model_tensors
from arae_transfer.training.classification import (
    PreparedExamples,
    accuracy,
    class_probabilities,
    tokenize_examples,
)
from arae_transfer.training.loop import Trainer
from tests.training.listener import Listener

CLASSES = ("bad", "good")
WORDS = {"bad": ("cold", "rude", "slow"), "good": ("warm", "kind", "quick")}


def recipe(*settings: str) -> Recipe:
    common = [
        "task=classification",
        "tokenizer.vocabulary_size=320",
        "model.code_size=16",
        "model.embedding_size=16",
        "model.hidden_size=16",
        "adversary.generator_layers=[8]",
        "adversary.critic_layers=[8]",
        "attribute.layers=[16]",
        "attribute.learning_rate=0.02",
        "training.schedule=joint",
        "training.optimizer=adam",
        "training.learning_rate=0.02",
        "training.batch_size=8",
        "training.sentences=32",
        "training.initialization=scaled",
        "labels.batch_size=16",
        "validation.every=16",
    ]
    return recipe_from_table({"name": "small"}, [*common, *settings])


def data(pairs: bool = False) -> LabelledData:
    things = ("food", "soup", "staff", "room", "place")
    rows = [(f"the {thing} was {word} .", label) for label in CLASSES for thing in things for word in WORDS[label]]
    texts, labels = [text for text, _ in rows], [label for _, label in rows]
    sentences = (texts, [f"{text} yes" for text in texts]) if pairs else (texts,)
    held_out = Examples(tuple(lines[::2] for lines in sentences), labels[::2])
    return LabelledData(CLASSES, Examples(sentences, labels, skipped=3), held_out, [f"{text} again" for text in texts])


def trainer(run: Path, *settings: str, pairs: bool = False, resume: bool = False) -> Trainer:
    labels = f"labels.sentence_pairs={'true' if pairs else 'false'}"
    return Trainer(recipe(labels, *settings), data(pairs), run, Listener(), device="cpu", resume=resume)


def examples_of(own: Trainer) -> PreparedExamples:
    assert isinstance(own.data, PreparedExamples)
    return own.data


@pytest.mark.parametrize("pairs", [False, True])
def test_labels_are_learned(pairs: bool, tmp_path: Path) -> None:
    own = trainer(tmp_path, "training.sentences=480", "validation.every=240", pairs=pairs)
    assert own.train().state.best_score == 100.0
    loaded = load_run(tmp_path, "best")
    assert loaded.classes == CLASSES
    assert len(loaded.model.decoders) == 1
    found = class_probabilities(loaded.model, examples_of(own).train_examples, torch.device("cpu"))
    assert accuracy(found, examples_of(own).train_classes) >= 90
    assert np.allclose(found.sum(1), 1, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "moving", "still"),
    [
        (("training.reconstruction=0", "adversary.weight=0"), {"encoder", "classifier"}, {"decoders", "critic"}),
        (("adversary.weight=0",), {"encoder", "classifier", "decoders"}, {"critic", "generator"}),
        (("adversary.weight=1",), {"encoder", "classifier", "decoders", "critic", "generator"}, set()),
    ],
    ids=["supervised", "autoencoder", "arae"],
)
def test_a_system_moves_its_own_networks_alone(
    settings: tuple[str, ...], moving: set[str], still: set[str], tmp_path: Path
) -> None:
    own = trainer(tmp_path, *settings)
    before = {name: tensor.clone() for name, tensor in model_tensors(own.model).items()}
    own.train()
    changed = {
        name.partition(".")[0] for name, tensor in model_tensors(own.model).items() if not tensor.equal(before[name])
    }
    assert changed >= moving
    assert not changed & still


def test_only_chosen_labels_are_read(tmp_path: Path) -> None:
    own = trainer(tmp_path, "labels.number=4")
    assert len(examples_of(own).chosen) == 4
    for step in range(5):  # few labels are all in each batch, equally often
        rows, times = np.unique(
            examples_of(own).chosen[examples_of(own).label_schedule.indices(step)[0]], return_counts=True
        )
        assert rows.tolist() == examples_of(own).chosen.tolist()
        assert times.tolist() == [4, 4, 4, 4]
    assert isinstance(own.reporter, Listener)
    assert "uses 4 of 30 labels" in own.reporter.messages
    assert "left out 3 training pairs without a gold label" in own.reporter.messages


def test_a_continued_run_ends_with_the_same_weights(tmp_path: Path) -> None:
    trainer(tmp_path / "whole").train()
    half = trainer(tmp_path / "parts")
    half.steps = 2
    half.train()
    trainer(tmp_path / "parts", resume=True).train()
    whole, parts = (model_tensors(load_run(tmp_path / name, "latest").model) for name in ("whole", "parts"))
    assert all(tensor.equal(parts[name]) for name, tensor in whole.items())


def test_a_long_sentence_is_cut_and_keeps_its_place(tmp_path: Path) -> None:
    own = trainer(tmp_path)
    examples = Examples((["the food " * 30, "the soup"],), ["bad", "good"])
    [sentences] = tokenize_examples(examples, own.text.tokenizer, 6)
    assert sentences.lengths.max() == 5
    assert len(sentences) == 2
    assert class_indices(examples.labels, CLASSES).tolist() == [0, 1]


def test_padding_says_nothing_to_the_classifier() -> None:
    torch.manual_seed(1)
    classifier = CodeClassifier(Model(code_size=6), Attribute(layers=(5,)), Labels(sentence_pairs=True), 3).eval()
    code, mask = torch.randn(4, 2, 6), torch.ones(4, 2)
    other = torch.randn(4, 1, 6), torch.ones(4, 1)
    padded = torch.cat([code, torch.full((4, 3, 6), 9.0)], 1), torch.cat([mask, torch.zeros(4, 3)], 1)
    assert torch.allclose(classifier([(code, mask), other]), classifier([padded, other]), atol=1e-5)
    # Premise and hypothesis are not the same to it.
    assert not torch.allclose(classifier([(code, mask), other]), classifier([other, (code, mask)]))


@pytest.mark.parametrize("key", ["cycle.weight=1", "parallel.sentences=5", "training.averaging=0.9"])
def test_keys_that_a_classification_ignores_are_refused(key: str) -> None:
    with pytest.raises(AraeError, match=rf"{key.partition('=')[0]} has no effect in a classification"):
        recipe(key)
    with pytest.raises(AraeError, match=r"training.schedule has no effect"):
        recipe("training.schedule=alternating")
