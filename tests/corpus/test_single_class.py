"""Text of one kind: a file, one class of several, or the sentences of SNLI's pairs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from arae_transfer.corpus.reading import ReadingOptions
from arae_transfer.corpus.single_class import TEXT, read_single_class
from arae_transfer.errors import AraeError
from arae_transfer.text import TextFormat

OPTIONS = ReadingOptions(minimum_classes=1)
FORM = TextFormat(lower_case=True, tokens="penn-treebank")


def write_snli(folder: Path, split: str, pairs: list[tuple[str, str, str]]) -> None:
    records = [{"gold_label": label, "sentence1": one, "sentence2": two} for label, one, two in pairs]
    (folder / f"snli_1.0_{split}.jsonl").write_text("".join(json.dumps(each) + "\n" for each in records), "utf-8")


@pytest.fixture
def snli(tmp_path: Path) -> Path:
    folder = tmp_path / "snli"
    folder.mkdir()
    train = [
        ("neutral", "A man runs.", "He isn't late."),
        ("entailment", "A man runs.", "A dog sits."),
        ("-", "X.", "Y."),
    ]
    write_snli(folder, "train", train)
    write_snli(folder, "dev", [("neutral", "A dog sits.", "Two dogs sit.")])
    write_snli(folder, "test", [("neutral", "A cat.", "A cat .")])
    return folder


def read(sources: list[str], split: str = "train") -> list[str]:
    found = read_single_class(sources, split, FORM, OPTIONS).lines
    assert list(found) == [TEXT]
    return list(found[TEXT])


def test_each_sentence_of_snli_stands_once_and_none_is_also_held_out(snli: Path) -> None:
    assert read([str(snli)]) == ["a man runs .", "he is n't late ."]
    assert read([str(snli)], "valid") == ["a dog sits .", "two dogs sit ."]
    assert read([str(snli)], "test") == ["a cat ."], "the same sentence in the corpus's form"
    messages = read_single_class([str(snli)], "train", FORM, OPTIONS).messages
    assert messages == ("left out 1 train pairs without a gold label",)


def test_further_sentences_are_trained_on_unless_held_out(snli: Path, tmp_path: Path) -> None:
    further = tmp_path / "more.txt"
    further.write_text("A girl swims.\n\nA cat.\nA man runs .\n", "utf-8")
    sources = [str(snli), f"unlabelled={further}"]
    assert read(sources) == ["a man runs .", "he is n't late .", "a girl swims ."]
    assert read(sources, "valid") == read([str(snli)], "valid")


def test_a_text_file_has_parts_held_out(tmp_path: Path) -> None:
    file = tmp_path / "mine.txt"
    lines = [f"sentence {'ab'[number % 2] * (1 + number // 2)} ." for number in range(400)]
    file.write_text("\n".join(lines), "utf-8")
    parts = [read([str(file)], split) for split in ("train", "valid", "test")]
    assert sorted(line for part in parts for line in part) == sorted(lines)
    assert min(map(len, parts)) >= 20


def test_one_of_several_classes_is_asked_for(tmp_path: Path) -> None:
    for label in ("up", "down"):
        (tmp_path / f"{label}.txt").write_text("".join(f"{label} goes {'o' * n} .\n" for n in range(90)), "utf-8")
    sources = [f"{label}={tmp_path / label}.txt" for label in ("up", "down")]
    with pytest.raises(AraeError, match="the classes down, up; generation learns from one class") as caught:
        read_single_class(sources, "train", FORM, OPTIONS)
    assert 'data.classes=["down"]' in str(caught.value.hint)
    assert list(read_single_class(sources, "train", FORM, OPTIONS, classes=["up"]).lines) == ["up"]


def test_a_table_beside_snli_is_refused(snli: Path, tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("text,label\na,b\n", "utf-8")
    with pytest.raises(AraeError, match="cannot be combined with") as caught:
        read_single_class([str(snli), str(table)], "train", FORM, OPTIONS)
    assert "unlabelled=FILE" in str(caught.value.hint)
