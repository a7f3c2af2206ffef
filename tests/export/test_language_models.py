"""Exports hold a language model of each class's text, and candidates are ranked by it, too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from arae_transfer.errors import AraeError
from arae_transfer.export.export import export_model
from arae_transfer.language_model.compact import CompactLanguageModel
from arae_transfer.layout import ExportLayout
from arae_transfer.model.arae import ARAE
from arae_transfer.recipe import Recipe
from arae_transfer.runtime.decoding import DecodingOptions
from arae_transfer.runtime.reranking import Ranking
from arae_transfer.runtime.rewriter import Rewriter
from arae_transfer.tokenizer import Tokenizer

from .conftest import MAXIMUM_LENGTH

Make = Callable[..., tuple[ARAE, Recipe]]

# The scores are tested on what an untrained model writes, which breaks words.
FOUR = DecodingOptions(beam=4, n_best=4, faithful=False)


@pytest.fixture
def folder(make_model: Make, tokenizer: Tokenizer, lines: list[str], tmp_path: Path) -> Path:
    model, recipe = make_model()
    by_class = {"bad": lines[::2], "good": [*lines[1::2], ""]}
    export_model(
        model, recipe, tokenizer, tmp_path / "tiny", name="tiny", probe_lines=lines, class_lines=by_class, beam=4
    )
    return tmp_path / "tiny"


def test_candidates_have_their_worth_as_text_of_the_class(folder: Path, tokenizer: Tokenizer, lines: list[str]) -> None:
    names = ("good", "bad")
    language, other = (CompactLanguageModel(ExportLayout(folder).language_model(name).read_bytes()) for name in names)
    rewriter = Rewriter.load(folder, device="cpu")
    worths, likeliest, alike = [], [], 0
    # Longer ones are rewritten piece by piece, and have means of the pieces' worths.
    lines = [line for line in lines if len(tokenizer.encode(line)) < MAXIMUM_LENGTH]
    assert len(lines) > 8
    for line, rewrite in zip(lines, rewriter.rewrites(lines, "good", form="corpus", options=FOUR), strict=True):
        source = tokenizer.encode(line)
        for candidate in rewrite.candidates:
            before, after = language.score([source, tokenizer.encode(candidate.output)])
            # The source is worth what it is as text of its own class.
            likeliest.append(other.score([source])[0] > before)
            before = max(before, other.score([source])[0])
            wanted = min(0.0, after - before) / (len(source) + 1)
            alike += candidate.language == pytest.approx(wanted)
            worths.append(candidate.language)
    # A random model also writes spaces at the ends, which an answer has not.
    assert alike > 0.9 * len(worths)
    assert 0 < sum(likeliest) < len(likeliest)
    assert len({round(worth, 3) for worth in worths}) > 10
    # Ranked by nothing else, the most natural one is the answer.
    alone = replace(FOUR, ranking=Ranking(0, 0, 0, 1))
    for rewrite in rewriter.rewrites(lines, "good", form="corpus", options=alone):
        assert rewrite.candidates[0].language == max(each.language for each in rewrite.candidates)
        assert rewrite.output == rewrite.candidates[0].output


def test_neither_batches_nor_threads_change_a_worth(folder: Path, lines: list[str]) -> None:
    whole = [each.candidates for each in Rewriter.load(folder, device="cpu").rewrites(lines, "bad", options=FOUR)]
    one = Rewriter.load(folder, device="cpu", threads=1)
    assert [each.candidates for each in one.rewrites(lines, "bad", options=FOUR, batch_size=1)] == whole


def test_a_damaged_model_of_language_is_named(folder: Path) -> None:
    path = ExportLayout(folder).language_model("good")
    path.write_bytes(path.read_bytes()[:-3])
    rewriter = Rewriter.load(folder, device="cpu")
    with pytest.raises(AraeError, match=r"language\.good\.npz is damaged"):
        list(rewriter.transfer(["the soup was cold ."], "good"))
    # Sources are measured by it on the way to the other class, too; a greedy rewrite needs none.
    with pytest.raises(AraeError, match=r"language\.good\.npz is damaged"):
        list(rewriter.transfer(["the soup was cold ."], "bad"))
    greedy = DecodingOptions(beam=1, if_unchanged="keep", faithful=False)
    assert len(list(rewriter.transfer(["the soup was cold ."], "bad", options=greedy))) == 1


def test_an_export_without_them_ranks_by_the_rest(
    make_model: Make, tokenizer: Tokenizer, lines: list[str], tmp_path: Path
) -> None:
    model, recipe = make_model()
    export_model(model, recipe, tokenizer, tmp_path / "tiny", name="tiny", probe_lines=lines)
    rewriter = Rewriter.load(tmp_path / "tiny", device="cpu")
    assert rewriter.folder.language_models is None
    (rewrite,) = rewriter.rewrites(["the soup was cold ."], "good", options=FOUR)
    assert {each.language for each in rewrite.candidates} == {0.0}
