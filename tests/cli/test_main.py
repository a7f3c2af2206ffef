"""A command that has written everything ends the process at once; whatever failed ends it in order."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

# Tells when the interpreter ends in order.
SCRIPT = """
import atexit, sys
from arae_transfer.cli.main import main
atexit.register(lambda: print("in order", file=sys.stderr))
sys.argv = ["arae", *sys.argv[1:]]
main()
"""


def run(*arguments: str, lines: str = "the food was cold\n") -> tuple[int, str, str]:
    """Return the exit code, the answers, and what was said."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments],
        input=lines,
        capture_output=True,
        text=True,
        env=os.environ,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_transfer_ends_at_once_with_everything_written(pristine_model: Path, tmp_path: Path) -> None:
    asked = ["transfer", "--model", str(pristine_model), "--to", "positive"]
    status, answers, said = run(*asked, "--verbose")
    assert (status, answers) == (0, "the food was cold\n")
    assert "1 line" in said
    assert "in order" not in said
    many = "the food was cold\n" * 5000
    assert run(*asked, "-o", str(tmp_path / "answers"), lines=many)[0] == 0
    assert (tmp_path / "answers").read_text() == many
    assert run(*asked, lines=many)[1] == many


@pytest.mark.parametrize(
    ("arguments", "status"),
    [(["--version"], 0), (["transfer", "--to", "nowhere"], 1), (["transfer", "--model", "nowhere", "--to", "x"], 1)],
    ids=["another command", "a wrong class", "no model"],
)
def test_all_else_ends_in_order(pristine_model: Path, arguments: list[str], status: int) -> None:
    if "--to" in arguments and "--model" not in arguments:
        arguments = [*arguments, "--model", str(pristine_model)]
    found, _, said = run(*arguments)
    assert (found, "in order" in said) == (status, True)
