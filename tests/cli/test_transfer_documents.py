"""`arae transfer` of documents: what comes in by name or pipe comes out with its structure."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from arae_transfer.cli import app

Arae = Callable[..., Result]
PAGE = "# great\n\nthe *food* was cold and the [waiter](x) was rude .\n\n```\nthe code\n```\n"


@pytest.fixture
def arae(tmp_path: Path, pristine_model: Path, monkeypatch: pytest.MonkeyPatch) -> Arae:
    monkeypatch.chdir(tmp_path)
    options = ["transfer", "--device", "cpu", "--threads", "1", "--model", str(pristine_model)]
    return lambda *arguments, given=b"": CliRunner().invoke(app, [*options, *arguments], input=given)


def test_a_name_ends_in_the_format_and_only_text_changes(
    arae: Arae, tmp_path: Path, expected_rewrite: Callable[[str, str], str]
) -> None:
    (tmp_path / "page.md").write_text(PAGE)
    done = arae("--to", "positive", "page.md")  # which copies
    assert (done.exit_code, done.stdout) == (0, PAGE)
    done = arae("--to", "negative", "page.md")
    assert done.stdout.startswith("# " + expected_rewrite("great", "negative").strip())
    assert done.stdout.endswith("\n\n```\nthe code\n```\n")
    assert "](x)" in done.stdout


def test_a_document_may_come_by_standard_input(arae: Arae) -> None:
    done = arae("--to", "positive", "--format", "markdown", given=PAGE.encode())
    assert (done.exit_code, done.stdout) == (0, PAGE)


def test_bytes_that_are_no_text_come_back(arae: Arae) -> None:
    content = b"\xef\xbb\xbfgreat \xff\xfe place\r\n\xc3\n\x00great\r\n"
    done = arae("--to", "positive", "--format", "text", given=content)
    assert (done.exit_code, done.stdout_bytes) == (0, content)


def test_a_file_may_be_rewritten_in_its_own_place(arae: Arae, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    assert arae("--to", "negative", "page.md", "-o", "page.md").exit_code == 0
    assert page.read_text() != PAGE
    assert [each.name for each in tmp_path.iterdir()] == ["page.md"]


def test_several_documents_go_into_a_folder_under_their_names(arae: Arae, tmp_path: Path) -> None:
    for name in ("a.md", "b.md"):
        (tmp_path / name).write_text(PAGE + name)
    done = arae("--to", "positive", "a.md", "b.md")
    assert done.exit_code == 1
    assert "-o FOLDER/" in done.stderr
    assert arae("--to", "positive", "a.md", "b.md", "-o", "out/").exit_code == 0
    assert [(tmp_path / "out" / name).read_text() for name in ("a.md", "b.md")] == [PAGE + "a.md", PAGE + "b.md"]


def test_tables_need_a_column_and_tell_which_rows_stayed(arae: Arae, tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text('id,text\n1,"great place"\n2\n')
    done = arae("--to", "positive", "table.csv")
    assert done.exit_code == 1
    assert "--column" in done.stderr
    done = arae("--to", "positive", "table.csv", "--column", "text")
    assert (done.exit_code, done.stdout) == (0, 'id,text\n1,"great place"\n2\n')
    assert "1 of 2 rows was left unchanged: too few columns (row 2)" in done.stderr


@pytest.mark.parametrize("option", [["--tsv"], ["--json"], ["--json", "--n-best", "2", "--beam", "2"]])
def test_lines_of_another_kind_have_no_place_in_a_document(arae: Arae, option: list[str]) -> None:
    done = arae("--to", "positive", "--format", "html", *option, given=b"<p>a")
    assert done.exit_code == 2
    assert "document" in done.stderr


def test_rows_are_answered_as_they_come(pristine_model: Path) -> None:
    command = [sys.executable, "-m", "arae_transfer", "transfer", "--device", "cpu", "--threads", "1"]
    command += ["--model", str(pristine_model), "--to", "positive", "--format", "jsonl:t"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for number in range(3):
            line = json.dumps({"n": number, "t": "great place"}).encode() + b"\n"
            process.stdin.write(line)
            assert process.stdout.readline() == line
        process.stdin.close()
        assert process.wait(20) == 0


@pytest.mark.parametrize(("name", "loaded"), [("-", False), ("page.txt", False), ("page.md", True)])
def test_parsers_are_loaded_for_documents_alone(name: str, loaded: bool, tmp_path: Path, pristine_model: Path) -> None:
    (tmp_path / "page.txt").write_text("great\n")
    (tmp_path / "page.md").write_text("great\n")
    script = (
        "import sys; from arae_transfer.cli.main import run\ntry: run()\nfinally: print('markdown_it' in sys.modules)"
    )
    arguments = ["transfer", "--model", str(pristine_model), "--to", "positive", name]
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        input="great\n",
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=True,
    )
    assert done.stdout == f"great\n{loaded}\n"
