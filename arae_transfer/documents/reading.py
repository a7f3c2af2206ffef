"""Decode and encode documents, so that unchanged text returns byte for byte."""

from __future__ import annotations

import codecs
import select
from collections.abc import Iterator

from arae_transfer.errors import AraeError
from arae_transfer.runtime.stream import BLOCK_SIZE, BlockReader

_UTF8_MARK = codecs.BOM_UTF8
_UTF16_MARKS = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
_BYTES_JUDGED = 4096
_MOST_NULS = 0.3


class DocumentReader:
    """Reads a document and remembers its encoding: UTF-8, or UTF-16 with a byte order mark.

    Attributes:
        name: What messages call the document.
        mark: Its byte order mark, which belongs to no text; known as soon as the first block was read.
        size: The bytes that were read.
    """

    def __init__(self, name: str, stream: BlockReader) -> None:
        self.name = name
        self.mark = b""
        self.size = 0
        self._stream = stream
        self._encoding = "utf-8"
        self._errors = "surrogateescape"

    def blocks(self) -> Iterator[str]:
        """Yield the text as it arrives, and an empty block before waiting for more.

        Bytes that are no UTF-8 come as lone surrogates, which ``encode`` turns back into them.

        Raises:
            AraeError: The document cannot be read, or is text in an encoding that nothing names.
        """
        try:
            start = self._first_bytes()
            self._recognise(start)
            decoder = codecs.getincrementaldecoder(self._encoding)(self._errors)
            block: bytes | None = start[len(self.mark) :]
            while block:
                if text := decoder.decode(block):
                    yield text
                if not self._has_come():
                    yield ""
                block = self._read()
            if text := decoder.decode(b"", final=True):
                yield text
        except OSError as error:
            raise AraeError(f"cannot read {self.name}: {error.strerror or error}") from error
        except UnicodeDecodeError as error:
            raise AraeError(
                f"{self.name} begins as UTF-16 but is not: {error.reason}", "convert it to UTF-8."
            ) from error

    def encode(self, text: str) -> bytes:
        """Return text in the document's encoding, without byte order mark."""
        return text.encode(self._encoding, self._errors)

    def _first_bytes(self) -> bytes:
        start = b""
        while len(start) < len(_UTF8_MARK) and (block := self._read()):
            start += block
        return start

    def _recognise(self, start: bytes) -> None:
        if start.startswith(_UTF8_MARK):
            self.mark = _UTF8_MARK
        elif start[:2] in _UTF16_MARKS:
            self.mark, self._errors = start[:2], "surrogatepass"
            self._encoding = _UTF16_MARKS[self.mark]
        elif start[:_BYTES_JUDGED].count(0) > _MOST_NULS * len(start[:_BYTES_JUDGED]):
            raise AraeError(
                f"{self.name} is not UTF-8 text: many of its bytes are NUL, as in UTF-16 without a byte order mark",
                "convert it: iconv -f UTF-16LE -t UTF-8 OLD > NEW",
            )

    def _read(self) -> bytes:
        while (block := self._stream.read(BLOCK_SIZE)) is None:
            select.select([self._stream], [], [])
        self.size += len(block)
        return block

    def _has_come(self) -> bool:
        try:
            return bool(select.select([self._stream], [], [], 0)[0])
        except (OSError, ValueError):  # a file on Windows, where only sockets can be asked
            return True


def whole(blocks: Iterator[str]) -> str:
    """Return all text of a document."""
    return "".join(blocks)


def lines(blocks: Iterator[str]) -> Iterator[str]:
    """Yield lines with their line feeds, and an empty line if no more has arrived yet."""
    begun: list[str] = []
    for block in blocks:
        if not block:
            yield ""
            continue
        first, *others = block.split("\n")
        begun.append(first)
        if others:
            yield "".join(begun) + "\n"
            for line in others[:-1]:
                yield f"{line}\n"
            begun = [others[-1]]
    if rest := "".join(begun):
        yield rest
