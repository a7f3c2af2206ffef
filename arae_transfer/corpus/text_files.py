"""Read numbered lines from text files of any size, block by block."""

from __future__ import annotations

import gzip
import itertools
import stat
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

from arae_transfer.corpus.report import Reason, Tally
from arae_transfer.encodings import UTF_8, refuse_unmarked_utf16, utf8_of_utf16, utf16_of_mark
from arae_transfer.errors import AraeError, quoted

BLOCK_BYTES = 1 << 20
# A line that does not end within this many bytes is dropped while it is read: a file without line feeds
# must not fill the memory.
MAXIMUM_LINE_BYTES = 1 << 24
# Text in another 8-bit encoding has a few bad bytes and is repaired; past this share it is no UTF-8 text at
# all (random bytes: about 0.45; Cyrillic in an 8-bit encoding: about 0.8; UTF-16 without its mark: about
# 0.5).
MAXIMUM_BAD_SHARE = 0.3
# A block smaller than this is judged together with all that came before it.
MINIMUM_JUDGED_BYTES = 4096

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_SIGNATURES = (
    (b"\x1f\x8b", "gzip data", "rename it to end in .gz, or unpack it: gunzip -k {}"),
    (b"PK\x03\x04", "a zip archive", "unpack it: unzip {}"),
    (b"BZh91AY&SY", "bzip2 data", "unpack it: bunzip2 -k {}"),
    (b"\xfd7zXZ\x00", "xz data", "unpack it: unxz -k {}"),
    (b"\x28\xb5\x2f\xfd", "zstandard data", "unpack it: unzstd {}"),
    (b"\xff\xfe", "UTF-16 text", "convert it to UTF-8: iconv -f UTF-16 -t UTF-8 {} > new.txt"),
    (b"\xfe\xff", "UTF-16 text", "convert it to UTF-8: iconv -f UTF-16 -t UTF-8 {} > new.txt"),
    (b"\x89PNG\r\n", "a PNG image", "give a UTF-8 text file with one sentence per line."),
    (b"\xff\xd8\xff", "a JPEG image", "give a UTF-8 text file with one sentence per line."),
    (b"%PDF-", "a PDF document", "give a UTF-8 text file with one sentence per line."),
    (b"PAR1\x15", "a Parquet table", "rename it to end in .parquet, and give it as a table: --data {}"),
    (b"SQLite format 3\x00", "an SQLite database", "save the table as CSV or JSON Lines."),
)


COMPRESSED_SUFFIX = ".gz"


class Block(NamedTuple):
    """Whole lines of a file: their bytes without the last line feed, and the number of the first line."""

    content: bytes
    first_line: int


class NumberedLines(NamedTuple):
    """Texts and their line numbers, from 1."""

    texts: list[str]
    numbers: Sequence[int]


def explain_read_failure(path: Path, error: OSError) -> AraeError:
    """Return a failure of the operating system to read a file as an error that a user can fix."""
    reason = error.strerror or str(error)
    return AraeError(f"cannot read {path}: {reason}", f"check the name and the permissions: ls -l {quoted(path)}")


def require_regular_file(path: Path) -> None:
    """Raise an error for pipes and devices, which cannot be read twice.

    Raises:
        AraeError: The path is missing, unreadable or no regular file.
    """
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        failure = error if isinstance(error, OSError) else OSError(str(error))
        raise explain_read_failure(path, failure) from error
    if not stat.S_ISREG(mode):
        raise AraeError(
            f"{path} is not a regular file",
            "write the text to a file first; training reads its data more than once.",
        )


class TextFile:
    """One text file, read once from start to end; a file whose name ends in ``.gz`` is decompressed.

    Only a line feed, with or without one carriage return before it, ends a line: other characters that some
    programs take for line ends (U+2028, U+0085, form feed, a lone carriage return) stay inside their line.

    Args:
        path: The file.
        tally: Counts what is repaired or skipped.
        advance: Called with the number of bytes of each piece that was read from the disk, about 1 MiB each.
        encoding: How its characters are encoded; one that ``check_encoding`` takes.
    """

    def __init__(
        self, path: Path, tally: Tally, advance: Callable[[int], None] | None = None, encoding: str = UTF_8
    ) -> None:
        self.path = path
        self.encoding = encoding
        self.tally = tally
        self.advance = advance if advance is not None else _ignore
        self.compressed = path.suffix.lower() == COMPRESSED_SUFFIX
        self._line = 1
        self._bytes = 0
        self._bad_bytes = 0

    def blocks(self) -> Iterator[Block]:
        """Yield the file in blocks of whole lines of about 1 MiB.

        A line longer than ``MAXIMUM_LINE_BYTES`` is counted as over-long and left out; the numbers stay
        right.

        Raises:
            AraeError: The file cannot be read, or its first bytes say that it is no UTF-8 text.
        """
        require_regular_file(self.path)
        try:
            with self.path.open("rb", buffering=0) as file:
                yield from self._blocks(self._unpacked(file) if self.compressed else self._chunks(file))
        except OSError as error:
            raise explain_read_failure(self.path, error) from error

    def _chunks(self, file: BinaryIO) -> Iterator[bytes]:
        while chunk := file.read(BLOCK_BYTES):
            self.advance(len(chunk))
            yield chunk

    def _unpacked(self, file: BinaryIO) -> Iterator[bytes]:
        """Yield the content of a gzip file in blocks of bounded size."""
        read = 0
        # An empty file has nothing to unpack and nothing wrong with it.
        try:
            with gzip.GzipFile(fileobj=file, mode="rb") as unpacked:
                while chunk := unpacked.read(BLOCK_BYTES):
                    self.advance(file.tell() - read)
                    read = file.tell()
                    yield chunk
                self.advance(file.tell() - read)
        except EOFError as error:
            raise AraeError(
                f"{self.path}: the gzip data end too early, after line {self._line:,}",
                "the file was cut off: copy or compress it again (gzip -t tests a file).",
            ) from error
        except (gzip.BadGzipFile, zlib.error) as error:
            if self._line == 1 and read == 0 and "Not a gzipped file" in str(error):
                raise AraeError(
                    f"{self.path} is not gzip data, in spite of its name", "rename it without .gz, or compress it."
                ) from error
            raise AraeError(
                f"{self.path}: the gzip data are damaged, after line {self._line:,}",
                "copy or compress the file again (gzip -t tests a file).",
            ) from error

    def _blocks(self, chunks: Iterator[bytes]) -> Iterator[Block]:
        rest = b""
        dropping = False
        self._line = 1
        for chunk in self._without_mark(chunks):
            if dropping:
                _, found, chunk = chunk.partition(b"\n")
                if not found:
                    continue
                dropping = False
                self._line += 1
            content, found, rest = (rest + chunk).rpartition(b"\n")
            if found:
                first_line = self._line
                self._line += content.count(b"\n") + 1
                yield Block(content, first_line)
            if len(rest) > MAXIMUM_LINE_BYTES:
                self._judge(rest, rest.count(b"\0") + self._count_replaced(rest), self._line)
                self.tally.note_longest(self.path, self._line, len(rest))
                dropping = True
                rest = b""
        if rest:
            yield Block(rest, self._line)

    def _without_mark(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """Yield text without its byte order mark, and UTF-16 text as UTF-8."""
        first = next(chunks, b"")
        marked = utf16_of_mark(first) if self.encoding == UTF_8 else None
        if marked is not None:
            return utf8_of_utf16(itertools.chain((first[2:],), chunks), marked)
        self._refuse_known_formats(first)
        return itertools.chain((first.removeprefix(_BYTE_ORDER_MARK),), chunks)

    def decode(self, block: Block) -> list[str]:
        """Return the lines of a block as text, one entry for each line, in order.

        Invalid UTF-8 becomes U+FFFD and NUL is removed; both are counted.

        Raises:
            AraeError: So much is invalid that the file is no UTF-8 text.
        """
        content = block.content
        try:
            text = content.decode(self.encoding)
        except UnicodeDecodeError:
            return self._repair(block)
        if "\0" in text:
            return self._repair(block)
        self._bytes += len(content)
        if "\r" in text:
            text = text.replace("\r\n", "\n").removesuffix("\r")
        return text.split("\n")

    def _repair(self, block: Block) -> list[str]:
        texts = []
        bad = block.content.count(b"\0")
        for number, line in enumerate(block.content.split(b"\n"), block.first_line):
            try:
                text = line.decode(self.encoding)
            except UnicodeDecodeError:
                text = line.decode(self.encoding, errors="replace")
                bad += text.count("\ufffd") - line.count("\ufffd".encode())
                reason = Reason.INVALID_UTF8 if self.encoding == UTF_8 else Reason.INVALID_BYTES
                self.tally.note(self.path, reason, number)
            if "\0" in text:
                text = text.replace("\0", "")
                self.tally.note(self.path, Reason.NUL, number)
            texts.append(text.removesuffix("\r"))
        self._judge(block.content, bad, block.first_line)
        return texts

    def _judge(self, content: bytes, bad: int, first_line: int) -> None:
        """Raise an error if this block, or all that was read so far, is mostly not UTF-8 text."""
        self._bytes += len(content)
        self._bad_bytes += bad
        shares = [self._bad_bytes / self._bytes]
        if len(content) >= MINIMUM_JUDGED_BYTES:
            shares.append(bad / len(content))
        if max(shares) > MAXIMUM_BAD_SHARE:
            raise AraeError(
                f"{self.path}: from line {first_line:,} on, {max(shares):.0%} of the bytes are NUL or invalid "
                "UTF-8: a binary file, or text in another encoding",
                "give UTF-8 text, or name its encoding, for example --encoding cp1251",
            )

    def _refuse_known_formats(self, start: bytes) -> None:
        for signature, what, remedy in _SIGNATURES:
            if start.startswith(signature) and self.compressed:
                raise AraeError(f"{self.path} contains {what}, not UTF-8 text", "give UTF-8 text, compressed or not.")
            if start.startswith(signature):
                raise AraeError(f"{self.path} is {what}, not UTF-8 text", remedy.format(quoted(self.path)))
        if self.encoding == UTF_8:
            refuse_unmarked_utf16(start, str(self.path))

    def _count_replaced(self, content: bytes) -> int:
        """Return how many replacement characters result from invalid bytes."""
        return content.decode(self.encoding, errors="replace").count("\ufffd") - content.count("\ufffd".encode())

    def lines(self, maximum_characters: int) -> Iterator[NumberedLines]:
        """Yield the sentences of a file with one per line, in blocks.

        Blanks and tabs at the ends of a line are removed. Lines without text and over-long lines are skipped
        and counted.

        Args:
            maximum_characters: The length over which a line is over-long.

        Raises:
            AraeError: The file cannot be read or is no UTF-8 text.
        """
        for block in self.blocks():
            texts = [text.strip(" \t") for text in self.decode(block)]
            # Nearly every block is clean, and looking at it as a whole is several times faster than line by
            # line.
            if all(texts) and len(max(texts, key=len)) <= maximum_characters and not any(map(str.isspace, texts)):
                yield NumberedLines(texts, range(block.first_line, block.first_line + len(texts)))
            else:
                yield self._select(texts, block.first_line, maximum_characters)

    def _select(self, texts: list[str], first_line: int, maximum_characters: int) -> NumberedLines:
        kept: list[str] = []
        numbers: list[int] = []
        for number, text in enumerate(texts, first_line):
            if not text or text.isspace():
                self.tally.note(self.path, Reason.EMPTY, number)
            elif len(text) > maximum_characters:
                self.tally.note_longest(self.path, number, len(text))
            else:
                kept.append(text)
                numbers.append(number)
        return NumberedLines(kept, numbers)


def _ignore(count: int) -> None:
    """Ignore progress in bytes."""
