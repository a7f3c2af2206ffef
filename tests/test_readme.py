"""Every fenced block of the documents runs, or its first line says what it needs."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import typer

from arae_transfer.cli import app
from arae_transfer.corpus.quickstart import write_corpus
from arae_transfer.recipe import RENAMED_KEYS, recipe_keys

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = ("README.md", "arae_transfer/README.md", "recipes/README.md", "exported/README.md")
# A session with its output; commands; a script; a figure.
LANGUAGES = ("console", "sh", "python", "text")
# The first line of a block that these tests cannot run, such as "# needs SNLI".
NEEDS = "# needs "

_TINY = (
    " --set training.sentences=400 --set parallel.sentences=40 --set tokenizer.vocabulary_size=600"
    " --set model.embedding_size=16 --set model.code_size=16 --set model.hidden_size=16 --set validation.sentences=4"
)
# Commands that take minutes show here that they work, so they are cut short.
SHORTER = {
    "arae train quickstart": " --set training.sentences=4000 --set cycle.start=0.5 --set validation.sentences=20",
    "arae train rewriting": _TINY,
    "arae export": " --weights fp32",
    "arae evaluate": " --limit 20",
    "arae study make": " --items 4",
    "arae bench transfer": " --lines 16 --batch-size 4",
}
# What a reader puts in the place of a word in capitals.
PLACEHOLDERS = {"FOLDER": "corpus", "REWRITES": "rewrites", "CLASS": "positive"}
ADDRESS = "http://127.0.0.1:8080"


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        document: Its file.
        line: The line of its first fence, from 1.
        language: The word behind the fence.
        text: Its content.
    """

    document: str
    line: int
    language: str
    text: str

    @property
    def runs(self) -> bool:
        """Whether these tests run it."""
        return self.language in LANGUAGES and self.language != "text" and not self.text.startswith(NEEDS)

    @property
    def name(self) -> str:
        """A short name."""
        return f"{self.document}:{self.line}"


def blocks(document: str) -> list[Block]:
    """Return the fenced blocks of a document."""
    text = (ROOT / document).read_text("utf-8")
    return [
        Block(document, text.count("\n", 0, match.start()) + 1, match[1], match[2])
        for match in re.finditer(r"^```(\S*)\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    ]


def sessions(text: str) -> list[tuple[str, str]]:
    """Return the commands of a session, each with the output that the document shows."""
    pairs: list[tuple[str, str]] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            pairs.append((line[2:], ""))
        else:
            command, expected = pairs[-1]
            pairs[-1] = (command, expected + line + "\n")
    return pairs


BLOCKS = [block for document in DOCUMENTS for block in blocks(document)]


def of(*languages: str) -> list[Block]:
    """Return the blocks that run in some languages."""
    return [block for block in BLOCKS if block.runs and block.language in languages]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a small part of the quickstart's corpus."""
    folder = tmp_path_factory.mktemp("readme") / "corpus"
    write_corpus(folder, 1)
    for path in folder.glob("*.txt"):
        lines = path.read_text("utf-8").splitlines(keepends=True)
        path.write_text("".join(lines[: 400 if path.name.startswith(("train", "extra")) else 40]), "utf-8")
    return folder


@pytest.fixture
def reader(corpus: Path, tmp_path: Path) -> Path:
    """Return a folder with the files that a reader of the documents has."""
    place = tmp_path / "reader"
    shutil.copytree(corpus, place / "corpus")
    lines = {name: (corpus / f"test.{name}.txt").read_text("utf-8") for name in ("negative", "positive")}
    (place / "rewrites").mkdir()
    for source, target in (("negative", "positive"), ("positive", "negative")):
        (place / "rewrites" / f"{source}-to-{target}.txt").write_text(lines[source], "utf-8")
    first = "".join(lines["negative"].splitlines(keepends=True)[:8])
    for name in ("lines.txt", "sentences.negative.txt"):
        (place / name).write_text(first, "utf-8")
    (place / "test.negative.txt").write_text(lines["negative"], "utf-8")
    train = {name: (corpus / f"train.{name}.txt").read_text("utf-8").splitlines() for name in lines}
    for name, own in train.items():
        (place / f"{name[:3]}.txt").write_text("\n".join(own) + "\n", "utf-8")
    rows = [f'"{text}",{stars}' for stars, own in (("1", train["negative"]), ("5", train["positive"])) for text in own]
    (place / "reviews.csv").write_text("\n".join(["review,stars", *rows]) + "\n", "utf-8")
    return place


def environment() -> dict[str, str]:
    """Return the environment of a reader's shell."""
    own = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    own["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{own['PATH']}"
    return own | {"KEY": "a-key-that-nobody-guesses"}


def shortened(command: str) -> str:
    """Return a command that ends within seconds."""
    for begin, more in SHORTER.items():
        found = re.match(rf"{begin}\b[^#\n]*", command)
        if found:
            return f"{found[0].rstrip()}{more} {command[found.end() :]}"
    return command


def script(block: Block, port: int) -> str:
    """Return a block of commands as a script: names filled in, servers in the background."""
    found = ["set -euo pipefail", "trap 'kill $(jobs -p) 2>/dev/null || true' EXIT"]
    for line in block.text.splitlines():
        line = re.sub(r"\b(" + "|".join(PLACEHOLDERS) + r")\b", lambda match: PLACEHOLDERS[match[1]], line)
        line = line.replace(ADDRESS, f"http://127.0.0.1:{port}").replace("0.0.0.0", "127.0.0.1")
        if line.startswith("pip install"):
            continue  # the environment that runs this test was made by it
        if line.startswith("arae study tally"):
            # Readers' part: the same rating for everything.
            found.append(
                "for form in first/sheets/*.tsv; do sed 's/\\t-/\\t3/g' $form > first/ratings/$(basename $form); done"
            )
        if line.startswith("arae serve"):
            found.append(f"arae serve --port {port}{line.partition('#')[0].removeprefix('arae serve')} &")
            found.append(
                f"for _ in $(seq 300); do curl -sf http://127.0.0.1:{port}/health/ready && break; sleep 0.2; done"
            )
        else:
            found.append(shortened(line).replace("curl ", "curl --fail-with-body -sS "))
    return "\n".join(found)


def test_every_block_runs_or_says_what_it_needs() -> None:
    unclear = [block.name for block in BLOCKS if block.language not in LANGUAGES and not block.text.startswith(NEEDS)]
    assert not unclear, f"tag these blocks as {', '.join(LANGUAGES)}, or begin them with '{NEEDS}...'"
    assert sum(block.runs for block in BLOCKS) >= 12


@pytest.mark.parametrize("block", of("console"), ids=lambda block: block.name)
def test_session_prints_what_it_shows(block: Block, tmp_path: Path) -> None:
    for command, expected in sessions(block.text):
        if command.startswith("pip install"):
            continue
        done = subprocess.run(
            ["bash", "-c", shortened(command)],
            cwd=tmp_path,
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        if expected:
            assert done.stdout == expected


@pytest.mark.skipif(shutil.which("curl") is None, reason="the documents use curl")
@pytest.mark.parametrize("block", of("sh"), ids=lambda block: block.name)
def test_commands_succeed(block: Block, reader: Path) -> None:
    if "arae export" not in block.text:
        (reader / "exported").mkdir()
        (reader / "exported" / "mine").symlink_to(ROOT / "exported" / "yelp-sentiment")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    done = subprocess.run(
        ["bash", "-c", script(block, port)], cwd=reader, env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("block", of("python"), ids=lambda block: block.name)
def test_script_succeeds(block: Block, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", block.text], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout


def options_of(words: list[str]) -> set[str] | None:
    """Return the options of the command that some words begin with, or None if they begin with none."""
    command = typer.main.get_command(app)
    for word in words:
        if not hasattr(command, "commands"):
            break
        if word not in command.commands:
            return None
        command = command.commands[word]
    names = [option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)]
    return {*names, "--help"}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_options_and_keys_exist(document: str) -> None:
    text = re.sub(r"[\"',\[\]]+", " ", (ROOT / document).read_text("utf-8"))  # lists of arguments in configurations
    unknown = []
    for match in re.finditer(r"\barae +([a-z-]+[^`\n|;&#]*)", text):
        known = options_of(match[1].split())
        if known is not None:  # else a sentence about arae
            unknown += [
                (match[0], option) for option in re.findall(r" (--[a-z][a-z-]*)", match[1]) if option not in known
            ]
    assert not unknown
    keys = set(recipe_keys()) | set(RENAMED_KEYS)
    assert not set(re.findall(r"--set +([a-z_]+\.[a-z_]+)", text)) - keys


def test_files_that_the_architecture_names_exist() -> None:
    package = ROOT / "arae_transfer"
    text = (package / "README.md").read_text("utf-8")
    named = re.findall(r"`([a-z_.]+(?:/[A-Za-z_]+)*(?:\.py|\.md|/))`", text)
    assert len(named) > 30
    known = {str(path.relative_to(place)) for place in (ROOT, package) for path in place.rglob("*.*")}
    known |= {path.name for path in package.rglob("*.py")} | {f"{path.name}/" for path in package.iterdir()}
    assert not set(named) - known - {"cli/NAME.py", "tests/cli/", "tests/benchmarks/"}
