"""Parquet tables are read like other tables; without pyarrow, the extra that reads them is named."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

from arae_transfer.corpus.reading import Corpus, ReadingOptions, read_corpus
from arae_transfer.corpus.report import Finding, Reason
from arae_transfer.errors import AraeError

ANY_SIZE = ReadingOptions(minimum_lines=1)


def read(path: Path, split: str = "all") -> Corpus:
    return read_corpus([str(path)], split, ANY_SIZE)


def refusal(path: Path) -> AraeError:
    with pytest.raises(AraeError) as caught:
        read(path)
    assert caught.value.hint
    assert "\n" not in caught.value.message + caught.value.hint
    return caught.value


@pytest.fixture
def arrow() -> Any:
    pytest.importorskip("pyarrow.parquet")
    return importlib.import_module("pyarrow")


def write(path: Path, columns: dict[str, Any], **options: Any) -> Path:
    pyarrow = importlib.import_module("pyarrow")
    parquet = importlib.import_module("pyarrow.parquet")

    parquet.write_table(pyarrow.table(columns), path, **options)
    return path


def test_without_pyarrow_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)  # how Python notes that a module is not there
    path = tmp_path / "t.parquet"
    path.write_bytes(b"PAR1\x15\x00")
    error = refusal(path)
    assert f"reading {path} needs pyarrow" in error.message
    assert "pip install 'arae-transfer[train]'" in str(error.hint)


def test_a_table_gives_its_classes(tmp_path: Path, arrow: Any) -> None:
    columns = {"id": [1, 2, 3], "text": ["cold", "warm, very", "naïve 寿司"], "label": ["bad", "good", "good"]}
    path = write(tmp_path / "t.parquet", columns)
    assert read(path).lines == {"bad": ["cold"], "good": ["warm, very", "naïve 寿司"]}
    assert read(path).report.lines() == []


@pytest.mark.parametrize("labels", [[0, 1], [False, True], [0.0, 1.0]])
def test_labels_may_be_whole_numbers_or_booleans(tmp_path: Path, arrow: Any, labels: list[Any]) -> None:
    lines = read(write(tmp_path / "t.parquet", {"text": ["cold", "warm"], "label": labels})).lines
    assert sorted(lines) == (["false", "true"] if labels[0] is False else ["0", "1"])


def test_strings_of_every_kind_and_splits(tmp_path: Path, arrow: Any) -> None:
    columns = {
        "text": arrow.array(["cold", "warm", "slow", "quick"], arrow.large_string()),
        "label": arrow.array(["bad", "good", "bad", "good"]).dictionary_encode(),
        "split": ["train", "train", "dev", "dev"],
    }
    path = write(tmp_path / "t.parquet", columns, row_group_size=3)
    assert read(path, "train").lines == {"bad": ["cold"], "good": ["warm"]}
    assert read(path, "valid").lines == {"bad": ["slow"], "good": ["quick"]}


def test_rows_without_text_label_or_sense_are_counted_by_row(tmp_path: Path, arrow: Any) -> None:
    invalid = arrow.array([b"caf\xe9", b"warm"]).view(arrow.string())
    columns = {
        "text": arrow.chunked_array([["cold", None, " ", "two\nlines", "lost"], invalid]).combine_chunks(),
        "label": ["bad", "bad", "bad", "bad", None, "good", "good"],
    }
    path = write(tmp_path / "t.parquet", columns)
    corpus = read(path)
    assert corpus.lines == {"bad": ["cold", "two lines"], "good": ["caf\ufffd", "warm"]}
    assert set(corpus.report.findings) == {
        Finding(path, Reason.EMPTY, 2, 2),
        Finding(path, Reason.LINE_BREAK, 1, 4),
        Finding(path, Reason.NO_LABEL, 1, 5),
        Finding(path, Reason.INVALID_UTF8, 1, 6),
    }
    assert f"{path}: 1 row without a label skipped (first: row 5)" in corpus.report.lines()


def test_columns_that_will_not_do(tmp_path: Path, arrow: Any) -> None:
    path = tmp_path / "t.parquet"
    error = refusal(write(path, {"texts": ["x"], "label": ["a"]}))
    assert error.message == f"{path}: there is no column 'text'; the columns are: texts, label"
    assert "did you mean texts?" in str(error.hint)
    assert "the column 'text' holds int64, not strings" in refusal(write(path, {"text": [1], "label": ["a"]})).message
    assert "holds binary" in refusal(write(path, {"text": [b"x"], "label": ["a"]})).message
    error = refusal(write(path, {"text": ["x", "y"], "label": [1.0, 0.37]}))
    assert error.message == f"{path}:2: 'label' is a number, not a string or an integer"


def test_what_is_no_parquet_or_damaged_is_refused(tmp_path: Path, arrow: Any) -> None:
    path = tmp_path / "t.parquet"
    for content in (b"", b"text,label\nx,a\n", b"PAR1" + bytes(40) + b"PAR1"):
        path.write_bytes(content)
        assert f"{path} is not a Parquet table, or is damaged" in refusal(path).message
    rows = 20_000
    columns = {"text": [f"sentence {row}" for row in range(rows)], "label": ["a", "b"] * (rows // 2)}
    write(path, columns, row_group_size=5000, compression="gzip", use_dictionary=False)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert "is not a Parquet table" in refusal(path).message
    damaged = bytearray(content)
    middle = len(content) // 2
    damaged[middle : middle + 2000] = bytes(2000)
    path.write_bytes(damaged)
    error = refusal(path)
    assert error.message.startswith(f"{path}: damaged from row ")
    row = int(error.message.split("row ")[1].split(" ")[0].replace(",", ""))
    assert 1 < row <= rows


def test_progress_ends_at_the_size_of_the_file(tmp_path: Path, arrow: Any) -> None:
    rows = 20_000
    columns = {"text": [f"sentence {row}" for row in range(rows)], "label": ["a", "b"] * (rows // 2)}
    path = write(tmp_path / "t.parquet", columns)
    seen: list[tuple[int, int]] = []
    read_corpus([str(path)], "all", ANY_SIZE, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (path.stat().st_size, path.stat().st_size)
    assert len(seen) > 3
