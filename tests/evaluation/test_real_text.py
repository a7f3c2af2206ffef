"""Which text judges learn from: what the model has not seen, never what is evaluated, and said aloud otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from arae_transfer.errors import AraeError
from arae_transfer.evaluation.real_text import (
    LabelledText,
    hash_lines,
    keep_unlike,
    make_builtin_text,
    read_evaluated_split,
    read_unseen_text,
)
from arae_transfer.evaluation.words import WordSplitter


def _corpus(folder: Path, splits: Mapping[str, int]) -> list[str]:
    folder.mkdir(exist_ok=True)
    for split, lines in splits.items():
        for label in ("bad", "good"):
            text = "".join(f"{label} {split} line {number}\n" for number in range(lines))
            (folder / f"{split}.{label}.txt").write_text(text, "utf-8")
    return [str(folder)]


def test_the_extra_split_is_preferred(tmp_path: Path) -> None:
    data = _corpus(tmp_path / "corpus", {"train": 30, "extra": 12, "test": 5})
    text = read_unseen_text(data, ["bad", "good"])
    assert text.name == "corpus extra"
    assert [len(lines) for lines in text.lines.values()] == [12, 12]
    assert not text.caution


def test_the_train_split_comes_with_a_caution(tmp_path: Path) -> None:
    data = _corpus(tmp_path / "corpus", {"train": 30, "valid": 5, "test": 5})
    text = read_unseen_text(data, ["bad", "good"])
    assert text.name == "corpus train"
    assert "the model has seen" in text.caution
    assert "the model has seen" in read_unseen_text(data, ["bad", "good"], split="train").caution
    assert not read_unseen_text(data, ["bad", "good"], split="valid").caution


def test_own_data_for_judges_is_used_whole_and_without_caution(tmp_path: Path) -> None:
    data = _corpus(tmp_path / "corpus", {"train": 30, "extra": 12, "test": 5})
    other = _corpus(tmp_path / "other", {"train": 40, "valid": 5, "test": 5})
    assert read_unseen_text(data, ["bad", "good"], other).name == "other train"
    files = [f"{label}={tmp_path}/other/train.{label}.txt" for label in ("bad", "good")]
    text = read_unseen_text(data, ["good", "bad"], files)
    assert [len(lines) for lines in text.lines.values()] == [40, 40]
    assert list(text.lines) == ["good", "bad"]
    assert not text.caution


def test_evaluated_split(tmp_path: Path) -> None:
    data = _corpus(tmp_path / "corpus", {"train": 30, "test": 5})
    with (tmp_path / "corpus" / "test.bad.txt").open("a") as file:
        file.write("\nlast\n")
    source, alignment = read_evaluated_split(data, "test", 3)
    assert source.name == "corpus test"
    assert source.lines["bad"] == ["bad test line 0", "bad test line 1", "bad test line 2"]
    assert alignment.lines == {"bad": 6, "good": 5}
    assert "1 line without text skipped" in alignment.remark
    with pytest.raises(AraeError, match="'tset'"):
        read_evaluated_split(data, "tset", None)
    with pytest.raises(AraeError, match="only the class 'bad'"):
        read_evaluated_split([f"bad={tmp_path}/corpus/train.bad.txt"], "test", None)


def test_evaluated_lines_are_kept_from_the_judges() -> None:
    text = LabelledText("text", {"bad": ["Awful  Place", "so bad", ""], "good": ["so good", "so bad"]})
    kept, dropped = keep_unlike(text, {"so bad"}, WordSplitter("none"))
    assert kept == {"bad": ["awful place"], "good": ["so good"]}
    assert dropped == 2
    with pytest.raises(AraeError, match="every line of class 'good'"):
        keep_unlike(text, {"so bad", "so good"}, WordSplitter("none"))


def test_the_builtin_corpus_has_judges_of_another_seed() -> None:
    source, alignment, judges = make_builtin_text("test", 10)
    assert {len(lines) for lines in source.lines.values()} == {10}
    assert min(alignment.lines.values()) > 10
    from arae_transfer.corpus.quickstart import make_sentences

    for label, lines in judges.lines.items():
        assert len(set(lines) & set(make_sentences()["train"][label])) < len(lines) / 2
    with pytest.raises(AraeError, match="no part 'extra'"):
        make_builtin_text("extra", None)


def test_hashes_tell_texts_apart() -> None:
    base = hash_lines({"a": ["x", "y"], "b": ["z"]})
    assert base == hash_lines({"b": ["z"], "a": ["x", "y"]})
    others = [{"a": ["x", "y", "z"], "b": []}, {"a": ["y", "x"], "b": ["z"]}, {"a": ["x y"], "b": ["z"]}]
    assert base not in {hash_lines(other) for other in others}


def test_words_are_what_sacrebleu_says() -> None:
    assert WordSplitter("none").normalize(["The  Food.", ""]) == ["the food.", ""]
    assert WordSplitter("13a").normalize(["The Food, cold."]) == ["the food , cold ."]
    assert WordSplitter("char").normalize(["Été 1"]) == ["é t é 1"]


def test_classes_that_the_model_has_not_are_left_out(tmp_path: Path) -> None:
    data = _corpus(tmp_path / "corpus", {"train": 30, "test": 5})
    for split, lines in (("train", 30), ("test", 4)):
        text = "".join(f"fair {split} line {number}\n" for number in range(lines))
        (tmp_path / "corpus" / f"{split}.fair.txt").write_text(text, "utf-8")
    source, alignment = read_evaluated_split(data, "test", None, known=["good", "bad", "ugly"])
    assert list(source.lines) == ["bad", "good"]
    assert alignment.lines == {"bad": 5, "good": 5}
    assert list(read_evaluated_split(data, "test", None)[0].lines) == ["bad", "fair", "good"]
    # With too few classes left to rewrite, the model's own complaint says more.
    assert list(read_evaluated_split(data, "test", None, known=["good"])[0].lines) == ["bad", "fair", "good"]
