"""The wheel carries all that an installed `arae` needs to rewrite: the default model, the recipes, the type marker."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    # Without isolation the build needs no network: hatchling is one of the development requirements.
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", folder, ROOT]
    subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True)
    (found,) = folder.glob("*.whl")
    return found


def test_the_wheel_is_small_and_complete(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert "arae_transfer/py.typed" in names
    assert "arae_transfer/studies/page.html" in names
    assert "arae_transfer/exported/reviews-sentiment/config.json" in names
    assert "arae_transfer/recipes/quickstart/recipe.toml" in names
    assert not [name for name in names if name.startswith(("tests/", "runs/"))]
    model = [info for info in zipfile.ZipFile(wheel).infolist() if "/exported/" in info.filename]
    assert sum(info.file_size for info in model) <= 30e6


def test_an_unpacked_wheel_rewrites_with_no_path_and_no_flag(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ARAE_")}
    environment["PYTHONPATH"] = str(tmp_path / "site")
    script = "import arae_transfer; print(arae_transfer.__file__); from arae_transfer.cli.main import run; run()"
    result = subprocess.run(
        [sys.executable, "-c", script, "transfer", "--to", "positive"],
        input="the food was cold and the waiter was rude .\n",
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
        check=True,
    )
    where, answer = result.stdout.splitlines()
    assert where.startswith(str(tmp_path))
    assert answer not in ("", "the food was cold and the waiter was rude .")
    assert "food" in answer
