"""Read and check readers' ratings: tables of item, letter and the four scales."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from arae_transfer.corpus.report import Tally
from arae_transfer.corpus.text_files import TextFile
from arae_transfer.errors import AraeError
from arae_transfer.folders import expanded
from arae_transfer.studies.sheets import NOT_RATED
from arae_transfer.studies.study import HIGHEST, LOWEST, SCALES, Study, StudyLayout

Key = tuple[str, str]
"""The item and the letter of a candidate."""

_HEADER = re.compile(r"#\s*(study|sheet|reader|saved)\s*:\s*(.*?)\s*$")


@dataclass(frozen=True)
class Rating:
    """One reader's ratings of one candidate.

    Attributes:
        reader: Who rated.
        values: The ratings in the order of the scales, from 1 to 5.
        place: Where it stands: the file and the line.
    """

    reader: str
    values: tuple[float, ...]
    place: str


@dataclass
class Ratings:
    """All ratings of a study.

    Attributes:
        by_candidate: The ratings of each candidate that has some, one for each reader.
        problems: What could not be used, each with file and line.
        replaced: Ratings that the same reader gave anew later, each with file and line.
    """

    by_candidate: dict[Key, list[Rating]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)


@dataclass
class _Table:
    """A file of ratings, without its header."""

    path: Path
    rows: list[tuple[int, str]]
    header: dict[str, str]

    @property
    def reader(self) -> str:
        # A browser calls the second download of a file "NAME (1)".
        return self.header.get("reader") or re.sub(r" \(\d+\)$", "", self.path.stem)


def find_ratings(root: Path, given: Sequence[Path]) -> list[Path]:
    """Return the files of ratings: given files, tables in given folders, or those in the study's folder.

    Raises:
        AraeError: There is none.
    """
    places = [expanded(path) for path in given] or [StudyLayout(root).ratings]
    found = [path for place in places for path in (sorted(place.glob("*.tsv")) if place.is_dir() else [place])]
    if not found:
        raise AraeError(
            f"there are no ratings in {', '.join(map(str, places))}",
            f"put the readers' .tsv files into {StudyLayout(root).ratings}, or name them.",
        )
    return list(dict.fromkeys(found))


def read_ratings(study: Study, paths: Iterable[Path]) -> Ratings:
    """Read files of ratings.

    A line without any rating is not a problem, its candidate just is not rated. A reader is who the file's header
    names, or else the file's name. A reader's later rating of a candidate, in the later file by the time of saving or
    else by name, takes the place of an earlier one.

    Raises:
        AraeError: A file cannot be read, belongs to another study, or rates a candidate that the study lacks.
    """
    tables = [_read_table(path) for path in paths]
    tables.sort(key=lambda table: (table.header.get("saved", ""), table.path.name))
    ratings = Ratings()
    known = set(study.candidate_keys())
    for table in tables:
        of_study = table.header.get("study") or study.identity
        if of_study != study.identity:
            raise AraeError(
                f"{table.path} belongs to the study {of_study}, not to {study.identity}",
                "remove it from the ratings, or tally it with its own study.",
            )
        for number, row in table.rows:
            _read_row(table, number, row, known, ratings)
    return ratings


def _read_table(path: Path) -> _Table:
    file = TextFile(path, Tally())
    table = _Table(path, [], {})
    for block in file.blocks():
        for number, line in enumerate(file.decode(block), block.first_line):
            if match := _HEADER.match(line):
                table.header[match[1]] = match[2]
            elif line.strip() and not line.lstrip().startswith("#"):
                table.rows.append((number, line))
    return table


def _read_row(table: _Table, number: int, row: str, known: set[Key], ratings: Ratings) -> None:
    place = f"{table.path}, line {number}"
    cells = [cell.strip() for cell in row.split("\t")] if "\t" in row else row.split()
    if [cell.lower() for cell in cells[:2]] == ["item", "letter"]:
        return
    if len(cells) < 2:
        ratings.problems.append(f"{place}: {row.strip()!r} is not an item, a letter and {len(SCALES)} ratings")
        return
    key = (cells[0], cells[1].upper())
    if key not in known:
        raise AraeError(
            f"{place}: the study has no candidate {cells[0]} {cells[1]}",
            "correct the item and the letter; the sheet shows them.",
        )
    values = cells[2:]
    if all(value in ("", NOT_RATED) for value in values):
        return
    if len(values) != len(SCALES):
        ratings.problems.append(f"{place}: {cells[0]} {cells[1]} has {len(values)} ratings, not {len(SCALES)}")
        return
    numbers = []
    for scale, value in zip(SCALES, values, strict=True):
        rating = _parse(value)
        if rating is None:
            what = "no rating" if value in ("", NOT_RATED) else f"{value!r}, which is not one of 1, 1.5, ... 5"
            ratings.problems.append(f"{place}: {cells[0]} {cells[1]} has for {scale} {what}")
            return
        numbers.append(rating)
    new = Rating(table.reader, tuple(numbers), place)
    others = ratings.by_candidate.setdefault(key, [])
    for index, other in enumerate(others):
        if other.reader == new.reader:
            ratings.replaced.append(f"{other.place}: {key[0]} {key[1]}, rated again in {place}")
            others[index] = new
            return
    others.append(new)


def _parse(value: str) -> float | None:
    """Return a rating, or None if it is not a multiple of 0.5 from 1 to 5."""
    if not re.fullmatch(r"[1-5](\.[05]0*)?", value):
        return None
    number = float(value)
    return number if LOWEST <= number <= HIGHEST else None
