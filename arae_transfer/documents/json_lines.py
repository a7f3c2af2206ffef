"""JSON Lines: rewrite one string of each object in place, and keep the rest of the line.

The string is named by a path such as ``text``, ``review.text``, ``messages.0.content`` or ``texts.*``: keys and places
in arrays, ``*`` for all of an array. A line that is no JSON object, or has no string there, is left as it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from json.decoder import JSONDecoder

from arae_transfer.documents.parts import Field, Part
from arae_transfer.documents.reading import lines
from arae_transfer.documents.runs import Run

_BLANK = re.compile(r"[ \t\n\r]*")
_PIECE = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\.|[^\\]+")
_LINE_BREAKS = ("\n", "\r", "\u2028", "\u2029")
_DECODER = JSONDecoder()

NO_JSON = "not a JSON object"


def json_lines_reader(path: str) -> Callable[[Iterator[str]], Iterator[Part]]:
    """Return a reader of JSON Lines with the text at a path."""

    def read(blocks: Iterator[str]) -> Iterator[Part]:
        number = 0
        for line in lines(blocks):
            number += bool(line)
            if line.isspace() or not line:
                yield Part(line, number=number)
            else:
                yield _read_line(line, number, path)

    return read


def _read_line(line: str, number: int, path: str) -> Part:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        record = None
    if not isinstance(record, dict):
        return Part(line, number=number, problem=NO_JSON)
    strings = find_strings(line, path)
    if not strings:
        return Part(line, number=number, problem=f"no string {path!r}")
    plain = line.isascii()
    return Part(line, [_field(line, start, end, ascii_only=plain) for start, end in strings], number)


def find_strings(line: str, path: str) -> list[tuple[int, int]]:
    """Return start and end of the strings at a path in a valid line of JSON, without quotes."""
    found: list[tuple[int, int]] = []
    _walk(line, _skip(line, 0), path, found)
    return sorted(found)


def _skip(line: str, place: int) -> int:
    match = _BLANK.match(line, place)
    assert match is not None  # it matches nothing, too
    return match.end()


def _walk(line: str, place: int, path: str | None, found: list[tuple[int, int]]) -> int:
    """Skip a value, record the strings at the path, and return its end; None: the path does not exist."""
    if path is None:
        return _DECODER.raw_decode(line, place)[1]
    if not path:
        end = _DECODER.raw_decode(line, place)[1]
        if line[place] == '"':
            found.append((place + 1, end - 1))
        return end
    if line[place] == "{":
        return _walk_object(line, place, path, found)
    if line[place] == "[":
        return _walk_array(line, place, path, found)
    return _DECODER.raw_decode(line, place)[1]


def _walk_object(line: str, place: int, path: str, found: list[tuple[int, int]]) -> int:
    first, _, rest = path.partition(".")
    by_key: dict[str, list[tuple[int, int]]] = {}
    place = _skip(line, place + 1)
    while line[place] != "}":
        key, place = _DECODER.raw_decode(line, place)
        place = _skip(line, _skip(line, place) + 1)
        own: list[tuple[int, int]] = []
        place = _skip(line, _walk(line, place, "" if key == path else rest if key == first else None, own))
        by_key[key] = own  # of a key that comes twice, readers take the last
        if line[place] == ",":
            place = _skip(line, place + 1)
    found += by_key.get(path) or by_key.get(first) or []
    return place + 1


def _walk_array(line: str, place: int, path: str, found: list[tuple[int, int]]) -> int:
    first, _, rest = path.partition(".")
    place = _skip(line, place + 1)
    number = 0
    while line[place] != "]":
        wanted = first == "*" or first == str(number)
        place = _skip(line, _walk(line, place, rest if wanted else None, found))
        number += 1
        if line[place] == ",":
            place = _skip(line, place + 1)
    return place + 1


def _field(line: str, start: int, end: int, *, ascii_only: bool) -> Field:
    run = Run()
    for match in _PIECE.finditer(line, start, end):
        raw = match[0]
        if raw[0] != "\\":
            run.add_text(raw)
            continue
        text = json.loads(f'"{raw}"')
        if text in _LINE_BREAKS:
            run.add_break(raw)
        else:
            run.add_written(text, raw)
    return Field(start, end, run, lambda text: json.dumps(text, ensure_ascii=ascii_only)[1:-1])
