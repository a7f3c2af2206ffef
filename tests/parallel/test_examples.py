"""The file of pairs."""

from __future__ import annotations

from pathlib import Path

import pytest

from arae_transfer.errors import AraeError
from arae_transfer.parallel.examples import ParallelExample, read_parallel, write_parallel

PAIRS = [
    ParallelExample("bad", "the soup is cold .", "good", "the soup is hot ."),
    ParallelExample("good", "été “ok” 你好", "bad", "non"),
]


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write_parallel(tmp_path / "pairs.tsv", PAIRS)
    assert read_parallel(tmp_path / "pairs.tsv") == PAIRS
    write_parallel(tmp_path / "none.tsv", [])
    assert read_parallel(tmp_path / "none.tsv") == []


def test_what_would_break_a_row_becomes_a_space(tmp_path: Path) -> None:
    write_parallel(tmp_path / "pairs.tsv", [ParallelExample("bad", "a\tb", "good", "c\nd")])
    assert read_parallel(tmp_path / "pairs.tsv") == [ParallelExample("bad", "a b", "good", "c d")]


@pytest.mark.parametrize(
    "content", [b"", b"one\ttwo\n", b"\xff\xfe", b"class\tsentence\trewrite_class\trewrite\na\tb\n"]
)
def test_another_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "pairs.tsv").write_bytes(content)
    with pytest.raises(AraeError, match="parallel examples"):
        read_parallel(tmp_path / "pairs.tsv")
    with pytest.raises(AraeError, match="parallel examples"):
        read_parallel(tmp_path / "missing.tsv")
