"""Read rows of JSON Lines and Parquet files, whose columns may be nested (``review.body``).

JSON comes from the standard library's reader: pyarrow's refuses a file whose labels are numbers here and strings there,
or with half of a surrogate pair in it, and cannot say on which line.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from arae_transfer.corpus.columns import (
    NO_SPLIT_COLUMN,
    Columns,
    Row,
    missing_column,
    name_of,
    present,
    text_inside,
)
from arae_transfer.corpus.csv_rows import numbered_lines
from arae_transfer.corpus.parquet import ParquetTable
from arae_transfer.corpus.report import Reason
from arae_transfer.corpus.text_files import TextFile
from arae_transfer.errors import AraeError

# A column that is missing in this many objects is missing in the file.
_OBJECTS_BEFORE_A_COLUMN_IS_MISSING = 1000
_DEEPEST = 8


def parquet_rows(file: TextFile, columns: Columns) -> Iterator[Row]:
    """Yield the rows of a Parquet table, numbered from 1 like lines.

    Raises:
        AraeError: pyarrow or a column is missing, or the table is damaged.
    """
    with ParquetTable(file.path) as table:
        names = {role: table.find(getattr(columns, role)) for role in ("text", "label", "split")}
        for role in ("text", "label"):
            if names[role] is None:
                raise missing_column(file, getattr(columns, role), role, table.paths)
        text_name, label_name, split_name = names["text"], names["label"], names["split"]
        assert text_name is not None and label_name is not None
        inside = [path.removeprefix(f"{text_name}.") for path in table.texts if path.startswith(f"{text_name}.")]
        if inside:
            raise text_inside(file, 1, text_name, inside)
        table.require_text(text_name)
        wanted = [text_name, label_name, *([split_name] if split_name else [])]
        for number, values in table.rows(wanted, file.advance):
            text = values[0]
            if isinstance(text, bytes):
                text = text.decode("utf-8", errors="replace")
                file.tally.note(file.path, Reason.INVALID_UTF8, number)
            assert text is None or isinstance(text, str)
            label = _name(file, number, label_name, values[1])
            split = _name(file, number, columns.split, values[2]) if split_name else NO_SPLIT_COLUMN
            yield Row(number, present(text), label, split)


def json_rows(file: TextFile, columns: Columns) -> Iterator[Row]:
    """Yield the rows of a JSON Lines file.

    Raises:
        AraeError: A key is missing in all objects, or a line is damaged; the message names file and line.
    """
    unseen = {"text": columns.text, "label": columns.label}
    objects = 0
    has_splits = False
    names: list[str] = []
    for number, line in numbered_lines(file):
        if not line or line.isspace():
            file.tally.note(file.path, Reason.EMPTY, number)
            continue
        record = _json_object(file, number, line)
        objects += 1
        if objects == 1:
            names = list(_paths(record))
            has_splits = _find(record, columns.split)[0]
        if unseen:
            unseen = {role: column for role, column in unseen.items() if not _find(record, column)[0]}
            if unseen and objects == _OBJECTS_BEFORE_A_COLUMN_IS_MISSING:
                break
        split: str | None = NO_SPLIT_COLUMN
        if has_splits:
            split = _name(file, number, columns.split, _find(record, columns.split)[1])
        label = _name(file, number, columns.label, _find(record, columns.label)[1])
        yield Row(number, _json_text(file, number, columns.text, record), label, split)
    for role, column in unseen.items():
        if objects == 0:
            return  # an empty file: the classes will be found too small
        raise missing_column(file, column, role, names)


def _json_text(file: TextFile, number: int, column: str, record: Mapping[str, object]) -> str | None:
    text = _find(record, column)[1]
    if text is None or text != text:  # NaN, which JSON does not have and many programs write
        return None
    if isinstance(text, dict):
        raise text_inside(file, number, column, [path for path in _paths(text) if _is_text(text, path)])
    if not isinstance(text, str):
        raise AraeError(
            f"{file.path}:{number}: {column!r} is {_json_type(text)}, not a string",
            "every text must be a JSON string.",
        )
    return present(_without_surrogates(file, number, text))


def _is_text(record: Mapping[str, object], path: str) -> bool:
    return isinstance(_find(record, path)[1], str)


def _find(record: Mapping[str, object], column: str) -> tuple[bool, object]:
    """Return whether a record has a column, by its name or by a path of names, and its value."""
    if column in record:
        return True, record[column]
    first, dot, rest = column.partition(".")
    inner = record.get(first)
    if dot and isinstance(inner, dict):
        return _find(inner, rest)
    return False, None


def _paths(record: Mapping[str, object], depth: int = _DEEPEST) -> Iterator[str]:
    """Yield the names in a record, and the paths into the records inside it."""
    for name, value in record.items():
        if isinstance(value, dict) and value and depth:
            yield from (f"{name}.{path}" for path in _paths(value, depth - 1))
        else:
            yield name


def _json_object(file: TextFile, number: int, line: str) -> dict[str, object]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        reason = f"{error.msg}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else str(error)
        raise AraeError(
            f"{file.path}:{number}: malformed JSON: {reason}",
            "each line of a .jsonl file must be one JSON object.",
        ) from error
    if not isinstance(record, dict):
        raise AraeError(
            f"{file.path}:{number}: the line is {_json_type(record)}, not an object",
            'write {"text": "…", "label": "…"} on each line.',
        )
    return record


def _name(file: TextFile, number: int, column: str, value: object) -> str | None:
    try:
        return name_of(value)
    except TypeError as error:
        raise AraeError(
            f"{file.path}:{number}: {column!r} is {_json_type(value)}, not a string or an integer",
            "write one class name in each row.",
        ) from error


def _without_surrogates(file: TextFile, number: int, text: str) -> str:
    """Replace lone surrogates, which JSON can write but UTF-8 cannot encode."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        file.tally.note(file.path, Reason.INVALID_UTF8, number)
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _json_type(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")
