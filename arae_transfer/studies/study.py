"""Parts of a reader study, and the key from candidates to systems."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

from arae_transfer.errors import AraeError

FORMAT = "arae-study"
FORMAT_VERSION = 1

SCALES = ("style", "content", "fluency", "overall")
LOWEST, HIGHEST = 1.0, 5.0
ACCEPTED = 4.0
"""A reader accepts a rewrite whose overall rating is at least this."""


@dataclass(frozen=True)
class StudyLayout:
    """The files of a study.

    Attributes:
        root: The folder of the study.
    """

    SHEETS: ClassVar[str] = "sheets"
    RATINGS: ClassVar[str] = "ratings"

    root: Path

    @property
    def key(self) -> Path:
        """Return the path of the key, which readers must not open."""
        return self.root / "key.json"

    @property
    def candidates(self) -> Path:
        """Return the path of the table of all candidates, for scoring programs."""
        return self.root / "candidates.tsv"

    @property
    def sheets(self) -> Path:
        """Return the folder for readers."""
        return self.root / self.SHEETS

    @property
    def guide(self) -> Path:
        """Return the path of the description of the scales."""
        return self.sheets / "GUIDE.md"

    @property
    def ratings(self) -> Path:
        """Return the folder for readers' ratings."""
        return self.root / self.RATINGS

    def page(self, sheet: int) -> Path:
        """Return the path of a sheet as a web page."""
        return self.sheets / f"sheet-{sheet}.html"

    def text(self, sheet: int) -> Path:
        """Return the path of a sheet as text."""
        return self.sheets / f"sheet-{sheet}.txt"

    def form(self, sheet: int) -> Path:
        """Return the path of the empty ratings table of a text sheet."""
        return self.sheets / f"ratings-{sheet}.tsv"


@dataclass(frozen=True)
class Part:
    """Sources to rewrite to one class.

    Attributes:
        name: How the command line calls the part: ``[GROUP/][CLASS-to-]CLASS``.
        target: The class that the sources are rewritten to.
        group: The corpus or domain of the sources; empty: they have none.
    """

    name: str
    target: str
    group: str = ""

    @classmethod
    def parse(cls, name: str) -> Part:
        """Split a name into group and class.

        Raises:
            ValueError: The group or the class is empty.
        """
        group, slash, direction = name.rpartition("/")
        target = direction.rpartition("-to-")[2]
        if not target or (slash and not group):
            raise ValueError(f"{name!r} is not [GROUP/][CLASS-to-]CLASS")
        return cls(name, target, group)


@dataclass(frozen=True)
class Candidate:
    """One text to rate.

    Attributes:
        text: The rewrite.
        systems: The systems that wrote it, sorted by name.
    """

    text: str
    systems: tuple[str, ...]


@dataclass(frozen=True)
class Item:
    """One source and its candidates.

    Attributes:
        part: What the source belongs to.
        line: The line number of the source in its file, from 1.
        source: The text that was rewritten.
        sheets: The sheets that show it, from 1.
        candidates: The candidates by letter, in the order that readers see.
    """

    part: Part
    line: int
    source: str
    sheets: tuple[int, ...]
    candidates: Mapping[str, Candidate]


@dataclass(frozen=True)
class Study:
    """A whole study.

    Attributes:
        systems: The systems in the order in which they were given.
        sheets: The number of sheets.
        seed: What the drawing depends on.
        items: The items by name, in the order of the sheets.
    """

    systems: tuple[str, ...]
    sheets: int
    seed: int
    items: Mapping[str, Item]

    @property
    def identity(self) -> str:
        """Return a short identifier of the study, which its ratings carry."""
        content = json.dumps(_items_to_data(self.items), sort_keys=True)
        return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:8]

    @property
    def candidates(self) -> int:
        """Return the number of candidates."""
        return sum(len(item.candidates) for item in self.items.values())

    def candidate_keys(self) -> Iterator[tuple[str, str]]:
        """Yield the item and the letter of each candidate."""
        return ((name, letter) for name, item in self.items.items() for letter in item.candidates)

    def sheet(self, number: int) -> dict[str, Item]:
        """Return the items of a sheet in their order."""
        return {name: item for name, item in self.items.items() if number in item.sheets}

    def to_json(self) -> str:
        """Return the content of the key file."""
        content = {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "study": self.identity,
            "systems": list(self.systems),
            "sheets": self.sheets,
            "seed": self.seed,
            "items": _items_to_data(self.items),
        }
        return json.dumps(content, ensure_ascii=False, indent=1) + "\n"

    @classmethod
    def read(cls, root: Path) -> Study:
        """Read the key of a study.

        Raises:
            AraeError: There is no study in the folder, or its key is damaged.
        """
        path = StudyLayout(root).key
        try:
            content = json.loads(path.read_bytes())
        except FileNotFoundError as error:
            raise AraeError(
                f"there is no study in {root}: it has no {path.name}", "`arae study make` writes one."
            ) from error
        except OSError as error:
            raise AraeError(f"cannot read {path}: {error.strerror or error}") from error
        except (ValueError, RecursionError) as error:
            raise AraeError(f"{path} is not valid JSON: {error}", _RESTORE) from error
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise AraeError(f'{path} is not the key of a study: it lacks "format": "{FORMAT}"', _RESTORE)
        if content.get("format_version") != FORMAT_VERSION:
            raise AraeError(
                f"{path} has format version {content.get('format_version')}; this arae reads {FORMAT_VERSION}",
                "use the version of arae that made the study.",
            )
        try:
            items = {name: _item_from_data(data) for name, data in content["items"].items()}
            study = cls(tuple(content["systems"]), int(content["sheets"]), int(content["seed"]), items)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise AraeError(f"{path} is damaged ({error!r})", _RESTORE) from error
        if study.identity != content.get("study"):
            raise AraeError(f"{path} was changed after the study was made", _RESTORE)
        return study


_RESTORE = "use the key that arae study make wrote."


def letter(number: int) -> str:
    """Return the name of a candidate by its index from 0: A to Z, then AA, AB and so on."""
    text = ""
    number += 1
    while number:
        number, rest = divmod(number - 1, 26)
        text = chr(ord("A") + rest) + text
    return text


def _items_to_data(items: Mapping[str, Item]) -> dict[str, Any]:
    return {name: asdict(item) for name, item in items.items()}


def _item_from_data(data: Mapping[str, Any]) -> Item:
    candidates = {
        name: Candidate(str(each["text"]), tuple(each["systems"])) for name, each in data["candidates"].items()
    }
    part = Part(**data["part"])
    return Item(part, int(data["line"]), str(data["source"]), tuple(data["sheets"]), candidates)
