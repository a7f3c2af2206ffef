"""Files of rewrites and references: aligned, or refused with both numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

from arae_transfer.errors import AraeError
from arae_transfer.evaluation.outputs import (
    Alignment,
    Direction,
    all_directions,
    read_output_folder,
    read_output_options,
    read_references,
    write_output_folder,
)
from arae_transfer.text import TextFormat

CLASSES = ["negative", "positive"]
ALIGNMENT = Alignment("test", {"negative": 3, "positive": 2})


def _file(folder: Path, name: str, *lines: str) -> Path:
    path = folder / name
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return path


def test_directions_of_any_number_of_classes() -> None:
    assert [str(direction) for direction in all_directions(CLASSES)] == ["negative-to-positive", "positive-to-negative"]
    assert len(all_directions(["a", "b", "c", "d"])) == 12


def test_output_options(tmp_path: Path) -> None:
    path = _file(tmp_path, "mine=1.txt", "one", "", "  three ")
    outputs = read_output_options([f"negative-to-positive={path}"], CLASSES, ALIGNMENT)
    assert outputs == {Direction("negative", "positive"): ["one", "", "  three "]}


def test_only_line_feeds_end_lines(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes("a\u2028b\r\nc\x0cd\n\ne".encode())
    alignment = Alignment("test", {"negative": 4, "positive": 1})
    assert alignment.read(path, "negative") == ["a\u2028b", "c\x0cd", "", "e"]


def test_class_names_may_hold_what_separates_them(tmp_path: Path) -> None:
    classes = ["a", "b", "a-to-b", "b=d"]
    path = _file(tmp_path, "x=y", "line")
    for direction in all_directions(classes):
        outputs = read_output_options([f"{direction}={path}"], classes, Alignment("test", dict.fromkeys(classes, 1)))
        assert outputs == {direction: ["line"]}


def test_another_number_of_lines_is_refused_with_both_numbers(tmp_path: Path) -> None:
    path = _file(tmp_path, "short.txt", "one", "two")
    with pytest.raises(AraeError, match=r"short\.txt has 2 lines, the test split of class 'negative' has 3"):
        read_output_options([f"negative-to-positive={path}"], CLASSES, ALIGNMENT)
    remarked = Alignment("test", {"negative": 3, "positive": 2}, remark="leave out: 1 line without text")
    with pytest.raises(AraeError) as caught:
        remarked.read(path, "negative")
    assert caught.value.hint == "leave out: 1 line without text"


def test_a_limit_takes_whole_and_limited_files(tmp_path: Path) -> None:
    limited = Alignment("test", {"negative": 3, "positive": 2}, limit=2)
    assert limited.read(_file(tmp_path, "whole", "a", "b", "c"), "negative") == ["a", "b"]
    assert limited.read(_file(tmp_path, "limited", "a", "b"), "negative") == ["a", "b"]
    with pytest.raises(AraeError, match="has 1 lines"):
        limited.read(_file(tmp_path, "short", "a"), "negative")
    assert Alignment("test", {"positive": 2}, limit=9).read(_file(tmp_path, "all", "a", "b"), "positive") == ["a", "b"]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("negative-to-neutral={}", "'negative-to-neutral' is not a direction"),
        ("negative-to-negative={}", "is not a direction"),
        ("{}", "there is no '='"),
        ("negative-to-positive=", "no file after"),
        ("negative-to-positive={}.missing", "cannot read"),
    ],
)
def test_bad_options(tmp_path: Path, value: str, message: str) -> None:
    path = _file(tmp_path, "file", "a", "b", "c")
    with pytest.raises(AraeError, match=message):
        read_output_options([value.format(path)], CLASSES, ALIGNMENT)


def test_a_direction_twice_is_refused(tmp_path: Path) -> None:
    value = f"negative-to-positive={_file(tmp_path, 'file', 'a', 'b', 'c')}"
    with pytest.raises(AraeError, match="twice"):
        read_output_options([value, value], CLASSES, ALIGNMENT)


def test_folders_round_trip(tmp_path: Path) -> None:
    classes = ["old/new", "very nice", "ü%"]
    outputs = {direction: [f"{direction}", "", "x\u2028y"] for direction in all_directions(classes)}
    write_output_folder(tmp_path / "new" / "folder", outputs)
    assert (tmp_path / "new" / "folder" / "old%2Fnew-to-very nice.txt").is_file()
    alignment = Alignment("test", dict.fromkeys(classes, 3))
    assert read_output_folder(tmp_path / "new" / "folder", classes, alignment) == outputs
    with pytest.raises(AraeError, match="neither an exported model, nor a run, nor a folder of rewrites"):
        read_output_folder(tmp_path, classes, alignment)


def test_references(tmp_path: Path) -> None:
    first, second = _file(tmp_path, "one", "a", "b", "c"), _file(tmp_path, "two", "d", "e", "f")
    direction = Direction("negative", "positive")
    expected = {direction: [["a", "b", "c"], ["d", "e", "f"]]}
    assert read_references([f"negative={first},{second}"], CLASSES, ALIGNMENT) == expected
    assert read_references([f"negative={first}", f"negative-to-positive={second}"], CLASSES, ALIGNMENT) == expected
    comma = _file(tmp_path, "with,comma", "a", "b", "c")
    assert read_references([f"negative={comma}"], CLASSES, ALIGNMENT) == {direction: [["a", "b", "c"]]}
    with pytest.raises(AraeError, match="has 3 lines, the test split of class 'positive' has 2"):
        read_references([f"positive={first}"], CLASSES, ALIGNMENT)


def test_references_of_many_classes_name_the_direction(tmp_path: Path) -> None:
    path = _file(tmp_path, "one", "a")
    alignment = Alignment("test", dict.fromkeys("abc", 1))
    assert read_references([f"a-to-c={path}"], list("abc"), alignment) == {Direction("a", "c"): [["a"]]}
    with pytest.raises(AraeError, match="'a' is not a direction") as caught:
        read_references([f"a={path}"], list("abc"), alignment)
    assert "a-to-b, a-to-c" in str(caught.value.hint)


def test_references_of_a_folder(tmp_path: Path) -> None:
    _file(tmp_path, "positive-to-negative.txt", "one", "two")
    assert read_references([str(tmp_path)], CLASSES, ALIGNMENT) == {Direction("positive", "negative"): [["one", "two"]]}
    further = _file(tmp_path, "other.txt", "three", "four")
    references = read_references([str(tmp_path), f"positive={further}"], CLASSES, ALIGNMENT)
    assert references == {Direction("positive", "negative"): [["one", "two"], ["three", "four"]]}
    with pytest.raises(AraeError, match="nor a folder of rewrites"):
        read_references([str(tmp_path)], ["a", "b"], Alignment("test", {"a": 1, "b": 1}))


def test_files_are_brought_to_the_form_of_the_split(tmp_path: Path) -> None:
    path = _file(tmp_path, "mine.txt", "It's here.", "it 's here .", "")
    form = TextFormat(lower_case=True, tokens="penn-treebank")
    alignment = Alignment("test", {"negative": 3, "positive": 2}, form=form)
    assert alignment.read(path, "negative") == ["it 's here .", "it 's here .", ""]
