"""Count every line that reading changed, skipped or found repeated."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


class Reason(enum.Enum):
    """Why a line was changed, skipped or reported.

    The value is what a report says, ``{}`` being the count of lines.
    """

    INVALID_UTF8 = "{} with invalid UTF-8; each invalid byte sequence became U+FFFD (--encoding latin-1 reads Latin-1)"
    INVALID_BYTES = "{} with bytes that are invalid in this encoding; each became U+FFFD (--encoding names another one)"
    NUL = "{} with NUL characters, which were removed"
    LINE_BREAK = "{} with line breaks inside the text, which became spaces"
    EMPTY = "{} without text skipped"
    CUT_OFF = "{} cut off by the end of the file, kept"
    OVERLONG = "{} over-long skipped"
    NO_LABEL = "{} without a label skipped"
    OTHER_LABEL = "{} with labels that data.labels leaves out skipped"
    NO_SPLIT = "{} without a split skipped"
    OTHER_CLASS = "{} of classes that were not asked for skipped"
    DUPLICATE = "{} already seen in the same class, kept"

    @property
    def skips(self) -> bool:
        """Whether the line is left out of the corpus."""
        return self in _SKIPPING


_SKIPPING = frozenset(
    {
        Reason.EMPTY,
        Reason.OVERLONG,
        Reason.NO_LABEL,
        Reason.OTHER_LABEL,
        Reason.NO_SPLIT,
        Reason.OTHER_CLASS,
    }
)


@dataclass(frozen=True)
class Finding:
    """One reason in one file.

    Attributes:
        path: The file.
        reason: What was found.
        count: The number of lines (of rows, in a table).
        first_line: The number of the first such line, from 1.
    """

    path: Path
    reason: Reason
    count: int
    first_line: int

    def __str__(self) -> str:
        unit = "row" if self.path.suffix.lower() == ".parquet" else "line"
        number = f"1 {unit}" if self.count == 1 else f"{self.count:,} {unit}s"
        return f"{self.path}: {self.reason.value.format(number)} (first: {unit} {self.first_line:,})"


@dataclass(frozen=True)
class ReadingReport:
    """The findings of reading a corpus.

    Attributes:
        findings: One entry per file and reason, in the order of files and lines.
        maximum_characters: The length over which a line was skipped.
        held_out: For each part that the data does not bring itself (``valid``, ``test``): class -> number of
            lines that were held out of ``train`` for it.
        in_several_classes: The number of distinct texts that stand in more than one class.
        near_duplicates: class -> number of training lines that were left out because they stand in a held-out part but
            for case, punctuation and numbers.
        longest: The longest line that was skipped for its length: file, line number, characters; None: none was.
    """

    findings: tuple[Finding, ...] = ()
    maximum_characters: int = 0
    held_out: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    in_several_classes: int = 0
    longest: tuple[Path, int, int] | None = None
    near_duplicates: Mapping[str, int] = field(default_factory=dict)

    def explain_length(self) -> str | None:
        """Return a sentence about the length limit and the longest line, or None if no line was too long."""
        if not self.count(Reason.OVERLONG):
            return None
        limit = f"a line is over-long if it has more than {self.maximum_characters:,} characters"
        if self.longest is None:
            return f"{limit} (data.maximum_characters)"
        path, line, characters = self.longest
        return f"{limit} (data.maximum_characters); the longest has {characters:,}: {path}:{line}"

    @property
    def total_skipped(self) -> int:
        """Number of lines that were left out."""
        return sum(finding.count for finding in self.findings if finding.reason.skips)

    def count(self, reason: Reason) -> int:
        """Return the number of lines with this reason, over all files."""
        return sum(finding.count for finding in self.findings if finding.reason is reason)

    def lines(self) -> list[str]:
        """Return the findings as short sentences; an empty list if there are none."""
        sentences = [str(finding) for finding in self.findings]
        length = self.explain_length()
        if length:
            sentences.append(length)
        if self.in_several_classes == 1:
            sentences.append("1 text occurs in more than one class, and is kept in each")
        elif self.in_several_classes > 1:
            sentences.append(f"{self.in_several_classes:,} texts occur in more than one class, and are kept in each")
        for part, counts in self.held_out.items():
            shares = ", ".join(f"{count:,} {label}" for label, count in counts.items())
            sentences.append(f"the data has no {part} part: lines are held out of train for it: {shares}")
        if any(self.near_duplicates.values()):
            left_out = ", ".join(f"{count:,} {label}" for label, count in self.near_duplicates.items() if count)
            sentences.append(
                "left out of train, because a held-out part has the same line except for case, punctuation and "
                f"numbers: {left_out}"
            )
        return sentences


class Tally:
    """Collects findings while files are read."""

    def __init__(self) -> None:
        self._counts: dict[tuple[Path, Reason], tuple[int, int]] = {}
        self._files: dict[Path, None] = {}
        self.longest: tuple[Path, int, int] | None = None

    def meet(self, path: Path) -> None:
        """Register a file, so that findings are listed in reading order."""
        self._files[path] = None

    def note(self, path: Path, reason: Reason, line: int, count: int = 1) -> None:
        """Count ``count`` lines of a file, in any order; ``line`` is the number of the first of them."""
        self.meet(path)
        total, first = self._counts.get((path, reason), (0, line))
        self._counts[path, reason] = (total + count, min(first, line))

    def note_longest(self, path: Path, line: int, characters: int) -> None:
        """Count a line that is skipped for its length."""
        self.note(path, Reason.OVERLONG, line)
        if self.longest is None or characters > self.longest[2]:
            self.longest = (path, line, characters)

    def findings(self) -> tuple[Finding, ...]:
        """Return the findings by file and line, in reading order."""
        files = list(self._files)
        reasons = list(Reason)
        findings = [Finding(path, reason, *counts) for (path, reason), counts in self._counts.items()]
        findings.sort(key=lambda entry: (files.index(entry.path), entry.first_line, reasons.index(entry.reason)))
        return tuple(findings)
