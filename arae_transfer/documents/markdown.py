"""Markdown (CommonMark with tables and strikethrough): rewrite the text, and keep markup, addresses, code and layout.

markdown-it-py says which lines are paragraphs, headings and cells of tables, and its rules for what stands inside of
them are watched while they read, because its tokens do not tell their places. Answers are put into the source there.
Front matter, code, images, reference links and HTML stay; text inside of blocks of HTML is rewritten as in a page.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

from markdown_it import MarkdownIt
from markdown_it.rules_inline import (
    StateInline,
    autolink,
    backtick,
    emphasis,
    entity,
    escape,
    html_inline,
    image,
    link,
    newline,
    strikethrough,
)
from markdown_it.token import Token

from arae_transfer.documents.html_page import CODE, SKIPPED, VOID, html_fields, html_skeleton
from arae_transfer.documents.parts import Field, Part
from arae_transfer.documents.reading import whole
from arae_transfer.documents.runs import Run, Side

_FRONT_MATTER = re.compile(r"(?P<fence>---|\+\+\+)[ \t]*\r?\n(?:.*\r?\n)*?(?P=fence)[ \t]*(?:\r?\n|\Z)")
_LINE = re.compile(r"\r\n?|\n")
# In front of a paragraph's text: a box to tick, the kind of a call-out, the name of a footnote.
_HEAD = re.compile(r"\[[ xX]\][ \t]+|\[![A-Za-z-]+\][+-]?[^\n]*(?:\n|\Z)|\[\^[^\]\n]+\]:[ \t]*")
# Not of CommonMark, but of those who use it: templates, formulas, footnotes, bare addresses.
_FURTHER = re.compile(
    r"""(?P<atom>\{\{.*?\}\}|\{%.*?%\}|\$\$[^$]+\$\$|https?://[^\s<>)\]]*[^\s<>)\].,;:!?'"*_~|`])
      | (?P<mark>\[\^[^\]\s]+\]|\{[#.:][^{}\n]*\})""",
    re.VERBOSE,
)
_TAG = re.compile(r"<(?P<close>/?)(?P<name>[A-Za-z][\w-]*)[^>]*?(?P<empty>/?)>", re.DOTALL)
_NEW_MARKUP = re.compile(r"[\\`*\[\]<>|~&]|(?<!\w)_|_(?!\w)")

Rule = Callable[[StateInline, bool], bool]


@dataclass(frozen=True, slots=True)
class Stretch:
    """A match of a rule inside a paragraph.

    Attributes:
        start: Where it begins in the paragraph.
        end: Where it ends.
        rule: The rule's name.
        tokens: The tokens that it wrote.
    """

    start: int
    end: int
    rule: str
    tokens: tuple[Token, ...]


class _Watcher:
    """Parser that records the matches of its inline rules."""

    def __init__(self) -> None:
        self.parser = MarkdownIt("commonmark").enable(["table", "strikethrough"])
        self.stretches: list[Stretch] = []
        self._nested = False
        rules: dict[str, Rule] = {
            "newline": newline,
            "escape": escape,
            "backticks": backtick,
            "strikethrough": strikethrough.tokenize,
            "emphasis": emphasis.tokenize,
            "link": link,
            "image": image,
            "autolink": autolink,
            "html_inline": html_inline,
            "entity": entity,
        }
        self.parser.inline.ruler2.disable("fragments_join")  # it would move text from token to token
        for name, rule in rules.items():
            self.parser.inline.ruler.at(name, self._watched(name, rule))

    def _watched(self, name: str, rule: Rule) -> Rule:
        def watched(state: StateInline, silent: bool) -> bool:
            start, written = state.pos, len(state.tokens)
            nested, self._nested = self._nested, self._nested or name == "image"  # what describes an image stays
            try:
                matched = rule(state, silent)
            finally:
                self._nested = nested
            if matched and not silent and not nested:
                # Text that was read before is written as a token together with this rule's own.
                own = state.tokens[written:]
                self.stretches.append(Stretch(start, state.pos, name, tuple(own)))
                if name == "link":
                    self._note_label(state, start)
            return matched

        return watched

    def _note_label(self, state: StateInline, start: int) -> None:
        end, place, most = state.pos, state.pos, state.posMax
        state.pos = start
        label = state.md.helpers.parseLinkLabel(state, start, True)
        state.pos, state.posMax = place, most
        self.stretches.append(Stretch(label, end, "label", ()))

    def read(self, content: str, environment: dict[str, object]) -> list[Stretch]:
        """Return the inline elements of a paragraph, unordered."""
        self.stretches = []
        self.parser.inline.parse(content, self.parser, environment, [])
        return self.stretches


@cache
def _parser() -> MarkdownIt:
    return MarkdownIt("commonmark").enable(["table", "strikethrough"])


@cache
def _block_parser() -> MarkdownIt:
    return MarkdownIt("commonmark").enable("table").disable("inline")


def read_markdown(blocks: Iterator[str]) -> Iterator[Part]:
    """Yield a document as one part, and its front matter as another."""
    source = whole(blocks)
    front = _FRONT_MATTER.match(source)
    if front is not None:
        yield Part(front[0])
        source = source[front.end() :]
    if source:
        yield Part(source, _Reader(source).fields(), skeleton=markdown_skeleton)


def markdown_skeleton(source: str) -> object:
    """Return the structure of a document: everything except its text."""
    environment: dict[str, object] = {}
    tokens = [_shape(token) for token in _parser().parse(source, environment)]
    return tokens, sorted(dict(environment.get("references", {})).items())  # type: ignore[call-overload]


def _shape(token: Token) -> object:
    content: object = token.content
    if token.type == "html_block":
        content = html_skeleton(token.content)
    elif token.type in ("inline", "text"):
        content = ""
    children = [
        _shape(child) for child in token.children or [] if child.type not in ("text", "text_special", "softbreak")
    ]
    return token.type, token.tag, token.markup, token.info, tuple(token.attrs.items()), content, children


class _Reader:
    """Finds the text of a document."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._watcher = _Watcher()
        starts = [0, *(match.end() for match in _LINE.finditer(source))]
        ends = [match.start() for match in _LINE.finditer(source)] + [len(source)]
        self._lines = list(zip(starts, ends, strict=True))

    def fields(self) -> list[Field]:
        """Return the text fields in order."""
        environment: dict[str, object] = {}
        tokens = _block_parser().parse(self._source, environment)
        fields: list[Field] = []
        row: list[str] = []
        for number, token in enumerate(tokens):
            if token.map is None:
                continue
            if token.type == "tr_open":
                row = []
                for cell in tokens[number + 1 :]:
                    if cell.type == "tr_close":
                        break
                    if cell.type == "inline":
                        row.append(cell.content)
                fields += self._row(row, token.map[0], environment)
            elif token.type == "html_block" and token.level == 0:
                start, end = self._lines[token.map[0]][0], self._lines[token.map[1] - 1][1]
                fields += html_fields(self._source[start:end], start)
            elif token.type == "inline" and tokens[number - 1].type not in ("th_open", "td_open"):
                fields += self._paragraph(token, environment)
        return [each for each in fields if each.sentences]

    def _row(self, cells: list[str], line: int, environment: dict[str, object]) -> list[Field]:
        """Return the text of a table row, with each cell located between the bars of its line."""
        start, end = self._lines[line]
        places = _cell_places(self._source[start:end], cells)
        fields = []
        for content, place in zip(cells, places, strict=True):
            if place is not None and content:
                fields.append(self._field(content, [(0, start + place, content)], environment))
        return fields

    def _paragraph(self, token: Token, environment: dict[str, object]) -> list[Field]:
        """Return the text of a paragraph or heading, or none if its lines are not found in the source."""
        assert token.map is not None
        content = token.content
        pieces: list[tuple[int, int, str]] = []  # where a line begins in the content and in the source
        place = 0
        for number, line in enumerate(content.split("\n")):
            if token.map[0] + number >= len(self._lines):
                return []
            start, end = self._lines[token.map[0] + number]
            text = line.lstrip(" \t")
            found = self._source.rfind(text.replace("\ufffd", "\0") if "\0" in self._source else text, start, end)
            if found < 0:
                return []
            pieces.append((place + len(line) - len(text), found, text))
            place += len(line) + 1
        return [self._field(content, pieces, environment)]

    def _field(self, content: str, pieces: list[tuple[int, int, str]], environment: dict[str, object]) -> Field:
        """Return the field of a paragraph, from the positions of its lines in it and in the source."""
        places: list[int] = []  # of each character of the content in the source
        for first, found, text in pieces:
            # A line break stands where the line before it ends, whatever the source has in front of the next one.
            places += [places[-1] + 1 if places else found] * (first - len(places))
            places += range(found, found + len(text))
        end = places[-1] + 1
        places += [end] * (len(content) + 1 - len(places))
        run = Run()
        stretches = self._watcher.read(content, environment)
        _fill(run, content, stretches, lambda first, last: self._source[places[first] : places[last]])
        return Field(pieces[0][1], end, run, _escaped)


def _cell_places(line: str, cells: list[str]) -> list[int | None]:
    """Return the start of each table cell in its line; None: it is empty, or has an escaped bar."""
    written = [(number, cell.replace("|", "\\|")) for number, cell in enumerate(cells) if cell]
    begin = 0
    while written and (start := line.find(written[0][1], begin)) >= 0:
        places: list[int | None] = [None] * len(cells)
        place = start
        for number, cell in written:
            found = line.find(cell, place)
            between = line[place:found]
            if found < 0 or (place > start and (between.strip(" \t|") or "|" not in between)):
                break
            places[number] = found if cell == cells[number] else None
            place = found + len(cell)
        else:
            if line[place:].lstrip(" \t")[:1] in ("|", ""):
                return places
        begin = start + 1
    return [None] * len(cells)


def _fill(run: Run, content: str, stretches: list[Stretch], source: Callable[[int, int], str]) -> None:
    """Fill a run with a paragraph."""
    further = [Stretch(match.start(), match.end(), str(match.lastgroup), ()) for match in _FURTHER.finditer(content)]
    head = _HEAD.match(content)
    place = 0
    if head is not None:
        place = head.end()
        run.add_mark(source(0, place), Side.ALONE)
    for number, stretch in enumerate(ordered := _in_order([*stretches, *further])):
        if stretch.start < place:
            continue  # inside of what stays
        run.add_text(source(place, stretch.start))
        place = _add_stretch(run, stretch, ordered[number + 1 :], content, source)
    run.add_text(source(place, len(content)))


def _in_order(stretches: list[Stretch]) -> list[Stretch]:
    return sorted(stretches, key=lambda each: (each.start, -each.end))


def _add_stretch(
    run: Run, stretch: Stretch, following: list[Stretch], content: str, source: Callable[[int, int], str]
) -> int:
    """Add an inline element, and return where it ends; for a link, where its text begins."""
    start, end = stretch.start, stretch.end
    raw = source(start, end)
    last = stretch.tokens[-1] if stretch.tokens else None
    if stretch.rule in ("emphasis", "strikethrough"):
        _add_delimiters(run, stretch, source)
    elif stretch.rule == "link":
        label = next(each.start for each in following if each.rule == "label" and each.end == end)
        if content[label:end] in ("]", "][]"):  # its text is the name of the address
            run.add_atom(content[start + 1 : label], raw)
        else:
            run.add_mark(source(start, start + 1), Side.OPEN)
            return start + 1
    elif stretch.rule == "label":
        run.add_mark(raw, Side.CLOSE)
    elif stretch.rule == "html_inline":
        return _add_tag(run, stretch, following, content, source)
    elif stretch.rule in ("autolink", "atom") or (last is not None and last.type == "code_inline"):
        run.add_atom(raw, raw)
    elif stretch.rule in ("image", "mark"):
        run.add_mark(raw, Side.ALONE)
    elif last is not None and last.type == "hardbreak":
        run.add_break(raw)
    elif stretch.rule == "newline":
        run.add_written(" ", raw)
    elif last is not None and last.type == "text_special" and last.content != raw:
        run.add_written(" " if last.content.isspace() else last.content, raw)
    else:
        run.add_text(raw)
    return end


def _add_delimiters(run: Run, stretch: Stretch, source: Callable[[int, int], str]) -> None:
    """Add a run of emphasis marks, some of which may be text."""
    tokens = list(stretch.tokens)
    size = stretch.end - stretch.start
    widths = [1] * size if stretch.rule == "emphasis" else [1] * (size % 2) + [2] * (size // 2)
    tokens = tokens[len(tokens) - len(widths) :]  # before them may stand the text that was read until then
    place = stretch.start
    for number, (token, width) in enumerate(zip(tokens, widths, strict=True)):
        raw = source(place, place + width)
        place += width
        nesting = token.nesting
        if not token.content and nesting == 0:  # the other half of a double mark
            nesting = 1 if number + 1 < len(tokens) and tokens[number + 1].type == "strong_open" else -1
        if nesting == 0:
            run.add_text(raw)
        else:
            run.add_mark(raw, Side.OPEN if nesting > 0 else Side.CLOSE)


def _add_tag(
    run: Run, stretch: Stretch, following: list[Stretch], content: str, source: Callable[[int, int], str]
) -> int:
    """Add an HTML tag; code and similar elements are added with their content."""
    raw = source(stretch.start, stretch.end)
    match = _TAG.match(raw)
    name = match["name"].lower() if match else ""
    if match is None or match["empty"] or name in VOID:
        if name == "br":
            run.add_break(raw)
        else:
            run.add_mark(raw, Side.ALONE)
    elif match["close"]:
        run.add_mark(raw, Side.CLOSE)
    else:
        if name in CODE | SKIPPED:
            for each in following:
                if each.rule == "html_inline" and content[each.start : each.end].lower().startswith(f"</{name}"):
                    run.add_atom(content[stretch.start : each.end].replace("\n", " "), source(stretch.start, each.end))
                    return each.end
        run.add_mark(raw, Side.OPEN)
    return stretch.end


def _escaped(text: str) -> str:
    return _NEW_MARKUP.sub(r"\\\g<0>", text)
