"""An export can be learned on: what it stores comes back into the networks, and all of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from arae_transfer.errors import AraeError
from arae_transfer.export.export import export_model
from arae_transfer.export.parity import probe_rows, rewrites_of
from arae_transfer.export.restore import exported_recipe, restore_weights
from arae_transfer.export.weights import round_weights_for_storage
from arae_transfer.model.arae import ARAE
from arae_transfer.recipe import Recipe
from arae_transfer.tokenizer import Tokenizer

from .conftest import MAXIMUM_LENGTH

Make = Callable[..., tuple[ARAE, Recipe]]

KINDS: dict[str, dict[str, object]] = {
    "sequence": {"bidirectional": True, "code_size": 14, "residual": True},
    "superposed": {"code": "superposed", "code_size": 40, "bidirectional": True, "residual": True},
    "single": {"code": "single", "shared_embeddings": False, "encoder_layers": 2, "decoder_layers": 1},
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_networks_rewrite_and_judge_as_before(
    make_model: Make, tokenizer: Tokenizer, lines: list[str], tmp_path: Path, kind: str
) -> None:
    model, recipe = make_model(**KINDS[kind])
    export_model(model, recipe, tokenizer, tmp_path / "tiny", name="tiny", probe_lines=lines)
    found, classes = exported_recipe(tmp_path / "tiny")
    assert (found.model, classes) == (recipe.model, model.classes)
    torch.manual_seed(99)
    restored = ARAE(found, classes, tokenizer.vocabulary_size)
    restore_weights(restored, tmp_path / "tiny")
    stored = round_weights_for_storage(model, "fp16")
    rows, _ = probe_rows(lines, tokenizer, MAXIMUM_LENGTH)
    assert rewrites_of(restored.eval(), rows, MAXIMUM_LENGTH) == rewrites_of(stored, rows, MAXIMUM_LENGTH)
    tokens, mask = torch.randint(4, tokenizer.vocabulary_size, (5, 7)), torch.ones(5, 7, dtype=torch.bool)
    torch.testing.assert_close(restored.scorer(tokens, mask), stored.scorer(tokens, mask))
    # Every matrix of encoder and decoders is the stored one: none was left as it was drawn.
    wanted = dict(stored.named_parameters())
    for name, parameter in restored.named_parameters():
        if name.startswith(("encoder", "decoders")) and "bias" not in name:
            torch.testing.assert_close(parameter, wanted[name], msg=name)


def test_another_shape_is_refused(make_model: Make, tokenizer: Tokenizer, lines: list[str], tmp_path: Path) -> None:
    model, recipe = make_model()
    export_model(model, recipe, tokenizer, tmp_path / "tiny", name="tiny", probe_lines=lines)
    other, _ = make_model(hidden_size=20)
    with pytest.raises(AraeError, match="another shape"):
        restore_weights(other, tmp_path / "tiny")
