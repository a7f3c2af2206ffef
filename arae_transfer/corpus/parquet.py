"""Read columns of Parquet tables row by row in bounded memory, with pyarrow from the extra "train"."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from arae_transfer.corpus.columns import place_of
from arae_transfer.corpus.text_files import explain_read_failure, require_regular_file
from arae_transfer.errors import AraeError

_ROWS_PER_BATCH = 4096


class ParquetTable:
    """A Parquet file that is open for reading; a context manager.

    Attributes:
        path: The file.
        names: Its columns.
        paths: Its columns, where one holds records the paths to what they hold, such as ``review.body``.
        texts: Those of them that hold strings.

    Raises:
        AraeError: pyarrow is not installed; or the file cannot be read, or is no Parquet table.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._arrow: Any = import_module("pyarrow")
            parquet = import_module("pyarrow.parquet")
        except ModuleNotFoundError as error:
            raise AraeError(
                f"reading {path} needs pyarrow, which the base install does not have",
                "run: pip install 'arae-transfer[train]'; or save the table as CSV or JSON Lines.",
            ) from error
        require_regular_file(path)
        try:
            self._bytes = path.stat().st_size
            self._stream = path.open("rb")
        except OSError as error:
            raise explain_read_failure(path, error) from error
        try:
            self._file: Any = parquet.ParquetFile(self._stream)
        except (OSError, ValueError) as error:  # pyarrow's own exceptions are kinds of these
            self._stream.close()
            raise AraeError(
                f"{path} is not a Parquet table, or is damaged: {_reason(error)}", "write the table again."
            ) from error
        self.names: list[str] = list(self._file.schema_arrow.names)
        leaves = [leaf for field in self._file.schema_arrow for leaf in self._leaves(field)]
        self.paths = [path for path, _ in leaves]
        self.texts = [path for path, kind in leaves if self._holds_text(kind)]

    @property
    def group_sizes(self) -> list[int]:
        """Return the number of rows of each row group."""
        metadata = self._file.metadata
        return [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()

    def _leaves(self, field: Any) -> list[tuple[str, Any]]:  # noqa: ANN401 -- pyarrow has no type hints
        if not self._arrow.types.is_struct(field.type):
            return [(field.name, field.type)]
        return [(f"{field.name}.{path}", kind) for inner in field.type for path, kind in self._leaves(inner)]

    def find(self, column: str) -> str | None:
        """Return the column with this name, path or number, or None if there is none."""
        if column in self.names or column in self.paths:
            return column
        place = place_of(column, self.names)
        return None if place is None else self.names[place]

    def _kind(self, column: str) -> Any:  # noqa: ANN401 -- as above
        """Return the type of a column."""
        if column in self.names:
            return self._file.schema_arrow.field(column).type
        kind = None
        for name in column.split("."):
            kind = self._file.schema_arrow.field(name).type if kind is None else kind.field(name).type
        return kind

    def _is_text(self, name: str) -> bool:
        return self._holds_text(self._kind(name))

    def _holds_text(self, kind: Any) -> bool:  # noqa: ANN401 -- as above
        types = self._arrow.types
        if types.is_dictionary(kind):
            kind = kind.value_type
        return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))

    def require_text(self, name: str) -> None:
        """Raise an error if a column does not hold strings.

        Raises:
            AraeError: It holds something else.
        """
        if not self._is_text(name):
            kind = self._kind(name)
            raise AraeError(
                f"{self.path}: the column {name!r} holds {kind}, not strings", "choose the column that holds the text."
            )

    def rows(self, names: Sequence[str], advance: Callable[[int], None]) -> Iterator[tuple[int, list[object]]]:
        """Yield the number of each row, from 1, and its values in the order of ``names``.

        A string that is not UTF-8 comes as bytes, a missing value as None.

        Args:
            names: The columns to read.
            advance: Called with the bytes of the file that each piece of the table stands for.

        Raises:
            AraeError: The file is damaged, or has a column twice; the message names the row.
        """
        for name in names:
            if self.names.count(name) > 1:
                raise AraeError(f"{self.path} has the column {name!r} twice", "rename one of them.")
        total = max(self._file.metadata.num_rows, 1)
        done = 0
        try:
            for batch in self._file.iter_batches(_ROWS_PER_BATCH, columns=list(names)):
                columns = [self._values(batch, name) for name in names]
                for offset, values in enumerate(zip(*columns, strict=True), start=1):
                    yield done + offset, list(values)
                before, done = done, done + batch.num_rows
                advance(self._bytes * done // total - self._bytes * before // total)
        except (OSError, ValueError) as error:
            if isinstance(error, AraeError):
                raise
            raise AraeError(
                f"{self.path}: damaged from row {done + 1:,} on: {_reason(error)}", "write the table again."
            ) from error

    def _values(self, batch: Any, name: str) -> list[object]:  # noqa: ANN401 -- pyarrow has no type hints
        if name in self.names:
            column = batch.column(name)
        else:
            first, *rest = name.split(".")
            column = import_module("pyarrow.compute").struct_field(batch.column(first), rest)
        if not self._is_text(name):
            return list(column.to_pylist())
        if self._arrow.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        # Parquet does not check that its strings are UTF-8, and pyarrow would fail for the whole column.
        return [_decoded(value) for value in column.cast(self._arrow.large_binary()).to_pylist()]


def _decoded(value: bytes | None) -> str | bytes | None:
    if value is None:
        return None
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value


def _reason(error: Exception) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__
