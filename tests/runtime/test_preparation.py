"""What the encoder reads of a sentence: its beginning where it is too long, and nothing that is carried behind that."""

from __future__ import annotations

from pathlib import Path

import pytest

from arae_transfer.runtime.model_folder import ModelFolder
from arae_transfer.runtime.preparation import Preparer, bound, load_tokenizer, make_normalizer
from arae_transfer.tokenizer import END_ID


@pytest.fixture(scope="module")
def preparer(pristine_model: Path) -> Preparer:
    folder = ModelFolder.read(pristine_model)
    return Preparer(make_normalizer(folder, "ordinary"), load_tokenizer(folder), folder.maximum_tokens, 1)


@pytest.mark.parametrize(("more", "cut"), [(-1, False), (0, False), (1, True), (2, True)])
def test_what_stands_behind_a_cut_is_left_out(pristine_model: Path, preparer: Preparer, more: int, cut: bool) -> None:
    most = ModelFolder.read(pristine_model).maximum_tokens - 1  # and the end id
    (prepared,) = preparer.prepare(["the " * (most + more) + "😀"])
    assert prepared.truncated is cut
    assert prepared.tokens == min(most, most + more)
    assert prepared.ids[-1] == END_ID
    assert [each.surface for each in prepared.surface.carried] == ([] if cut else ["😀"])


def test_a_bound_leaves_out_no_more_than_it_must() -> None:
    assert bound("so bad", 6) == ("so bad", False)
    assert bound("so   bad", 6) == ("so bad", False)
    assert bound("so bad!", 6) == ("so bad", True)
    assert bound("a " * 9, 6) == ("a a a ", True)
