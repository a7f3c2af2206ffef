"""Vector offsets: what is moved, by how much, and what counts as a match."""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from typer.testing import CliRunner

from arae_transfer.cli import app
from arae_transfer.paper.offsets import Offset, Pool, mean_code, precision, shift, with_word
from arae_transfer.runtime.code_space import Decoded
from arae_transfer.runtime.paths import Code


class Plane:
    """A code space of two dimensions: a sentence is the name of the nearest of four directions."""

    directions: ClassVar = {"east .": (1.0, 0.0), "north .": (0.0, 1.0), "west .": (-1.0, 0.0), "south .": (0.0, -1.0)}

    def fits(self, line: str) -> bool:
        return line in self.directions

    def encode(self, lines: list[str]) -> list[Code]:
        return [np.array([self.directions[line]], np.float32) for line in lines]

    def decode(self, codes: list[Code], to: str) -> list[Decoded]:
        assert to == "text"
        names, table = list(self.directions), np.array(list(self.directions.values()))
        return [Decoded(names[int((table @ code[0]).argmax())], False, 1) for code in codes]


def pool(*lines: str) -> Pool:
    return Pool(lines, Plane().encode(list(lines)))


def make(strengths: list[float], *, by_word: bool = True) -> Offset:
    has = with_word("north") if by_word else None
    wanted, other = pool("north .", "north ."), pool("east .", "east .")
    return Offset(Plane(), "text", wanted, other, has, strengths)  # type: ignore[arg-type]


def test_the_offset_is_the_difference_of_the_groups_means() -> None:
    assert mean_code(pool("north .", "north .", "east .").codes) == pytest.approx([1 / 3, 2 / 3])
    assert make([1.0]).vector == pytest.approx([-1.0, 1.0])


def test_a_code_keeps_its_norm() -> None:
    code = np.array([[0.6, 0.8], [3.0, 4.0], [0.0, 0.0]], np.float32)
    moved = shift(code, np.array([-1.0, 1.0], np.float32), 0.7)
    assert np.linalg.norm(moved, axis=1) == pytest.approx([1.0, 5.0, 0.0], abs=1e-5)
    assert shift(code, np.array([-1.0, 1.0], np.float32), 0.0) == pytest.approx(code)
    assert moved[0, 1] / moved[0, 0] == pytest.approx((0.8 + 0.7) / (0.6 - 0.7), rel=1e-4)


@pytest.mark.parametrize("by_word", [True, False])
def test_the_smallest_multiple_that_succeeds_is_the_answer(by_word: bool) -> None:
    # From (1, 0) towards (-1, 1): north is nearest from a multiple of 0.5 on, west from none.
    found = make([0.25, 0.45, 0.55, 2.0], by_word=by_word).apply(["east .", "north .", "not read", "south ."])
    assert [each.output for each in found[:3]] == ["north .", "north .", "not read"]
    assert [each.strength for each in found[:3]] == [0.55, 0.0, 0.0]
    assert [each.match for each in found[:3]] == [True, True, False]
    assert found[0].precision == 0.5
    # West is nearer to north than to east.
    assert (found[3].match, found[3].strength) == ((False, 2.0) if by_word else (True, 0.55))


def test_a_measurement_leaves_out_what_has_the_property_already() -> None:
    found = make([0.25, 0.55, 1.0]).measure(["east .", "east .", "north .", "west .", "not read"], 10)
    assert (found.sentences, found.match, found.strength) == (2, 50.0, 0.55)
    assert found.precision == 75.0, "half of north, the whole of west, which has not moved"
    assert make([0.55]).measure(["east .", "west ."], 1).sentences == 1


def test_precision_counts_each_word_as_often_as_it_stands_in_the_source() -> None:
    assert precision("a man a man", "a man walks") == 0.5
    assert precision("", "a man") == 0.0
    assert precision("A", "a") == 0.0


def test_a_word_is_a_whole_word_in_any_case() -> None:
    assert with_word("Man")(["a man .", "a woman .", "MAN", "mankind"]) == [True, False, True, False]


# --- the command, on a model that copies ---------------------------------------------------------------------------


def invoke(*arguments: object, text: str = "") -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["offset", *map(str, arguments)], input=text)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def groups(tmp_path: Path) -> list[str]:
    first, second = tmp_path / "with.txt", tmp_path / "without.txt"
    first.write_text("the food was warm .\n" * 25, "utf-8")
    second.write_text("the food was cold .\n" * 25, "utf-8")
    return ["--with", str(first), "--without", str(second)]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "Give either --word, or both"),
        (["--word", "a", "--with", "f", "--without", "g"], "Give either --word, or both"),
        (["--with", "f"], "Give either --word, or both"),
        (["--word", "a", "--word", "b"], "need --measure"),
        (["--word", "a"], "Missing option '--to'"),
        (["--word", "a", "--strongest", "0"], "above 0"),
        (["--with", "f", "--without", "g", "--measure"], "needs a FILE"),
        (["--with", "f", "--without", "g", "--corpus", "h"], "Option '--corpus' needs --word"),
    ],
)
def test_wrong_usage(arguments: list[str], said: str, pristine_model: Path) -> None:
    status, out, shown = invoke(*arguments, "--model", pristine_model)
    assert (status, out) == (2, "")
    assert said in shown


def test_what_can_be_fixed_is_said_in_two_lines(pristine_model: Path, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("the food was cold .\n" * 30, "utf-8")
    model = ["--model", pristine_model, "--to", "positive"]
    for arguments, wanted in (
        (["--word", "walking", "--corpus", corpus], "none of 30 sentences have the word 'walking'"),
        (["--word", "food", "--corpus", corpus], "all of 30 sentences have the word 'food'"),
        (["--word", "food", "--corpus", tmp_path / "missing"], "cannot read"),
        (["--word", "food"], "has no generator"),
    ):
        status, out, said = invoke(*arguments, *model, text="the food was cold .\n")
        assert (status, out) == (1, "")
        assert wanted in said
        assert len(said.splitlines()) <= 2


def test_one_line_in_one_line_out(pristine_model: Path, groups: list[str]) -> None:
    arguments = [*groups, "--model", pristine_model, "--to", "positive"]
    lines = ["the food was cold .", "", "the waiter was rude .", "word " * 60]
    status, out, said = invoke(*arguments, text="".join(f"{line}\n" for line in lines))
    answers = out.split("\n")[:-1]
    assert status == 0
    assert len(answers) == 4
    assert (answers[1], answers[3]) == ("", lines[3])
    assert "lines did not get the property" in said
    records = [json.loads(each) for each in invoke(*arguments, "--json", text="the food was warm .\n")[1].splitlines()]
    assert records == [
        {
            "source": "the food was warm .",
            "output": "the food was warm .",
            "match": True,
            "strength": 0.0,
            "precision": 1.0,
        }
    ]


@pytest.mark.parametrize(("encoding", "named"), [("latin-1", True), ("utf-16", False)])
def test_files_and_input_are_read_in_their_encoding(
    encoding: str, named: bool, pristine_model: Path, tmp_path: Path
) -> None:
    first, second, moved = (tmp_path / name for name in ("with.txt", "without.txt", "moved.txt"))
    first.write_bytes(("the caf\u00e9 was warm .\n" * 25).encode(encoding))
    second.write_bytes(("the caf\u00e9 was cold .\n" * 25).encode(encoding))
    moved.write_bytes("caf\u00e9 \u00fcber\n".encode(encoding))
    options = ["--with", first, "--without", second, "--model", pristine_model, "--to", "positive", "--json"]
    status, out, said = invoke(*options, *(["--encoding", encoding] if named else []), moved)
    assert status == 0
    assert json.loads(out)["source"] == "caf\u00e9 \u00fcber"
    assert "repaired" not in said
    if named:
        status, out, said = invoke(*options, moved)
        assert (status, json.loads(out)["source"]) == (0, "caf\ufffd \ufffdber")
        assert "51 lines repaired: bytes that are not UTF-8" in said
        assert "--encoding" in said


def test_an_encoding_that_is_none_is_refused(pristine_model: Path, groups: list[str]) -> None:
    status, out, said = invoke(*groups, "--model", pristine_model, "--to", "positive", "--encoding", "latin-9000")
    assert (status, out) == (1, "")
    assert "there is no text encoding 'latin-9000'" in said


def test_a_small_group_is_warned_of(pristine_model: Path, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("the food was warm .\n" + "the food was cold .\n" * 30, "utf-8")
    status, out, said = invoke(
        "--word", "warm", "--corpus", corpus, "--measure", "--json", "--model", pristine_model, "--to", "positive"
    )
    assert status == 0
    assert "mostly chance" in said
    assert json.loads(out).keys() == {"word", "with", "without", "sentences", "match", "precision", "strength"}
