"""Text packed by gzip is read like text, and damage to it is said with file and line."""

from __future__ import annotations

import gzip
import tracemalloc
from pathlib import Path

import pytest

from arae_transfer.corpus import text_files
from arae_transfer.corpus.reading import Corpus, ReadingOptions, read_corpus
from arae_transfer.corpus.report import Finding, Reason
from arae_transfer.errors import AraeError

ANY_SIZE = ReadingOptions(minimum_lines=1)


def pack(path: Path, text: str | bytes) -> Path:
    path.write_bytes(gzip.compress(text.encode() if isinstance(text, str) else text))
    return path


def read(*data: Path | str, split: str = "all") -> Corpus:
    return read_corpus([str(value) for value in data], split, ANY_SIZE)


def refusal(*data: Path | str) -> AraeError:
    with pytest.raises(AraeError) as caught:
        read(*data)
    assert caught.value.hint
    assert "\n" not in caught.value.message + caught.value.hint
    return caught.value


def test_every_text_format_may_be_packed(tmp_path: Path) -> None:
    tables = {
        "csv": 'text,label\n"cold, slow",bad\nwarm,good\n',
        "tsv": "text\tlabel\ncold, slow\tbad\nwarm\tgood\n",
        "jsonl": '{"text": "cold, slow", "label": "bad"}\n{"text": "warm", "label": "good"}\n',
    }
    expected = {"bad": ["cold, slow"], "good": ["warm"]}
    for suffix, content in tables.items():
        assert read(pack(tmp_path / f"t.{suffix}.gz", content)).lines == expected
    bad, good = pack(tmp_path / "bad.gz", "cold, slow\n"), pack(tmp_path / "good.txt.gz", "warm")
    assert read(f"bad={bad}", f"good={good}").lines == expected


def test_a_folder_may_hold_packed_and_plain_files(tmp_path: Path) -> None:
    pack(tmp_path / "valid.bad.txt.gz", "cold\n")
    (tmp_path / "valid.good.txt").write_text("warm\n")
    pack(tmp_path / "test.bad.txt.gz", "slow\n")
    (tmp_path / "test.good.txt").write_text("quick\n")
    assert read(tmp_path, split="valid").lines == {"bad": ["cold"], "good": ["warm"]}
    assert read(tmp_path, split="test").lines == {"bad": ["slow"], "good": ["quick"]}
    (tmp_path / "valid.bad.txt").write_text("which of the two?\n")
    assert "are both the valid part of class 'bad'" in refusal(tmp_path).message


def test_a_packed_file_without_a_class_is_asked_for_it(tmp_path: Path) -> None:
    path = pack(tmp_path / "bad.txt.gz", "cold\n")
    assert f"--data CLASS={path}" in str(refusal(path).hint)


def test_lines_keep_their_numbers_across_members_and_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_files, "BLOCK_BYTES", 7)
    path = tmp_path / "bad.gz"
    path.write_bytes(gzip.compress(b"one\n\ntw") + gzip.compress(b"o\nthree \xff\n"))
    (tmp_path / "good").write_text("warm\n")
    corpus = read(f"bad={path}", f"good={tmp_path / 'good'}")
    assert corpus.lines["bad"] == ["one", "two", "three \ufffd"]
    assert corpus.report.findings == (Finding(path, Reason.EMPTY, 1, 2), Finding(path, Reason.INVALID_UTF8, 1, 4))


@pytest.mark.parametrize("name", ["bad.gz", "t.csv.gz"])
def test_what_is_no_gzip_data_says_so(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("text,label\nx,a\n")
    error = refusal(f"bad={path}" if name == "bad.gz" else path)
    assert error.message == f"{path} is not gzip data, in spite of its name"


@pytest.mark.parametrize("cut", [8, 40, 5000])
def test_a_truncated_file_is_refused(tmp_path: Path, cut: int) -> None:
    text = "".join(f"sentence {number} of many .\n" for number in range(200_000)).encode()
    path = pack(tmp_path / "bad.gz", text)
    path.write_bytes(path.read_bytes()[:-cut])
    error = refusal(f"bad={path}")
    assert error.message.startswith(f"{path}: the gzip data end too early, after line ")
    line = int(error.message.rpartition("line ")[2].removesuffix(" on").replace(",", ""))
    assert 100_000 < line <= 200_000


def test_damage_in_the_middle_is_refused(tmp_path: Path) -> None:
    text = "".join(f"sentence {number * 7919 % 100_003} .\n" for number in range(100_000)).encode()
    path = pack(tmp_path / "bad.gz", text)
    content = bytearray(path.read_bytes())
    content[-6] ^= 1  # the checksum
    path.write_bytes(content)
    assert "the gzip data are damaged" in refusal(f"bad={path}").message
    content[len(content) // 2 : len(content) // 2 + 50] = bytes(50)
    path.write_bytes(content)
    assert "the gzip data are damaged" in refusal(f"bad={path}").message


def test_other_formats_inside_are_named(tmp_path: Path) -> None:
    error = refusal(f"bad={pack(tmp_path / 'bad.gz', b'PK' + bytes([3, 4]) + b'rest')}")
    assert "contains a zip archive" in error.message


def test_a_line_that_expands_without_end_does_not_fill_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """64 MiB without a line feed, in 64 KiB of file."""
    monkeypatch.setattr(text_files, "MAXIMUM_LINE_BYTES", 1 << 20)
    path = pack(tmp_path / "bad.gz", b"a" * (1 << 26) + b"\nlast\n")
    assert path.stat().st_size < 1 << 17
    (tmp_path / "good").write_text("warm\n")
    tracemalloc.start()
    try:
        corpus = read(f"bad={path}", f"good={tmp_path / 'good'}")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert corpus.lines["bad"] == ["last"]
    assert corpus.report.findings == (Finding(path, Reason.OVERLONG, 1, 1),)
    assert peak < 1 << 24


def test_progress_counts_bytes_of_the_file_and_ends_at_its_size(tmp_path: Path) -> None:
    text = "".join(f"sentence {number} of many .\n" for number in range(200_000))
    good = "".join(f"warm number {number} .\n" for number in range(200_000))
    paths = [pack(tmp_path / "bad.gz", text), pack(tmp_path / "good.gz", good)]
    seen: list[tuple[int, int]] = []
    data = [f"bad={paths[0]}", f"good={paths[1]}"]
    read_corpus(data, "all", ANY_SIZE, progress=lambda done, total: seen.append((done, total)))
    total = sum(path.stat().st_size for path in paths)
    assert seen[-1] == (total, total)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert len({done for done, _ in seen}) > 4
