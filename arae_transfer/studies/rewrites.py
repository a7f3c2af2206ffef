"""Systems of a study: rewrites from files, from folders of files, or from exported models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from arae_transfer.corpus.report import Tally
from arae_transfer.corpus.text_files import TextFile
from arae_transfer.errors import AraeError
from arae_transfer.folders import HUB_PREFIX, expanded
from arae_transfer.layout import ExportLayout
from arae_transfer.runtime.model_folder import ModelFolder
from arae_transfer.studies.study import Part

COPY = "copy"
"""The name of the system that answers with the source itself."""


@dataclass(frozen=True)
class Sources:
    """The lines that a part is drawn from.

    Attributes:
        part: The part.
        path: The file.
        lines: Its lines.
    """

    part: Part
    path: Path
    lines: Sequence[str]


class System(Protocol):
    """A system that rewrites sources."""

    def rewrite(self, part: Part, numbers: Sequence[int], lines: Sequence[str]) -> list[str] | None:
        """Rewrite some lines of a part, or return None if the system has no rewrites of this part.

        Args:
            part: The part.
            numbers: The places of the lines in the part's file, from 0.
            lines: The lines.
        """


class Copy:
    """Returns the source itself, as a baseline."""

    def rewrite(self, part: Part, numbers: Sequence[int], lines: Sequence[str]) -> list[str] | None:
        """Return the lines."""
        return list(lines)


@dataclass(frozen=True)
class Files:
    """Rewrites in files with one line per source line.

    Attributes:
        rewrites: The lines of each part's file, by the part's name.
    """

    rewrites: Mapping[str, Sequence[str]]

    def rewrite(self, part: Part, numbers: Sequence[int], lines: Sequence[str]) -> list[str] | None:
        """Return the lines of the part's file at these indices."""
        found = self.rewrites.get(part.name)
        return None if found is None else [found[number] for number in numbers]


@dataclass(frozen=True)
class Model:
    """An exported model, which rewrites on request.

    Attributes:
        folder: The model.
        device: Where it runs, as ``Rewriter.load`` takes it.
        threads: The number of CPU threads, as ``Rewriter.load`` takes it.
    """

    folder: ModelFolder
    device: str = "auto"
    threads: int | None = None

    def rewrite(self, part: Part, numbers: Sequence[int], lines: Sequence[str]) -> list[str] | None:
        """Return the model's rewrites.

        Raises:
            AraeError: The model lacks the class, or cannot run.
        """
        from arae_transfer.runtime.rewriter import Rewriter

        rewriter = Rewriter.load(self.folder.address, device=self.device, threads=self.threads)
        return list(rewriter.transfer(lines, self.folder.match_class(part.target)))


def read_sources(values: Sequence[str]) -> list[Sources]:
    """Read the files of ``PART=FILE`` values.

    Raises:
        AraeError: A value has another form, a part is given twice, or a file cannot be read.
    """
    found: dict[str, Sources] = {}
    for value in values:
        name, equals, path = value.partition("=")
        try:
            part = Part.parse(name)
        except ValueError:
            equals = ""
            part = Part("", "")
        if not equals or not path:
            raise AraeError(
                f"--sources {value} does not name a class and a file",
                "write --sources [GROUP/][CLASS-to-]CLASS=FILE, such as --sources positive=test.negative.txt",
            )
        if name in found:
            raise AraeError(f"--sources {name}= is given twice", "give one file per part.")
        found[name] = Sources(part, expanded(path), _read_lines(expanded(path)))
    return list(found.values())


def find_systems(
    values: Sequence[str], sources: Sequence[Sources], *, device: str = "auto", threads: int | None = None
) -> dict[str, System]:
    """Return the systems of ``[NAME=]MODEL|FOLDER|FILE`` and ``NAME@PART=FILE`` values, by name, in order.

    Raises:
        AraeError: A value names nothing that rewrites, a name is given twice, or a file does not fit its sources.
    """
    systems: dict[str, System] = {}
    single: dict[str, dict[str, Sequence[str]]] = {}
    by_name = {each.part.name: each for each in sources}
    for value in values:
        name, wish = _split_value(value)
        name, at, part_name = name.partition("@")
        _check_name(name, value)
        if at:
            if part_name not in by_name:
                raise AraeError(f"{value}: there is no part {part_name!r}", f"parts: {', '.join(by_name)}.")
            of_name = single.setdefault(name, {})
            if part_name in of_name or (name in systems and not of_name):
                raise AraeError(f"the system {name} is given twice", "give each system another name: NAME=...")
            of_name[part_name] = _read_aligned(expanded(wish), by_name[part_name])
            systems[name] = Files(of_name)
            continue
        if name in systems:
            raise AraeError(f"the system {name} is given twice", "give each system another name: NAME=...")
        systems[name] = _find_system(wish, sources, device, threads)
    return systems


def _split_value(value: str) -> tuple[str, str]:
    """Return the name and the path; a path alone is named after its last part."""
    name, equals, wish = value.partition("=")
    if equals and not expanded(value).exists():
        return name, wish
    if value.startswith(HUB_PREFIX):
        return value.partition("@")[0].rpartition("/")[2], value
    place = value.rstrip("/\\").replace("\\", "/").rpartition("/")[2]
    return place.removesuffix(".gz").removesuffix(".txt"), value


def _check_name(name: str, value: str) -> None:
    if name == COPY:
        raise AraeError(f"the name {COPY} is reserved for the copied source", "give another name: NAME=...")
    if not name or any(character in name for character in ",\t\r\n"):
        raise AraeError(
            f"{value!r} does not name a system",
            "write NAME=MODEL, NAME=FOLDER or NAME@PART=FILE, without a comma in the name.",
        )


def _find_system(wish: str, sources: Sequence[Sources], device: str, threads: int | None) -> System:
    path = expanded(wish)
    if path.is_dir() and not ExportLayout(path).config.is_file():
        files = [(each, path / f"{each.part.name}.txt") for each in sources]
        found = {each.part.name: _read_aligned(file, each) for each, file in files if file.is_file()}
        if not found:
            raise AraeError(
                f"{path} has no rewrites of these sources",
                f"it must have files such as {', '.join(f'{each.part.name}.txt' for each in sources[:3])}.",
            )
        return Files(found)
    if path.is_file() and path.name != ExportLayout.CONFIG:
        if len(sources) > 1:
            raise AraeError(
                f"{wish} is one file, but there are {len(sources)} parts",
                f"name the part: NAME@{sources[0].part.name}={wish}",
            )
        return Files({sources[0].part.name: _read_aligned(path, sources[0])})
    folder = ModelFolder.find(wish)
    folder.require_rewriting()
    for each in sources:
        folder.match_class(each.part.target)
    return Model(folder, device, threads)


def _read_lines(path: Path) -> list[str]:
    file = TextFile(path, Tally())
    return [line for block in file.blocks() for line in file.decode(block)]


def _read_aligned(path: Path, sources: Sources) -> list[str]:
    lines = _read_lines(path)
    if len(lines) != len(sources.lines):
        raise AraeError(
            f"{path} has {len(lines):,} lines, the sources {sources.path} have {len(sources.lines):,}",
            "write one line per source line, in the same order.",
        )
    return lines
