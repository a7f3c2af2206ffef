"""Reads lines in a thread: lines that a person types are answered at once, a file in full batches.

A line ends at a line feed and nowhere else. The carriage return before it belongs to the line end, all other line
breaks of Unicode belong to the text. Text is UTF-8, UTF-16 with a byte order mark, or in a given encoding.
"""

from __future__ import annotations

import os
import select
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from arae_transfer.encodings import UTF_8, refuse_unmarked_utf16, utf8_of_utf16, utf16_of_mark
from arae_transfer.errors import AraeError

BLOCK_SIZE = 1 << 16
LONGEST_LINE = 1 << 20
"""Bytes of a line that are kept; the rest of a longer one is read and dropped, and it counts as truncated."""

WAITING_LINES = 4096
WAITING_BYTES = 8 << 20
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_REPLACEMENT = "\ufffd"


@dataclass(frozen=True, slots=True)
class Line:
    """A line of input.

    Attributes:
        text: The text, without its line end.
        size: The number of bytes that it took in the input, its line end included.
        repaired: The number of replaced invalid byte sequences.
        overlong: Whether its end was dropped because it exceeds the maximum length of a line.
    """

    text: str
    size: int
    repaired: int
    overlong: bool


class BlockReader(Protocol):
    """A source of bytes."""

    def read(self, size: int, /) -> bytes | None:
        """Return what has arrived, up to a size; nothing at the end; None when nothing has arrived yet."""

    def fileno(self) -> int:
        """Return the file descriptor."""


@dataclass(frozen=True)
class Source:
    """A named source of lines.

    Attributes:
        name: Its name in error messages.
        open: Returns the bytes, unbuffered: a read must return what has arrived and not wait for more.
    """

    name: str
    open: Callable[[], AbstractContextManager[BlockReader]]

    @classmethod
    def from_path(cls, path: Path) -> Source:
        """Return a file as a source.

        Raises:
            AraeError: It does not exist, is a folder or may not be read.
        """
        if path.is_dir():
            raise AraeError(f"cannot read {path}: it is a folder", "name the files in it.")
        if not path.exists():
            raise AraeError(f"cannot read {path}: there is no such file")
        if not os.access(path, os.R_OK):
            raise AraeError(f"cannot read {path}: permission denied")
        return cls(str(path), lambda: path.open("rb", buffering=0))


class LineReader:
    """Reads the lines of sources in a thread of its own.

    The queue is bounded in lines and in bytes, so an endless input costs no more memory than a long one. The thread is
    a daemon: a program may end while it waits for input.
    """

    def __init__(self, sources: Sequence[Source], encoding: str = UTF_8) -> None:
        self._sources = sources
        self._encoding = encoding
        self._waiting: deque[Line] = deque()
        self._bytes = 0
        self._ended = False
        self._error: BaseException | None = None
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._read, name="arae-line-reader", daemon=True)

    def chunks(self, most: int) -> Iterator[list[Line]]:
        """Yield lines as they arrive: wait for one, then take those in the queue, up to a number.

        Raises:
            AraeError: A source cannot be read, after the lines before the failure were yielded.
        """
        self._thread.start()
        try:
            while chunk := self._take(most):
                yield chunk
        finally:
            self._end(None)

    def _take(self, most: int) -> list[Line]:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._ended)
            if not self._waiting and self._error is not None:
                raise self._error
            chunk = [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]
            self._bytes -= sum(line.size for line in chunk)
            self._changed.notify_all()
        return chunk

    def _read(self) -> None:
        source: Source | None = None
        try:
            for source in self._sources:
                with source.open() as stream:
                    for lines in _split(stream, source.name, self._encoding):
                        if not self._put(lines):
                            return
        except OSError as error:
            self._end(AraeError(f"cannot read {source.name if source else '?'}: {error.strerror or error}"))
        except BaseException as error:  # whatever it is, the thread that takes the lines must hear of it
            self._end(error)
        else:
            self._end(None)

    def _put(self, lines: list[Line]) -> bool:
        """Queue lines when there is room; return False if the reader has ended."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._ended or (len(self._waiting) < WAITING_LINES and self._bytes < WAITING_BYTES)
            )
            if self._ended:
                return False
            self._waiting.extend(lines)
            self._bytes += sum(line.size for line in lines)
            self._changed.notify_all()
        return True

    def _end(self, error: BaseException | None) -> None:
        with self._changed:
            self._ended = True
            self._error = error
            self._changed.notify_all()


def _split(stream: BlockReader, name: str, encoding: str) -> Iterator[list[Line]]:
    """Yield the lines of a stream, those of each block together, the last one with or without a line feed.

    Raises:
        AraeError: The encoding is UTF-8, but the text is UTF-16 without a byte order mark.
    """
    begun = b""
    dropped = 0
    first = True
    for block in _blocks(stream, name, encoding):
        pieces = block.split(b"\n")
        lines = []
        for number, piece in enumerate(pieces):
            room = LONGEST_LINE - len(begun)
            begun += piece[:room]
            dropped += max(0, len(piece) - room)
            if number < len(pieces) - 1:
                lines.append(_line(begun, dropped, first, encoding, ended=True))
                begun, dropped, first = b"", 0, False
        if lines:
            yield lines
    if begun:
        yield [_line(begun, dropped, first, encoding, ended=False)]


def _blocks(stream: BlockReader, name: str, encoding: str) -> Iterator[bytes]:
    """Yield the bytes of a stream as they arrive; without a given encoding, UTF-16 with a mark becomes UTF-8."""
    begin = _read_block(stream)
    if encoding == UTF_8 and begin in (b"\xff", b"\xfe"):
        begin += _read_block(stream)
    marked = utf16_of_mark(begin) if encoding == UTF_8 else None
    if marked is not None:
        yield from utf8_of_utf16(_with_rest(begin[2:], stream), marked)
        return
    if encoding == UTF_8:
        refuse_unmarked_utf16(begin, name)
    yield from _with_rest(begin, stream)


def _with_rest(begin: bytes, stream: BlockReader) -> Iterator[bytes]:
    """Yield the bytes that were read already, then the rest of a stream."""
    if begin:
        yield begin
    while block := _read_block(stream):
        yield block


def _read_block(stream: BlockReader) -> bytes:
    """Return the next bytes, or none at the end; wait even if the stream is set not to block."""
    while (block := stream.read(BLOCK_SIZE)) is None:
        select.select([stream], [], [])
    return block


def _line(raw: bytes, dropped: int, first: bool, encoding: str, *, ended: bool) -> Line:
    size = len(raw) + dropped + ended
    overlong = dropped > 0
    if overlong and encoding == UTF_8:
        raw = _whole_characters(raw)
    elif ended and not overlong:
        raw = raw.removesuffix(b"\r")
    if first:
        raw = raw.removeprefix(_BYTE_ORDER_MARK)
    try:
        return Line(raw.decode(encoding), size, 0, overlong)
    except UnicodeDecodeError:
        text = raw.decode(encoding, errors="replace")
        genuine = raw.count(_REPLACEMENT.encode())
        return Line(text, size, text.count(_REPLACEMENT) - genuine, overlong)


def _whole_characters(raw: bytes) -> bytes:
    """Drop an incomplete character at the end of some bytes."""
    for back in range(1, min(4, len(raw)) + 1):
        byte = raw[-back]
        if byte & 0b1100_0000 != 0b1000_0000:  # not a continuation: the last character begins here
            length = 1 if byte < 0x80 else 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return raw[:-back] if length > back else raw
    return raw
