"""Every console block of the README runs, and prints what it says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# Training takes minutes; here it shows that the command works, so it is cut short.
SHORTER = " --set training.sentences=4000 --set cycle.start=0.5 --set validation.sentences=20"


def blocks(text: str) -> list[list[tuple[str, str]]]:
    """Return each console block as (command, expected output) pairs."""
    found = []
    for block in re.findall(r"^```console\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL):
        pairs: list[tuple[str, str]] = []
        for line in block.splitlines():
            if line.startswith("$ "):
                pairs.append((line[2:], ""))
            else:
                command, expected = pairs[-1]
                pairs[-1] = (command, expected + line + "\n")
        found.append(pairs)
    return found


README = (ROOT / "README.md").read_text("utf-8")
BLOCKS = blocks(README)


def test_the_readme_has_blocks() -> None:
    commands = [command for block in BLOCKS for command, _ in block]
    assert sum("arae transfer" in command for command in commands) >= 4
    assert any("arae train quickstart" in command for command in commands)
    assert any("arae export" in command for command in commands)


@pytest.mark.parametrize("block", BLOCKS, ids=[block[0][0][:40] for block in BLOCKS])
def test_block_runs_and_prints_what_it_says(block: list[tuple[str, str]], tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    for command, expected in block:
        if command.startswith("pip install"):
            continue  # the environment that runs this test was made by it
        ran = command.replace("arae train quickstart", "arae train quickstart" + SHORTER)
        result = subprocess.run(
            ["bash", "-c", ran], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False
        )
        assert result.returncode == 0, result.stderr
        if expected:
            assert result.stdout == expected
