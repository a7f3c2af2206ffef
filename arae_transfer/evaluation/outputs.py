"""Files of rewrites and references, with one line per source line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from arae_transfer.atomic import write_text
from arae_transfer.corpus.report import Tally
from arae_transfer.corpus.text_files import TextFile
from arae_transfer.errors import AraeError
from arae_transfer.folders import expanded
from arae_transfer.text import Normalizer, TextFormat


@dataclass(frozen=True, order=True)
class Direction:
    """A source class and a target class.

    Attributes:
        source: The class of the lines that are rewritten.
        target: The class that they are rewritten to.
    """

    source: str
    target: str

    def __str__(self) -> str:
        return f"{self.source}-to-{self.target}"

    @property
    def file_name(self) -> str:
        """Return the file name of the rewrites, percent-encoded if necessary."""
        return f"{quote(self.source, safe=' ')}-to-{quote(self.target, safe=' ')}.txt"


Outputs = dict[Direction, list[str]]
References = dict[Direction, list[list[str]]]


def all_directions(classes: Sequence[str]) -> list[Direction]:
    """Return all directions between different classes, in order."""
    return [Direction(source, target) for source in classes for target in classes if source != target]


@dataclass(frozen=True)
class Alignment:
    """The number of lines that a file must have.

    Attributes:
        split: The name of the split.
        lines: The number of lines of each class of it.
        limit: How many lines of each class are evaluated, or None for all.
        remark: What to say of lines that were skipped when the split was read; empty when there were none.
        form: The text format of the split, to which lines of files are normalized; or None.
    """

    split: str
    lines: Mapping[str, int]
    limit: int | None = None
    remark: str = ""
    form: TextFormat | None = None

    def read(self, path: Path, source: str) -> list[str]:
        """Read a file that is aligned with a class's lines, with all of them or the first ones.

        Raises:
            AraeError: The file cannot be read or has another number of lines.
        """
        file = TextFile(path, Tally())
        lines = [line for block in file.blocks() for line in file.decode(block)]
        whole = self.lines[source]
        evaluated = whole if self.limit is None else min(whole, self.limit)
        if len(lines) not in (whole, evaluated):
            raise AraeError(
                f"{path} has {len(lines):,} lines, the {self.split} split of class {source!r} has {whole:,}",
                self.remark or "write one line per source line, in the same order.",
            )
        if self.form is None:
            return lines[:evaluated]
        normalizer = Normalizer(self.form)  # a model's own rewrites are in its form already, other people's may be
        return [normalizer.normalize(line)[0] for line in lines[:evaluated]]


def read_output_options(values: Iterable[str], classes: Sequence[str], alignment: Alignment) -> Outputs:
    """Read the files of ``CLASS-to-CLASS=FILE`` values.

    Raises:
        AraeError: A value has another form or names an unknown class, or a file does not fit.
    """
    outputs: Outputs = {}
    for value in values:
        direction, name = _split_option(value, {str(known): known for known in all_directions(classes)}, "--outputs")
        if direction in outputs:
            raise AraeError(f"--outputs {direction}= is given twice", "give one file per direction.")
        outputs[direction] = alignment.read(expanded(name), direction.source)
    return dict(sorted(outputs.items()))


def read_output_folder(folder: Path, classes: Sequence[str], alignment: Alignment) -> Outputs:
    """Read the files ``CLASS-to-CLASS.txt`` of a folder, for all directions that it has.

    Raises:
        AraeError: There is none, or a file does not fit.
    """
    present = [direction for direction in all_directions(classes) if (folder / direction.file_name).is_file()]
    if not present:
        wished = ", ".join(direction.file_name for direction in all_directions(classes)[:2])
        raise AraeError(
            f"{folder} is neither an exported model, nor a run, nor a folder of rewrites of this data",
            f"a folder of rewrites has {wished}{', …' if len(classes) > 2 else ''}.",
        )
    return {direction: alignment.read(folder / direction.file_name, direction.source) for direction in present}


def write_output_folder(folder: Path, outputs: Mapping[Direction, Sequence[str]]) -> None:
    """Write rewrites as files ``CLASS-to-CLASS.txt`` in a folder.

    Raises:
        AraeError: A file cannot be written.
    """
    for direction, lines in outputs.items():
        write_text(folder / direction.file_name, "".join(f"{line}\n" for line in lines))


def read_references(values: Iterable[str], classes: Sequence[str], alignment: Alignment) -> References:
    """Read the human rewrites of ``CLASS=FILE[,FILE...]`` values, and of folders with files ``CLASS-to-CLASS.txt``.

    ``CLASS`` is the class of the source lines; where there are more than two classes, ``CLASS-to-CLASS`` says to which
    class they were rewritten.

    Raises:
        AraeError: A value has another form or names an unknown class, or a file does not fit.
    """
    known = {str(direction): direction for direction in all_directions(classes)}
    if len(classes) == 2:
        known |= {direction.source: direction for direction in all_directions(classes)}
    references: References = {}
    for value in values:
        folder = expanded(value)
        if folder.is_dir():
            for direction, lines in read_output_folder(folder, classes, alignment).items():
                references.setdefault(direction, []).append(lines)
            continue
        direction, names = _split_option(value, known, "--references")
        paths = [names] if expanded(names).is_file() else names.split(",")
        sets = [alignment.read(expanded(name), direction.source) for name in paths]
        references.setdefault(direction, []).extend(sets)
    return references


def _split_option(value: str, known: Mapping[str, Direction], option: str) -> tuple[Direction, str]:
    """Split ``NAME=REST`` for known names; class names may contain ``=`` and ``-to-``."""
    fitting = [name for name in known if value.startswith(f"{name}=")]
    if not fitting:
        name, equals, _ = value.partition("=")
        problem = f"{name!r} is not a direction" if equals else "there is no '='"
        shown = ", ".join(list(known)[:6]) + (", …" if len(known) > 6 else "")
        raise AraeError(f"{option} {value}: {problem}", f"write {option} NAME=FILE, where NAME is one of: {shown}.")
    name = max(fitting, key=len)
    rest = value[len(name) + 1 :]
    if not rest:
        raise AraeError(f"{option} {value}: there is no file after the '='", f"write {option} {name}=FILE.")
    return known[name], rest
