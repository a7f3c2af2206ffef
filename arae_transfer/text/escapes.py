"""Read character escapes such as ``&apos;``, and restore them as typed."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_ESCAPE = re.compile(r"&(?:[A-Za-z]{2,8}|#\d{1,7}|#[xX][0-9A-Fa-f]{1,6});")
# Each different escape of a line has a private character of its own, so that positions stay; a line that holds such
# characters itself is read without its escapes.
_FIRST = 0xE000
_MOST = 64
_PRIVATE = re.compile(f"[{chr(_FIRST)}-{chr(_FIRST + _MOST)}]")


@dataclass(frozen=True, slots=True)
class Escapes:
    """Escapes of one line.

    Attributes:
        characters: The character that each private character replaces.
        typed: How each private character was typed.
    """

    characters: dict[int, str] = field(default_factory=dict)
    typed: dict[int, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.typed)

    def private(self, character: str) -> str | None:
        """Return the private character for a character, or None."""
        return next((chr(code) for code, meant in self.characters.items() if meant == character), None)

    def restore(self, text: str) -> str:
        """Return a text with escapes in place of private characters."""
        return text.translate(self.typed) if self.typed else text


NO_ESCAPES = Escapes()


def without_escapes(line: str) -> str:
    """Return a line with its escapes decoded."""
    if "&" not in line:
        return line
    typed, escapes = read_escapes(line)
    return typed.translate(escapes.characters) if escapes else line


def read_escapes(line: str) -> tuple[str, Escapes]:
    """Return a line with a private character for each escape, and the escapes."""
    if "&" not in line or ";" not in line or _PRIVATE.search(line):
        return line, NO_ESCAPES
    from html import unescape

    codes: dict[str, str] = {}
    characters: dict[int, str] = {}
    typed: dict[int, str] = {}

    def exchange(found: re.Match[str]) -> str:
        escape = found[0]
        meant = unescape(escape)
        if len(meant) != 1 or not (meant.isprintable() or meant.isspace()):
            return escape
        if escape not in codes:
            if len(codes) == _MOST:
                return escape
            code = _FIRST + len(codes)
            codes[escape], characters[code], typed[code] = chr(code), meant, escape
        return codes[escape]

    line = _ESCAPE.sub(exchange, line)
    return line, Escapes(characters, typed) if typed else NO_ESCAPES
