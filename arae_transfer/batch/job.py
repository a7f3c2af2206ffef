"""A picklable job: what to do with which rows, and in which parts."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from arae_transfer import __version__
from arae_transfer.runtime.model_folder import ModelFolder

if TYPE_CHECKING:
    from arae_transfer.runtime.decoding import DecodingOptions

Kind = Literal["parquet", "jsonl", "csv", "txt"]

SUFFIXES: dict[str, Kind] = {
    ".parquet": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "txt",
}
ROWS_PER_PART = 100_000
OUTPUT_SUFFIXES: dict[Kind, str] = {"parquet": ".parquet", "jsonl": ".jsonl", "csv": ".csv", "txt": ".jsonl"}


@dataclass(frozen=True, slots=True)
class Part:
    """Rows that go into one output file.

    Attributes:
        number: Its place among all parts, from 0.
        path: The file that the rows lie in.
        first: The number of the first row in that file, from 1.
        rows: How many rows there are.
        start: The first byte; of Parquet the first row group.
        end: The byte behind the last one; of Parquet the row group behind the last one.
        skip: Of Parquet: rows at the beginning of the row group that belong to other parts.
    """

    number: int
    path: str
    first: int
    rows: int
    start: int
    end: int
    skip: int = 0


@dataclass(frozen=True, slots=True)
class Job:
    """Options for every row.

    Attributes:
        inputs: The files, in order.
        kind: What they are.
        output: The folder that the parts go to.
        column: The column of the text.
        rewrite_column: What the column of the rewrites is called.
        model: What ``ModelFolder.find`` finds the model by, from any folder.
        to: The class.
        options: How each answer is chosen.
        form: As in ``Rewriter.transfer``.
        long: As in ``Rewriter.transfer``.
        batch_size: The most lines that a worker rewrites at once.
        device: Where workers run.
        variant: The arithmetic.
        threads: CPU threads of a worker.
        protect: Regular expressions of what stays as it is.
        glossary: Terms that stay as they are.
        rows_per_part: The most rows of a part.
        keep_errors: Whether a row without a text is kept and counted; if not, it ends the job.
    """

    inputs: tuple[str, ...]
    kind: Kind
    output: Path
    column: str
    rewrite_column: str
    model: str
    to: str
    options: DecodingOptions
    form: str = "auto"
    long: str = "split"
    batch_size: int = 64
    device: str = "auto"
    variant: str = "auto"
    threads: int = 1
    protect: tuple[str, ...] = ()
    glossary: tuple[str, ...] = ()
    rows_per_part: int = ROWS_PER_PART
    keep_errors: bool = True

    def file_of(self, part: Part) -> Path:
        """Return the output file of a part."""
        return self.output / f"part-{part.number:05d}{OUTPUT_SUFFIXES[self.kind]}"

    def describe(self) -> dict[str, Any]:
        """Return all that determines the rows and bytes of the output, as JSON data.

        Neither the engine nor the number of workers is among it, because they do not.
        """
        folder = ModelFolder.find(self.model)
        config = (folder.root / "config.json").read_bytes()
        files = [(name, Path(name).stat()) for name in self.inputs]
        return {
            "arae": __version__,
            "model": folder.name,
            "model_sha256": hashlib.sha256(config).hexdigest(),
            "to": self.to,
            "inputs": [{"name": name, "bytes": stat.st_size, "mtime_ns": stat.st_mtime_ns} for name, stat in files],
            "column": self.column,
            "rewrite_column": self.rewrite_column,
            "options": {
                "decoding": json.loads(json.dumps(asdict(self.options))),
                "form": self.form,
                "long": self.long,
                "device": self.device,
                "variant": self.variant,
                "protect": list(self.protect),
                "glossary": list(self.glossary),
            },
            "rows_per_part": self.rows_per_part,
            "on_error": "keep" if self.keep_errors else "fail",
        }
