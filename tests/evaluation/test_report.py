"""Reports: everything in the data, the essentials in the tables, nothing eaten by markup."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from typing import Any

import pytest
from rich.console import Console

from arae_transfer.evaluation.evaluate import Evaluation
from arae_transfer.evaluation.report import footnotes, make_tables, render_markdown, signature_line, to_data


@pytest.fixture
def data(evaluation: Evaluation) -> dict[str, Any]:
    """Return the evaluation as it comes back from a file."""
    copied: dict[str, Any] = json.loads(json.dumps(to_data(evaluation)))
    return copied


def _draw(data: dict[str, Any], width: int = 300) -> str:
    console = Console(file=io.StringIO(), width=width)
    for table in make_tables(data):
        console.print(table)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_data_holds_values_and_intervals(data: dict[str, Any], evaluation: Evaluation) -> None:
    assert list(data["directions"]) == ["negative-to-positive", "positive-to-negative"]
    forth = data["directions"]["negative-to-positive"]
    assert (forth["source"], forth["target"], forth["lines"]) == ("negative", "positive", 60)
    assert forth["systems"]["copies"]["self_bleu"] == {"value": 100.0, "low": 100.0, "high": 100.0}
    assert set(forth["baselines"]) == {"copied source", "human", "real text"}
    assert list(forth["systems"]["copies"]["distinct"]) == ["value"]
    assert data["together"]["p_values"] == evaluation.together.p_values
    assert data["warnings"] == evaluation.warnings
    assert data["signature"] == evaluation.signature


def test_tables_show_every_direction_and_all_together(data: dict[str, Any]) -> None:
    drawn = _draw(data)
    for title in ("negative-to-positive (60 lines)", "positive-to-negative (60 lines)", "together (120 lines)"):
        assert title in drawn
    for text in ("copies", "real", "copied source", "human", "real text", "100.0 (100.0–100.0)"):
        assert text in drawn
    assert "blank lines" not in drawn
    del data["directions"]["positive-to-negative"]
    assert "together" not in _draw(data)


def _score(value: float) -> dict[str, float]:
    return {"value": value, "low": value - 1, "high": value + 1}


@pytest.fixture
def matrix() -> dict[str, Any]:
    """Return a report of four classes, in which each number tells its direction: 12 is from the first to the second."""
    names = ("asv", "bbe", "kjv", "ylt")
    directions: dict[str, Any] = {}
    for row, source in enumerate(names, 1):
        for column, target in enumerate(names, 1):
            if source != target:
                number = 10.0 * row + column
                own = {
                    "accuracy_linear": _score(number - 1),
                    "accuracy_neural": _score(number + 1),
                    "self_bleu": _score(number),
                    "copies": _score(number / 10),
                    "perplexity": _score(1000 + number),
                }
                if target == "kjv":
                    own["reference_bleu"] = _score(number)
                copy = {"accuracy_linear": _score(1), "accuracy_neural": _score(1), "reference_bleu": _score(99)}
                real = {"accuracy_linear": _score(90), "accuracy_neural": _score(92), "perplexity": _score(column)}
                directions[f"{source}-to-{target}"] = {
                    "source": source,
                    "target": target,
                    "lines": 5,
                    "systems": {"first": own, "second": own},
                    "baselines": {"copied source": copy, "real text": real},
                    "p_values": {"second": {"accuracy_linear": 0.01, "accuracy_neural": 0.2, "self_bleu": 0.01}},
                }
    systems = dict.fromkeys(("first", "second"), directions["asv-to-bbe"]["systems"]["first"])
    together = {"lines": 60, "systems": systems, "baselines": {}, "p_values": {"second": {}}}
    return {"signature": {"arae": "0"}, "warnings": [], "directions": directions, "together": together}


def _rows(drawn: str, title: str) -> list[list[str]]:
    return [line.split() for line in drawn.split(title)[1].splitlines()[1:6]]


def test_many_directions_are_a_table_of_classes_by_classes(matrix: dict[str, Any]) -> None:
    drawn = _draw(matrix, 80)
    assert max(map(len, drawn.splitlines())) <= 80
    first, second = drawn.split("first: from ↓ to →")[1].split("second: from ↓ to →")
    assert _rows(first, "style: mean of the classifiers %") == [
        ["asv", "–", "12.0", "13.0", "14.0"],
        ["bbe", "21.0", "–", "23.0", "24.0"],
        ["kjv", "31.0", "32.0", "–", "34.0"],
        ["ylt", "41.0", "42.0", "43.0", "–"],
        ["real", "text", "91.0", "91.0", "91.0", "91.0"],
    ]
    assert _rows(first, "fluency: perplexity")[4] == ["real", "text", "1.0", "2.0", "3.0", "4.0"]
    assert _rows(first, "BLEU to references")[0] == ["asv", "–", "–", "13.0", "–"]
    assert _rows(first, "of the copied source")[0] == ["asv", "–", "99.0", "99.0", "99.0"]
    # A difference of style is marked where every judge sees it.
    assert _rows(second, "style: mean of the classifiers %")[0][2:] == ["12.0", "13.0", "14.0"]
    assert _rows(second, "BLEU to source")[0][2:] == ["12.0*", "13.0*", "14.0*"]
    assert "asv-to-bbe (" not in drawn
    assert "together (60 lines)" in drawn
    assert any("Rows: source class" in note for note in footnotes(matrix))


def test_the_table_of_classes_is_regular_markdown(matrix: dict[str, Any]) -> None:
    text = render_markdown(matrix)
    part = text.split("**second: from ↓")[0]
    assert {line.count("|") for line in part.splitlines() if line.startswith("|")} == {6}
    assert "| **exact copies %** |  |  |  |  |" in part


def test_what_no_direction_has_is_left_out_of_the_table_of_classes(matrix: dict[str, Any]) -> None:
    del matrix["directions"]["ylt-to-kjv"]
    for section in matrix["directions"].values():
        section["systems"]["first"].pop("reference_bleu", None)
        section["baselines"]["copied source"].pop("reference_bleu")
    drawn = _draw(matrix)
    assert _rows(drawn, "BLEU to source")[3] == ["ylt", "41.0", "42.0", "–", "–"]
    assert "BLEU to references" not in drawn
    assert "copied source" not in drawn


def test_marks_stand_where_a_system_differs(data: dict[str, Any]) -> None:
    (row,) = [line for line in _draw(data).split("together")[1].splitlines() if "linear classifier" in line]
    assert row.count("*") == 1
    assert "* differs from copies" in "\n".join(footnotes(data))
    for section in (data["together"], *data["directions"].values()):
        section["p_values"] = {}
    assert "*" not in _draw(data) + "".join(footnotes(data))


def test_blank_rewrites_are_shown(data: dict[str, Any]) -> None:
    data["together"]["systems"]["real"]["blank"] = {"value": 2.5, "low": 1.0, "high": 4.0}
    assert "2.5 (1.0–4.0)" in _draw(data)


def test_names_are_text_and_no_markup(data: dict[str, Any]) -> None:
    data["directions"] = {"[bold]a[/]-to-b|c": data["directions"]["negative-to-positive"]}
    data["directions"]["[bold]a[/]-to-b|c"]["systems"] = {"[red]x|y": data["together"]["systems"]["copies"]}
    drawn = _draw(data)
    assert "[bold]a[/]-to-b|c (60 lines)" in drawn
    assert "[red]x|y" in drawn
    assert r"[red]x\|y" in render_markdown(data)


def test_markdown_tables_are_regular(data: dict[str, Any]) -> None:
    text = render_markdown(data)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in rows}) == 1
    assert text.count("| ---: |") > 0
    assert "**together (120 lines)**" in text
    assert "Warning: the judges are made up." in text


def test_the_signature_is_one_line(data: dict[str, Any]) -> None:
    line = signature_line(data)
    assert "\n" not in line
    assert "sha256:" in line
    assert f"Signature: {line}" == footnotes(data)[-1]


def test_reading_a_report_needs_nothing_heavy() -> None:
    program = (
        "import sys, arae_transfer.evaluation.report; "
        "print([name for name in ('torch', 'sklearn', 'sacrebleu', 'numpy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
