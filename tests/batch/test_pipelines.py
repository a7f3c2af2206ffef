"""Rewriting inside Spark, Daft and `datasets`, as the README shows it, where these are installed."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from arae_transfer.batch import RewriteBatch

Expected = Callable[[str, str], str]
TEXTS = [f"{word} place and {other} food" for word in ("great", "terrible") for other in ("cold", "warm", "rude")]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Return the folder of a Parquet table of two files."""
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    folder = tmp_path / "reviews"
    folder.mkdir()
    for number, texts in enumerate((TEXTS[:4], TEXTS[4:])):
        ids = list(range(4 * number, 4 * number + len(texts)))
        parquet.write_table(pyarrow.table({"id": ids, "text": texts}), folder / f"{number}.parquet")
    return folder


@pytest.fixture
def wanted(expected_rewrite: Expected) -> list[tuple[int, str]]:
    return [(number, expected_rewrite(text, "negative")) for number, text in enumerate(TEXTS)]


def test_spark_rewrites_partitions(
    pristine_model: Path, table: Path, wanted: list[tuple[int, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    sql: Any = pytest.importorskip("pyspark.sql")
    if shutil.which("java") is None:
        pytest.skip("Spark needs Java")
    for name in ("PYSPARK_PYTHON", "PYSPARK_DRIVER_PYTHON"):
        monkeypatch.setenv(name, sys.executable)
    monkeypatch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
    # Its workers are new processes, which find modules as this one does.
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    builder = sql.SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
    spark = builder.config("spark.driver.bindAddress", "127.0.0.1").getOrCreate()
    try:
        rewrite = RewriteBatch(pristine_model, to="negative", device="cpu")
        schema = "id long, text string, rewrite string, arae_status string, arae_error string"
        spark.read.parquet(str(table)).mapInArrow(rewrite.partitions, schema).write.parquet(str(table.parent / "out"))
        rows = spark.read.parquet(str(table.parent / "out")).collect()
    finally:
        spark.stop()
    assert sorted((row.id, row.rewrite) for row in rows) == wanted
    assert {(row.arae_status, row.arae_error) for row in rows} == {("rewritten", None)}


def test_daft_rewrites_a_column(pristine_model: Path, table: Path, wanted: list[tuple[int, str]]) -> None:
    daft: Any = pytest.importorskip("daft")

    @daft.cls
    class Rewriting:
        def __init__(self) -> None:
            self.batch = RewriteBatch(pristine_model, to="negative", device="cpu")

        @daft.method.batch(return_dtype=daft.DataType.string())  # type: ignore[untyped-decorator]
        def __call__(self, text: Any) -> Any:
            return self.batch({"text": text.to_pylist()})["rewrite"]

    frame = daft.read_parquet(f"{table}/*.parquet").with_column("rewrite", Rewriting()(daft.col("text")))
    frame.write_parquet(str(table.parent / "out"))
    found = daft.read_parquet(f"{table.parent / 'out'}/*.parquet").to_pydict()
    assert sorted(zip(found["id"], found["rewrite"], strict=True)) == wanted


def test_datasets_maps_batches(
    pristine_model: Path, table: Path, wanted: list[tuple[int, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets: Any = pytest.importorskip("datasets")
    dataset = datasets.Dataset.from_parquet([str(path) for path in sorted(table.iterdir())], cache_dir=str(tmp_path))
    rewrite = RewriteBatch(pristine_model, to="negative", device="cpu")
    found = dataset.map(rewrite, batched=True, batch_size=2)
    assert list(zip(found["id"], found["rewrite"], strict=True)) == wanted
    assert found["arae_error"] == [None] * len(TEXTS)
    # What was mapped is found again by a hash of the pickled batch.
    again = dataset.map(RewriteBatch(pristine_model, to="negative", device="cpu"), batched=True, batch_size=2)
    assert again._fingerprint == found._fingerprint
