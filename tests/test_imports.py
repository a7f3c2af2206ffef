"""The using half starts without what only the learning half needs, and help without either."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import arae_transfer

LEARNING = {"torch", "onnx", "safetensors", "sklearn", "sacrebleu", "scipy", "matplotlib"}
USING = {"onnxruntime", "numpy", "sentencepiece"}
SLOW = {"rich", "pydantic"}

SCRIPT = """
import json, sys
from arae_transfer.cli.main import run
sys.argv = ["arae", *json.loads(sys.argv[1])]
try:
    run()
finally:
    sys.stdout.flush()
    roots = sorted({name.partition(".")[0] for name in sys.modules})
    print("MODULES " + json.dumps(roots), file=sys.stderr)
"""


def _modules(arguments: list[str], folder: Path | None = None, **environment: str) -> tuple[str, set[str]]:
    """Run `arae` in a fresh interpreter and return its answers and the packages that it had imported at its end."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(arguments)],
        input="the food was cold\n",
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        cwd=folder,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    _, found, listed = done.stderr.partition("MODULES ")
    assert found, done.stderr
    return done.stdout, set(json.loads(listed.splitlines()[0]))


def test_transfer_imports_nothing_of_the_learning_half(pristine_model: Path) -> None:
    answer, modules = _modules(["transfer", "--model", str(pristine_model), "--to", "positive"])
    assert answer == "the food was cold\n"
    assert modules >= USING
    assert not modules & (LEARNING | SLOW)


def test_interpolating_imports_nothing_of_the_learning_half(pristine_model: Path) -> None:
    arguments = ["--model", str(pristine_model), "--to", "positive", "--steps", "2"]
    answer, modules = _modules(["interpolate", "the food was cold", "great place", *arguments])
    assert answer == "the food was cold\ngreat place\n"
    assert modules >= USING
    assert not modules & (LEARNING | SLOW)


def test_moving_along_an_offset_imports_nothing_of_the_learning_half(pristine_model: Path, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("the food was warm\nthe waiter was rude\n" * 20, "utf-8")
    arguments = ["--word", "warm", "--corpus", str(corpus), "--steps", "1", "--to", "positive"]
    answer, modules = _modules(["offset", *arguments, "--model", str(pristine_model)])
    assert answer.count("\n") == 1
    assert modules >= USING
    assert not modules & LEARNING


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["transfer", "--help"],
        ["sample", "--help"],
        ["diagnose", "--help"],
        ["classify", "--help"],
        ["serve", "--help"],
        ["bench", "serve", "--help"],
        ["offset", "--help"],
        ["generation-table", "--help"],
        ["study", "make", "--help"],
        ["study", "tally", "--help"],
    ],
)
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    _, modules = _modules(arguments)
    assert "typer" in modules
    assert not modules & (LEARNING | USING | SLOW)


def test_the_help_of_all_commands_imports_none_of_them() -> None:
    script = (
        "import sys; from arae_transfer.cli import app; app(['--help'], standalone_mode=False); print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    modules = {name for name in done.stdout.split() if name.startswith("arae_transfer.cli.")}
    assert modules == {"arae_transfer.cli.command"}


def test_listing_models_imports_nothing_heavy(tmp_path: Path, small_model: Path) -> None:
    (tmp_path / "exported").mkdir()
    small_model.rename(tmp_path / "exported" / "small")
    answer, modules = _modules(["transfer", "--list-models"], tmp_path)
    assert "small\tpositive" in answer
    assert not modules & (LEARNING | USING | SLOW)


def test_listing_classes_imports_nothing_heavy(pristine_model: Path) -> None:
    answer, modules = _modules(["transfer", "--list-classes", "--model", str(pristine_model)])
    assert answer.startswith("positive\n")
    assert not modules & (LEARNING | USING | SLOW)


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("arae transfer --to ne", {"negative", "neutral tone"}),
        ("arae transfer --model yelp-sentiment-", {"yelp-sentiment-single"}),
        ("arae tra", {"train", "transfer", "transfer-table"}),
    ],
)
def test_completion_imports_nothing_heavy(words: str, offered: set[str], pristine_model: Path) -> None:
    answer, modules = _modules(
        [],
        ARAE_MODEL=str(pristine_model),
        _ARAE_COMPLETE="complete_bash",
        COMP_WORDS=words,
        COMP_CWORD=str(len(words.split(" ")) - 1),
    )
    assert set(answer.splitlines()) == offered
    assert not modules & (LEARNING | USING | SLOW)


PACKAGE = Path(arae_transfer.__file__).parent
ALONE = ["errors", "atomic", "layout", "recipe", "export_config", "tokenizer", "cli", "cli.main", "paper.offsets"]
ALONE += ["paper.images.image_model", "paper.images.image_task", "training.run_data"]


def _modules_in(room: str) -> list[str]:
    return [f"{room}.{path.stem}".removesuffix(".__init__") for path in sorted((PACKAGE / room).glob("*.py"))]


def test_no_module_of_the_using_half_imports_the_learning_half() -> None:
    rooms = ("runtime", "text", "tasks", "language_model", "documents", "batch", "studies")
    names = [*ALONE, *(module for room in rooms for module in _modules_in(room))]
    assert len(names) > 30
    script = (
        "import importlib, json, sys\n"
        "found = {}\n"
        "for name in json.loads(sys.argv[1]):\n"
        "    before = set(sys.modules)\n"
        "    importlib.import_module(f'arae_transfer.{name}')\n"
        "    found[name] = sorted({each.partition('.')[0] for each in set(sys.modules) - before})\n"
        "print(json.dumps(found))\n"
    )
    done = subprocess.run([sys.executable, "-c", script, json.dumps(names)], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert {name: set(roots) & LEARNING for name, roots in found.items() if set(roots) & LEARNING} == {}
