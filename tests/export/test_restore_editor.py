"""An export that edits can be learned on: encoder, decoders, scorer and estimator come back into the networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from arae_transfer.editing.edits import Edit
from arae_transfer.errors import AraeError
from arae_transfer.export.agreement import Agreement
from arae_transfer.export.edit_parity import edits_of
from arae_transfer.export.editing import export_edits
from arae_transfer.export.parity import probe_rows
from arae_transfer.export.rebuild import rebuild_export
from arae_transfer.export.restore import exported_recipe
from arae_transfer.export.restore_editor import restore_editor
from arae_transfer.model.arae import ARAE
from arae_transfer.training.quality import log_odds_of


def restored(folder: Path, vocabulary_size: int) -> ARAE:
    recipe, classes = exported_recipe(folder)
    torch.manual_seed(99)
    model = ARAE(recipe, classes, vocabulary_size)
    restore_editor(model, folder)
    return model.eval()


def best_edits(model: ARAE, rows: list[list[int]], begins: list[bool]) -> list[list[Edit]]:
    found = edits_of(model, rows, np.array(begins))
    return [each.hypotheses[0].edits for own in found.values() for each in own]


def test_the_networks_edit_and_judge_as_before(editor: Any, exported_editor: Path) -> None:
    model, recipe, tokenizer = editor
    again = restored(exported_editor, tokenizer.vocabulary_size)
    rows = probe_rows(["the food was cold ."], tokenizer, recipe.data.maximum_tokens)[0][:40]
    wanted = best_edits(model, rows, tokenizer.begins_word)
    assert len({str(edits) for edits in wanted}) > 10  # the model is no constant one
    assert best_edits(again, rows, tokenizer.begins_word) == wanted
    tokens, mask = torch.randint(4, tokenizer.vocabulary_size, (5, 7)), torch.ones(5, 7, dtype=torch.bool)
    torch.testing.assert_close(again.scorer(tokens, mask), model.scorer(tokens, mask))


def test_the_quality_estimator_comes_back_rounded(editor: Any, exported_editor: Path) -> None:
    model, recipe, tokenizer = editor
    again = restored(exported_editor, tokenizer.vocabulary_size)
    sources = tokenizer.encode_lines(["the food was cold .", "the waiter was rude and slow ."] * 2)
    edits, targets, most = [[Edit(1, 2, (7, 9))]] * 4, [0, 0, 1, 1], recipe.data.maximum_tokens
    wanted, found = (
        log_odds_of(each, sources, edits, targets, most, torch.device("cpu")).detach() for each in (model, again)
    )
    assert wanted.std() > 0.005
    torch.testing.assert_close(found.sigmoid(), wanted.sigmoid(), atol=0.03, rtol=0)


def test_8_bit_graphs_alone_are_enough(editor: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, recipe, tokenizer = editor
    monkeypatch.setattr(Agreement, "accepted", True)  # random weights suffer more from 8 bits than trained ones
    export_edits(model, recipe, tokenizer, tmp_path / "small")
    again = restored(tmp_path / "small", tokenizer.vocabulary_size)
    for name, parameter in again.encoder.named_parameters():
        assert (parameter - dict(model.encoder.named_parameters())[name]).abs().max() < 0.02, name
    rows = probe_rows(["the food was cold ."], tokenizer, recipe.data.maximum_tokens)[0][:40]
    pairs = zip(*(best_edits(each, rows, tokenizer.begins_word) for each in (again, model)), strict=True)
    assert sum(one == other for one, other in pairs) > len(rows)  # of twice as many


def test_it_is_not_built_anew_without_its_run(exported_editor: Path, tmp_path: Path) -> None:
    with pytest.raises(AraeError, match="training run"):
        rebuild_export(exported_editor, tmp_path / "new", [], name="new")
