"""Runs that learn to edit: the loss falls, a run that is continued ends with the same bits, and runs can be used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from arae_transfer.editing.edits import apply_edits
from arae_transfer.errors import AraeError
from arae_transfer.evaluation.edited import Editor
from arae_transfer.model.edit_decoder import EditDecoder
from arae_transfer.recipe import Recipe, recipe_from_table
from arae_transfer.training.checkpoint import load_run, model_tensors
from arae_transfer.training.editing import PreparedEdits
from arae_transfer.training.loop import Trainer
from tests.training.editing_data import WORDS, data, logged, table
from tests.training.listener import Listener


def trainer(run: Path, recipe: Recipe, *, resume: bool = False, examples: bool = True) -> Trainer:
    return Trainer(recipe, data(examples), run, Listener(), device="cpu", resume=resume)


def test_a_run_learns_the_examples(tmp_path: Path) -> None:
    recipe = recipe_from_table(
        table(training={"sentences": 3200, "label_smoothing": 0.0}, validation={"every": 1600}, model={"dropout": 0.0})
    )
    # A signal to this process, as a time limit sends one, asks a training to stop: then it has not learned yet.
    assert trainer(tmp_path, recipe).train().finished
    losses = logged(tmp_path, "train", "examples")
    assert np.mean(losses[-20:]) < 0.35 * np.mean(losses[:20])
    assert {*logged(tmp_path, "train", "denoising")} != set()
    scores = logged(tmp_path, "valid", "score")
    assert scores[-1] > scores[0]
    assert 40 < scores[-1] <= 100  # the probability of held-out examples' choices
    assert logged(tmp_path, "diagnostics", "code_use") == []
    for which in ("best", "latest"):
        loaded = load_run(tmp_path, which)
        pairs = data().pairs
        answers = Editor(loaded).reconstruct([pair.sentence for pair in pairs], ["good"] * len(pairs))
        right = sum(answer == pair.rewrite for answer, pair in zip(answers, pairs, strict=True))
        assert right >= 2 * len(pairs) // 3
        assert Editor(loaded).reconstruct(["", "the room was warm ."], ["bad", "good"])[0] == ""


def test_a_continued_run_ends_with_the_same_bits(tmp_path: Path) -> None:
    recipe = recipe_from_table(table(validation={"every": 64}))
    trainer(tmp_path / "whole", recipe).train()
    half = trainer(tmp_path / "parts", recipe)
    half.steps = 9
    half.train()
    # Its own examples are in the run.
    trainer(tmp_path / "parts", recipe, resume=True, examples=False).train()
    whole, parts = (load_run(tmp_path / name, "latest") for name in ("whole", "parts"))
    for name, tensor in model_tensors(whole.model).items():
        assert torch.equal(tensor, model_tensors(parts.model)[name]), name


def test_without_examples_damage_is_mended(tmp_path: Path) -> None:
    recipe = recipe_from_table(table())
    own = trainer(tmp_path, recipe, examples=False)
    own.train()
    assert logged(tmp_path, "train", "examples") == []
    assert len(logged(tmp_path, "train", "denoising")) == own.steps
    assert logged(tmp_path, "valid", "nll") == []
    prepared = own.data
    assert isinstance(prepared, PreparedEdits)


def test_nothing_to_learn_from_is_told(tmp_path: Path) -> None:
    own = trainer(tmp_path, recipe_from_table(table(editing={"denoising": 0.0})), examples=False)
    with pytest.raises(AraeError, match="nothing to learn from"):
        own.train()


def test_frozen_layers_keep_their_weights(tmp_path: Path) -> None:
    own = trainer(tmp_path, recipe_from_table(table(model={"frozen_layers": 1})))
    before = {name: tensor.clone() for name, tensor in own.model.encoder.named_parameters()}
    own.train()
    moved = {name for name, tensor in own.model.encoder.named_parameters() if not tensor.equal(before[name])}
    assert moved
    assert all(name.startswith("layers.1") for name in moved)


def test_batches_of_both_classes_say_the_same_as_their_rows(tmp_path: Path) -> None:
    """A batch's tensors hold the sources, and actions that make the targets."""
    own = trainer(tmp_path, recipe_from_table(table(editing={"denoising": 0.0})))
    own.data.save()
    own.data.prepare_parallel(own.model)
    prepared = own.data
    assert isinstance(prepared, PreparedEdits)
    batch = prepared._example_batch(0, torch.device("cpu"))
    assert [rows.stop - rows.start for rows in batch.rows] == [8, 8]
    decoder = own.model.decoders[0]
    assert isinstance(decoder, EditDecoder)
    for row in range(len(batch.tokens)):
        source = batch.tokens[row, : int(batch.lengths[row]) - 1].tolist()
        text = prepared.tokenizer.decode(source)
        assert text.startswith("the ")
        choices = batch.choice[row][batch.real[row]].tolist()
        assert choices[-1] == 0
        assert batch.allowed[row, : int(batch.lengths[row])].any()
    examples = prepared._examples["good"]
    sources, lengths = examples.sources.padded(np.arange(len(examples.edits)))
    for ids, length, edits in zip(sources.tolist(), lengths.tolist(), examples.edits, strict=True):
        target = prepared.tokenizer.decode(apply_edits(ids[:length], edits))
        assert target.split()[3] in WORDS["good"]
