"""Character encodings that text can be read in, line by line."""

from __future__ import annotations

import codecs

from arae_transfer.errors import AraeError

UTF_8 = "utf-8"


def check_encoding(name: str) -> str:
    """Return the name that Python has for an encoding.

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
