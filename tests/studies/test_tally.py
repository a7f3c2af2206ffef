"""Ratings back: what counts, what does not and is named, and what the sums are."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from arae_transfer.studies.statistics import wilson_interval
from arae_transfer.studies.study import Study, StudyLayout
from tests.studies.desk import SYSTEMS, invoke, make, rate, write


def tally(folder: Path, *options: object) -> dict[str, Any]:
    status, output, messages = invoke("tally", folder / "study", "--json", "--quiet", *options)
    assert (status, messages) == (0, "")
    return dict(json.loads(output))


def constant(values: str) -> Callable[[str, str], str]:
    return lambda item, letter: values


def writers(study: Study, item: str, letter: str) -> tuple[str, ...]:
    return study.items[item].candidates[letter].systems


@pytest.fixture
def study(folder: Path) -> Study:
    return make(folder, "--items", 10)


@pytest.fixture
def rated(study: Study, folder: Path) -> Study:
    """Rate: `first` is accepted to good alone, `second` always, `third` never, the copy is useless."""

    def values(item: str, letter: str) -> str:
        systems = writers(study, item, letter)
        overall = "1" if systems == ("copy",) else "3"
        if "second" in systems or ("first" in systems and study.items[item].part.target == "good"):
            overall = "4.5"
        return f"2\t3\t3.5\t{overall}"

    rate(study, StudyLayout(folder / "study").ratings / "ann.tsv", values)
    return study


def test_a_candidate_counts_for_each_system_that_wrote_it(rated: Study, folder: Path) -> None:
    data = tally(folder)
    together = data["sections"]["together"]
    assert data["rated"] == data["candidates"] == rated.candidates
    assert data["missing"] == data["problems"] == data["replaced"] == []
    assert list(together["systems"]) == ["second", "first", "third", "copy"]
    for measures in together["systems"].values():
        assert (measures["items"], measures["style"], measures["content"], measures["fluency"]) == (40, 2, 3, 3.5)
    assert together["systems"]["second"]["accepted"] == 1
    assert together["systems"]["copy"]["overall"] == 1
    shared = sum(
        "third" in each.systems and len(each.systems) > 1
        for item in rated.items.values()
        for each in item.candidates.values()
    )
    third = together["systems"]["third"]
    assert 0 < shared < 40
    assert third["accepted"] == shared / 40
    assert third["accepted_interval"] == list(wilson_interval(shared, 40))


def test_sections_are_classes_groups_and_parts(rated: Study, folder: Path) -> None:
    sections = tally(folder)["sections"]
    parts = ["films/bad", "films/good", "food/bad", "food/good"]
    assert list(sections) == ["together", "to bad", "to good", "films", "food", *parts]
    assert [sections[name]["items"] for name in sections] == [40, 20, 20, 20, 20, 10, 10, 10, 10]
    assert sections["to good"]["systems"]["first"]["accepted"] == 1
    assert sections["to bad"]["systems"]["first"]["accepted"] < 1


def test_systems_are_tested_against_the_first_or_a_wished_one(rated: Study, folder: Path) -> None:
    against = tally(folder)["sections"]["together"]["against_base"]
    assert set(against) == {"second", "third", "copy"}
    assert against["copy"] == {"wins": 40, "losses": 0, "ties": 0, "p_value": pytest.approx(2 / 2**40)}
    assert against["second"]["wins"] == 0
    assert against["second"]["losses"] + against["second"]["ties"] == 40
    other = tally(folder, "--base", "second")["sections"]["together"]["against_base"]
    assert other["first"]["wins"] == against["second"]["losses"]
    status, _, messages = invoke("tally", folder / "study", "--base", "fourth")
    assert status == 1
    assert "the study has no system 'fourth'" in messages


def test_the_text_says_what_the_data_say(rated: Study, folder: Path) -> None:
    status, output, messages = invoke("tally", folder / "study")
    assert (status, messages) == (0, "")
    assert "100 (91–100)" in output
    assert "first against" in output
    assert "<0.001" in output
    assert all(line == line.rstrip() for line in output.splitlines())


def test_what_is_not_rated_is_counted_and_named(study: Study, folder: Path) -> None:
    left_out = list(study.candidate_keys())[:2]
    values = {left_out[0]: "-\t-\t-\t-", left_out[1]: ""}
    rate(study, folder / "study/ratings/a.tsv", lambda item, letter: values.get((item, letter), "3\t3\t3\t3"))
    data = tally(folder)
    names = [" ".join(key) for key in left_out]
    assert data["missing"] == names
    assert data["problems"] == []
    _, _, messages = invoke("tally", folder / "study")
    assert f"2 of {study.candidates} candidates not rated: {', '.join(names)}" in messages


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ("3\t3\t3", "has 3 ratings, not 4"),
        ("3\t3\t3\t3\t3", "has 5 ratings, not 4"),
        ("3\t-\t3\t3", "has for content no rating"),
        ("3\t3\t6\t3", "has for fluency '6'"),
        ("3\t3\t3\t0", "has for overall '0'"),
        ("3\t3\t3\t5.5", "'5.5', which is not one of 1, 1.5, ... 5"),
        ("3,5\t3\t3\t3", "has for style '3,5'"),
        ("3\t3\t3\tgood", "has for overall 'good'"),
        ("3\t3\t3\tnan", "has for overall 'nan'"),
    ],
)
def test_malformed_ratings_are_named_with_their_lines(values: str, reason: str, study: Study, folder: Path) -> None:
    place = folder / "study/ratings/a.tsv"
    last = list(study.candidate_keys())[-1]
    rate(study, place, lambda item, letter: values if (item, letter) == last else "3\t3\t3\t3")
    data = tally(folder)
    line = len(place.read_text("utf-8").splitlines())
    assert len(data["problems"]) == 1
    assert data["problems"][0].startswith(f"{place}, line {line}: {last[0]} {last[1]} has")
    assert reason in data["problems"][0]
    assert data["missing"] == [" ".join(last)]
    _, _, messages = invoke("tally", folder / "study")
    assert data["problems"][0] in messages


@pytest.mark.parametrize("row", ["999\tA\t3\t3\t3\t3", "01\tZZ\t3\t3\t3\t3"])
def test_a_rating_of_an_unknown_candidate_is_an_error(row: str, study: Study, folder: Path) -> None:
    write(folder / "study/ratings/a.tsv", ["# a remark", row])
    status, output, messages = invoke("tally", folder / "study")
    assert (status, output) == (1, "")
    assert f"a.tsv, line 2: the study has no candidate {row[:-8].replace(chr(9), ' ')}" in messages


def test_ratings_of_another_study_are_refused(study: Study, folder: Path) -> None:
    rate(study, folder / "a.tsv", lambda item, letter: "3\t3\t3\t3", header="# study: 0123abcd")
    status, _, messages = invoke("tally", folder / "study", folder / "a.tsv")
    assert status == 1
    assert "belongs to the study 0123abcd" in messages


def test_a_later_rating_of_the_same_reader_replaces_the_earlier_one(study: Study, folder: Path) -> None:
    for name, saved, overall in (("z.tsv", "2026-01-01T10", "1"), ("a.tsv", "2026-01-01T11", "5")):
        header = f"# reader: ann\n# saved: {saved}"
        rate(study, folder / "study/ratings" / name, constant(f"3\t3\t3\t{overall}"), header=header)
    data = tally(folder)
    assert list(data["readers"]) == ["ann"]
    assert data["sections"]["together"]["systems"]["first"]["overall"] == 5
    assert len(data["replaced"]) == study.candidates
    assert "z.tsv, line 3:" in data["replaced"][0]
    assert data["agreement"] is None


def test_a_second_download_is_not_a_second_reader(study: Study, folder: Path) -> None:
    for name in ("ratings-1.tsv", "ratings-1 (1).tsv"):
        rate(study, folder / "study/ratings" / name, constant("3\t3\t3\t3"), header="# reader: ")
    assert list(tally(folder)["readers"]) == ["ratings-1"]


def _shifted(values: dict[tuple[str, str], float], shift: float, item: str, letter: str) -> str:
    return f"3\t{values[item, letter]:g}\t3\t{values[item, letter] - shift:g}"


def test_readers_of_the_same_candidates_are_compared(study: Study, folder: Path) -> None:
    for name, shift in (("ann", 0.0), ("bob", 1.0)):
        values = {key: 2.0 + 2.0 * (index % 2) for index, key in enumerate(study.candidate_keys())}
        rate(
            study,
            folder / f"{name}.tsv",
            partial(_shifted, values, shift),
        )
    data = tally(folder, folder / "ann.tsv", folder / "bob.tsv")
    assert {name: each["candidates"] for name, each in data["readers"].items()} == dict.fromkeys(
        ("ann", "bob"), study.candidates
    )
    agreement = data["agreement"]
    assert agreement["candidates"] == study.candidates
    assert agreement["scales"]["content"] == {"alpha": 1, "within_1": 1}
    assert agreement["scales"]["style"] == {"alpha": None, "within_1": 1}
    assert 0 < agreement["scales"]["overall"]["alpha"] < 1
    assert 0.4 < agreement["same_verdict"] < 0.6  # 4 and 3 part at the bar, 2 and 1 do not
    # The mean counts: a 4 and a 3 are not accepted.
    assert data["sections"]["together"]["systems"]["first"]["accepted"] == 0
    _, output, _ = invoke("tally", folder / "study", folder / "ann.tsv", folder / "bob.tsv")
    assert "Krippendorff's alpha" in output


def test_scores_are_correlated_with_the_ratings(rated: Study, folder: Path) -> None:
    by_order, by_name = [], ["item\tletter\tscore"]
    for item, letter in rated.candidate_keys():
        score = {"copy": 0.0, "second": 9.0}.get(writers(rated, item, letter)[0], 3.0)
        score = 9.0 if "second" in writers(rated, item, letter) else score
        by_order.append(str(score))
        by_name.append(f"{item}\t{letter}\t{-score}")
    ordered, named = write(folder / "a.txt", by_order), write(folder / "b.txt", by_name)
    found = tally(folder, "--scores", f"good={ordered}", "--scores", f"bad={named}")["scores"]
    good, bad = found["good"], found["bad"]
    assert good["candidates"] == rated.candidates
    assert good["spearman"]["overall"] == pytest.approx(-bad["spearman"]["overall"])
    assert good["spearman"]["overall"] > 0.8
    assert good["spearman"]["style"] is None  # all are 2
    low, high = good["overall_interval"]
    assert low <= good["spearman"]["overall"] <= high
    assert good["pairs"]["wrong"] == bad["pairs"]["right"] == 0
    assert good["pair_accuracy"] == pytest.approx(1 - bad["pair_accuracy"])
    _, output, _ = invoke("tally", folder / "study", "--scores", f"good={ordered}")
    assert "Spearman's rho" in output


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["1", "2"], "has 2 scores, the study has"),
        (["999 A 0.5"], "line 1: '999 A 0.5' is not the score of a candidate"),
        (["01 A 0.5", "01 A 0.6"], "line 2: '01 A 0.6'"),
        (["01 A"], "line 1: '01 A'"),
        (["01 A high"], "line 1: 'high' is not a number"),
        (["01 A inf"], "line 1: 'inf' is not a number"),
    ],
)
def test_scores_that_do_not_fit_are_errors(lines: list[str], message: str, rated: Study, folder: Path) -> None:
    path = write(folder / "scores.txt", lines)
    status, _, messages = invoke("tally", folder / "study", "--scores", f"mine={path}")
    assert status == 1
    assert message in messages


def test_the_table_joins_ratings_and_systems(rated: Study, folder: Path) -> None:
    tally(folder, "--table", folder / "rated.tsv")
    head, *rows = (line.split("\t") for line in (folder / "rated.tsv").read_text("utf-8").splitlines())
    assert head == [
        "group",
        "to",
        "source",
        "candidate",
        "systems",
        "style",
        "content",
        "fluency",
        "overall",
        "readers",
    ]
    assert len(rows) == rated.candidates
    for group, to, source, candidate, systems, *_, overall, readers in rows:
        assert source.startswith(f"{group} sentence")
        assert (candidate == source) == (systems == "copy")
        assert (systems == "copy") == (overall == "1")
        assert readers == "1"
        assert to in ("bad", "good")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: text.replace("arae-study", "other"), "is not the key of a study"),
        (lambda text: text.replace('"format_version": 1', '"format_version": 2'), "has format version 2"),
        (lambda text: text.replace("first", "fifth"), "was changed after the study was made"),
        (lambda text: text[: len(text) // 2], "is not valid JSON"),
        (lambda text: text.replace('"items"', '"itens"'), "is damaged"),
    ],
)
def test_a_damaged_key_is_said(damage: Any, message: str, rated: Study, folder: Path) -> None:
    key = StudyLayout(folder / "study").key
    key.write_text(damage(key.read_text("utf-8")), "utf-8")
    status, _, messages = invoke("tally", folder / "study")
    assert status == 1
    assert message in messages


def test_without_ratings_there_is_nothing_to_tally(study: Study, folder: Path) -> None:
    status, _, messages = invoke("tally", folder / "study")
    assert status == 1
    assert "there are no ratings in" in messages
    # The empty tables that came with the sheets have none either.
    status, _, messages = invoke("tally", folder / "study", StudyLayout(folder / "study").form(1))
    assert status == 1
    assert "no candidate has a rating" in messages
    status, _, messages = invoke("tally", folder)
    assert status == 1
    assert "there is no study in" in messages


def test_the_systems_of_the_fixture_are_known() -> None:
    assert SYSTEMS == ("first", "second", "third")
