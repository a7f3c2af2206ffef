"""Choose the files of a split, and read their lines in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from arae_transfer.corpus.columns import NO_SPLIT_COLUMN, Columns, name_of
from arae_transfer.corpus.holdout import HELD_OUT_PARTS, HeldOutSize
from arae_transfer.corpus.report import Reason, Tally
from arae_transfer.corpus.sources import (
    SPLITS,
    TRAIN,
    ClassFile,
    Source,
    Table,
    check_class_name,
    nearest,
    normalize_split,
    resolve_sources,
)
from arae_transfer.corpus.tables import clean_text, iterate_rows
from arae_transfer.corpus.text_files import TextFile
from arae_transfer.encodings import UTF_8, check_encoding
from arae_transfer.errors import AraeError
from arae_transfer.recipe import Recipe
from arae_transfer.text import Normalizer, TextFormat

ALL = "all"

_ROWS_PER_BATCH = 4096
# A label column with more values than this is a column of something else.
_MAXIMUM_CLASSES = 1000

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class ReadingOptions:
    """Options for reading labelled text.

    Attributes:
        text_column: The column (key or path of keys, in records) that holds the text; by name, or by number from 1.
        label_column: The column that holds the class.
        split_column: The column that holds the split; a table without it is wholly ``train``.
        maximum_characters: A longer line is skipped and counted.
        minimum_lines: A class with fewer lines in ``train`` is refused (in other splits: with none).
        minimum_classes: Data with fewer classes is refused.
        held_out: How much of ``train`` is held out for a part that the data does not have.
        form: The text format to which lines are normalized; None leaves them unchanged.
        encoding: How the characters of text files are encoded.
        labels: The class of each label of a table; rows with other labels are skipped and counted. Empty: each label is
            a class.
        keep_near_duplicates: Whether training lines stay that stand in a held-out part but for case, punctuation and
            numbers.
    """

    text_column: str = "text"
    label_column: str = "label"
    split_column: str = "split"
    maximum_characters: int = 2000
    minimum_lines: int = 2
    minimum_classes: int = 2
    held_out: HeldOutSize = field(default_factory=HeldOutSize)
    classes_key: str = ""
    form: TextFormat | None = None
    encoding: str = UTF_8
    labels: Mapping[str, str] = field(default_factory=dict)
    keep_near_duplicates: bool = False

    @classmethod
    def of(cls, recipe: Recipe) -> ReadingOptions:
        """Return the options of a recipe's data."""
        data = recipe.data
        form = recipe.form if data.writing == "ordinary" else None
        return cls(
            text_column=data.text_column,
            label_column=data.label_column,
            maximum_characters=data.maximum_characters,
            form=form,
            encoding=check_encoding(data.encoding),
            keep_near_duplicates=data.keep_near_duplicates,
            labels={name_of(label) or label: name for label, name in data.labels.items()},
        )


class Batch(NamedTuple):
    """Lines of one class that are close to each other in one file."""

    source: Source
    label: str
    texts: list[str]
    numbers: Sequence[int]


@dataclass(frozen=True)
class Pool:
    """The files to read for one split.

    Attributes:
        split: The split that was asked for.
        sources: The files to read.
        wanted: The splits whose lines count; None stands for lines whose split is not said.
        held_out_parts: The parts that are held out of these lines.
        part: The part that is wanted of them.
    """

    split: str
    sources: tuple[Source, ...]
    wanted: frozenset[str | None]
    held_out_parts: tuple[str, ...]
    part: str

    def name(self) -> str:
        """Return the part's name in a sentence: ``"the train data"``."""
        return "the data" if self.split == ALL else f"the {self.split} data"

    def place(self) -> str:
        """Return a short list of the files."""
        paths = [str(source.path) for source in self.sources]
        return ", ".join(paths[:3]) + (f" and {len(paths) - 3} more" if len(paths) > 3 else "")


class ReadingPlan:
    """The files behind ``--data``, and which of them a split needs."""

    def __init__(self, data: Sequence[str], options: ReadingOptions) -> None:
        self.options = options
        self.sources = resolve_sources(data)
        self._table_splits = {
            source.path: self._scan_splits(source) for source in self.sources if isinstance(source, Table)
        }
        found: set[str | None] = set()
        for source in self.sources:
            found |= self._splits_of(source)
        self._found = found
        self.named_splits = sorted(
            (split for split in found if split is not None),
            key=lambda split: (SPLITS.index(split) if split in SPLITS else len(SPLITS), split),
        )

    @property
    def _columns(self) -> Columns:
        return Columns(self.options.text_column, self.options.label_column, self.options.split_column)

    def _scan_splits(self, table: Table) -> frozenset[str | None]:
        """Return the splits in a table; only a table with a split column is read to its end."""
        splits: set[str | None] = set()
        for row in iterate_rows(self._open(table, Tally()), table.format, self._columns):
            if row.split == NO_SPLIT_COLUMN:
                return frozenset({table.split})
            if row.split is not None:
                splits.add(normalize_split(row.split))
        return frozenset(splits or {table.split})

    def _open(self, source: Source, tally: Tally, advance: Callable[[int], None] | None = None) -> TextFile:
        return TextFile(source.path, tally, advance, self.options.encoding)

    def _splits_of(self, source: Source) -> frozenset[str | None]:
        if isinstance(source, ClassFile):
            return frozenset({source.split})
        return self._table_splits[source.path]

    def has(self, split: str) -> bool:
        """Return whether a split exists or can be held out."""
        if split in self._found or split == ALL:
            return True
        return split in SPLITS and bool(self._found & {TRAIN, None})

    def pool(self, split: str) -> Pool:
        """Return the files to read for a split.

        Raises:
            AraeError: The data has no such split, and none can be held out.
        """
        if not self.has(split):
            named = ", ".join(self.named_splits) or "none by name"
            raise AraeError(
                f"the data has no part named {split!r}{nearest(split, self.named_splits)}",
                f"its parts are: {named}; valid and test are held out of train, if it exists.",
            )
        missing = tuple(part for part in HELD_OUT_PARTS if part not in self._found)
        wanted: frozenset[str | None]
        parts: tuple[str, ...] = ()
        if split == ALL:
            wanted = frozenset({None, *SPLITS})
        elif split == TRAIN or split in missing:
            wanted, parts = frozenset({None, TRAIN}), missing
        else:
            wanted = frozenset({split})
        sources = tuple(source for source in self.sources if self._splits_of(source) & wanted)
        return Pool(split, sources, wanted, parts, split if split in missing else TRAIN)

    def file_classes(self, pool: Pool) -> list[str]:
        """Return the classes that have a file of their own, even an empty one."""
        return list(dict.fromkeys(source.label for source in pool.sources if isinstance(source, ClassFile)))

    def batches(self, pool: Pool, tally: Tally, progress: Progress | None) -> Iterator[Batch]:
        """Yield the lines of a pool in the requested text format."""
        form = self.options.form
        if form is None:
            yield from self._written_batches(pool, tally, progress)
            return
        normalizer = Normalizer(form, "ordinary")
        for batch in self._written_batches(pool, tally, progress):
            texts, numbers = [], []
            for written, number in zip(batch.texts, batch.numbers, strict=True):
                text = normalizer.normalize(written)[0].strip()
                if text:
                    texts.append(text)
                    numbers.append(number)
                else:  # nothing but control characters
                    tally.note(batch.source.path, Reason.EMPTY, number)
            if texts:
                yield batch._replace(texts=texts, numbers=numbers)

    def _written_batches(self, pool: Pool, tally: Tally, progress: Progress | None) -> Iterator[Batch]:
        """Yield the lines of a pool as they are in the files."""
        total = sum(source.path.stat().st_size for source in pool.sources)
        done = 0

        def advance(count: int) -> None:
            nonlocal done
            done += count
            if progress is not None:
                progress(done, max(total, done))

        for source in pool.sources:
            file = self._open(source, tally, advance)
            if isinstance(source, ClassFile):
                for texts, numbers in file.lines(self.options.maximum_characters):
                    if texts:
                        yield Batch(source, source.label, texts, numbers)
            else:
                yield from self._table_batches(source, file, pool)

    def _class_of(self, label: str) -> str | None:
        """Return the class of a label, or None for a label that is not requested."""
        return self.options.labels.get(label) if self.options.labels else label

    def _table_batches(self, table: Table, file: TextFile, pool: Pool) -> Iterator[Batch]:
        gathered: dict[str, tuple[list[str], list[int]]] = {}
        known: set[str] = set()
        rows = 0
        for row in iterate_rows(file, table.format, self._columns):
            label = None if row.label is None else self._class_of(row.label)
            if row.split is None:
                tally_reason = Reason.NO_SPLIT
            elif (table.split if row.split == NO_SPLIT_COLUMN else normalize_split(row.split)) not in pool.wanted:
                continue
            elif row.label is None:
                tally_reason = Reason.NO_LABEL
            elif label is None:
                tally_reason = Reason.OTHER_LABEL
            else:
                text = clean_text(file, row, self.options.maximum_characters)
                if text is None:
                    continue
                if label not in known:
                    known.add(label)
                    check_class_name(label, f"{table.path}:{row.line}")
                    if len(known) > _MAXIMUM_CLASSES:
                        raise AraeError(
                            f"{table.path}: the column {self.options.label_column!r} has more than "
                            f"{_MAXIMUM_CLASSES:,} different values",
                            "is it the right data.label_column? data.labels gives several values one class.",
                        )
                texts, numbers = gathered.setdefault(label, ([], []))
                texts.append(text)
                numbers.append(row.line)
                rows += 1
                if rows % _ROWS_PER_BATCH == 0:
                    for name, (texts, numbers) in gathered.items():
                        yield Batch(table, name, texts, numbers)
                    gathered = {}
                continue
            file.tally.note(file.path, tally_reason, row.line)
        for name, (texts, numbers) in gathered.items():
            yield Batch(table, name, texts, numbers)
