"""Making a study: what is drawn, what readers see, and what they must not see."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from arae_transfer.studies.sheets import empty_ratings, page, text_sheet
from arae_transfer.studies.study import Study, StudyLayout, letter
from tests.studies.desk import LINES, SYSTEMS, invoke, make, source_options, write


def files_of(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_each_part_gives_as_many_different_sources(folder: Path) -> None:
    study = make(folder, "--items", 7)
    assert Counter(item.part.name for item in study.items.values()) == dict.fromkeys(
        ("food/bad", "food/good", "films/bad", "films/good"), 7
    )
    assert len({item.source for item in study.items.values()}) == 28
    for item in study.items.values():
        lines = (folder / f"{item.part.name.replace('/', '.')}.txt").read_text("utf-8").splitlines()
        assert item.source == lines[item.line - 1]
        assert item.part.target in ("bad", "good")
        assert item.part.group in ("food", "films")


def test_equal_texts_become_one_candidate(folder: Path) -> None:
    study = make(folder, "--items", LINES)
    for item in study.items.values():
        texts = [each.text for each in item.candidates.values()]
        assert len(texts) == len(set(texts)) == (2 if (item.line - 1) % 3 == 0 else 4)
        assert sorted(name for each in item.candidates.values() for name in each.systems) == sorted([*SYSTEMS, "copy"])
        assert list(item.candidates) == [letter(number) for number in range(len(texts))]
        for each in item.candidates.values():
            assert each.systems == ("copy",) if each.text == item.source else "copy" not in each.systems


def test_readers_see_no_system_and_no_group(folder: Path) -> None:
    study = make(folder, "--items", LINES, "--sheets", 3)
    for name, content in files_of(StudyLayout(folder / "study").sheets).items():
        text = content.decode().replace("copy keeps", "").replace("a copy", "")
        for system in ("copy", "system"):
            assert system not in text.lower() or system == "system", name
        for path in ("food/", "films/", str(folder)):
            assert path not in text, name
    table = StudyLayout(folder / "study").candidates.read_text("utf-8").splitlines()
    assert len(table) == study.candidates + 1
    assert all(len(row.split("\t")) == 5 for row in table)


def test_the_place_of_a_candidate_tells_nothing_of_its_system(folder: Path) -> None:
    study = make(folder, "--items", LINES, "--no-copy")
    places = {system: Counter[str]() for system in SYSTEMS}
    for item in study.items.values():
        for name, each in item.candidates.items():
            if len(each.systems) == 1:
                places[each.systems[0]][name] += 1
    # 80 sources have three candidates: each system should stand 27 times, give or take 4, at each place.
    for counts in places.values():
        assert sum(counts.values()) == 80
        assert all(14 <= counts[name] <= 40 for name in "ABC")
    key = json.loads(StudyLayout(folder / "study").key.read_bytes())
    for item_data in key["items"].values():
        assert list(item_data["candidates"]) == sorted(item_data["candidates"])
        assert all(each["systems"] == sorted(each["systems"]) for each in item_data["candidates"].values())


def test_the_same_seed_makes_the_same_study(folder: Path) -> None:
    make(folder, "--items", 9, "--sheets", 2)
    first = files_of(folder / "study")
    (folder / "study").rename(folder / "other")
    make(folder, "--items", 9, "--sheets", 2)
    assert files_of(folder / "study") == first
    (folder / "study").rename(folder / "again")
    other = make(folder, "--items", 9, "--sheets", 2, "--seed", 2)
    assert other.identity != Study.read(folder / "other").identity


def test_another_system_changes_no_source(folder: Path) -> None:
    drawn = {item.source for item in make(folder, "--items", 5).items.values()}
    status, _, messages = invoke("make", folder / "more", folder / "first", *source_options(folder), "--items", 5)
    assert status == 0, messages
    assert {item.source for item in Study.read(folder / "more").items.values()} == drawn


def test_sources_are_dealt_out_and_some_are_shared(folder: Path) -> None:
    study = make(folder, "--items", 5, "--sheets", 3, "--shared", 2)
    sheets = [set(study.sheet(number)) for number in (1, 2, 3)]
    assert len(sheets[0] & sheets[1] & sheets[2]) == 2
    assert set().union(*sheets) == set(study.items)
    assert [len(sheet) for sheet in sheets] == [8, 8, 8]
    for number in (1, 2, 3):
        names = [line.split()[1] for line in text_sheet(study, number).splitlines() if line.startswith("## ")]
        assert names == list(study.sheet(number))
        rows = empty_ratings(study, number).splitlines()[4:]
        assert {row.split("\t")[0] for row in rows} == set(names)


def test_blank_and_repeated_sources_are_not_drawn(tmp_path: Path) -> None:
    sources = write(tmp_path / "sources.txt", ["one", "", "one ", "  ", "two"])
    rewrites = write(tmp_path / "mine.txt", ["1", "2", "3", "4", ""])
    status, _, messages = invoke("make", tmp_path / "study", rewrites, "--sources", f"good={sources}")
    assert status == 0
    assert "has only 2 different sentences, fewer than 40" in messages
    study = Study.read(tmp_path / "study")
    assert {(item.source, item.line) for item in study.items.values()} == {("one", 1), ("two", 5)}
    assert "(no text)" in text_sheet(study, 1)


def test_a_model_rewrites_only_what_was_drawn(
    pristine_model: Path, expected_rewrite: Callable[[str, str], str], tmp_path: Path
) -> None:
    lines = ["the food was cold", "rude waiter", "great place", "we left hungry"]
    sources = write(tmp_path / "sources.txt", lines)
    options = ["--sources", f"negative={sources}", "--items", 2, "--device", "cpu", "--threads", 1]
    status, _, messages = invoke("make", tmp_path / "study", f"ours={pristine_model}", *options)
    assert status == 0, messages
    study = Study.read(tmp_path / "study")
    assert study.systems == ("ours", "copy")
    for item in study.items.values():
        texts = {system: each.text for each in item.candidates.values() for system in each.systems}
        assert texts == {"ours": " ".join(expected_rewrite(item.source, "negative").split()), "copy": item.source}


def test_a_system_may_have_rewrites_of_some_parts_only(folder: Path) -> None:
    one = f"extra@food/bad={folder}/third/food/bad.txt"
    status, _, messages = invoke("make", folder / "study", folder / "first", one, *source_options(folder))
    assert status == 0, messages
    for item in Study.read(folder / "study").items.values():
        systems = {name for each in item.candidates.values() for name in each.systems}
        assert ("extra" in systems) == (item.part.name == "food/bad")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["first"], "--sources is missing"),
        (["first", "--sources", "food.bad.txt"], "does not name a class and a file"),
        (["first", "--sources", "/bad=food.bad.txt"], "does not name a class and a file"),
        (["first", "--sources", "bad=nothing.txt"], "cannot read"),
        (["first", "--sources", "bad=food.bad.txt"], "has no rewrites of these sources"),
        (["x=first/food/bad.txt", "--sources", "a=food.bad.txt", "--sources", "b=food.bad.txt"], "is one file"),
        (["x@c=first/food/bad.txt", "--sources", "a=food.bad.txt"], "there is no part 'c'"),
        (["first", "first", "--sources", "food/bad=food.bad.txt"], "the system first is given twice"),
        (["copy=first", "--sources", "food/bad=food.bad.txt"], "reserved for the copied source"),
        (["a,b=first", "--sources", "food/bad=food.bad.txt"], "does not name a system"),
        (["nothing-of-that-name", "--sources", "food/bad=food.bad.txt"], "there is no model named"),
        (["first", "--sources", "food/bad=food.bad.txt", "--sheets", "41"], "too few for 41 sheets"),
        (["short.txt", "--sources", "bad=food.bad.txt"], "has 1 lines, the sources"),
    ],
)
def test_what_cannot_be_made_is_said(
    arguments: list[str], message: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    write(folder / "short.txt", ["one"])
    status, output, messages = invoke("make", "study", *arguments)
    assert (status, output) == (1, "")
    assert message in messages
    assert messages.count("\n") <= 2
    assert not (folder / "study").exists()


def test_a_folder_in_use_is_left_alone(folder: Path) -> None:
    make(folder)
    before = files_of(folder / "study")
    status, _, messages = invoke("make", folder / "study", folder / "first", *source_options(folder))
    assert status == 1
    assert "is not empty" in messages
    assert files_of(folder / "study") == before
    assert not list(folder.glob(".*"))


def test_text_cannot_leave_its_place_in_the_page(tmp_path: Path) -> None:
    evil = '</script><script>document.title="taken"</script><b>bold</b> \u2028 @POLICY@ @DATA@'
    sources = write(tmp_path / "sources.txt", ["one", "two"])
    rewrites = write(tmp_path / "mine.txt", [evil, evil])
    assert invoke("make", tmp_path / "study", rewrites, "--sources", f"good={sources}")[0] == 0
    text = page(Study.read(tmp_path / "study"), 1)
    assert text.count("<script") == text.count("</script>") == 2
    assert "http:" not in text
    assert "https:" not in text
    assert "default-src 'none'" in text


def test_letters_go_on_after_z() -> None:
    assert [letter(number) for number in (0, 25, 26, 51, 52, 701, 702)] == ["A", "Z", "AA", "AZ", "BA", "ZZ", "AAA"]
