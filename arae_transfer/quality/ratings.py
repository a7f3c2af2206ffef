"""Readers' ratings of rewrites for training the quality estimator: tab-separated values with a header."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from arae_transfer.atomic import write_tsv
from arae_transfer.errors import AraeError

COLUMNS = ("class", "source", "rewrite")
_OVERALL, _ACCEPTED = "overall", "accepted"
_LEAST, _GREATEST = 1.0, 5.0


@dataclass(frozen=True)
class Rating:
    """A reader's rating of a rewrite.

    Attributes:
        label: The target class.
        source: The sentence.
        rewrite: The rewrite.
        accepted: The probability that another reader accepts it, see ``acceptance``.
    """

    label: str
    source: str
    rewrite: str
    accepted: float


def acceptance(overall: float) -> float:
    """Return the probability, from 0 to 1, that another reader accepts a rewrite with this rating.

    Args:
        overall: From 1, useless, to 5, accepted as it is; 4 and more count as accepted.
    """
    if overall >= 4.0:
        return 1.0 if overall >= 4.5 else 0.9
    return 0.35 if overall >= 3.5 else 0.15 if overall >= 3.0 else 0.02


def read_ratings(path: Path, classes: Sequence[str]) -> list[Rating]:
    """Read ratings, and ignore other columns.

    A column ``overall`` holds ratings from 1 to 5, or a column ``accepted`` probabilities, such as another estimator's.

    Raises:
        AraeError: The file cannot be read, lacks a column, or names an unknown class or a number out of range.
    """
    try:
        lines = path.read_text("utf-8").removesuffix("\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise AraeError(f"cannot read the ratings {path}: {error}") from error
    header = lines[0].split("\t")
    value = _ACCEPTED if _ACCEPTED in header else _OVERALL
    missing = [name for name in (*COLUMNS, value) if name not in header]
    if missing:
        raise AraeError(
            f"{path} has no column {missing[0]!r}",
            f"its first line must name the columns {', '.join(COLUMNS)} and {_OVERALL} or {_ACCEPTED}, in any order.",
        )
    places = [header.index(name) for name in (*COLUMNS, value)]
    ratings = []
    for number, line in enumerate(lines[1:], start=2):
        cells = line.split("\t")
        if len(cells) != len(header):
            raise AraeError(f"{path}, line {number}: {len(cells)} columns, but the header has {len(header)}")
        label, source, rewrite, number_read = (cells[place] for place in places)
        if label not in classes:
            raise AraeError(f"{path}, line {number}: there is no class {label!r}", f"there are {', '.join(classes)}.")
        accepted = _read_acceptance(number_read, value)
        if accepted is None:
            hint = "give a number from 1 to 5." if value == _OVERALL else "give a probability from 0 to 1."
            raise AraeError(f"{path}, line {number}: {number_read!r} is no {value!r}", hint)
        ratings.append(Rating(label, source, rewrite, accepted))
    return ratings


def _read_acceptance(text: str, column: str) -> float | None:
    """Return the probability of acceptance that a cell of a column says; None: it says none."""
    least, greatest = (_LEAST, _GREATEST) if column == _OVERALL else (0.0, 1.0)
    try:
        number = float(text)
    except ValueError:
        return None
    if not least <= number <= greatest:
        return None
    return acceptance(number) if column == _OVERALL else number


def write_ratings(path: Path, ratings: Sequence[Rating]) -> None:
    """Write ratings with a header."""
    rows = ((each.label, each.source, each.rewrite, f"{each.accepted:.4g}") for each in ratings)
    write_tsv(path, [(*COLUMNS, _ACCEPTED), *rows])
