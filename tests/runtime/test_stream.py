"""Lines as they were written, in order, whatever the blocks in which they arrive."""

from __future__ import annotations

import io
import os
import random
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest

from arae_transfer.errors import AraeError
from arae_transfer.runtime import stream
from arae_transfer.runtime.stream import BlockReader, Line, LineReader, Source


class Drip(io.RawIOBase):
    """Bytes that arrive in blocks of random size."""

    def __init__(self, content: bytes, seed: int) -> None:
        self._rest = content
        self._random = random.Random(seed)

    def read(self, size: int = -1, /) -> bytes:
        """Return a few of the bytes that are left."""
        taken = min(size, self._random.choice((1, 2, 3, 7, 50)))
        block, self._rest = self._rest[:taken], self._rest[taken:]
        return block


def _source(content: bytes, seed: int = 0) -> Source:
    return Source("drip", lambda: nullcontext(Drip(content, seed)))


def _read(*contents: bytes, most: int = 1000, seed: int = 0) -> list[Line]:
    reader = LineReader([_source(content, seed) for content in contents])
    return [line for chunk in reader.chunks(most) for line in chunk]


def _texts(*contents: bytes) -> list[str]:
    return [line.text for line in _read(*contents)]


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        (b"", []),
        (b"\n", [""]),
        (b"a", ["a"]),
        (b"a\n", ["a"]),
        (b"a\n\n", ["a", ""]),
        (b"a\r\nb\r\n", ["a", "b"]),
        (b"a\r\r\n", ["a\r"]),
        (b"a\rb\n", ["a\rb"]),
        ("a\u2028b\u2029\x0cc\x85d\n".encode(), ["a\u2028b\u2029\x0cc\x85d"]),
        (b"\x00\x01\n", ["\x00\x01"]),
        (b"\xef\xbb\xbfa\n\xef\xbb\xbfb", ["a", "\ufeffb"]),
        (("é" * 5000 + "\n💬").encode(), ["é" * 5000, "💬"]),
    ],
)
def test_a_line_ends_at_a_line_feed_and_nowhere_else(content: bytes, texts: list[str]) -> None:
    assert _texts(content) == texts


def test_sources_follow_each_other_and_share_no_line() -> None:
    assert _texts(b"a\nb", b"", b"c\n", b"\xef\xbb\xbfd") == ["a", "b", "c", "d"]


def test_any_bytes_give_as_many_lines_as_line_feeds_whatever_the_blocks() -> None:
    generator = random.Random(1)
    for seed in range(30):
        content = bytes(generator.choice(b"ab\n\r\x00\xc3\xa9\xff \x85") for _ in range(300)) + b"end"
        lines = _read(content, seed=seed, most=generator.choice((1, 3, 1000)))
        assert len(lines) == content.count(b"\n") + 1
        assert [line.text for line in lines] == [
            raw.removesuffix(b"\r").decode(errors="replace") for raw in content.split(b"\n")
        ]
        assert sum(line.size for line in lines) == len(content)


def test_replaced_bytes_are_counted_and_genuine_replacement_characters_are_not() -> None:
    bad, genuine, good = _read(b"caf\xe9 \xff\xff\n" + "\ufffd\xc3".encode() + b"\nfine\n")
    assert (bad.text, bad.repaired) == ("caf\ufffd \ufffd\ufffd", 3)
    assert genuine.repaired == 0
    assert good.repaired == 0
    assert _read("\ufffd".encode() + b"\xff")[0].repaired == 1


@pytest.mark.parametrize("character", ["a", "é", "€", "💬"])
def test_an_endless_line_is_cut_between_characters(monkeypatch: pytest.MonkeyPatch, character: str) -> None:
    monkeypatch.setattr(stream, "LONGEST_LINE", 50)
    content = f"x{character * 500}\nnext\n".encode()
    cut, following = _read(content)
    assert cut.overlong and not following.overlong
    assert cut.repaired == 0
    assert 46 <= len(cut.text.encode()) <= 50
    assert cut.text == f"x{character * (len(cut.text) - 1)}"
    assert following.text == "next"
    assert cut.size + following.size == len(content)


def test_a_line_of_exactly_the_longest_length_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "LONGEST_LINE", 50)
    (line,) = _read(b"y" * 50 + b"\n")
    assert line == Line("y" * 50, 51, 0, False)


def test_what_waits_is_taken_at_once_and_in_order() -> None:
    content = b"".join(b"%d\n" % number for number in range(5000))
    reader = LineReader([Source("bytes", lambda: nullcontext(io.BytesIO(content)))])
    chunks = list(reader.chunks(700))
    assert [line.text for chunk in chunks for line in chunk] == [str(number) for number in range(5000)]
    assert max(map(len, chunks)) <= 700
    assert len(chunks) < 100


class Endless(io.RawIOBase):
    """Bytes without an end, which counts what was read of it."""

    def __init__(self, block: bytes) -> None:
        self.block = block
        self.taken = 0

    def read(self, size: int = -1, /) -> bytes:
        """Return the block again."""
        self.taken += len(self.block)
        return self.block


@pytest.mark.parametrize("block", [b"x\n" * 1000, (b"x" * 60_000 + b"\n")], ids=["short", "long"])
def test_an_endless_input_is_not_read_ahead_of_what_is_taken(block: bytes) -> None:
    endless = Endless(block)
    chunks = LineReader([Source("endless", lambda: nullcontext(endless))]).chunks(10)
    assert len(next(chunks)) <= 10
    most = stream.WAITING_BYTES + 12 * len(block)  # 10 taken, one in hand, one beginning
    if len(block) < 5000:
        most = min(most, 2 * (stream.WAITING_LINES + 2000))
    settled = -1
    while settled != endless.taken:
        settled = endless.taken
        assert settled <= most
        time.sleep(0.2)
    chunks.close()  # type: ignore[attr-defined]
    for thread in threading.enumerate():
        if thread.name == "arae-line-reader":
            thread.join(5)
            assert not thread.is_alive()


def test_an_endless_line_takes_no_more_memory_than_a_long_one() -> None:
    endless = Endless(b"x" * stream.BLOCK_SIZE)

    def stopping() -> AbstractContextManager[BlockReader]:
        return nullcontext(Ending(endless, 200))

    (line,) = [line for chunk in LineReader([Source("line", stopping)]).chunks(5) for line in chunk]
    assert line.size == 200 * stream.BLOCK_SIZE
    assert len(line.text) == stream.LONGEST_LINE and line.overlong


class Ending(io.RawIOBase):
    """Another stream, up to a number of blocks."""

    def __init__(self, inner: Endless, blocks: int) -> None:
        self._inner = inner
        self._left = blocks

    def read(self, size: int = -1, /) -> bytes:
        """Return a block while some are left."""
        self._left -= 1
        return self._inner.read(size) if self._left >= 0 else b""


class Failing(io.RawIOBase):
    """Two lines and then a failure."""

    def __init__(self, error: BaseException) -> None:
        self._answers: Iterator[bytes] = iter([b"one\ntw", b"o\nthree"])
        self._error = error

    def read(self, size: int = -1, /) -> bytes:
        """Return the next block, or fail."""
        for block in self._answers:
            return block
        raise self._error


@pytest.mark.parametrize(
    ("error", "expected"),
    [(OSError(5, "Input/output error"), AraeError), (ZeroDivisionError("bug"), ZeroDivisionError)],
)
def test_a_failure_while_reading_comes_after_the_lines_before_it(
    error: BaseException, expected: type[BaseException]
) -> None:
    chunks = LineReader([Source("disk", lambda: nullcontext(Failing(error)))]).chunks(100)
    texts: list[str] = []
    with pytest.raises(expected) as caught:
        for chunk in chunks:
            texts += [line.text for line in chunk]
    assert texts == ["one", "two"]
    if expected is AraeError:
        assert "disk" in str(caught.value) and "Input/output error" in str(caught.value)


def test_a_pipe_that_does_not_block_is_waited_for() -> None:
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    pipe = os.fdopen(reading, "rb", buffering=0)
    chunks = LineReader([Source("pipe", lambda: pipe)]).chunks(10)

    def write() -> None:
        os.write(writing, b"late\n")
        os.close(writing)

    threading.Timer(0.2, write).start()
    assert [line.text for chunk in chunks for line in chunk] == ["late"]


def test_a_file_that_cannot_be_read_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(AraeError, match="no such file"):
        Source.from_path(tmp_path / "nothing")
    with pytest.raises(AraeError, match="folder"):
        Source.from_path(tmp_path)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_utf16_with_its_mark_is_read_and_without_refused(tmp_path: Path, encoding: str, size: int) -> None:
    text = "the food was bad\r\ncaf\u00e9 \U0001f621\nlast"
    path = tmp_path / "text"
    path.write_bytes(("\ufeff" + text).encode(encoding))
    lines = [line for chunk in stream.LineReader([stream.Source.from_path(path)]).chunks(size) for line in chunk]
    assert [line.text for line in lines] == ["the food was bad", "caf\u00e9 \U0001f621", "last"]
    path.write_bytes(text.encode(encoding))
    with pytest.raises(AraeError, match="UTF-16 text without a byte order mark"):
        list(stream.LineReader([stream.Source.from_path(path)]).chunks(size))


def test_what_is_no_utf16_is_counted_as_repaired(tmp_path: Path) -> None:
    path = tmp_path / "text"
    lone = "\ud83d".encode("utf-16-le", "surrogatepass")
    path.write_bytes("\ufeffgood\n".encode("utf-16-le") + lone + "x\ny".encode("utf-16-le") + b"z")
    lines = [line for chunk in stream.LineReader([stream.Source.from_path(path)]).chunks(10) for line in chunk]
    assert [line.text.strip("\ufffd") for line in lines] == ["good", "x", "y"]
    assert [line.repaired > 0 for line in lines] == [False, True, True]
