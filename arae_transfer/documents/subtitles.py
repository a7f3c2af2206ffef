"""Subtitles, SubRip (``.srt``) and WebVTT: rewrite captions, and keep numbers, times, notes and styles.

The lines of a caption are read as one text, because sentences go on from line to line, and the answer is broken at the
same places. What belongs to no sentence is not shown to the model: the dash of a speaker, a name before a colon, tags,
sounds in brackets, music signs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from arae_transfer.documents.parts import Field, Part
from arae_transfer.documents.reading import lines
from arae_transfer.documents.runs import Run, Side

_TIMES = re.compile(r"\s*(?:\d+:)?\d{1,2}:\d{2}[.,]\d{1,3}\s*-->\s*(?:\d+:)?\d{1,2}:\d{2}[.,]\d{1,3}")
_NUMBER = re.compile(r"\s*\d+\s*")
_MARKUP = re.compile(
    r"""
      (?P<close></[^<>\n]*>) | (?P<open><[A-Za-z0-9][^<>\n]*>) | (?P<alone>\{\\[^{}\n]*\} | \[[^\][\n]*\]
      | \([^()a-z\n]*\) | [♪♫#]+)
    | (?P<break>\s*\n\s*(?=(?:<[^<>\n]*>)*\s*[-–—‐]\s*\S)) | (?P<blank>\s*\n\s*)
    """,
    re.VERBOSE,
)
# At the beginning of a speaker's text: tags, a dash, a name in capital letters.
_SPEAKER = re.compile(r"(?:<[^<>\n]*>|\{\\[^{}\n]*\})*\s*(?:[-–—‐]+\s*)?(?:[A-Z][A-Z0-9 .'#]*:\s+)?")
_END = re.compile(r"\s*\Z")


def read_subtitles(blocks: Iterator[str]) -> Iterator[Part]:
    """Yield a part per caption, and parts for the rest."""
    caption: list[str] = []
    before: str | None = None  # a line that may be the number of the next caption
    inside = False
    number = 0
    for line in lines(blocks):
        if not line:
            continue
        if _TIMES.match(line):
            if inside and caption and before is not None:  # captions without a blank line between them
                yield _caption("".join(caption[:-1]), number)
                yield Part(caption[-1])
            elif caption:
                yield _caption("".join(caption), number)
            yield Part(line)
            caption, inside, before = [], True, None
            number += 1
        elif inside and line.strip():
            caption.append(line)
            before = line if _NUMBER.fullmatch(line) else None
        else:
            if caption:
                yield _caption("".join(caption), number)
            yield Part(line)
            caption, inside, before = [], False, None
    if caption:
        yield _caption("".join(caption), number)


def _caption(source: str, number: int) -> Part:
    run = Run()
    end = len(source) - len(_END.search(source)[0])  # type: ignore[index]
    _add_speaker(run, source, 0, end)
    return Part(source, [Field(0, end, run)], number)


def _add_speaker(run: Run, source: str, start: int, end: int) -> None:
    """Add a caption's text from the start of a speaker's line."""
    head = _SPEAKER.match(source, start, end)
    assert head is not None  # it matches nothing, too
    start = _add_head(run, head[0], start)
    while start < end:
        match = _MARKUP.search(source, start, end)
        if match is None:
            run.add_text(source[start:end])
            return
        run.add_text(source[start : match.start()])
        start = match.end()
        if match.lastgroup == "break":
            run.add_break(match[0])
            _add_speaker(run, source, start, end)
            return
        if match.lastgroup == "blank":
            run.add_written(" ", match[0])
        else:
            run.add_mark(match[0], Side[str(match.lastgroup).upper()])


def _add_head(run: Run, head: str, start: int) -> int:
    if head:
        run.add_mark(head, Side.ALONE)
    return start + len(head)
