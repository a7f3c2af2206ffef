"""`RewriteBatch`: the same kind of batch out, with rewrites of one column and all others as they were."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from arae_transfer.batch import RewriteBatch
from arae_transfer.errors import AraeError
from arae_transfer.runtime.decoding import DecodingOptions
from arae_transfer.runtime.rewriter import Rewriter

SHIPPED = Path(__file__).resolve().parents[2] / "exported" / "yelp-sentiment"
Expected = Callable[[str, str], str]
TEXTS = ["great place !", "", None, "the food was cold\r\nthe waiter was rude"]


@pytest.fixture
def batch(pristine_model: Path) -> RewriteBatch:
    return RewriteBatch(pristine_model, "neg", device="cpu")


@pytest.fixture
def answers(expected_rewrite: Expected) -> list[str | None]:
    first, *others = (expected_rewrite(text, "negative") for text in (str(TEXTS[0]), *str(TEXTS[3]).split("\r\n")))
    return [first, "", None, "\r\n".join(others)]


STATUSES = ["rewritten", "blank", "error", "rewritten"]


def test_lists_come_back_as_lists(batch: RewriteBatch, answers: list[str | None]) -> None:
    found = batch({"n": [1, 2, 3, 4], "text": TEXTS})
    assert list(found) == ["n", "text", "rewrite", "arae_status", "arae_error"]
    assert (found["n"], found["text"], found["rewrite"], found["arae_status"]) == (
        [1, 2, 3, 4],
        TEXTS,
        answers,
        STATUSES,
    )
    assert found["arae_error"] == [None, None, "the text is missing", None]


def test_arrays_come_back_as_arrays(batch: RewriteBatch, answers: list[str | None]) -> None:
    found = batch({"text": np.array(TEXTS, object)})
    assert isinstance(found["rewrite"], np.ndarray)
    assert found["rewrite"].tolist() == answers


@pytest.mark.parametrize("kind", ["Table", "RecordBatch"])
def test_arrow_tables_come_back_with_typed_columns(kind: str, batch: RewriteBatch, answers: list[str | None]) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    given = getattr(pyarrow, kind).from_pydict({"text": TEXTS, "n": [1, 2, 3, 4]})
    found = batch(given)
    assert type(found) is type(given)
    assert found.select(["text", "n"]).equals(given)
    assert found.column("rewrite").to_pylist() == answers
    # A batch without a bad row has the same columns of the same types.
    assert batch(given.slice(0, 1)).schema == found.schema
    assert found.schema.field("arae_error").type == pyarrow.string()


def test_strings_that_are_no_utf_8_are_errors_of_their_rows(batch: RewriteBatch) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    column = pyarrow.array([b"great place !", b"\xff\xfe"]).view(pyarrow.string())
    found = batch(pyarrow.Table.from_arrays([column], ["text"]))
    assert found.column("arae_status").to_pylist() == ["rewritten", "error"]


def test_data_frames_come_back_with_their_index(batch: RewriteBatch, answers: list[str | None]) -> None:
    pandas = pytest.importorskip("pandas")
    given = pandas.DataFrame({"text": TEXTS}, index=[7, 5, 3, 1])
    found = batch(given)
    assert found.index.tolist() == [7, 5, 3, 1]
    assert [None if value is pandas.NA else value for value in found["rewrite"]] == answers
    assert batch(given[:1]).dtypes.equals(found.dtypes)


def test_a_batch_travels_as_the_place_of_its_model(batch: RewriteBatch) -> None:
    batch({"text": ["great"]})
    travelled = pickle.dumps(batch)
    assert len(travelled) < 2000
    assert pickle.loads(travelled)({"text": TEXTS}) == batch({"text": TEXTS})


def test_a_table_without_the_column_or_with_ours_is_refused(batch: RewriteBatch) -> None:
    with pytest.raises(AraeError, match=r"no column 'text'.*words"):
        batch({"words": []})
    with pytest.raises(AraeError, match="already has a column 'arae_status'"):
        batch({"text": [], "arae_status": []})
    with pytest.raises(TypeError, match="set"):
        batch({"text"})


def test_a_class_or_option_that_cannot_be_is_refused_at_once(pristine_model: Path) -> None:
    with pytest.raises(AraeError, match="class"):
        RewriteBatch(pristine_model, "nowhere")
    with pytest.raises(AraeError, match="beam"):
        RewriteBatch(pristine_model, "positive", beam=0)


def test_an_empty_batch_keeps_its_columns(batch: RewriteBatch) -> None:
    assert batch({"text": []})["rewrite"] == []


def test_dask_rewrites_partitions_with_the_types_it_was_told(
    pristine_model: Path, expected_rewrite: Expected, tmp_path: Path
) -> None:
    dataframe: Any = pytest.importorskip("dask.dataframe")
    import pandas

    rewrite = RewriteBatch(pristine_model, "negative", device="cpu")
    texts = [f"{word} place and {other} food" for word in ("great", "terrible") for other in ("cold", "warm", "rude")]
    frame = dataframe.from_pandas(pandas.DataFrame({"text": texts}), npartitions=3)
    frame.map_partitions(rewrite, meta=rewrite(frame._meta)).to_parquet(tmp_path / "out")
    found = pandas.read_parquet(tmp_path / "out")
    assert found["rewrite"].tolist() == [expected_rewrite(text, "negative") for text in texts]


def test_iterators_of_batches_are_rewritten_one_by_one(batch: RewriteBatch) -> None:
    given = iter([{"text": ["great"]}, {"text": ["cold", "great"]}])
    assert [len(each["rewrite"]) for each in batch.partitions(given)] == [1, 2]


def test_models_that_edit_say_how_sure_they_are_to_keep(exported_editor: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    texts = ["the food was cold and rude .", None, "", "the soup was slow .\nthe room was warm ."]
    rewriter = Rewriter.load(exported_editor, device="cpu", threads=1)
    options = DecodingOptions(beam=1)
    lines = [texts[0] or "", *(texts[3] or "").split("\n")]
    whole, first, second = (each.keep for each in rewriter.rewrites(lines, "good", options=options))
    assert whole is not None
    assert first is not None
    assert second is not None
    wanted = [round(whole, 4), None, None, round(first * second, 4)]
    batch = RewriteBatch(exported_editor, "good", device="cpu", beam=1)
    assert batch({"text": texts})["arae_keep"] == pytest.approx(wanted)
    table = batch(pyarrow.Table.from_pydict({"text": texts}))
    assert table.schema.field("arae_keep").type == pyarrow.float64()
    assert table.column("arae_keep").to_pylist() == pytest.approx(wanted)
    assert "arae_keep" not in RewriteBatch(SHIPPED, "positive").names
