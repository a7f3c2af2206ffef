"""Pairs as SNLI's authors publish them, and which labels are used."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from arae_transfer.corpus.labelled import (
    Examples,
    LabelledData,
    choose_labels,
    class_indices,
    read_examples,
    read_labelled_data,
    read_snli,
)
from arae_transfer.corpus.reading import ReadingOptions
from arae_transfer.errors import AraeError
from arae_transfer.text import TextFormat

FORM = TextFormat(lower_case=True, tokens="penn-treebank")
OPTIONS = ReadingOptions()


def pair(label: str, first: str = "A man sleeps.", second: str = "He isn't awake.") -> str:
    return json.dumps({"gold_label": label, "sentence1": first, "sentence2": second, "pairID": "1"}) + "\n"


def snli(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    for split in ("train", "dev", "test"):
        text = pair("neutral", f"A {split} dog runs.") + pair("entailment") + pair("contradiction", "Two  men\teat.")
        (folder / f"snli_1.0_{split}.jsonl").write_text(text)
    return folder


def test_pairs_without_a_gold_label_are_skipped_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "snli.jsonl"
    path.write_text(pair("neutral") + pair("-") + "\n" + pair("-") + pair("entailment", "One."))
    examples = read_snli(path)
    assert (examples.labels, examples.skipped) == (["neutral", "entailment"], 2)
    assert examples.sentences == (["A man sleeps.", "One."], ["He isn't awake."] * 2)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", ":2: the line is not a JSON object"),
        ("[1]", ":2: the line is not a JSON object"),
        ('{"gold_label": "neutral", "sentence1": "a"}', ":2: the line lacks 'sentence2'"),
        ('{"gold_label": 1, "sentence1": "a", "sentence2": "b"}', ":2: gold_label"),
    ],
)
def test_a_damaged_line_is_named(content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "snli.jsonl"
    path.write_text(pair("neutral") + content + "\n")
    with pytest.raises(AraeError, match=message):
        read_snli(path)


def test_a_file_without_labels_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "snli.jsonl"
    path.write_text(pair("-"))
    with pytest.raises(AraeError, match="no pair with a gold label"):
        read_snli(path)


def test_pairs_come_in_the_form_of_the_corpus(tmp_path: Path) -> None:
    folder = snli(tmp_path / "snli")
    (tmp_path / "more.txt").write_text("Another Sentence.\n\nan old one .\n")
    data = read_labelled_data([str(folder), f"unlabelled={tmp_path / 'more.txt'}"], FORM, OPTIONS, pairs=True)
    assert data.classes == ("contradiction", "entailment", "neutral")
    assert data.train.sentences[0] == ["a train dog runs .", "a man sleeps .", "two men eat ."]
    assert data.train.sentences[1][0] == "he is n't awake ."
    assert data.unlabelled == ["another sentence .", "an old one ."]
    assert "a dev dog runs ." in data.valid.sentences[0]
    # Every distinct sentence, but none of a held-out example.
    assert data.text() == ["a train dog runs .", "another sentence .", "an old one ."]


def test_what_is_no_folder_of_pairs_is_refused(tmp_path: Path) -> None:
    folder = snli(tmp_path / "snli")
    (folder / "snli_1.0_dev.jsonl").unlink()
    for sources, message in (
        ([str(folder)], "needs one .jsonl file of the split valid .dev or valid., it has none"),
        ([str(tmp_path / "nothing")], "sentence pairs must come from one folder"),
        ([], "not from nothing"),
    ):
        with pytest.raises(AraeError, match=message):
            read_labelled_data(sources, FORM, OPTIONS, pairs=True)
    with pytest.raises(AraeError, match="has the label 'contradiction'"):
        read_examples([str(folder)], "test", FORM, OPTIONS, pairs=True, classes=("entailment", "neutral"))


def test_labels_are_chosen_in_proportion_and_fewer_are_among_more() -> None:
    classes = np.array([0] * 700 + [1] * 200 + [2] * 100)
    many, few = (choose_labels(classes, 1.0, number, seed=5) for number in (100, 10))
    assert np.bincount(classes[many]).tolist() == [70, 20, 10]
    assert np.bincount(classes[few]).tolist() == [7, 2, 1]
    assert set(few) < set(many)
    assert set(many) != set(choose_labels(classes, 1.0, 100, seed=6))
    assert len(choose_labels(classes, 0.222, 0, seed=5)) == 222
    assert choose_labels(classes, 1.0, 0, seed=5).tolist() == list(range(1000))


def test_each_class_keeps_a_label_and_too_few_are_refused() -> None:
    classes = np.array([0] * 998 + [1, 2])
    assert np.bincount(classes[choose_labels(classes, 1.0, 4, seed=1)]).tolist() == [2, 1, 1]
    with pytest.raises(AraeError, match="2 labels are too few for 3 classes"):
        choose_labels(classes, 1.0, 2, seed=1)
    with pytest.raises(AraeError, match="there are only 1,000 labelled examples"):
        choose_labels(classes, 1.0, 1001, seed=1)


def test_indices_follow_the_order_of_the_classes() -> None:
    examples = Examples((["a", "b"],), ["x", "y"])
    assert class_indices(examples.labels, ("y", "x")).tolist() == [1, 0]
    assert len(LabelledData(("x", "y"), examples, examples, []).text()) == 0
