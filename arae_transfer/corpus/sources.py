"""Find the files that ``--data`` names, with the class and the split of each."""

from __future__ import annotations

import difflib
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from arae_transfer.corpus.text_files import COMPRESSED_SUFFIX, explain_read_failure, require_regular_file
from arae_transfer.errors import AraeError, quoted
from arae_transfer.folders import expanded

TRAIN = "train"
VALID = "valid"
TEST = "test"
SPLITS = (TRAIN, VALID, TEST)
_SPLIT_ALIASES = {"dev": VALID, "val": VALID, "validation": VALID, "training": TRAIN, "testing": TEST}

MAXIMUM_CLASS_NAME_CHARACTERS = 100

TableFormat = Literal["csv", "tsv", "jsonl", "parquet"]
_TABLE_FORMATS: dict[str, TableFormat] = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".parquet": "parquet"}
# Compressed in a way that is not read here.
_COMPRESSED = frozenset({".bz2", ".xz", ".zst", ".zip"})

_FORMS = "give CLASS=FILE for each class, a folder of SPLIT.CLASS.txt, or a .tsv, .csv, .jsonl or .parquet file."


@dataclass(frozen=True)
class ClassFile:
    """A text file of one class, one sentence per line.

    Attributes:
        path: The file.
        label: Its class.
        split: Its split, or None when the data does not say.
    """

    path: Path
    label: str
    split: str | None


@dataclass(frozen=True)
class Table:
    """A file with a text and a label on each row.

    Attributes:
        path: The file.
        format: How it is written.
        split: Its split, where the file's name says it and no column does.
    """

    path: Path
    format: TableFormat
    split: str | None = None


Source = ClassFile | Table


def normalize_split(name: str) -> str:
    """Return the standard name of a split: ``valid`` for ``dev``, ``val`` and ``validation``, and so on."""
    return _SPLIT_ALIASES.get(name.strip().lower(), name.strip())


def nearest(name: str, names: Sequence[str]) -> str:
    """Return ``", did you mean X?"`` for the names most similar to ``name``, or an empty string."""
    found = difflib.get_close_matches(name, names, n=2)
    return f", did you mean {' or '.join(found)}?" if found else ""


def check_class_name(name: str, where: str) -> None:
    """Raise an error if a class name cannot be part of a file name.

    Raises:
        AraeError: The name is empty, too long, or has a slash, a control character or blanks at its ends.
    """
    problem = None
    if not name:
        problem = "is empty"
    elif len(name) > MAXIMUM_CLASS_NAME_CHARACTERS:
        problem = f"has {len(name):,} characters; the limit is {MAXIMUM_CLASS_NAME_CHARACTERS}"
    elif "/" in name or "\\" in name:
        problem = "contains a slash"
    elif any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in name):
        problem = "contains a control character or a line break"
    elif name != name.strip():
        problem = "begins or ends with a space"
    if problem is not None:
        shown = name if len(name) <= 40 else name[:40] + "…"
        raise AraeError(
            f"{where}: the class name {shown!r} {problem}",
            "use letters, digits, '-', '_' and inner spaces, because class names become parts of file names.",
        )


def resolve_sources(data: Sequence[str]) -> list[Source]:
    """Find the files behind ``--data`` values, in the order given.

    Args:
        data: Each value is ``CLASS=FILE``, a folder of ``SPLIT.CLASS.txt`` files, or a ``.tsv``, ``.csv``, ``.jsonl``
            or ``.parquet`` file; text may be packed by gzip (``.txt.gz``, ``.csv.gz`` and so on).

    Raises:
        AraeError: A value has no known form, a file is missing, or one file is given twice.
    """
    if not data:
        raise AraeError("--data is missing", _FORMS)
    sources: list[Source] = []
    for value in data:
        sources += _resolve(value)
    _refuse_repetition(sources)
    return sources


def absolute_source(value: str) -> str:
    """Return a ``--data`` value with an absolute path, so that it holds in any working folder."""
    label, name = _split_value(value)
    path = expanded(name).absolute()
    return str(path) if label is None else f"{label}={path}"


def _split_value(value: str) -> tuple[str | None, str]:
    """Split a ``--data`` value into class (None if it has none) and path.

    A path may have "=" in it: what exists under the whole value is meant, unless CLASS=FILE exists as well.
    """
    label, equals, name = value.partition("=")
    if not equals:
        return None, value
    if _exists(expanded(value)) and not (name and _exists(expanded(name))):
        return None, value
    return label, name


def _resolve(value: str) -> list[Source]:
    if not value.strip():
        raise AraeError("--data is empty", _FORMS)
    label, name = _split_value(value)
    if label is not None:
        return [_class_file(value, label, name)]
    whole = expanded(value)
    if not _exists(whole):
        raise AraeError(f"there is no file or folder {value}{_nearest_file(whole)}", _FORMS)
    if whole.is_dir():
        return list(_folder(whole))
    suffix = _unpacked_name(whole).suffix.lower()
    if suffix == ".parquet" and _unpacked_name(whole) != whole:
        raise AraeError(
            f"{value} is compressed twice; Parquet files are compressed internally",
            f"unpack it: gunzip -k {quoted(value)}",
        )
    if suffix in _TABLE_FORMATS:
        require_regular_file(whole)
        return [Table(whole, _TABLE_FORMATS[suffix])]
    if suffix in _COMPRESSED:
        raise AraeError(f"{value} is compressed", "unpack it, and give the unpacked file.")
    if suffix == ".json":
        raise AraeError(
            f"{value} is a .json file; tables must be .jsonl (one object per line), .csv, .tsv or .parquet",
            f"convert it, for example: jq -c '.[]' {quoted(value)} > {quoted(whole.with_suffix('.jsonl').name)}",
        )
    raise AraeError(f"{value} needs a class", f"write --data CLASS={quoted(value)}; or {_FORMS}")


def _unpacked_name(path: Path) -> Path:
    """Return a file name without its gzip suffix."""
    return path.with_suffix("") if path.suffix.lower() == COMPRESSED_SUFFIX else path


def _class_file(value: str, label: str, name: str) -> ClassFile:
    if not label.strip() or not name.strip():
        missing = "class name before" if not label.strip() else "file after"
        raise AraeError(f"--data {value}: there is no {missing} the '='", "write --data CLASS=FILE.")
    check_class_name(label, "--data CLASS=FILE")
    path = expanded(name)
    if not _exists(path):
        raise AraeError(
            f"--data {value}: no file {name}{_nearest_file(path)}",
            "give a UTF-8 text file with one sentence per line.",
        )
    if path.is_dir():
        raise AraeError(
            f"--data {value}: {name} is a folder",
            f"give one file, or a folder of SPLIT.CLASS.txt files without a class: --data {quoted(name)}",
        )
    require_regular_file(path)
    return ClassFile(path, label, None)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError as error:
        raise explain_read_failure(path, error) from error


def _nearest_file(path: Path) -> str:
    """Return a hint about a missing file: similar names in its folder, or the missing folder."""
    parent = path.parent
    if not _exists(parent):
        return f" (there is no folder {parent})"
    names = sorted(entry.name for entry in _entries(parent)) if parent.is_dir() else []
    return nearest(path.name, names)


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise explain_read_failure(folder, error) from error


def _split_tables(entries: Sequence[Path]) -> list[Table]:
    """Return the tables of a folder that are named after splits, such as train.csv and test.csv."""
    tables = []
    for path in entries:
        name = _unpacked_name(path)
        split, kind = normalize_split(name.stem), _TABLE_FORMATS.get(name.suffix.lower())
        if split in SPLITS and kind is not None and not path.is_dir():
            require_regular_file(path)
            tables.append(Table(path, kind, split))
    return tables


def _folder(folder: Path) -> list[ClassFile] | list[Table]:
    entries = [entry for entry in _entries(folder) if not entry.name.startswith(".")]
    files: dict[tuple[str, str], Path] = {}
    for path in entries:
        split, first_dot, rest = _unpacked_name(path).name.partition(".")
        label, last_dot, suffix = rest.rpartition(".")
        if not (first_dot and last_dot and suffix == "txt") or path.is_dir():
            continue
        check_class_name(label, str(path))
        require_regular_file(path)
        split = normalize_split(split)
        if (split, label) in files:
            raise AraeError(
                f"{files[split, label]} and {path} are both the {split} part of class {label!r}",
                "keep one of them.",
            )
        files[split, label] = path
    if not files and (tables := _split_tables(entries)):
        return tables
    if not files:
        raise AraeError(f"{folder}: {_contents(entries)}, but no SPLIT.CLASS.txt", _folder_hint(folder, entries))
    return [ClassFile(path, label, split) for (split, label), path in files.items()]


def _contents(entries: list[Path]) -> str:
    """Describe the content of a folder: ``it has 12 .png and 1 .json files and 2 folders``."""
    kinds = Counter("folders" if entry.is_dir() else entry.suffix or "nameless-type" for entry in entries)
    folders = kinds.pop("folders", 0)
    parts = [f"{count} {kind}" for kind, count in kinds.most_common(3)]
    described = f"{' and '.join(parts)} file{'s' if kinds.total() != 1 else ''}" if parts else ""
    if folders:
        described += f"{' and ' if described else ''}{folders} folder{'s' if folders != 1 else ''}"
    return f"it has {described}" if described else "it is empty"


def _folder_hint(folder: Path, entries: list[Path]) -> str:
    tables = [entry for entry in entries if _unpacked_name(entry).suffix.lower() in _TABLE_FORMATS]
    texts = [entry for entry in entries if _unpacked_name(entry).suffix == ".txt" and not entry.is_dir()]
    if tables:
        return f"give the table itself: --data {quoted(tables[0])}"
    if texts:
        return "name the class of each file: " + " ".join(
            f"--data {quoted(f'{_unpacked_name(path).stem}={path}')}" for path in texts[:2]
        )
    for entry in entries:
        if entry.is_dir() and any(entry.glob("train.*.txt")):
            return f"one folder deeper there are such files: --data {quoted(entry)}"
    return f"put train.CLASS.txt files for two or more classes there, or {_FORMS}"


def _refuse_repetition(sources: list[Source]) -> None:
    """Raise an error if a file is given twice, under one name or several (links)."""
    seen: dict[tuple[int, int], Source] = {}
    for source in sources:
        try:
            status = source.path.stat()
        except OSError as error:
            raise explain_read_failure(source.path, error) from error
        earlier = seen.setdefault((status.st_dev, status.st_ino), source)
        if earlier is source:
            continue
        if isinstance(earlier, ClassFile) and isinstance(source, ClassFile):
            if earlier.label != source.label:
                raise AraeError(
                    f"{source.path} is given for two classes, {earlier.label!r} and {source.label!r}",
                    "give each class its own file.",
                )
            if earlier.split != source.split:
                continue  # a test part that is also the valid part: the user's own choice
        raise AraeError(f"{source.path} is given twice", "name each file once.")
