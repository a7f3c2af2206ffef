"""The references of the bible recipe: verses find each other again, in whatever order their files stand."""

from __future__ import annotations

import importlib.util
import random
import subprocess
import sys
from pathlib import Path

import pytest

from arae_transfer.corpus.quickstart import make_sentences
from arae_transfer.folders import recipes_directory

SCRIPT = recipes_directory() / "bible" / "parallel.py"
NAMES = ("first", "second", "third", "fourth")


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Return a folder of four "translations" of 60 verses; the last two stand in another order than the first two."""
    folder = tmp_path / "verses"
    folder.mkdir()
    sentences = make_sentences(5, train_lines=60)["train"]
    verses = [" ".join(both) for both in zip(sentences["negative"], sentences["positive"], strict=True)]
    other = list(range(len(verses)))
    random.Random(1).shuffle(other)
    for name, order, word in zip(NAMES, (range(60), range(60), other, other), ("a", "b", "c", "d"), strict=True):
        lines = [f"{verses[place]} {word}{place}" for place in order]
        (folder / f"test.{name}.txt").write_text("".join(f"{line}\n" for line in lines), "utf-8")
        (folder / f"train.{name}.txt").write_text(f"{name} one\n{name} two\n", "utf-8")
    return folder


def _run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_every_verse_finds_itself_in_every_other_translation(corpus: Path, tmp_path: Path) -> None:
    done = _run(corpus, tmp_path / "references")
    assert done.returncode == 0, done.stderr
    assert "line by line as they stand: first, second" in done.stderr
    assert "line by line as they stand: fourth, third" in done.stderr
    written = {path.name for path in (tmp_path / "references").iterdir()}
    assert written == {f"{one}-to-{other}.txt" for one in NAMES for other in NAMES if one != other}
    for source in NAMES:
        for target in set(NAMES) - {source}:
            own = (corpus / f"test.{source}.txt").read_text("utf-8").splitlines()
            found = (tmp_path / "references" / f"{source}-to-{target}.txt").read_text("utf-8").splitlines()
            # The last word is a letter for the translation and the number of the verse.
            assert [line.split()[-1][1:] for line in found] == [line.split()[-1][1:] for line in own]
            assert {line.split()[-1][0] for line in found} == {"abcd"[NAMES.index(target)]}


def test_translations_of_other_verses_are_refused(corpus: Path, tmp_path: Path) -> None:
    path = corpus / "test.second.txt"
    path.write_text("".join(path.read_text("utf-8").splitlines(keepends=True)[:-1]), "utf-8")
    done = _run(corpus, tmp_path / "references")
    assert (done.returncode, done.stdout) == (1, "")
    assert "the test split is not parallel" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "references").exists()


def test_verses_without_their_like_are_refused(corpus: Path, tmp_path: Path) -> None:
    sentences = make_sentences(6, train_lines=60)["train"]
    for name in ("third", "fourth"):
        lines = [" ".join(both) for both in zip(sentences["negative"], sentences["positive"], strict=True)]
        (corpus / f"test.{name}.txt").write_text("".join(f"{line}\n" for line in lines), "utf-8")
    done = _run(corpus, tmp_path / "references")
    assert (done.returncode, done.stdout) == (1, "")
    assert "fourth, third and first, second have not the same verses" in done.stderr
    assert not (tmp_path / "references").exists()


def test_what_corresponds_is_not_seen_where_nothing_does() -> None:
    specification = importlib.util.spec_from_file_location("parallel", SCRIPT)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    verses = make_sentences(5, train_lines=40)["train"]["negative"]
    assert module.correspond(verses, [f"{verse} so" for verse in verses])
    assert not module.correspond(verses, verses[7:] + verses[:7])
