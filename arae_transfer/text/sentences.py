"""Split lines into sentences, and long sentences into parts."""

from __future__ import annotations

import re
from dataclasses import dataclass

from arae_transfer.text.abbreviations import ABBREVIATIONS

# A final mark with what closes after it, tags among that, and blanks or HTML's line breaks before more text. The mark
# stands alone, as corpora write it, or ends a word.
_END = re.compile(
    r"""
      (?P<alone> (?<=\s) (?:[.!?]|\.\.\.) (?:[ ](?:''|['")\]]))* ) (?P<gap1> \s++ ) (?=\S)
    | (?P<marks> (?<![.!?…]) [.!?…]++ ) (?P<close> (?: ['"”’)\]] | </[A-Za-z]\w{0,15}> )* )
      (?P<gap2> (?: \s | <[Bb][Rr]\s{0,3}/?> )+ ) (?=\S) (?! <[Bb][Rr]\s{0,3}/?> )
    """,
    re.VERBOSE,
)
_MARK = re.compile("[.!?…]")
_CONTENT = re.compile(r"""[^\s.!?…'"”’)\]]""")
_LONGEST_WORD = 16
_CLAUSE = re.compile(r"(?<=[,;:])\s++|(?<!\s)\s++(?=(?:--?|–|—|but|and|because|so|which)\s)", re.IGNORECASE)
_BLANKS = re.compile(r"\s+")


@dataclass(slots=True)
class SentenceSplit:
    """A line in parts; not frozen, which would take three times as long to construct.

    Attributes:
        texts: The parts, at least one.
        gaps: The blanks between them, one fewer.
    """

    texts: tuple[str, ...]
    gaps: tuple[str, ...] = ()

    def join(self, answers: list[str]) -> str:
        """Join rewritten parts with the line's own spaces; an empty part takes the spaces before it along."""
        parts = [answers[0]]
        for gap, answer in zip(self.gaps, answers[1:], strict=True):
            if answer.strip():
                parts += [gap if any(parts) else "", answer]
        return "".join(parts)


def split_sentences(line: str) -> SentenceSplit:
    """Split a line after each sentence; only the spaces between sentences are dropped.

    A period after an abbreviation, a single letter or a letter between periods ends no sentence, nor do dots before a
    small letter: "Dr. Smith", "at 5 p.m. on" and "wait ... what" are whole.
    """
    body = line.rstrip()
    mark = _MARK.search(body)
    if mark is None or mark.end() == len(body):
        # As most lines are: nothing stands behind the only final mark.
        return SentenceSplit((line,))
    texts, gaps, start = [], [], 0
    content = _CONTENT.search(line)
    for match in _END.finditer(line):
        gap = "gap1" if match["alone"] is not None else "gap2"
        if content is None or content.start() > match.start() or not _ends(match, line):
            continue
        texts.append(line[start : match.start(gap)])
        gaps.append(match[gap])
        start = match.end(gap)
        content = _CONTENT.search(line, start)
    return SentenceSplit((*texts, line[start:]), tuple(gaps))


def _ends(match: re.Match[str], line: str) -> bool:
    following = line[match.end()]
    if match["alone"] is not None:
        return not (match["alone"].startswith("...") and following.islower())
    if match["marks"] == ".":
        before = re.split(r"[\s.!?]", line[max(0, match.start() - _LONGEST_WORD) : match.start()].lower())
        word = before[-1].lstrip("(['\"")
        dotted = line.startswith(".", match.start() - len(before[-1]) - 1)  # the last letters of "e.g." or "p.m."
        # Nor does a single letter end a sentence, as in "J. Smith", or "e.g.", "p.m.".
        return not (word in ABBREVIATIONS or dotted or (len(word) == 1 and word.isalpha() and word != "i"))
    return not (following.islower() and not match["marks"].strip(".…"))


def split_in_two(text: str) -> SentenceSplit | None:
    """Split a text near its middle, between clauses or else between words; None: it is one word."""
    middle = len(text) / 2
    inner = (len(text) - len(text.lstrip()), len(text.rstrip()))
    for pattern, reach in ((_CLAUSE, len(text) / 4), (_BLANKS, middle)):
        places = [match for match in pattern.finditer(text) if inner[0] < match.start() and match.end() < inner[1]]
        near = [match for match in places if abs(match.start() - middle) <= reach]
        if near:
            best = min(near, key=lambda match: abs(match.start() - middle))
            return SentenceSplit((text[: best.start()], text[best.end() :]), (best[0],))
    return None
