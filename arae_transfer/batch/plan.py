"""Plan of a job: input files, and their division into parts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, cast

from arae_transfer.batch.job import SUFFIXES, Kind, Part
from arae_transfer.batch.rewrite_batch import RewriteBatch
from arae_transfer.corpus.parquet import ParquetTable
from arae_transfer.documents.csv_table import find_column, records, split_row
from arae_transfer.errors import AraeError

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


def find_inputs(names: Sequence[str]) -> tuple[tuple[str, ...], Kind]:
    """Return the files of a job, with the tables in folders, and their kind.

    Raises:
        AraeError: There is no such file, or they are of several kinds, or of none that is known.
    """
    files: list[str] = []
    for name in names:
        path = Path(name)
        if path.is_dir():
            found = sorted(each for each in path.iterdir() if each.suffix.lower() in SUFFIXES)
            files += [str(each) for each in found if not each.name.startswith((".", "_"))]
        else:
            files.append(name)
    kinds: dict[Kind, str] = {}
    for name in files:
        if Path(name).suffix.lower() not in SUFFIXES:
            raise AraeError(f"{name} is not a table of a known kind", f"give files that end in {', '.join(SUFFIXES)}.")
        if not Path(name).is_file():
            raise AraeError(f"there is no file {name}")
        kinds.setdefault(SUFFIXES[Path(name).suffix.lower()], name)
    if not kinds:
        raise AraeError(f"there is no table in {names[0]}", f"give files that end in {', '.join(SUFFIXES)}.")
    if len(kinds) > 1:
        raise AraeError(f"{' and '.join(kinds.values())} are tables of different kinds", "rewrite them separately.")
    return tuple(files), next(iter(kinds))


def cut_into_parts(names: Sequence[str], kind: Kind, rows_per_part: int, batch: RewriteBatch) -> list[Part]:
    """Return the parts of a job, deterministically.

    Args:
        names: The files, in order.
        kind: What they are.
        rows_per_part: The most rows of a part.
        batch: Knows the columns.

    Raises:
        AraeError: A file cannot be read, or has not the columns that it needs.
    """
    parts: list[Part] = []
    for name in names:
        if kind == "parquet":
            found = _cut_parquet(name, rows_per_part, batch)
        elif kind == "csv":
            found = _cut_csv(name, rows_per_part, batch)
        else:
            found = _cut_lines(name, rows_per_part)
        for path, first, rows, start, end, skip in found:
            parts.append(Part(len(parts), path, first, rows, start, end, skip))
    return parts


_Cut = tuple[str, int, int, int, int, int]


def _cut_parquet(name: str, rows_per_part: int, batch: RewriteBatch) -> Iterator[_Cut]:
    """Divide a Parquet table at row groups, and large groups inside."""
    with ParquetTable(Path(name)) as table:
        batch.check(table.names)
        table.require_text(batch.column)
        groups = table.group_sizes
    start, rows, first = 0, 0, 1
    for number, size in enumerate(groups):
        if rows and rows + size > rows_per_part:
            yield name, first, rows, start, number, 0
            first, start, rows = first + rows, number, 0
        if size > rows_per_part:
            for skip in range(0, size, rows_per_part):
                taken = min(rows_per_part, size - skip)
                yield name, first, taken, number, number + 1, skip
                first += taken
            start = number + 1
        else:
            rows += size
    if rows or first == 1:
        yield name, first, rows, start, len(groups), 0


def _cut_lines(name: str, rows_per_part: int) -> Iterator[_Cut]:
    with open_table(name) as file:
        yield from _cut_records(name, rows_per_part, file.tell(), map(len, file))


def _cut_csv(name: str, rows_per_part: int, batch: RewriteBatch) -> Iterator[_Cut]:
    with open_table(name) as file:
        header = read_header(name, file, batch)
        start = file.tell()
        rows = records(decoded(file), header.separator)
        sizes = (len(row.encode("utf-8", "surrogateescape")) for row in rows)
        yield from _cut_records(name, rows_per_part, start, sizes)


def _cut_records(name: str, rows_per_part: int, start: int, sizes: Iterable[int]) -> Iterator[_Cut]:
    """Divide a text table, given the byte that its rows begin at and the bytes of each row."""
    place = start
    first, rows = 1, 0
    for size in sizes:
        place += size
        rows += 1
        if rows == rows_per_part:
            yield name, first, rows, start, place, 0
            first, start, rows = first + rows, place, 0
    if rows or first == 1:
        yield name, first, rows, start, place, 0


def open_table(name: str) -> IO[bytes]:
    """Open a text table after its byte order mark.

    Raises:
        AraeError: It cannot be read, or is UTF-16.
    """
    try:
        file = Path(name).open("rb")  # noqa: SIM115 -- whoever asked for it closes it
    except OSError as error:
        raise AraeError(f"cannot read {name}: {error.strerror or error}") from error
    begin = file.read(len(BYTE_ORDER_MARK))
    if begin[:2] in _UTF16_MARKS:
        file.close()
        raise AraeError(f"{name} is UTF-16", f"convert it: iconv -f UTF-16 -t UTF-8 {name} > NEW")
    file.seek(len(begin) if begin == BYTE_ORDER_MARK else 0)
    return file


def decoded(file: IO[bytes]) -> Iterator[str]:
    """Yield the lines of a file, with bytes that are not UTF-8 as lone surrogates."""
    for line in file:
        yield line.decode("utf-8", "surrogateescape")


class CsvHeader:
    """First row of a table.

    Attributes:
        raw: The row as it stands; empty where the table has no header.
        separator: What stands between fields.
        place: The place of the text's column, from 0.
        names: The columns.
    """

    def __init__(self, raw: str, column: str) -> None:
        self.separator, self.place, named = find_column(raw, column)
        self.names = split_row(raw, self.separator)
        self.raw = raw if named else ""


def read_header(name: str, file: IO[bytes], batch: RewriteBatch) -> CsvHeader:
    """Read the header of a table, and leave the rest unread.

    Raises:
        AraeError: The table has not the columns that it needs.
    """
    begin = file.tell()
    raw = ""
    for line in decoded(cast("IO[bytes]", iter(file.readline, b""))):
        raw += line
        if raw.count('"') % 2 == 0:
            break
    try:
        header = CsvHeader(raw, batch.column)
        batch.check_new(header.names if header.raw else [])
    except AraeError as error:
        raise AraeError(f"{name}: {error.message}", error.hint) from error
    if not header.raw:
        file.seek(begin)
    return header
