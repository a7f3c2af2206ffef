"""Labelled text in: every form of ``--data``, and what hostile files do."""

from __future__ import annotations

import csv
import gzip
import json
import os
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from arae_transfer.corpus import text_files
from arae_transfer.corpus.near_duplicates import fold
from arae_transfer.corpus.reading import (
    Corpus,
    HeldOutSize,
    ReadingOptions,
    has_split,
    own_splits,
    read_corpus,
    stream_corpus,
)
from arae_transfer.corpus.report import Finding, ReadingReport, Reason
from arae_transfer.corpus.sources import absolute_source
from arae_transfer.errors import AraeError
from arae_transfer.recipe import recipe_from_table
from arae_transfer.text import TextFormat


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def spelled(number: int) -> str:
    """Return a number in letters: lines that differ in numbers alone are near-duplicates."""
    return "".join("abcdefghij"[int(digit)] for digit in str(number))


def sentences(word: str, count: int) -> list[str]:
    return [f"{word} sentence number {spelled(index)} ." for index in range(count)]


def class_files(folder: Path, **lines: list[str]) -> list[str]:
    return [
        f"{label}={write(folder / f'{label}.txt', ''.join(text + chr(10) for text in texts))}"
        for label, texts in lines.items()
    ]


def two_files(folder: Path, negative: str | bytes, positive: str | bytes = "good .\nfine .\n") -> list[str]:
    write(folder / "neg.txt", negative)
    write(folder / "pos.txt", positive)
    return [f"negative={folder / 'neg.txt'}", f"positive={folder / 'pos.txt'}"]


def read_all(data: list[str], options: ReadingOptions | None = None) -> Corpus:
    return read_corpus(data, "all", options or ReadingOptions(minimum_lines=1))


def refusal(data: list[str], split: str = "all", options: ReadingOptions | None = None) -> AraeError:
    """Return the error that reading raises; it must be fit to print: one line each of message and hint."""
    with pytest.raises(AraeError) as caught:
        read_corpus(data, split, options or ReadingOptions(minimum_lines=1))
    assert caught.value.hint
    assert "\n" not in caught.value.message
    assert "\n" not in caught.value.hint
    return caught.value


# --- one file per class


def test_class_files_become_classes_sorted_by_name(tmp_path: Path) -> None:
    data = class_files(tmp_path, zulu=["a ."], alpha=["b .", "c ."], mike=["d ."])
    assert read_all(data).lines == {"alpha": ["b .", "c ."], "mike": ["d ."], "zulu": ["a ."]}
    assert read_all(data).classes == ["alpha", "mike", "zulu"]


def test_one_class_may_have_several_files_in_the_order_given(tmp_path: Path) -> None:
    data = class_files(tmp_path / "1", bad=["x ."], good=["y ."]) + class_files(tmp_path / "2", bad=["a ."])
    assert read_all(data).lines["bad"] == ["x .", "a ."]


@pytest.mark.parametrize("character", ["\u2028", "\u2029", "\x85", "\x0c", "\x0b", "\x1c", "\x1e", "\r"])
def test_only_a_line_feed_ends_a_line(tmp_path: Path, character: str) -> None:
    line = f"left{character}right"
    data = two_files(tmp_path, f"{line}\nsecond\n")
    assert read_all(data).lines["negative"] == [line, "second"]


@pytest.mark.parametrize(
    "content",
    ["a\nb", "a\nb\n", "a\r\nb\r\n", "a\r\nb\n", "\ufeffa\nb\n", "  a\t\n\tb  \n", "\ufeffa\r\nb\r"],
)
def test_line_ends_byte_order_mark_and_outer_blanks_are_no_text(tmp_path: Path, content: str) -> None:
    corpus = read_all(two_files(tmp_path, content))
    assert corpus.lines["negative"] == ["a", "b"]
    assert corpus.report.findings == ()
    assert corpus.report.lines() == []


def test_a_byte_order_mark_inside_the_file_is_kept(tmp_path: Path) -> None:
    assert read_all(two_files(tmp_path, "a\n\ufeffb\n")).lines["negative"] == ["a", "\ufeffb"]


def test_text_is_kept_as_it_stands(tmp_path: Path) -> None:
    lines = [
        "naïve café — ¿qué?",
        "寿司 は 最高",
        "👩‍👩‍👧 e\u0301",
        'quotes "and", commas;\ttabs',
        "[bold]x[/bold]",
    ]
    assert read_all(two_files(tmp_path, "\n".join(lines))).lines["negative"] == lines


@pytest.mark.parametrize("blank", ["", "   ", "\t", "\u3000", "\xa0", "\x0c", "\u2028", "\r"])
def test_empty_lines_are_skipped_and_counted(tmp_path: Path, blank: str) -> None:
    corpus = read_all(two_files(tmp_path, f"a\n{blank}\nb\n{blank}\n"))
    assert corpus.lines["negative"] == ["a", "b"]
    assert corpus.report.findings == (Finding(tmp_path / "neg.txt", Reason.EMPTY, 2, 2),)
    assert corpus.report.total_skipped == 2
    assert corpus.report.lines() == [f"{tmp_path}/neg.txt: 2 lines without text skipped (first: line 2)"]


def test_invalid_utf8_is_replaced_and_counted(tmp_path: Path) -> None:
    corpus = read_all(two_files(tmp_path, b"fine line\n" * 9 + b"caf\xe9 cr\xe8me\nlast \xf0\x9f\n"))
    assert corpus.lines["negative"][-2:] == ["caf\ufffd cr\ufffdme", "last \ufffd"]
    (finding,) = (entry for entry in corpus.report.findings if entry.reason is Reason.INVALID_UTF8)
    assert (finding.count, finding.first_line) == (2, 10)
    assert corpus.report.total_skipped == 0


def test_nul_characters_are_removed_and_counted(tmp_path: Path) -> None:
    corpus = read_all(two_files(tmp_path, "a long enough line\nthe so\0up was c\0old\r\n\0\n"))
    assert corpus.lines["negative"] == ["a long enough line", "the soup was cold"]
    counts = {entry.reason: (entry.count, entry.first_line) for entry in corpus.report.findings}
    assert counts == {Reason.NUL: (2, 2), Reason.EMPTY: (1, 3)}


def test_over_long_lines_are_skipped_and_counted(tmp_path: Path) -> None:
    options = ReadingOptions(minimum_lines=1, maximum_characters=10)
    corpus = read_all(two_files(tmp_path, "x" * 11 + "\n" + "é" * 10 + "\n" + "x" * 12), options)
    assert corpus.lines["negative"] == ["é" * 10]
    assert corpus.report.findings == (Finding(tmp_path / "neg.txt", Reason.OVERLONG, 2, 1),)
    assert any("10 characters" in line for line in corpus.report.lines())


def test_a_line_too_long_for_memory_is_dropped_while_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_files, "BLOCK_BYTES", 1000)
    monkeypatch.setattr(text_files, "MAXIMUM_LINE_BYTES", 3000)
    content = "first\n" + "x" * 9_500 + "\nthird\n" + "y" * 7_000 + "\n\nsixth\n" + "z" * 5_000
    data = two_files(tmp_path, content)
    corpus = read_all(data, ReadingOptions(minimum_lines=1, maximum_characters=1_000_000))
    assert corpus.lines["negative"] == ["first", "third", "sixth"]
    counts = {entry.reason: (entry.count, entry.first_line) for entry in corpus.report.findings}
    assert counts == {Reason.OVERLONG: (3, 2), Reason.EMPTY: (1, 5)}


@pytest.mark.parametrize("block_bytes", [1, 2, 3, 7, 64])
def test_blocks_cut_anywhere_give_the_same_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block_bytes: int
) -> None:
    content = "naïve\r\n\n寿司\u2028x\n\n\nlast 👩‍👧".encode() + b" \xff\nend\0\r\n"
    data = two_files(tmp_path, b"\xef\xbb\xbf" + content)
    whole = read_all(data)
    assert whole.lines["negative"] == ["naïve", "寿司\u2028x", "last 👩‍👧 \ufffd", "end"]
    monkeypatch.setattr(text_files, "BLOCK_BYTES", block_bytes)
    monkeypatch.setattr(text_files, "_BYTE_ORDER_MARK", b"")  # a mark cut in two is tested for real sizes only
    cut = read_all(two_files(tmp_path, content))
    assert cut.lines == whole.lines
    assert cut.report == whole.report


def test_duplicates_are_kept_and_counted_with_the_first_one(tmp_path: Path) -> None:
    data = two_files(tmp_path, "a\nb\na\na\nb\n", "c\nd\n")
    write(tmp_path / "more.txt", "z\nb\nz\n")
    data.append(f"negative={tmp_path / 'more.txt'}")
    corpus = read_all(data)
    assert corpus.lines["negative"] == ["a", "b", "a", "a", "b", "z", "b", "z"]
    assert corpus.report.findings == (
        Finding(tmp_path / "neg.txt", Reason.DUPLICATE, 3, 3),
        Finding(tmp_path / "more.txt", Reason.DUPLICATE, 2, 2),
    )
    assert corpus.report.total_skipped == 0


def test_texts_in_several_classes_are_counted(tmp_path: Path) -> None:
    data = class_files(tmp_path, a=["x", "y", "z"], b=["x", "q"], c=["x", "y"])
    report = read_all(data).report
    assert report.in_several_classes == 2
    assert report.lines() == ["2 texts occur in more than one class, and are kept in each"]


# --- files that are no text


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (gzip.compress(b"the soup was cold .\n" * 50, mtime=0), "gunzip"),
        (b"PK\x03\x04rest", "unzip"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "PNG"),
        (b"PAR1\x15\x00", "Parquet"),
    ],
)
def test_known_binary_formats_are_refused_by_name(tmp_path: Path, content: bytes, word: str) -> None:
    error = refusal(two_files(tmp_path, content))
    assert "neg.txt" in error.message
    assert word in str(error)


@pytest.mark.parametrize(
    "content",
    [
        random.Random(0).randbytes(200_000).replace(b"\xff\xfe", b"ab"),
        "the soup was cold\n".encode("utf-16-le") * 20,
        "суп был холодный и невкусный\n".encode("cp1251") * 20,
        b"good text\n" * 200_000 + bytes(100_000),
        bytes(10),
    ],
    ids=["random", "utf-16-le", "cp1251", "zeros-after-a-crash", "zeros"],
)
def test_what_is_mostly_not_utf8_is_refused(tmp_path: Path, content: bytes) -> None:
    error = refusal(two_files(tmp_path, b"x" + content))
    assert "neg.txt" in error.message
    assert re.search("invalid UTF-8|UTF-16 text without a byte order mark", error.message)


def test_latin1_text_is_repaired_not_refused(tmp_path: Path) -> None:
    text = "le café était très bon à côté de la forêt\n"
    corpus = read_all(two_files(tmp_path, text.encode("latin-1") * 10))
    assert corpus.report.count(Reason.INVALID_UTF8) == 10
    assert "Latin-1" in corpus.report.lines()[0]


@pytest.mark.parametrize("name", ["latin-1", "cp1252", "ISO-8859-15"])
def test_text_in_another_encoding_is_read_by_its_name(tmp_path: Path, name: str) -> None:
    options = ReadingOptions.of(recipe_from_table({"data": {"encoding": name}}))
    table = write(tmp_path / "t.csv", "text,label\ncafé,a\nnaïve,a\nforêt,b\nété,b\n".encode(name))
    corpus = read_corpus([str(table)], "all", options)
    assert corpus.lines == {"a": ["café", "naïve"], "b": ["forêt", "été"]}
    assert corpus.report.findings == ()


@pytest.mark.parametrize(
    ("name", "said"),
    [("latin-9000", "no text encoding"), ("utf-16", "cannot be split"), ("base64", "no text encoding")],
)
def test_encodings_that_do_not_do_are_refused(name: str, said: str) -> None:
    with pytest.raises(AraeError, match=said):
        ReadingOptions.of(recipe_from_table({"data": {"encoding": name}}))


def test_bytes_that_an_encoding_lacks_are_counted(tmp_path: Path) -> None:
    data = two_files(tmp_path, b"caf\x81 food .\nfine food is here .\n")
    corpus = read_all(data, ReadingOptions(minimum_lines=1, encoding="cp1252"))
    assert corpus.report.count(Reason.INVALID_BYTES) == 1
    assert corpus.lines["negative"][0] == "caf\ufffd food ."


def test_over_long_lines_name_the_limit_the_key_and_the_longest(tmp_path: Path) -> None:
    data = two_files(tmp_path, "ok .\n" + "a" * 30 + "\n" + "b" * 50 + "\n" + "c" * 40 + "\n")
    report = read_all(data, ReadingOptions(minimum_lines=1, maximum_characters=20)).report
    longest = f"the longest has 50: {tmp_path / 'neg.txt'}:3"
    limit = "a line is over-long if it has more than 20 characters (data.maximum_characters)"
    assert f"{limit}; {longest}" in report.lines()
    error = refusal(data, options=ReadingOptions(minimum_lines=5, maximum_characters=20))
    assert limit in str(error.hint)
    assert longest in str(error.hint)
    assert "--set data.maximum_characters=N" in str(error.hint)
    options = ReadingOptions.of(recipe_from_table({"data": {"maximum_characters": 50}}))
    assert read_corpus(data, "all", options).report.count(Reason.OVERLONG) == 0


@pytest.mark.parametrize("split", ["train", "all"])
def test_a_class_of_one_sentence_repeated_says_that(tmp_path: Path, split: str) -> None:
    data = class_files(tmp_path, bad=["cold ."] * 40, good=sentences("warm", 40))
    error = refusal(data, split, ReadingOptions())
    assert error.message.startswith("class 'bad' has only one sentence: its 40 lines")


# --- wrong values of --data


def test_no_data(tmp_path: Path) -> None:
    assert "--data is missing" in refusal([]).message
    assert "empty" in refusal([""]).message


@pytest.mark.parametrize("value", ["=neg.txt", "  =neg.txt", "negative=", "negative= "])
def test_class_or_path_missing_around_the_equals_sign(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    two_files(tmp_path, "a\n")
    monkeypatch.chdir(tmp_path)
    error = refusal([value])
    assert value in error.message
    assert "CLASS=FILE" in str(error.hint)


@pytest.mark.parametrize(
    "name", ["a/b", "a\\b", "a\nb", "a\x00b", "a\x7fb", " a", "a ", "a\u2028b", "\ud800", "n" * 101]
)
def test_class_names_unfit_for_file_names_are_refused(tmp_path: Path, name: str) -> None:
    data = two_files(tmp_path, "a\n")
    assert "class name" in refusal([f"{name}={tmp_path / 'neg.txt'}", data[1]]).message


@pytest.mark.parametrize("name", ["5 stars", "très-négatif", "sad 😞", "a.b", "1"])
def test_other_class_names_are_taken(tmp_path: Path, name: str) -> None:
    data = two_files(tmp_path, "a\n")
    assert name in read_all([f"{name}={tmp_path / 'neg.txt'}", data[1]]).lines


def test_a_missing_file_names_its_neighbours(tmp_path: Path) -> None:
    data = two_files(tmp_path, "a\n")
    error = refusal([f"negative={tmp_path}/neg.tx", data[1]])
    assert "neg.txt" in error.message.removeprefix(f"--data negative={tmp_path}/neg.tx")
    error = refusal([f"{tmp_path}/nog.txt"])
    assert "neg.txt" in error.message
    error = refusal([f"negative={tmp_path}/no/where/neg.txt"])
    assert f"no folder {tmp_path}/no/where" in error.message


def test_a_path_with_an_equals_sign_is_a_path(tmp_path: Path) -> None:
    folder = tmp_path / "lr=0.1"
    write(folder / "train.a.txt", "x\n")
    write(folder / "train.b.txt", "y\n")
    assert read_all([str(folder)]).classes == ["a", "b"]


def test_data_values_hold_in_any_folder_once_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "lr=0.1" / "train.a.txt", "x\n")
    write(tmp_path / "lr=0.1" / "train.b.txt", "y\n")
    two_files(tmp_path, "a\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    values = ["lr=0.1", "a=neg.txt", "b=~/pos.txt", "missing.csv"]
    absolute = [absolute_source(value) for value in values]
    folder = str(tmp_path)
    assert absolute == [f"{folder}/lr=0.1", f"a={folder}/neg.txt", f"b={folder}/pos.txt", f"{folder}/missing.csv"]
    inside = read_all(values[:3])
    monkeypatch.chdir("/")
    assert read_all(absolute[:3]).lines == inside.lines == {"a": ["x", "a"], "b": ["y", "good .", "fine ."]}


def test_a_text_file_without_class_is_refused_with_a_remedy(tmp_path: Path) -> None:
    two_files(tmp_path, "a\n")
    assert f"--data CLASS={tmp_path}/neg.txt" in str(refusal([f"{tmp_path}/neg.txt"]).hint)


@pytest.mark.parametrize(("name", "word"), [("x.txt.xz", "unpack"), ("x.json", "jq -c"), ("x.parquet.gz", "gunzip")])
def test_formats_that_are_not_read_say_what_to_do(tmp_path: Path, name: str, word: str) -> None:
    assert word in str(refusal([str(write(tmp_path / name, "[]"))]).hint)


def test_a_folder_as_the_file_of_a_class(tmp_path: Path) -> None:
    assert "is a folder" in refusal([f"a={tmp_path}"]).message


def test_one_file_for_two_classes_is_refused_also_through_links(tmp_path: Path) -> None:
    neg = write(tmp_path / "neg.txt", "a\n")
    (tmp_path / "soft.txt").symlink_to(neg)
    (tmp_path / "hard.txt").hardlink_to(neg)
    for other in ("neg.txt", "soft.txt", "hard.txt", "../" + tmp_path.name + "/neg.txt"):
        error = refusal([f"negative={neg}", f"positive={tmp_path / other}"])
        assert "'negative'" in error.message
        assert "'positive'" in error.message


def test_a_file_given_twice_is_refused(tmp_path: Path) -> None:
    data = two_files(tmp_path, "a\n")
    assert "twice" in refusal([*data, data[0]]).message
    table = str(write(tmp_path / "t.csv", "text,label\nx,a\ny,b\n"))
    assert "twice" in refusal([table, table]).message


def test_a_test_part_may_be_the_valid_part(tmp_path: Path) -> None:
    for label in "ab":
        write(tmp_path / f"train.{label}.txt", f"{label} one\n")
        write(tmp_path / f"valid.{label}.txt", f"{label} two\n")
        (tmp_path / f"test.{label}.txt").symlink_to(f"valid.{label}.txt")
    assert read_corpus([str(tmp_path)], "test").lines == {"a": ["a two"], "b": ["b two"]}


def test_pipes_are_refused_at_once(tmp_path: Path) -> None:
    data = two_files(tmp_path, "a\n")
    os.mkfifo(tmp_path / "pipe")
    assert "not a regular file" in refusal([f"negative={tmp_path}/pipe", data[1]]).message


@contextmanager
def as_ordinary_user() -> Iterator[None]:
    """Drop the root user's right to read everything, if it is root who runs the tests."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_files_and_folders_that_may_not_be_read(tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == os.geteuid() and len(folder.parts) > 2:
            folder.chmod(0o755)
    data = two_files(tmp_path, "a\n")
    (tmp_path / "neg.txt").chmod(0)
    closed = tmp_path / "closed"
    write(closed / "train.a.txt", "x\n")
    closed.chmod(0)
    try:
        with as_ordinary_user():
            error = refusal(data)
            assert "cannot read" in error.message
            assert "neg.txt: Permission denied" in error.message
            assert "Permission denied" in refusal([str(closed)]).message
            assert "Permission denied" in refusal([f"a={closed}/train.a.txt"]).message
    finally:
        closed.chmod(0o755)


# --- too little


def test_fewer_than_two_classes_are_refused_unless_allowed(tmp_path: Path) -> None:
    data = two_files(tmp_path, "a\nb\nc\n")[:1]
    error = refusal(data)
    assert "only the class 'negative'" in error.message
    assert "CLASS=FILE" in str(error.hint)
    one = read_corpus(data, "all", ReadingOptions(minimum_classes=1))
    assert one.lines == {"negative": ["a", "b", "c"]}


def test_a_class_with_too_few_lines_is_refused_with_the_reasons(tmp_path: Path) -> None:
    data = two_files(tmp_path, "only\n\n\n")
    error = refusal(data, options=ReadingOptions(minimum_lines=2))
    assert "'negative' has 1 line in the data, but 2 are needed" in error.message
    assert "2 lines without text" in str(error.hint)
    assert "'negative' has 0 lines" in refusal(two_files(tmp_path, "")).message


def test_lines_held_out_of_a_tiny_class_are_named(tmp_path: Path) -> None:
    error = refusal(two_files(tmp_path, "a\nb\nc\n", "d\ne\nf\n"), "train", ReadingOptions())
    assert "'negative' has 1 line in the train data" in error.message
    assert "1 held out for valid and 1 held out for test" in str(error.hint)


def test_classes_that_differ_in_capitals_only_are_refused(tmp_path: Path) -> None:
    two_files(tmp_path, "a\n")
    error = refusal([f"Good={tmp_path}/neg.txt", f"good={tmp_path}/pos.txt"])
    assert "capital letters" in error.message


# --- the choice of classes


def test_classes_come_in_the_order_asked_for_and_others_are_left_out(tmp_path: Path) -> None:
    data = class_files(tmp_path, a=["x"], b=["y", "w"], c=["z"])
    corpus = read_corpus(data, "all", ReadingOptions(minimum_lines=1), classes=["c", "a"])
    assert list(corpus.lines.items()) == [("c", ["z"]), ("a", ["x"])]
    assert corpus.report.findings == (Finding(tmp_path / "b.txt", Reason.OTHER_CLASS, 2, 1),)


def test_a_class_that_is_not_there_names_the_nearest(tmp_path: Path) -> None:
    data = class_files(tmp_path, negative=["x"], positive=["y"])
    with pytest.raises(AraeError, match="did you mean negative") as caught:
        read_corpus(data, "all", classes=["negativ", "positive"])
    assert "negative, positive" in str(caught.value.hint)
    with pytest.raises(AraeError, match="twice"):
        read_corpus(data, "all", classes=["negative", "negative"])


# --- folders


def folder_of(path: Path, **files: list[str]) -> list[str]:
    for name, lines in files.items():
        split, label = name.split("_")
        write(path / f"{split}.{label}.txt", "".join(line + "\n" for line in lines))
    return [str(path)]


def test_a_folder_gives_its_splits_also_others_by_name(tmp_path: Path) -> None:
    data = folder_of(
        tmp_path,
        train_a=["1", "2"], train_b=["3", "4"],
        valid_a=["5"], valid_b=["6"],
        test_a=["7"], test_b=["8"],
        extra_a=["9"], extra_b=["10"],
    )  # fmt: skip
    write(tmp_path / "README.md", "words")
    write(tmp_path / ".train.c.txt", "hidden\n")
    write(tmp_path / "sentences.txt", "unlabelled\n")
    assert read_corpus(data, "train").lines == {"a": ["1", "2"], "b": ["3", "4"]}
    assert read_corpus(data, "train").report == ReadingReport(maximum_characters=2000)
    assert read_corpus(data, "valid").lines == {"a": ["5"], "b": ["6"]}
    assert read_corpus(data, "test").lines == {"a": ["7"], "b": ["8"]}
    assert read_corpus(data, "extra").lines == {"a": ["9"], "b": ["10"]}
    assert read_corpus(data, "all").lines == {"a": ["7", "1", "2", "5"], "b": ["8", "3", "4", "6"]}
    assert own_splits(data) == ["train", "valid", "test", "extra"]
    assert [has_split(data, split) for split in ("train", "dev", "all", "extra", "exta")] == [True] * 4 + [False]
    error = refusal(data, "exta")
    assert "did you mean extra" in error.message
    assert "train, valid, test, extra" in str(error.hint)


def test_dev_and_validation_are_valid(tmp_path: Path) -> None:
    data = folder_of(tmp_path, train_a=["1", "2"], train_b=["3", "4"], dev_a=["5"], validation_b=["6"])
    for name in ("valid", "dev", "validation", "val"):
        assert read_corpus(data, name).lines == {"a": ["5"], "b": ["6"]}
    write(tmp_path / "val.b.txt", "7\n")
    assert "both the valid part of class 'b'" in refusal(data, "valid").message


def test_a_class_name_with_dots_in_a_folder(tmp_path: Path) -> None:
    write(tmp_path / "train.very.bad.txt", "x\n")
    write(tmp_path / "train.good.txt", "y\n")
    assert read_all([str(tmp_path)]).classes == ["good", "very.bad"]
    write(tmp_path / "train..txt", "y\n")
    assert "class name '' is empty" in refusal([str(tmp_path)]).message


def test_a_folder_without_corpus_files_says_what_lies_there(tmp_path: Path) -> None:
    assert "it is empty, but no SPLIT.CLASS.txt" in refusal([str(tmp_path)]).message
    for index in range(3):
        write(tmp_path / f"{index}.png", b"\x89PNG")
    write(tmp_path / "labels.json", "{}")
    write(tmp_path / "deep" / "train.a.txt", "x\n")
    error = refusal([str(tmp_path)])
    assert "3 .png and 1 .json files and 1 folder" in error.message
    assert f"--data {tmp_path}/deep" in str(error.hint)
    two_files(tmp_path, "a\n")
    assert f"--data neg={tmp_path}/neg.txt --data pos={tmp_path}/pos.txt" in str(refusal([str(tmp_path)]).hint)
    write(tmp_path / "all.csv", "text,label\n")
    assert f"--data {tmp_path}/all.csv" in str(refusal([str(tmp_path)]).hint)


def test_a_folder_without_train_holds_nothing_out(tmp_path: Path) -> None:
    data = folder_of(tmp_path, test_a=["1"], test_b=["2"])
    assert read_corpus(data, "test").lines == {"a": ["1"], "b": ["2"]}
    assert not has_split(data, "train")
    assert not has_split(data, "valid")
    assert "no part named 'valid'" in refusal(data, "valid").message


# --- parts that are held out


def parts_of(data: list[str], options: ReadingOptions | None = None) -> dict[str, dict[str, list[str]]]:
    return {part: read_corpus(data, part, options or ReadingOptions()).lines for part in ("train", "valid", "test")}


def test_held_out_parts_divide_the_lines_and_share_no_text(tmp_path: Path) -> None:
    texts = sentences("bad", 2000)
    data = class_files(tmp_path, bad=texts + texts[:300], good=sentences("good", 1500), rare=sentences("rare", 30))
    whole = read_corpus(data, "all").lines
    parts = parts_of(data)
    for label, lines in whole.items():
        pieces = [parts[part][label] for part in parts]
        assert sorted(text for piece in pieces for text in piece) == sorted(lines)
    sets = [{text for lines in part.values() for text in lines} for part in parts.values()]
    assert not sets[0] & sets[1]
    assert not sets[0] & sets[2]
    assert not sets[1] & sets[2]
    assert [len(set(parts["valid"][label])) for label in ("bad", "good", "rare")] == [40, 30, 3]
    assert [len(set(parts["test"][label])) for label in ("bad", "good", "rare")] == [40, 30, 3]
    # Within train, the order of the file stays.
    order = {text: index for index, text in enumerate(whole["good"])}
    assert sorted(parts["train"]["good"], key=order.__getitem__) == parts["train"]["good"]


def test_a_text_of_two_classes_is_never_held_out(tmp_path: Path) -> None:
    both = sentences("shared", 400)
    data = class_files(tmp_path, a=both + sentences("a", 100), b=both + sentences("b", 3000))
    parts = parts_of(data)
    train = {text for lines in parts["train"].values() for text in lines}
    assert set(both) <= train
    # The same holds when only some of the classes are read.
    for classes in (["a"], ["b"]):
        options = ReadingOptions(minimum_classes=1)
        for part in ("valid", "test"):
            some = read_corpus(data, part, options, classes=classes).lines
            assert some[classes[0]] == parts[part][classes[0]]
            streamed = list(stream_corpus(data, part, options, classes=classes).lines[classes[0]])
            assert streamed == parts[part][classes[0]]


NEAR = ["It was cold.", "it was COLD !", "It  was, cold 24 times.", "it was cold"]
FAR = ["It was colder.", "it was hot .", "12 it is cold ?"]


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("label", ["bad", "good"])
def test_near_duplicates_of_held_out_lines_leave_the_training_data(tmp_path: Path, label: str, streamed: bool) -> None:
    held_out = ["It was cold .", "it was bad"]
    for part, lines in (("train", [*NEAR, *FAR]), ("valid", held_out), ("test", ["!!", "other"])):
        for name in ("bad", "good"):
            own = lines if name == label else sentences(f"{part} {name}", 5)
            write(tmp_path / f"{part}.{name}.txt", "\n".join(own))
    read = stream_corpus if streamed else read_corpus
    corpus = read([str(tmp_path)], "train")
    assert list(corpus.lines[label]) == [NEAR[2], *FAR]  # "times" is a word
    assert len(corpus.lines[label]) == 4
    assert corpus.report.near_duplicates == {label: 3}
    said = "left out of train, because a held-out part has the same line except for case, punctuation and numbers: 3 "
    assert corpus.report.lines() == [said + label]
    kept = read([str(tmp_path)], "train", ReadingOptions(keep_near_duplicates=True))
    assert (list(kept.lines[label]), kept.report.lines()) == ([*NEAR, *FAR], [])
    assert list(read_corpus([str(tmp_path)], "valid").lines[label]) == held_out


def test_near_duplicates_of_held_out_lines_leave_train_too(tmp_path: Path) -> None:
    texts = {label: sentences(label, 200) for label in ("bad", "good")}
    twice = {label: [*own, *(f"{line[:-2].upper()}!" for line in own)] for label, own in texts.items()}
    data = class_files(tmp_path, **twice)
    parts = parts_of(data)
    folded = {part: {fold(line) for own in lines.values() for line in own} for part, lines in parts.items()}
    assert not folded["train"] & (folded["valid"] | folded["test"])
    report = read_corpus(data, "train").report
    lost = {label: 400 - sum(len(parts[part][label]) for part in parts) for label in texts}
    assert report.near_duplicates == lost
    assert all(10 < number < 40 for number in lost.values())


def test_a_class_of_nothing_but_near_duplicates_says_so(tmp_path: Path) -> None:
    data = class_files(tmp_path, bad=[f"order {number} was late" for number in range(300)], good=sentences("good", 30))
    error = refusal(data, "train", ReadingOptions())
    assert "260 equal a held-out line except for case, punctuation and numbers" in str(error.hint)
    assert "data.keep_near_duplicates=true" in str(error.hint)


def test_held_out_parts_do_not_depend_on_order(tmp_path: Path) -> None:
    texts = {"bad": sentences("bad", 500), "good": sentences("good", 500)}
    first = parts_of(class_files(tmp_path / "1", **texts))
    shuffled = {label: random.Random(1).sample(lines, len(lines)) for label, lines in texts.items()}
    second = parts_of(class_files(tmp_path / "2", **shuffled)[::-1])
    for part in first:
        for label in texts:
            assert sorted(first[part][label]) == sorted(second[part][label])


def test_held_out_parts_are_fixed_for_all_time(tmp_path: Path) -> None:
    """Another choice would put training lines of an older run into the validation part of a newer program."""
    lines = {label: [f"{label} sentence number {index} ." for index in range(50)] for label in ("bad", "good")}
    data = class_files(tmp_path, **lines)
    parts = parts_of(data, ReadingOptions(keep_near_duplicates=True))
    numbers = {
        part: {label: [int(line.split()[3]) for line in lines] for label, lines in parts[part].items()}
        for part in ("valid", "test")
    }
    assert numbers == {
        "valid": {"bad": [21, 37, 38, 43, 48], "good": [20, 21, 32, 34, 36]},
        "test": {"bad": [1, 24, 27, 32, 33], "good": [2, 10, 11, 37, 38]},
    }


def test_held_out_parts_are_the_same_in_another_process(tmp_path: Path) -> None:
    data = class_files(tmp_path, bad=sentences("bad", 300), good=sentences("good", 300))
    program = (
        "import json, sys; from arae_transfer.corpus.reading import read_corpus;"
        "print(json.dumps(read_corpus(sys.argv[1:], 'valid').lines))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "123"}
    result = subprocess.run(
        [sys.executable, "-c", program, *data], capture_output=True, check=True, env=environment, text=True
    )
    assert json.loads(result.stdout) == read_corpus(data, "valid").lines


def test_the_held_out_size_has_a_cap(tmp_path: Path) -> None:
    data = class_files(tmp_path, bad=sentences("bad", 1000), good=sentences("good", 1000))
    options = ReadingOptions(held_out=HeldOutSize(share=0.1, minimum=1, maximum=7))
    corpus = read_corpus(data, "valid", options)
    assert [len(lines) for lines in corpus.lines.values()] == [7, 7]
    assert corpus.report.held_out == {"valid": {"bad": 7, "good": 7}, "test": {"bad": 7, "good": 7}}
    assert corpus.report.lines() == [
        "the data has no valid part: lines are held out of train for it: 7 bad, 7 good",
        "the data has no test part: lines are held out of train for it: 7 bad, 7 good",
    ]


def test_only_the_missing_part_is_held_out(tmp_path: Path) -> None:
    files = {"train_a": sentences("a", 100), "train_b": sentences("b", 100)}
    neither = parts_of(folder_of(tmp_path / "1", **files))
    own_test = folder_of(tmp_path / "2", **files, test_a=["mine"], test_b=["yours"])
    parts = parts_of(own_test)
    assert parts["test"] == {"a": ["mine"], "b": ["yours"]}
    assert parts["valid"] == neither["valid"]
    assert len(parts["train"]["a"]) == 90
    assert len(neither["train"]["a"]) == 80


def test_files_without_split_join_the_train_part_of_a_folder(tmp_path: Path) -> None:
    folder = folder_of(
        tmp_path / "f", train_a=["1"], train_b=["2"], valid_a=["3"], valid_b=["4"], test_a=["5"], test_b=["6"]
    )
    data = folder + class_files(tmp_path / "more", a=["7"], b=["8"])
    assert read_corpus(data, "train").lines == {"a": ["1", "7"], "b": ["2", "8"]}
    assert read_corpus(data, "valid").lines == {"a": ["3"], "b": ["4"]}


def test_the_data_says_which_splits_are_its_own(tmp_path: Path) -> None:
    data = class_files(tmp_path, a=["x", "y"], b=["z", "w"])
    assert own_splits(data) == []
    assert has_split(data, "valid")
    assert has_split(data, "test")
    assert not has_split(data, "extra")


# --- tables


def test_csv_with_quotes_commas_and_line_breaks(tmp_path: Path) -> None:
    rows = [
        ("text", "id", "label"),
        ('he said "no", twice', "1", "bad"),
        ("two\nlines", "2", "good"),
        ("a\rb", "3", "good"),
        ("end\r\n", "4", "bad"),
        ("x\u2028y\x85z", "5", "bad"),
    ]
    path = tmp_path / "t.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    corpus = read_all([str(path)])
    assert corpus.lines == {
        "bad": ['he said "no", twice', "end", "x\u2028y\x85z"],
        "good": ["two lines", "a b"],
    }
    assert corpus.report.findings == (Finding(path, Reason.LINE_BREAK, 2, 3),)


def test_csv_with_byte_order_mark_and_carriage_returns(tmp_path: Path) -> None:
    path = write(tmp_path / "t.CSV", "\ufefftext, label \r\nx,a\r\n\r\n,b\r\n y ,b\r\n")
    corpus = read_all([str(path)])
    assert corpus.lines == {"a": ["x"], "b": ["y"]}
    assert corpus.report.findings == (Finding(path, Reason.EMPTY, 2, 3),)


def test_tsv_takes_quotes_for_text_unless_they_quote_a_whole_field(tmp_path: Path) -> None:
    path = write(
        tmp_path / "t.tsv",
        'text\tlabel\n"never again\ta\nsaid "no"\tb\n"the ""best"" soup, ever"\ta\n"\tb\n"a" and "b"\tb\n',
    )
    assert read_all([str(path)]).lines == {
        "a": ['"never again', 'the "best" soup, ever'],
        "b": ['said "no"', '"', '"a" and "b"'],
    }


def test_json_lines(tmp_path: Path) -> None:
    records: list[dict[str, object]] = [
        {"text": "x", "label": "a", "more": [1, {"y": 2}]},
        {"text": "two\nlines\u2028here", "label": 1},
        {"text": "z", "label": 1.0},
        {"text": "t", "label": True},
        {"text": "nul\0 char", "label": "a"},
    ]
    path = write(tmp_path / "t.jsonl", "\n".join(json.dumps(record) for record in records) + "\n\n")
    corpus = read_all([str(path)])
    assert corpus.lines == {"1": ["two lines\u2028here", "z"], "a": ["x", "nul char"], "true": ["t"]}
    counts = {entry.reason: (entry.count, entry.first_line) for entry in corpus.report.findings}
    assert counts == {Reason.LINE_BREAK: (1, 2), Reason.NUL: (1, 5), Reason.EMPTY: (1, 6)}


def test_json_with_lone_surrogates_gives_text_that_can_be_written(tmp_path: Path) -> None:
    path = write(
        tmp_path / "t.jsonl",
        r'{"text": "a\ud800b", "label": "x"}' + "\n" + r'{"text": "\ud83d\ude00", "label": "y"}',
    )
    corpus = read_all([str(path)])
    assert corpus.lines == {"x": ["a\ufffdb"], "y": ["😀"]}
    assert corpus.report.count(Reason.INVALID_UTF8) == 1


def test_tables_skip_and_count_rows_without_label_text_or_sense(tmp_path: Path) -> None:
    options = ReadingOptions(minimum_lines=1, maximum_characters=5)
    csv_path = write(tmp_path / "t.csv", "text,label\nx,a\ny,\nz,  \n,a\ntoo long,a\nw,b\nw,b\n")
    expected = {
        Reason.NO_LABEL: (2, 3), Reason.EMPTY: (1, 5), Reason.OVERLONG: (1, 6), Reason.DUPLICATE: (1, 8)
    }  # fmt: skip
    corpus = read_all([str(csv_path)], options)
    assert corpus.lines == {"a": ["x"], "b": ["w", "w"]}
    assert {entry.reason: (entry.count, entry.first_line) for entry in corpus.report.findings} == expected
    assert corpus.report.total_skipped == 4
    rows = ['{"text": "x", "label": "a"}', '{"text": "y"}', '{"text": "z", "label": null}', '{"label": "a"}',
            '{"text": null, "label": "b"}', '{"text": "w", "label": "b"}']  # fmt: skip
    corpus = read_all([str(write(tmp_path / "t.jsonl", "\n".join(rows)))], options)
    assert corpus.lines == {"a": ["x"], "b": ["w"]}
    assert (corpus.report.count(Reason.NO_LABEL), corpus.report.count(Reason.EMPTY)) == (2, 2)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv", "id,sentence,label\n1,x,a\n"),
        ("t.tsv", "id\tsentence\tlabel\n1\tx\ta\n"),
        ("t.jsonl", '{"id": 1, "sentence": "x", "label": "a"}\n'),
    ],
)
def test_an_unknown_column_names_those_that_exist(tmp_path: Path, name: str, content: str) -> None:
    path = write(tmp_path / name, content)
    error = refusal([str(path)])
    assert error.message.endswith("there is no column 'text'; the columns are: id, sentence, label")
    error = refusal([str(path)], options=ReadingOptions(text_column="sentnce"))
    assert "did you mean sentence" in str(error.hint)
    error = refusal([str(path)], options=ReadingOptions(text_column="sentence", label_column="lable"))
    assert "no column 'lable'" in error.message
    assert "label_column" in str(error.hint)
    error = refusal([str(path)], options=ReadingOptions(text_column="label"))
    assert "both 'label'" in error.message


def test_other_column_names(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "review,stars\nx,1\ny,5\n")
    options = ReadingOptions(text_column="review", label_column="stars", minimum_lines=1)
    assert read_all([str(path)], options).lines == {"1": ["x"], "5": ["y"]}


def test_a_wrong_separator_is_recognised(tmp_path: Path) -> None:
    assert "';'" in str(refusal([str(write(tmp_path / "t.csv", "text;label\nx;a\n"))]).hint)
    assert ".tsv" in str(refusal([str(write(tmp_path / "u.csv", "text\tlabel\nx\ta\n"))]).hint)
    assert ".csv" in str(refusal([str(write(tmp_path / "t.tsv", "text,label\nx,a\n"))]).hint)


@pytest.mark.parametrize(
    ("name", "content", "line", "word"),
    [
        ("t.csv", "text,label\nx,a\ny,z,b\n", 3, "3 fields, the header has 2"),
        ("t.csv", "text,label\nx\n", 2, "1 field, the header has 2"),
        ("t.csv", 'text,label\n"a\nb",x\n"open,a\nmore,b\n', 4, "damaged row"),
        ("t.csv", 'text,label\n"a" b,x\n', 2, "damaged row"),
        ("t.csv", "text,label\n" + '"' + "x,a\n" * 50_000, 2, "damaged row"),
        ("t.tsv", "text\tlabel\nx\ta\ny\tz\tb\n", 3, "3 fields, the header has 2"),
        ("t.jsonl", '{"text": "x", "label": "a"}\n{"text": "y", \n', 2, "malformed JSON"),
        ("t.jsonl", "[" * 100_000 + "\n", 1, "malformed JSON"),
        ("t.jsonl", "9" * 5000 + "\n", 1, "malformed JSON"),
        ("t.jsonl", '["x", "a"]\n', 1, "a list, not an object"),
        ("t.jsonl", '{"text": "x", "label": "a"}\n\n"y"\n', 3, "a string, not an object"),
        ("t.jsonl", '{"text": 5, "label": "a"}\n', 1, "'text' is a number, not a string"),
        ("t.jsonl", '{"text": ["x"], "label": "a"}\n', 1, "'text' is a list, not a string"),
        ("t.jsonl", '{"text": "x", "label": ["a"]}\n', 1, "'label' is a list"),
        ("t.jsonl", '{"text": "x", "label": 0.37}\n', 1, "'label' is a number"),
        ("t.csv", "text,label\nx,a\ny,b/c\n", 3, "contains a slash"),
    ],
)  # fmt: skip
def test_damaged_rows_are_refused_with_file_and_line(
    tmp_path: Path, name: str, content: str, line: int, word: str
) -> None:
    path = write(tmp_path / name, content)
    error = refusal([str(path)])
    assert error.message.startswith(f"{path}:{line}: ")
    assert word in error.message


def test_headers_that_will_not_do(tmp_path: Path) -> None:
    assert "no header" in refusal([str(write(tmp_path / "t.csv", ""))]).message
    assert "no header" in refusal([str(write(tmp_path / "t.csv", "\n"))]).message
    assert "'text' twice" in refusal([str(write(tmp_path / "t.csv", "text,label,text\n"))]).message
    for name, content in (("t.csv", "text,label\n"), ("u.csv", "text,label,split\n"), ("t.jsonl", "")):
        for split in ("all", "train"):
            assert "no classes" in refusal([str(write(tmp_path / name, content))], split).message


def test_a_label_column_with_a_value_per_row_is_refused(tmp_path: Path) -> None:
    rows = "".join(f"sentence {index},id{index}\n" for index in range(1500))
    error = refusal([str(write(tmp_path / "t.csv", "text,label\n" + rows))])
    assert "more than 1,000 different values" in error.message


def test_a_missing_label_is_skipped_but_a_missing_column_is_refused(
    tmp_path: Path,
) -> None:
    unlabelled = '{"text": "x"}\n'
    labelled = '{"text": "y", "label": "a"}\n{"text": "z", "label": "b"}\n'
    corpus = read_all([str(write(tmp_path / "t.jsonl", unlabelled * 3 + labelled))])
    assert corpus.report.count(Reason.NO_LABEL) == 3
    error = refusal([str(write(tmp_path / "t.jsonl", unlabelled * 1200 + labelled))])
    assert "no column 'label'" in error.message


# The published Yelp polarity file: no header, the label first, the last row cut off.
POLARITY = (
    '"1","Unfortunately, the frustration of being this patient is a repeat of others."\n'
    '"2","Been going here for over 10 years. ""Great"" doctor."\n'
    '"1","I don\'t know what he was thinking when he opened."\n'
    '"2","All the food is great here. But the best thing'
)


@pytest.mark.parametrize("settings", [["data.text_column=2"], ["data.text_column=2", "data.label_column=1"]])
def test_a_csv_without_a_header_is_read_by_column_numbers(tmp_path: Path, settings: list[str]) -> None:
    path = write(tmp_path / "train.csv", POLARITY)
    corpus = read_corpus([str(path)], "all", ReadingOptions.of(recipe_from_table({}, settings)))
    assert {label: len(lines) for label, lines in corpus.lines.items()} == {"1": 2, "2": 2}
    assert corpus.lines["2"] == [
        'Been going here for over 10 years. "Great" doctor.',
        "All the food is great here. But the best thing",
    ]
    assert corpus.report.findings == (Finding(path, Reason.CUT_OFF, 1, 4),)


def test_a_table_without_a_header_is_recognised(tmp_path: Path) -> None:
    error = refusal([str(write(tmp_path / "train.csv", POLARITY))])
    assert "has no header line: its first row is data" in error.message
    assert "--set data.text_column=2 --set data.label_column=1" in str(error.hint)
    assert "Unfortunately" not in str(error)


def test_numbers_name_the_columns_of_a_table_with_a_header_too(tmp_path: Path) -> None:
    path = write(tmp_path / "t.tsv", "id\tstars\treview\n7\t1\tcold\n8\t5\twarm\n9\t1\tstale\n")
    corpus = read_all([str(path)], ReadingOptions(text_column="3", label_column="2", minimum_lines=1))
    assert corpus.lines == {"1": ["cold", "stale"], "5": ["warm"]}


def test_a_folder_of_tables_named_after_splits(tmp_path: Path) -> None:
    rows = [f'"{1 + number % 2}","sentence number {number} is here"\n' for number in range(10)]
    write(tmp_path / "train.csv", "".join(rows[:6]))
    write(tmp_path / "test.csv", "".join(rows[6:]))
    write(tmp_path / "classes.txt", "bad\ngood\n")
    options = ReadingOptions(text_column="2", label_column="1", minimum_lines=1)
    assert own_splits([str(tmp_path)], options) == ["train", "test"]
    assert read_corpus([str(tmp_path)], "test", options).lines == {
        "1": ["sentence number 6 is here", "sentence number 8 is here"],
        "2": ["sentence number 7 is here", "sentence number 9 is here"],
    }

    pandas = write(tmp_path / "numbered" / "t.csv", "0,1\nbad,cold\ngood,warm\n")
    options = ReadingOptions(text_column="1", label_column="0", minimum_lines=1)
    assert read_all([str(pandas)], options).lines == {"bad": ["cold"], "good": ["warm"]}


def write_records(path: Path, records: list[dict[str, object]]) -> Path:
    """Write records as the file's suffix says."""
    if path.suffix == ".parquet":
        arrow = pytest.importorskip("pyarrow")
        pytest.importorskip("pyarrow.parquet").write_table(arrow.Table.from_pylist(records), path)
    elif path.suffix == ".jsonl":
        write(path, "".join(json.dumps(record) + "\n" for record in records))
    else:
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(records[0]))
            writer.writeheader()
            writer.writerows(records)
    return path


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_missing_labels_and_texts_are_counted_alike(tmp_path: Path, suffix: str) -> None:
    texts = ["cold", "warm", None, "NaN", "null", "", "stale", "fresh", "dry"]
    labels = [1.0, 5.0, 1.0, 1.0, 5.0, 5.0, float("nan"), None, 1.0]
    records: list[dict[str, object]] = [
        {"text": text, "label": label} for text, label in zip(texts, labels, strict=True)
    ]
    path = write_records(tmp_path / f"t.{suffix}", records)
    corpus = read_all([str(path)])
    assert corpus.lines == {"1": ["cold", "dry"], "5": ["warm"]}
    assert corpus.report.count(Reason.EMPTY) == 4
    assert corpus.report.count(Reason.NO_LABEL) == 2


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_one_number_is_one_class_however_it_is_written(tmp_path: Path, suffix: str) -> None:
    labels: list[object] = [1, 1.0, "1", "1.0", "2", "+1"]
    records: list[dict[str, object]] = [{"text": f"t{place}", "label": label} for place, label in enumerate(labels)]
    corpus = read_all([str(write_records(tmp_path / f"t.{suffix}", records))])
    assert corpus.lines == {"+1": ["t5"], "1": ["t0", "t1", "t2", "t3"], "2": ["t4"]}


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_labels_are_mapped_and_the_others_left_out(tmp_path: Path, suffix: str) -> None:
    records: list[dict[str, object]] = [{"text": f"stars {stars}", "label": float(stars)} for stars in range(1, 6)]
    path = write_records(tmp_path / f"t.{suffix}", records)
    mapping = 'data.labels={"1": "negative", "2.0": "negative", "4": "positive", "5": "positive"}'
    corpus = read_corpus([str(path)], "all", ReadingOptions.of(recipe_from_table({}, [mapping])))
    assert corpus.lines == {"negative": ["stars 1", "stars 2"], "positive": ["stars 4", "stars 5"]}
    assert corpus.report.count(Reason.OTHER_LABEL) == 1


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_nested_text_is_named_by_a_path(tmp_path: Path, suffix: str) -> None:
    records: list[dict[str, object]] = [
        {"review": {"body": f"word {number}", "votes": {"up": 1}}, "meta": {"stars": 1 + number % 2}}
        for number in range(4)
    ]
    path = write_records(tmp_path / f"t.{suffix}", records)
    options = ReadingOptions(text_column="review.body", label_column="meta.stars", minimum_lines=1)
    assert read_all([str(path)], options).lines == {"1": ["word 0", "word 2"], "2": ["word 1", "word 3"]}
    # Each hint leads on, and none leads back.
    error = refusal([str(path)], options=ReadingOptions(label_column="meta.stars", minimum_lines=1))
    assert "review.body, review.votes.up, meta.stars" in error.message
    error = refusal([str(path)], options=ReadingOptions(text_column="review", label_column="meta.stars"))
    assert "'review' is an object" in error.message
    assert "--set data.text_column=review.body" in str(error.hint)


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl"])
def test_a_split_column_is_used(tmp_path: Path, suffix: str) -> None:
    rows = [
        (f"{part} {label} {spelled(index)}", label, part)
        for part in ("train", "validation", "extra")
        for label in "ab"
        for index in range(40)
    ]
    rows.append(("nowhere", "a", ""))
    path = tmp_path / f"t.{suffix}"
    if suffix == "jsonl":
        keys = ("text", "label", "split")
        write(path, "\n".join(json.dumps(dict(zip(keys, row, strict=True))) for row in rows))
    else:
        separator = "," if suffix == "csv" else "\t"
        write(path, "\n".join(separator.join(row) for row in [("text", "label", "split"), *rows]))
    data = [str(path)]
    assert own_splits(data) == ["train", "valid", "extra"]
    valid = read_corpus(data, "valid")
    assert valid.lines == {label: [f"validation {label} {spelled(index)}" for index in range(40)] for label in "ab"}
    assert valid.report.count(Reason.NO_SPLIT) == 1
    train, test = read_corpus(data, "train").lines, read_corpus(data, "test").lines
    assert (len(train["a"]), len(test["a"])) == (36, 4)
    assert sorted(train["a"] + test["a"]) == sorted(f"train a {spelled(index)}" for index in range(40))


def test_a_table_without_split_column_is_held_out_of(tmp_path: Path) -> None:
    rows = [(text, label) for label in ("a", "b") for text in sentences(label, 100)]
    random.Random(3).shuffle(rows)
    path = write(tmp_path / "t.tsv", "text\tlabel\n" + "".join(f"{text}\t{label}\n" for text, label in rows))
    from_files = parts_of(class_files(tmp_path, a=sentences("a", 100), b=sentences("b", 100)))
    from_table = parts_of([str(path)])
    for part in from_files:
        assert {label: sorted(lines) for label, lines in from_table[part].items()} == {
            label: sorted(lines) for label, lines in from_files[part].items()
        }


# --- streaming and progress


@pytest.mark.parametrize("split", ["train", "valid", "test", "all"])
def test_streamed_lines_are_the_lines_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, split: str) -> None:
    monkeypatch.setattr(text_files, "BLOCK_BYTES", 500)
    data = class_files(tmp_path, a=[*sentences("a", 300), "", *sentences("a", 20)], b=sentences("b", 200))
    rows = "".join(f"row {spelled(index)},{'ab'[index % 2]}\n" for index in range(5000))
    data.append(str(write(tmp_path / "t.csv", "text,label\n" + rows)))
    corpus = read_corpus(data, split)
    streamed = stream_corpus(data, split)
    assert {label: list(lines) for label, lines in streamed.lines.items()} == corpus.lines
    assert streamed.report == corpus.report
    if split == "all":
        assert [sum(text.startswith("row") for text in lines) for lines in corpus.lines.values()] == [2500, 2500]


def test_progress_rises_to_the_total(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_files, "BLOCK_BYTES", 1000)
    data = class_files(tmp_path, a=sentences("a", 200), b=sentences("b", 300))
    size = sum(path.stat().st_size for path in tmp_path.iterdir())
    steps: list[tuple[int, int]] = []
    read_corpus(data, "train", progress=lambda done, total: steps.append((done, total)))
    assert steps == sorted(steps)
    assert len(steps) >= size // 1000
    assert steps[-1] == (size, size)


TREEBANK = TextFormat(lower_case=True, tokens="penn-treebank")


def test_ordinary_writing_is_brought_to_the_form_of_the_recipe(tmp_path: Path) -> None:
    data = two_files(tmp_path, "It wasn't good.\nIt was bad!!\n", "Fine; really (and cheap).\nYes.\n")
    section = {"form": {"lower_case": True, "tokens": "penn-treebank"}}
    as_written = ReadingOptions.of(recipe_from_table(section))
    assert read_corpus(data, "all", as_written).lines["negative"] == ["It wasn't good.", "It was bad!!"]
    in_form = ReadingOptions.of(recipe_from_table({**section, "data": {"writing": "ordinary", "text_column": "body"}}))
    assert (in_form.text_column, in_form.form) == ("body", TREEBANK)
    wanted = {"negative": ["it was n't good .", "it was bad !"], "positive": ["fine ; really ( and cheap ) .", "yes ."]}
    assert read_corpus(data, "all", in_form).lines == wanted
    assert {label: list(own) for label, own in stream_corpus(data, "all", in_form).lines.items()} == wanted


def test_a_line_of_nothing_but_controls_is_counted_and_left_out(tmp_path: Path) -> None:
    data = two_files(tmp_path, "\x01\x02\nIt was bad.\nIt was cold.\n")
    corpus = read_corpus(data, "all", ReadingOptions(form=TREEBANK))
    assert corpus.lines["negative"] == ["it was bad .", "it was cold ."]
    assert [(finding.reason, finding.first_line) for finding in corpus.report.findings] == [(Reason.EMPTY, 1)]


def test_another_form_is_another_corpus(tmp_path: Path) -> None:
    data = two_files(tmp_path, "It was bad.\nIt was cold.\n")
    written, lowered = (stream_corpus(data, "all", ReadingOptions(form=form)).lines for form in (None, TREEBANK))
    assert written.digest() != lowered.digest()  # the cache of tokens is keyed by it


def test_utf16_without_its_mark_is_refused_with_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "bad.txt"
    path.write_bytes(("the food was bad\n" * 50).encode("utf-16-le"))
    with pytest.raises(AraeError, match="UTF-16 text without a byte order mark"):
        read_corpus([f"bad={path}"], "all")


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("packed", [False, True])
def test_utf16_with_its_mark_is_read(tmp_path: Path, encoding: str, packed: bool) -> None:
    lines = [f"caf\u00e9 {number} \U0001f621" for number in range(50)]
    content = ("\ufeff" + "".join(f"{line}\r\n" for line in lines)).encode(encoding)
    path = tmp_path / ("bad.txt.gz" if packed else "bad.txt")
    path.write_bytes(gzip.compress(content) if packed else content)
    other = tmp_path / "good.txt"
    other.write_text("good .\nfine .\n", "utf-8")
    corpus = read_corpus([f"bad={path}", f"good={other}"], "all")
    assert corpus.lines["bad"] == lines
    assert list(corpus.report.findings) == []


def test_a_utf16_table_is_read(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes('text,label\n"caf\u00e9, cold",bad\nrude,bad\nwarm,good\nkind,good\n'.encode("utf-16"))
    assert read_corpus([str(path)], "all").lines == {"bad": ["caf\u00e9, cold", "rude"], "good": ["warm", "kind"]}


def test_what_is_no_utf16_is_repaired_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "bad.txt"
    lone = "\ud83d".encode("utf-16-le", "surrogatepass")
    whole = "\ufeff" + "the food was cold .\n" * 40
    path.write_bytes(whole.encode("utf-16-le") + lone + "x\ny".encode("utf-16-le") + b"z")
    (tmp_path / "good.txt").write_text("good .\nfine .\n", "utf-8")
    corpus = read_corpus([f"bad={path}", f"good={tmp_path / 'good.txt'}"], "all")
    assert corpus.report.count(Reason.INVALID_UTF8) == 2
    assert [line.strip("\ufffd") for line in corpus.lines["bad"][40:]] == ["x", "y"]


def test_utf16_is_refused_where_another_encoding_was_named(tmp_path: Path) -> None:
    path = tmp_path / "bad.txt"
    path.write_bytes("the food was cold .\n".encode("utf-16"))
    with pytest.raises(AraeError, match="is UTF-16 text"):
        read_corpus([f"bad={path}"], "all", ReadingOptions(encoding="latin-1"))
