"""Text encodings, shared by readers of corpora and of lines."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator

from arae_transfer.errors import AraeError

UTF_8 = "utf-8"
_MARKS = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}
# Text has NULs in every second place where it is English in UTF-16, and nowhere in UTF-8.
_LEAST_BYTES = 4
_MOST_BYTES = 4096
_MOSTLY, _HARDLY = 0.5, 0.05


def check_encoding(name: str) -> str:
    """Return Python's name of an encoding.

    Args:
        name: What the user called it, such as ``latin-1``, ``cp1252`` or ``shift_jis``.

    Raises:
        AraeError: There is none of that name, or its line feed is not the one byte at which lines are split.
    """
    try:
        found = codecs.lookup(name)
        splits = found.encode("\na")[0] == b"\na" and found.decode(b"\n")[0] == "\n"
    except (LookupError, ValueError, TypeError, UnicodeError) as error:
        raise AraeError(
            f"there is no text encoding {name!r}", "use a name such as utf-8, latin-1, cp1252, koi8-r or gb18030."
        ) from error
    if not splits:
        raise AraeError(
            f"text in {found.name} cannot be split into lines byte by byte",
            f"convert it: iconv -f {found.name.upper()} -t UTF-8 OLD > NEW",
        )
    return found.name


def utf16_of_mark(begin: bytes) -> str | None:
    """Return the UTF-16 encoding of the byte order mark at the start of some bytes, or None."""
    return _MARKS.get(begin[:2])


def utf8_of_utf16(blocks: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """Yield the UTF-16 text of blocks, without its mark, as UTF-8.

    What is no UTF-16 becomes bytes that are no UTF-8 either, so that who reads them repairs and counts them.

    Args:
        blocks: The bytes after the mark.
        encoding: What ``utf16_of_mark`` found.
    """
    decoder = codecs.getincrementaldecoder(encoding)("surrogatepass")
    for block in blocks:
        if text := decoder.decode(block):
            yield text.encode("utf-8", "surrogatepass")
    try:
        rest = decoder.decode(b"", final=True).encode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        rest = b"\xff"  # half of a unit
    if rest:
        yield rest


def refuse_unmarked_utf16(begin: bytes, name: str) -> None:
    """Raise an error for bytes with NULs at every second position.

    Args:
        begin: The first bytes of a text.
        name: What the message calls it.

    Raises:
        AraeError: They are UTF-16 text without a byte order mark.
    """
    begin = begin[:_MOST_BYTES]
    if len(begin) < _LEAST_BYTES or b"\0" not in begin:
        return
    even, odd = (begin[start::2].count(0) / len(begin[start::2]) for start in (0, 1))
    if min(even, odd) <= _HARDLY and max(even, odd) >= _MOSTLY:
        order = "LE" if odd > even else "BE"
        raise AraeError(
            f"{name} is UTF-16 text without a byte order mark, not UTF-8 text",
            f"convert it to UTF-8: iconv -f UTF-16{order} -t UTF-8 OLD > NEW",
        )
