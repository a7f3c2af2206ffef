"""What tests of reader studies do again and again: run the command, make a study, fill a sheet in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from typer.testing import CliRunner

from arae_transfer.cli import app
from arae_transfer.studies.study import Study

SYSTEMS = ("first", "second", "third")
LINES = 30


def invoke(*arguments: object) -> tuple[int, str, str]:
    """Run `arae study` and return its status, standard output and standard error."""
    result = CliRunner().invoke(app, ["study", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def write(path: Path, lines: list[str]) -> Path:
    """Write lines to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return path


def source_options(folder: Path) -> list[str]:
    """Return the options that name the sources of a folder."""
    parts = [f"{group}/{target}" for group in ("food", "films") for target in ("bad", "good")]
    return [word for part in parts for word in ("--sources", f"{part}={folder}/{part.replace('/', '.')}.txt")]


def make(folder: Path, *options: object) -> Study:
    """Make a study of the three systems and return it."""
    place = folder / "study"
    systems = [folder / system for system in SYSTEMS]
    status, output, messages = invoke("make", place, *systems, *source_options(folder), *options)
    assert (status, output) == (0, ""), messages
    return Study.read(place)


def rate(study: Study, place: Path, overall: Callable[[str, str], object], *, header: str = "") -> Path:
    """Write a file of ratings: ``overall`` gets the item and the letter and returns all that is said of them."""
    lines = [f"{item}\t{letter}\t{overall(item, letter)}" for item, letter in study.candidate_keys()]
    return write(place, [*header.splitlines(), *lines])
