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


def _draw(data: dict[str, Any]) -> str:
    console = Console(file=io.StringIO(), width=300)
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


def test_marks_stand_where_a_system_differs(data: dict[str, Any]) -> None:
    (row,) = [line for line in _draw(data).split("together")[1].splitlines() if "linear judge" in line]
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
