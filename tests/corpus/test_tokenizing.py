"""Corpora that stay on the disk: the same lines, the same ids, and a cache that is complete or absent."""

from __future__ import annotations

import gzip
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from arae_transfer.corpus import reading, tokenizing
from arae_transfer.corpus.batches import TokenizedSentences
from arae_transfer.corpus.reading import StreamedLines, is_large, read_corpus, stream_corpus
from arae_transfer.corpus.tokenizing import sample_lines, tokenize_lines
from arae_transfer.errors import AraeError
from arae_transfer.layout import CorpusCacheLayout
from arae_transfer.tokenizer import Tokenizer

NOUNS = ("food", "soup", "staff", "room", "place", "price", "waiter")


def sentences(word: str, count: int) -> list[str]:
    return [f"the {NOUNS[place % 7]} was {'very ' * (place % 5)}{word} {place} ." for place in range(count)]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train([*sentences("bad", 90), *sentences("good", 90)], 320)


@pytest.fixture
def data(tmp_path: Path) -> list[str]:
    """Return two classes, one of them packed, with repeated lines, empty ones, and one that both classes have."""
    bad, good = tmp_path / "bad.txt", tmp_path / "good.txt.gz"
    bad.write_text("\n".join([*sentences("bad", 300), "", "it was so .", *sentences("bad", 9)]), "utf-8")
    good.write_bytes(gzip.compress("\n".join([*sentences("good", 200), "it was so .", "x " * 50]).encode()))
    return [f"bad={bad}", f"good={good}"]


@pytest.fixture
def table(tmp_path: Path) -> list[str]:
    rows = [
        f"{text}\t{label}"
        for pair in zip(sentences("bad", 99), sentences("good", 99), strict=True)
        for text, label in zip(pair, ("bad", "good"), strict=True)
    ]
    (tmp_path / "table.tsv").write_text("\n".join(["text\tlabel", *rows, *rows[:5]]), "utf-8")
    return [str(tmp_path / "table.tsv")]


def streamed(data: list[str], part: str = "train") -> StreamedLines:
    return stream_corpus(data, part).lines


def assert_same(left: dict[str, TokenizedSentences], right: dict[str, TokenizedSentences]) -> None:
    assert list(left) == list(right)
    for name, own in left.items():
        np.testing.assert_array_equal(own.ids, right[name].ids)
        np.testing.assert_array_equal(own.starts, right[name].starts)
        assert own.too_long == right[name].too_long


def is_mapped(array: npt.NDArray[Any]) -> bool:
    return isinstance(array.base, np.memmap)


def noting(steps: list[tuple[int, int, float]]) -> tokenizing.Progress:
    return lambda done, total, rate: steps.append((done, total, rate))


# --- the lines


@pytest.mark.parametrize("part", ["train", "valid", "test", "all"])
@pytest.mark.parametrize("kind", ["data", "table"])
def test_the_same_lines_come_from_memory_and_from_the_disk(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, kind: str, part: str
) -> None:
    sources = request.getfixturevalue(kind)
    whole = read_corpus(sources, part)
    assert sum(map(len, whole.lines.values())) > 0
    stream = stream_corpus(sources, part)
    for _ in range(2):  # as often as wanted
        assert {label: list(own) for label, own in stream.lines.items()} == whole.lines
    assert {label: len(own) for label, own in stream.lines.items()} == {k: len(v) for k, v in whole.lines.items()}
    assert stream.report == whole.report
    assert stream.classes == whole.classes
    monkeypatch.setattr(reading, "IN_MEMORY_BYTES", 0)
    assert read_corpus(sources, part) == whole


def test_only_some_classes_in_a_wished_order(data: list[str]) -> None:
    assert list(stream_corpus(data, "train", classes=["good", "bad"]).lines) == ["good", "bad"]
    whole = read_corpus(data, "train", classes=["good", "bad"])
    lines = stream_corpus(data, "train", classes=["good", "bad"]).lines
    assert {label: list(own) for label, own in lines.items()} == whole.lines


def test_large_is_a_matter_of_the_unpacked_text(data: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert not is_large(data)
    on_disk = sum(Path(value.partition("=")[2]).stat().st_size for value in data)
    monkeypatch.setattr(reading, "IN_MEMORY_BYTES", on_disk)
    assert is_large(data)


def test_a_sample_is_a_part_of_each_class_in_order(data: list[str]) -> None:
    lines = streamed(data)
    whole = read_corpus(data, "train").lines
    sample = sample_lines(lines, 60, seed=3)
    assert {name: len(own) for name, own in sample.items()} == {"bad": 30, "good": 30}
    for name, own in sample.items():
        rest = iter(whole[name])
        assert all(text in rest for text in own), "in the order of the file"
    assert sample_lines(lines, 60, seed=3) == sample
    assert sample_lines(lines, 60, seed=4) != sample
    assert sample_lines(lines, 2 * len(whole["bad"]), seed=3) == whole
    # Lines in memory cost nothing more.
    assert sample_lines(whole, 60, seed=3) == whole


# --- the ids


def test_the_same_ids_come_from_memory_and_from_the_disk(
    data: list[str], table: list[str], tokenizer: Tokenizer, tmp_path: Path
) -> None:
    for sources in (data, table):
        steps: list[tuple[int, int, float]] = []
        lines = streamed(sources)
        found = tokenize_lines(lines, tokenizer, 14, tmp_path / "cache", noting(steps))
        assert_same(found, tokenize_lines(read_corpus(sources, "train").lines, tokenizer, 14))
        assert all(own.too_long > 0 for own in found.values())
        assert all(is_mapped(own.ids) and is_mapped(own.starts) for own in found.values())
        assert steps[-1][:2] == (sum(map(len, lines.values())),) * 2


def test_what_is_in_the_cache_is_not_made_again(data: list[str], tokenizer: Tokenizer, tmp_path: Path) -> None:
    cache, steps = tmp_path / "cache", list[tuple[int, int, float]]()

    def make(sources: list[str], chosen: Tokenizer = tokenizer, maximum: int = 14) -> bool:
        """Say whether the ids were made."""
        steps.clear()
        found = tokenize_lines(streamed(sources), chosen, maximum, cache, noting(steps))
        assert_same(found, tokenize_lines(read_corpus(sources, "train").lines, chosen, maximum))
        return bool(steps)

    assert [make(data), make(data)] == [True, False]
    # A corpus that was moved is the same one; other text, another tokenizer or another bound make another one.
    (tmp_path / "elsewhere").mkdir()
    for value in data:
        path = Path(value.partition("=")[2])
        path.rename(tmp_path / "elsewhere" / path.name)
    data = [value.replace(f"{tmp_path}/", f"{tmp_path}/elsewhere/") for value in data]
    assert not make(data)
    assert make(data, maximum=15)
    assert make(data, Tokenizer.train(sentences("bad", 90), 300))
    path = tmp_path / "elsewhere" / "bad.txt"
    content = path.read_text("utf-8")
    path.write_text(content.replace("the food was bad 0 .", "the food was sad 0 ."), "utf-8")
    assert make(data)
    path.write_text(content, "utf-8")
    assert not make(data)


def test_an_interrupted_building_leaves_nothing(data: list[str], tokenizer: Tokenizer, tmp_path: Path) -> None:
    cache = tmp_path / "cache"

    def interrupt(done: int, total: int, rate: float) -> None:
        assert list(cache.iterdir()), "the building is under way"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tokenize_lines(streamed(data), tokenizer, 14, cache, interrupt)
    assert list(cache.iterdir()) == []


KILLED = """
import os, signal, sys
from pathlib import Path
from arae_transfer.corpus.reading import stream_corpus
from arae_transfer.corpus.tokenizing import tokenize_lines
from arae_transfer.tokenizer import Tokenizer

tokenize_lines(stream_corpus(sys.argv[3:], "train").lines, Tokenizer.load(Path(sys.argv[1])), 14, Path(sys.argv[2]),
               lambda *step: os.kill(os.getpid(), signal.SIGKILL))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_what_a_killed_process_leaves_is_never_read_and_soon_removed(
    data: list[str], tokenizer: Tokenizer, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    tokenizer.save(tmp_path / "tokenizer.model")
    arguments = [sys.executable, "-c", KILLED, str(tmp_path / "tokenizer.model"), str(cache), *data]
    assert subprocess.run(arguments, timeout=60, check=False).returncode == -signal.SIGKILL
    [left] = cache.iterdir()
    assert left.name.startswith(CorpusCacheLayout.BUILDING)
    wanted = tokenize_lines(read_corpus(data, "train").lines, tokenizer, 14)
    assert_same(tokenize_lines(streamed(data), tokenizer, 14, cache), wanted)
    assert left.is_dir(), "another process may still be at work there"
    yesterday = time.time() - tokenizing._STALE_SECONDS - 60
    os.utime(left, (yesterday, yesterday))
    assert_same(
        tokenize_lines(streamed(data), tokenizer, 15, cache),
        tokenize_lines(read_corpus(data, "train").lines, tokenizer, 15),
    )
    assert not left.exists()
    assert not [folder for folder in cache.iterdir() if folder.name.startswith(".")]


def test_two_at_once_do_no_harm(data: list[str], tokenizer: Tokenizer, tmp_path: Path) -> None:
    cache, others = tmp_path / "cache", list[dict[str, TokenizedSentences]]()

    def meanwhile(done: int, total: int, rate: float) -> None:
        if not others:  # another process begins later and ends earlier
            others.append(tokenize_lines(streamed(data), tokenizer, 14, cache))

    found = tokenize_lines(streamed(data), tokenizer, 14, cache, meanwhile)
    wanted = tokenize_lines(read_corpus(data, "train").lines, tokenizer, 14)
    assert_same(found, wanted)
    assert_same(others[0], wanted)
    assert len(list(cache.iterdir())) == 1


@pytest.mark.parametrize("name", ["0.ids.npy", "1.starts.npy", "contents.json"])
def test_a_damaged_folder_is_made_again(data: list[str], tokenizer: Tokenizer, tmp_path: Path, name: str) -> None:
    cache = tmp_path / "cache"
    wanted = tokenize_lines(read_corpus(data, "train").lines, tokenizer, 14)
    tokenize_lines(streamed(data), tokenizer, 14, cache)
    [folder] = cache.iterdir()
    os.truncate(folder / name, (folder / name).stat().st_size - 100)
    assert_same(tokenize_lines(streamed(data), tokenizer, 14, cache), wanted)
    assert list(cache.iterdir()) == [folder]


def test_data_that_change_while_they_are_read_are_refused(
    data: list[str], tokenizer: Tokenizer, tmp_path: Path
) -> None:
    lines = streamed(data)
    with Path(data[0].partition("=")[2]).open("a", encoding="utf-8") as file:
        file.write("\none more .\nand another .\n")
    with pytest.raises(AraeError, match="the data changed: class 'bad' had"):
        tokenize_lines(lines, tokenizer, 14, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_cache_that_cannot_be_written_is_said(data: list[str], tokenizer: Tokenizer, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(AraeError, match=r"cannot write .*file/cache"):
        tokenize_lines(streamed(data), tokenizer, 14, tmp_path / "file" / "cache")


def test_tokens_are_counted_block_by_block(monkeypatch: pytest.MonkeyPatch) -> None:
    sentences: Sequence[Sequence[int]] = [[5, 6], [7, 5, 5], [9]]
    monkeypatch.setattr("arae_transfer.corpus.batches._COUNTED_TOGETHER", 4)
    assert TokenizedSentences.join(sentences).token_counts(11).tolist() == [0, 0, 0, 0, 0, 3, 1, 1, 0, 1, 0]
