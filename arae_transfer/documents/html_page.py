"""HTML: rewrite the text, and keep tags, attributes, comments, scripts, styles and code, even in broken pages.

Nothing is parsed into a tree and written again. The standard library's parser says where text and tags begin, and
answers are put into the source there. A sentence may hold tags such as ``<b>`` or ``<a>``; every other tag ends it.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import NamedTuple

from arae_transfer.documents.parts import Field, Part
from arae_transfer.documents.reading import whole
from arae_transfer.documents.runs import Run, Side


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


INLINE = _names(
    "a abbr acronym b bdi bdo big cite del dfn em font i img ins label mark nobr q rb rp rt ruby s small span strike "
    "strong sub sup time tt u wbr"
)
"""Inline tags, which occur inside sentences."""

VOID = _names("img wbr br hr input link meta area base col embed source track param")

CODE = _names("code kbd samp var math")
"""Inline tags with content that is kept."""

SKIPPED = _names(
    "script style pre textarea svg template option select datalist object iframe canvas noembed noframes xmp plaintext "
    "listing"
)
"""Tags whose content is not text, or text for a program."""

_PIECE = re.compile(r"[ \t\n\f\r\xa0]+|&(?:#[0-9]+|#[xX][0-9a-fA-F]+|[A-Za-z][A-Za-z0-9]*);?|&|[^ \t\n\f\r\xa0&]+")
_TAG_BEGINS = re.compile("<[A-Za-z/!?]")
_NOT_TRANSLATED = re.compile(r"\bnotranslate\b")


class Event(NamedTuple):
    """A tag, text or other event in a page.

    Attributes:
        start: Where it begins.
        end: Where it ends.
        kind: ``text``; ``open``, ``close`` and ``empty``, which are tags; ``other``, such as a comment; ``kept``, an
            element that stays with all its content, and ``atom``, one that does so inside of a sentence.
        name: The tag's name.
    """

    start: int
    end: int
    kind: str
    name: str = ""


class _Listener(HTMLParser):
    """Records the parser's events with their positions; the end of non-text is not known yet."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=False)
        self.events: list[Event] = []
        self.kept: set[int] = set()
        self._starts = [0, *(match.end() for match in re.finditer("\n", source))]
        # Entities are found later: an incomplete one would end the parser's interest in all that follows.
        self.feed(source.replace("&", "+"))
        self.close()

    def _note(self, kind: str, name: str = "", size: int = 0) -> int:
        line, column = self.getpos()
        start = self._starts[line - 1] + column
        self.events.append(Event(start, start + size, kind, name))
        return start

    def handle_data(self, data: str) -> None:
        """Record text."""
        self._note("text", size=len(data))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Record a start tag or an empty element."""
        start = self._note("empty" if tag in VOID else "open", tag)
        for name, value in attrs:
            if (name == "translate" and (value or "").lower() == "no") or (
                name == "class" and _NOT_TRANSLATED.search(value or "")
            ):
                self.kept.add(start)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Record a self-closing tag."""
        self._note("empty", tag)

    def handle_endtag(self, tag: str) -> None:
        """Record an end tag."""
        self._note("close", tag)

    def handle_comment(self, data: str) -> None:
        """Record a comment."""
        self._note("other")

    def handle_decl(self, decl: str) -> None:
        """Record a document type."""
        self._note("other")

    def handle_pi(self, data: str) -> None:
        """Record a processing instruction."""
        self._note("other")

    def parse_marked_section(self, i: int, report: bool = True) -> int:
        """Skip ``<![CDATA[`` and similar sections, which the parser rejects if they are unknown."""
        close = "]]>" if self.rawdata.startswith("<![CDATA[", i) else ">"
        end = self.rawdata.find(close, i)
        if end < 0:
            return -1
        self._note("other")
        return end + len(close)


def read_html(blocks: Iterator[str]) -> Iterator[Part]:
    """Yield a page as one part."""
    source = whole(blocks)
    if source:
        yield Part(source, html_fields(source), skeleton=html_skeleton)


def html_skeleton(source: str) -> list[str]:
    """Return everything in a page except its text."""
    return [source[event.start : event.end] for event in _events(source) if event.kind != "text"]


def html_fields(source: str, offset: int = 0) -> list[Field]:
    """Return the text of a page.

    Args:
        source: The page.
        offset: Where the page begins in the document that it is a part of.
    """
    fields: list[Field] = []
    run, start, end = Run(), 0, 0

    def finish() -> None:
        nonlocal run
        if end > start:
            field = Field(start + offset, end + offset, run, _escape)
            if field.sentences:
                fields.append(field)
        run = Run()

    for event in _events(source):
        raw = source[event.start : event.end]
        if event.kind == "kept" or (event.kind in ("open", "close", "empty") and event.name not in INLINE | {"br"}):
            finish()
            start = end = event.end
            continue
        end = event.end
        if event.kind == "text":
            _add_text(run, raw)
        elif event.kind == "atom":
            run.add_atom(_shown(raw), raw)
        elif event.name == "br":
            run.add_break(raw)
        else:
            run.add_mark(raw, {"open": Side.OPEN, "close": Side.CLOSE}.get(event.kind, Side.ALONE))
    finish()
    return fields


def _escape(text: str) -> str:
    return html.escape(text, quote=False)


def _shown(raw: str) -> str:
    """Return the model's view of code: in backticks."""
    return "`" + re.sub(r"(?:<[^<>]*>|\s)+", " ", raw).strip() + "`"


def _add_text(run: Run, source: str) -> None:
    for match in _PIECE.finditer(source):
        raw = match[0]
        text = html.unescape(raw) if raw[0] == "&" else raw
        if text.isspace():
            text = " "
        if text == raw:
            run.add_text(raw)
        else:
            run.add_written(text, raw)


def _events(source: str) -> list[Event]:
    """Return all events of a page, from its first character to its last, without gaps."""
    listener = _Listener(source)
    complete: list[Event] = []
    place = 0
    broken = False
    starts = [event.start for event in listener.events[1:]]
    for event, following in zip(listener.events, [*starts, len(source)], strict=True):
        if event.start > place:  # what the parser passes without a word, such as </>
            complete.append(Event(place, event.start, "other"))
        if event.kind != "text":
            broken = False
            event = event._replace(end=following)
        elif broken or _TAG_BEGINS.match(source, event.start):
            broken = True  # a tag or a comment that never ends
            event = event._replace(kind="other")
        complete.append(event)
        place = event.end
    if place < len(source):
        complete.append(Event(place, len(source), "other"))
    return _join_kept(complete, listener.kept)


def _join_kept(events: list[Event], kept: set[int]) -> list[Event]:
    """Merge each element that is kept with its content; an unclosed one extends to the end."""
    joined: list[Event] = []
    number = 0
    while number < len(events):
        event = events[number]
        number += 1
        if event.kind != "open" or not (event.name in CODE | SKIPPED or event.start in kept):
            joined.append(event)
            continue
        depth = 1
        while number < len(events) and depth:
            inner = events[number]
            depth += (inner.name == event.name) * ((inner.kind == "open") - (inner.kind == "close"))
            number += 1
        inside = depth == 0 and event.name in CODE | INLINE
        joined.append(Event(event.start, events[number - 1].end, "atom" if inside else "kept", event.name))
    return joined
