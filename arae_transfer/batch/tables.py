"""Read, rewrite and atomically write one part of a job."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import IO, Any

from arae_transfer.atomic import open_atomically
from arae_transfer.batch.job import Job, Part
from arae_transfer.batch.plan import CsvHeader, decoded, open_table, read_header
from arae_transfer.batch.rewrite_batch import ERROR, FAILED, RewriteBatch, Row, arrow_texts
from arae_transfer.documents.csv_table import find_fields, records
from arae_transfer.documents.json_lines import find_strings
from arae_transfer.errors import AraeError

ROWS_AT_ONCE = 1024
_MOST_HELD = 32 << 20
"""Maximum bytes of rows to collect for a row group of a Parquet table."""

NO_JSON = "the line is not JSON"
NO_OBJECT = "the line is not a JSON object"

Problem = str


def write_part(job: Job, part: Part, batch: RewriteBatch) -> dict[str, Any]:
    """Rewrite a part and write its file.

    Returns:
        What the manifest says of it: file, rows, how many have which status, bytes and checksum.

    Raises:
        AraeError: A file cannot be read or written, or a row has no text and the job does not keep such rows.
    """
    path = job.file_of(part)
    counts: Counter[str] = Counter()
    with open_atomically(path) as file:
        write = _write_parquet if job.kind == "parquet" else _write_text
        write(job, part, batch, file, counts)
    digest = hashlib.sha256()
    with path.open("rb") as written:
        while block := written.read(1 << 20):
            digest.update(block)
    return {
        "file": path.name,
        "rows": sum(counts.values()),
        "statuses": dict(sorted(counts.items())),
        "bytes": path.stat().st_size,
        "sha256": digest.hexdigest(),
    }


def _count(job: Job, part: Part, number: int, rows: Sequence[Row], counts: Counter[str]) -> None:
    """Count rows by status.

    Args:
        job: The job.
        part: The part that they are in.
        number: The number of the first of them in the file.
        rows: The rows.
        counts: What is counted so far.

    Raises:
        AraeError: One is bad, and the job does not keep such rows.
    """
    counts.update(row.status for row in rows)
    if job.keep_errors:
        return
    for offset, row in enumerate(rows):
        if row.status == FAILED:
            raise AraeError(
                f"{part.path}: row {number + offset:,}: {row.error}", "correct it, or keep such rows: --on-error keep."
            )


def _write_parquet(job: Job, part: Part, batch: RewriteBatch, file: IO[bytes], counts: Counter[str]) -> None:
    import pyarrow
    from pyarrow import parquet

    with parquet.ParquetFile(part.path) as table:
        schema = table.schema_arrow
        for field in batch.arrow_fields():
            schema = schema.append(field)
        groups = list(range(part.start, part.end))
        held: list[Any] = []
        size, skip, number, left = 0, part.skip, part.first, part.rows
        with parquet.ParquetWriter(file, schema) as writer:
            for rows in table.iter_batches(ROWS_AT_ONCE, row_groups=groups):
                taken = rows.slice(skip, left)
                skip = max(0, skip - rows.num_rows)
                if not taken.num_rows:
                    if not left:
                        break
                    continue
                answers = batch.rewrite_values(arrow_texts(taken.column(job.column)))
                _count(job, part, number, answers, counts)
                columns = batch.columns(answers)
                new = [pyarrow.array(columns[field.name], field.type) for field in batch.arrow_fields()]
                held.append(pyarrow.RecordBatch.from_arrays([*taken.columns, *new], schema=schema))
                size += held[-1].nbytes
                number, left = number + taken.num_rows, left - taken.num_rows
                if size > _MOST_HELD:
                    writer.write_table(pyarrow.Table.from_batches(held, schema))
                    held, size = [], 0
            if held:
                writer.write_table(pyarrow.Table.from_batches(held, schema))


class _Text:
    """Reader and writer of rows in one text format.

    Attributes:
        head: What a file begins with.
    """

    head = ""

    def rows(self, lines: Iterator[str]) -> Iterator[str]:
        """Yield rows as they are, without blank ones."""
        return (line for line in lines if not line.isspace())

    def text_of(self, row: str) -> tuple[str | None, Problem | None]:
        """Return the text of a row, or its error."""
        raise NotImplementedError

    def render(self, row: str, columns: dict[str, Any]) -> str:
        """Return a row with more columns; an unreadable row is kept whole in the text column."""
        raise NotImplementedError


class _JsonLines(_Text):
    def __init__(self, name: str, batch: RewriteBatch) -> None:
        self._name = name
        self._batch = batch

    def text_of(self, row: str) -> tuple[str | None, Problem | None]:
        try:
            record = json.loads(row)
        except (ValueError, RecursionError):
            return None, NO_JSON
        if not isinstance(record, dict):
            return None, NO_OBJECT
        try:
            self._batch.check_new(list(record))
        except AraeError as error:
            raise AraeError(f"{self._name}: {error.message}", error.hint) from error
        places = find_strings(row, self._batch.column)
        if not places:
            return None, f"the column {self._batch.column!r} is missing or is not a string"
        start, end = places[0]
        return json.loads(row[start - 1 : end + 1]), None

    def render(self, row: str, columns: dict[str, Any]) -> str:
        body = row.strip()
        new = json.dumps(columns, ensure_ascii=body.isascii())[1:]
        if columns[ERROR] in (NO_JSON, NO_OBJECT):
            return json.dumps({self._batch.column: readable(body)})[:-1] + f", {new}\n"
        begun = body[:-1].rstrip()
        return f"{begun}{'' if begun == '{' else ', '}{new}\n"


class _Lines(_Text):
    def __init__(self, batch: RewriteBatch) -> None:
        self._column = batch.column

    def rows(self, lines: Iterator[str]) -> Iterator[str]:
        return lines

    def text_of(self, row: str) -> tuple[str | None, Problem | None]:
        return readable(row.removesuffix("\n").removesuffix("\r")), None

    def render(self, row: str, columns: dict[str, Any]) -> str:
        return json.dumps({self._column: self.text_of(row)[0], **columns}, ensure_ascii=False) + "\n"


class _Csv(_Text):
    def __init__(self, header: CsvHeader, batch: RewriteBatch) -> None:
        self._separator = header.separator
        self._place = header.place
        self._width = len(header.names)
        if header.raw:
            self._end = "\r\n" if header.raw.endswith("\r\n") else "\n"
            self.head = header.raw.rstrip("\r\n") + self._separator + self._line(batch.names)
        else:
            self._end = "\n"

    def _line(self, fields: Iterable[object]) -> str:
        line = io.StringIO()
        csv.writer(line, delimiter=self._separator, lineterminator=self._end).writerow(fields)
        return line.getvalue()

    def rows(self, lines: Iterator[str]) -> Iterator[str]:
        return (record for record in records(lines, self._separator) if not record.isspace())

    def _values(self, row: str) -> list[str] | None:
        """Return the fields of a row, or None for an unreadable one."""
        found = find_fields(row, self._separator)
        try:
            values = next(csv.reader([row], delimiter=self._separator), [])
        except csv.Error:
            return None
        return values if found is not None and len(found) == len(values) else None

    def text_of(self, row: str) -> tuple[str | None, Problem | None]:
        values = self._values(row)
        if values is None:
            return None, "unreadable quotes or line ends"
        if len(values) > self._width:
            return None, f"{len(values)} columns instead of {self._width}"
        if self._place >= len(values):
            return None, f"{len(values)} of {self._width} columns"
        return values[self._place], None

    def render(self, row: str, columns: dict[str, Any]) -> str:
        body = row.removesuffix("\n").removesuffix("\r")
        values = self._values(row)
        if values is None or len(values) > self._width:
            fields = [""] * self._width
            fields[self._place] = body
            return self._line([*fields, *columns.values()])
        padding = self._separator * (self._width - len(values) + 1)
        return body + padding + self._line(columns.values())


def readable(text: str) -> str:
    """Return text with replacement characters for bytes that are not UTF-8."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _reader(job: Job, part: Part, batch: RewriteBatch) -> _Text:
    if job.kind == "jsonl":
        return _JsonLines(part.path, batch)
    if job.kind == "txt":
        return _Lines(batch)
    with open_table(part.path) as file:
        return _Csv(read_header(part.path, file, batch), batch)


def _write_text(job: Job, part: Part, batch: RewriteBatch, file: IO[bytes], counts: Counter[str]) -> None:
    reader = _reader(job, part, batch)
    file.write(reader.head.encode("utf-8", "surrogateescape"))
    with open_table(part.path) as table:
        table.seek(part.start)
        rows = reader.rows(decoded(_Limited(table, part.end - part.start)))  # type: ignore[arg-type]
        number = part.first
        while chunk := list(islice(rows, ROWS_AT_ONCE)):
            texts = [reader.text_of(row) for row in chunk]
            answers = batch.rewrite_values([text for text, _ in texts])
            answers = [
                answer if problem is None else Row(None, FAILED, problem)
                for answer, (_, problem) in zip(answers, texts, strict=True)
            ]
            _count(job, part, number, answers, counts)
            columns = batch.columns(answers)
            new = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
            written = "".join(map(reader.render, chunk, new))
            file.write(written.encode("utf-8", "surrogateescape"))
            number += len(chunk)


class _Limited:
    """Lines of a file up to a number of bytes."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file = file
        self._left = size

    def __iter__(self) -> Iterator[bytes]:
        while self._left > 0 and (line := self._file.readline()):
            self._left -= len(line)
            yield line
