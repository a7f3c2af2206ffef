"""`RewriteBatch`: rewrite a column of a batch of rows, and add the rewrites as new columns.

Ray, Spark, Daft, Dask and ``datasets`` hand batches to a function or a class like this one, each in its own kind of
table. None of them is imported here, nor are pyarrow and pandas unless a batch of theirs comes in.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from arae_transfer.errors import AraeError

if TYPE_CHECKING:
    from arae_transfer.runtime.decoding import DecodingOptions
    from arae_transfer.runtime.rewrite import Rewrite
    from arae_transfer.runtime.rewriter import Rewriter

STATUS = "arae_status"
ERROR = "arae_error"
SOURCE_CLASS = "arae_source_class"
CONFIDENCE = "arae_confidence"
KEEP = "arae_keep"
DECIMALS = 4
"""Decimals of probabilities: different batch sizes change those of a line by less."""
_NUMBERS = (CONFIDENCE, KEEP)

FAILED = "error"

_LINE_BREAK = re.compile(r"(\r\n|\r|\n)")


@dataclass(frozen=True, slots=True)
class Row:
    """Result for one row.

    Attributes:
        rewrite: The answer; None: the row has no text.
        status: That of the rewrite (``runtime.rewrite.Status``), such as ``rewritten``; ``error``: there is no text.
        error: What is wrong with the row, or None.
        source_class: The class that was found in the text, where that was asked for.
        confidence: How sure the style score of the answer is, where candidates were scored.
        keep: The probability that nothing of the text is to change, by a model that edits.
    """

    rewrite: str | None
    status: str
    error: str | None = None
    source_class: str | None = None
    confidence: float | None = None
    keep: float | None = None


@lru_cache(maxsize=2)
def _shared_rewriter(
    model: str | None,
    device: str,
    threads: int,
    variant: str,
    protect: tuple[str, ...],
    glossary: tuple[str, ...],
) -> Rewriter:
    """Return this process's only rewriter, because schedulers may unpickle its users for each batch."""
    from arae_transfer.runtime.rewriter import Rewriter

    return Rewriter.load(model, device=device, threads=threads, variant=variant, protect=protect, glossary=glossary)


class RewriteBatch:
    """Rewrites a column of a batch; other columns, the order and the kind of the batch stay.

    A batch is a dict of lists or of NumPy arrays, a ``pyarrow.Table`` or ``RecordBatch``, or a ``pandas.DataFrame``.
    It comes back with the columns ``rewrite`` (a string, or null), ``arae_status`` (see ``Row``) and ``arae_error``
    (null, or what is wrong with the row, which is kept); with ``source="auto"`` also ``arae_source_class``, and with
    candidates ``arae_confidence``, and with a model that edits ``arae_keep``. They have these types in every batch.

    It can be pickled: what travels is where the model lies, and a process loads it once, when its first batch comes.
    """

    def __init__(
        self,
        model: str | Path | None = None,
        to: str = "",
        *,
        column: str = "text",
        rewrite_column: str = "rewrite",
        device: str = "auto",
        threads: int = 1,
        variant: str = "auto",
        batch_size: int = 64,
        form: str = "auto",
        long: str = "split",
        protect: Iterable[str] = (),
        glossary: Iterable[str] = (),
        options: DecodingOptions | None = None,
        **further: Any,  # noqa: ANN401 -- the fields of DecodingOptions, which has their types
    ) -> None:
        """Check the options; the first batch loads the model.

        Args:
            model: A name, a path or ``hf://owner/name``; None: the environment variable ``ARAE_MODEL``, else the
                shipped model.
            to: A class of the model, or the unique start of one.
            column: The column that holds the text.
            rewrite_column: What the column of the rewrites is called.
            device: As in ``arae_transfer.load``.
            threads: The number of CPU threads: as many as the scheduler gives this worker.
            variant: As in ``arae_transfer.load``.
            batch_size: The most lines that are rewritten at once.
            form: As in ``Rewriter.transfer``.
            long: As in ``Rewriter.transfer``.
            protect: As in ``arae_transfer.load``.
            glossary: As in ``arae_transfer.load``.
            options: How each answer is chosen; None: by the fields given as further arguments, such as ``beam=4``.
            **further: Fields of ``DecodingOptions``.

        Raises:
            AraeError: There is no such model or class, or an option is out of range.
        """
        from arae_transfer.runtime.decoding import DecodingOptions
        from arae_transfer.runtime.model_folder import ModelFolder

        folder = ModelFolder.find(model)
        folder.require_rewriting()
        self.to = folder.match_class(to)
        self.column = column
        self.rewrite_column = rewrite_column
        self._options = options if options is not None else DecodingOptions(**further)
        resolved = self._options.resolve(folder.beam)
        self._batch_size, self._form, self._long = batch_size, form, long
        self._load = (folder.address, device, threads, variant, tuple(protect), tuple(glossary))
        self._source_class = self._options.source is not None
        self._confidence = resolved.needs_hypotheses
        self._keep = folder.edits

    @property
    def rewriter(self) -> Rewriter:
        """Rewriter, loaded on first use."""
        return _shared_rewriter(*self._load)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the new columns."""
        further = (SOURCE_CLASS,) * self._source_class + (CONFIDENCE,) * self._confidence + (KEEP,) * self._keep
        return (self.rewrite_column, STATUS, ERROR, *further)

    def __call__(self, batch: Any) -> Any:  # noqa: ANN401 -- any kind of table
        """Return a batch with the rewrites.

        Raises:
            AraeError: The batch has not the column, or has one that the rewrites would replace.
            TypeError: It is no kind of batch that is known.
        """
        home = type(batch).__module__.partition(".")[0]
        if isinstance(batch, Mapping):
            return self._call_mapping(batch)
        if home == "pyarrow":
            return self._call_arrow(batch)
        if home == "pandas":
            return self._call_pandas(batch)
        raise TypeError(f"a batch is a dict, a pyarrow table or a pandas data frame, not {type(batch).__name__}")

    def check(self, names: Sequence[str]) -> None:
        """Raise an error for a table without the text column, or with one of the new columns.

        Raises:
            AraeError: As said.
        """
        if self.column not in names:
            raise AraeError(
                f"there is no column {self.column!r}; the columns are: {', '.join(names)}", "name the text column."
            )
        self.check_new(names)

    def check_new(self, names: Sequence[str]) -> None:
        """Raise an error for a table with one of the new columns.

        Raises:
            AraeError: As said.
        """
        clash = [name for name in self.names if name in names]
        if clash:
            hint = (
                "give the column of rewrites another name." if clash == [self.rewrite_column] else "rename or drop it."
            )
            raise AraeError(f"the table already has a column {clash[0]!r}", hint)

    def rewrite_values(self, values: Sequence[object]) -> list[Row]:
        """Rewrite texts; values that are not strings become errors."""
        lines = [_LINE_BREAK.split(value) if isinstance(value, str) else [] for value in values]
        texts = [line for each in lines for line in each[::2]]
        rewriter = self.rewriter
        at_once = rewriter.chunk_size(self._batch_size)
        rewrites: list[Rewrite] = []
        for start in range(0, len(texts), at_once):
            rewrites += rewriter.rewrite_chunk(
                texts[start : start + at_once],
                self.to,
                batch_size=self._batch_size,
                form=self._form,
                long=self._long,
                options=self._options,
            )
        found = iter(rewrites)
        return [
            self._row(list(islice(found, len(each[::2]))), each[1::2]) if each else _bad_row(value)
            for value, each in zip(values, lines, strict=True)
        ]

    def _row(self, rewrites: Sequence[Rewrite], breaks: Sequence[str]) -> Row:
        """Rewrite a text of one or more lines, and keep its line breaks."""
        from arae_transfer.runtime.reranking import probability_of_all

        output = "".join(chain.from_iterable(zip((each.output for each in rewrites), [*breaks, ""], strict=True)))
        statuses = [str(each.status) for each in rewrites]
        status = (
            "rewritten" if "rewritten" in statuses else next((each for each in statuses if each != "blank"), "blank")
        )
        longest = max(rewrites, key=lambda each: each.tokens)
        styles = [each.candidates[0].style for each in rewrites if each.candidates]
        confidence = round(min(styles), DECIMALS) if self._confidence and styles else None
        keep = probability_of_all([each.keep for each in rewrites]) if self._keep else None
        return Row(
            output,
            status,
            source_class=longest.source_class if self._source_class else None,
            confidence=confidence,
            keep=None if keep is None else round(keep, DECIMALS),
        )

    def columns(self, rows: Sequence[Row]) -> dict[str, list[Any]]:
        """Return the new columns."""
        found: dict[str, list[Any]] = {
            self.rewrite_column: [row.rewrite for row in rows],
            STATUS: [row.status for row in rows],
            ERROR: [row.error for row in rows],
            SOURCE_CLASS: [row.source_class for row in rows],
            CONFIDENCE: [row.confidence for row in rows],
            KEEP: [row.keep for row in rows],
        }
        return {name: found[name] for name in self.names}

    def _call_mapping(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        self.check(list(batch))
        column = batch[self.column]
        as_array = hasattr(column, "tolist")
        columns = self.columns(self.rewrite_values(column.tolist() if as_array else column))
        if not as_array:
            return {**batch, **columns}
        import numpy as np

        arrays = {
            name: np.array(values, np.float64 if name in _NUMBERS else object) for name, values in columns.items()
        }
        return {**batch, **arrays}

    def _call_arrow(self, batch: Any) -> Any:  # noqa: ANN401 -- pyarrow has no type hints
        self.check(batch.schema.names)
        columns = self.columns(self.rewrite_values(arrow_texts(batch.column(self.column))))
        for field in self.arrow_fields():
            import pyarrow

            batch = batch.append_column(field, pyarrow.array(columns[field.name], field.type))
        return batch

    def arrow_fields(self) -> list[Any]:
        """Return the fields of the new columns for pyarrow."""
        import pyarrow

        return [pyarrow.field(name, pyarrow.float64() if name in _NUMBERS else pyarrow.string()) for name in self.names]

    def _call_pandas(self, batch: Any) -> Any:  # noqa: ANN401
        import pandas

        self.check([str(name) for name in batch.columns])
        values = [value if isinstance(value, str) else None for value in batch[self.column].tolist()]
        columns = self.columns(self.rewrite_values(values))
        series = {
            name: pandas.Series(each, index=batch.index, dtype="float64" if name in _NUMBERS else "string")
            for name, each in columns.items()
        }
        return batch.assign(**series)

    def partitions(self, batches: Iterator[Any]) -> Iterator[Any]:
        """Rewrite batches one by one, for Spark's ``mapInArrow`` and ``mapInPandas``."""
        return map(self, batches)


def _bad_row(value: object) -> Row:
    what = "the text is missing" if value is None else f"the text is {type(value).__name__}, not a string"
    return Row(None, FAILED, what)


def arrow_texts(column: Any) -> list[object]:  # noqa: ANN401 -- pyarrow has no type hints
    """Return the values of a pyarrow column; strings that are not UTF-8, which Parquet allows, are bytes."""
    import pyarrow

    try:
        return list(column.to_pylist())
    except UnicodeDecodeError:
        if pyarrow.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        return [_text_or_bytes(value) for value in column.cast(pyarrow.large_binary()).to_pylist()]


def _text_or_bytes(value: bytes | None) -> object:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return value
