"""Protected spans, which rewriting keeps as typed: numbers, addresses, tags, code, emoji and the like.

``Protector.find`` finds the spans that bypass the model, because it has no token for them: addresses, tags, code, marks
of Markdown, emoticons and the like, and those that a user adds. The model reads numbers, as a placeholder if its corpus
has one. ``Protector.sequence`` lists both in their order; the lists of an answer and its source must be equal.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache
from typing import NamedTuple

from arae_transfer.errors import AraeError

_ADDRESSES = r"""
  (?:https?|ftp)://[^\s<>"]*[^\s<>"'.,!?;:)\]}*_] | (?<!\w)www\.[^\s<>"]*[^\s<>"'.,!?;:)\]}*_]
| (?<![\w.+-])[\w.+-]{1,64}+@[\w-]{1,63}+(?:\.[\w-]{1,63}+){1,8}
"""
_PATHS = r"""
  (?<!\w)[A-Za-z]:\\[\w.\\-]*\w | (?<![\w/.~])(?:~|\.{1,2})?(?:/[\w.@+-]*\w){2,}/? | (?<![\w/.~])(?:~|\.{1,2})/[\w.-]*\w
| (?<![\w/.])(?:[\w-]+/)*[\w-]+\.
  (?:py|js|ts|txt|md|pdf|csv|tsv|json|xml|html?|ya?ml|toml|ini|cfg|log|sh|exe|zip|gz|tar|png|jpe?g|gif|svg|mp[34]|docx?|xlsx?|srt)
  (?![\w-])
"""
_CODE = r"""
  `{3,}\w* | (?<!`)``(?!`)(?!\s)[^`']{1,200}(?<!\s)``(?!`) | (?<!`)`(?![`\s])[^`\n]{1,200}(?<![`\s])`(?!`)
"""
_MARKUP = r"""
  <(?:/?[A-Za-z][^<>]{0,300}|!--[^<>]{0,300}--)> | &(?:[A-Za-z]{2,8}|\#\d{1,7}|\#x[0-9A-Fa-f]{1,6});
"""
_LATEX = r"""
  \\(?:cite[pt]?|ref|eqref|label|url|href|begin|end|usepackage|documentclass|input|includegraphics)\*?
  (?:\[[^\]]{0,80}\])?\{[^{}]{0,120}\}
| \\[A-Za-z]+\*?(?:\[[^\]]{0,80}\])?\{? | \\[^\w\s]
"""
_MATHS = r"\$\$ | \$(?=[^\s\d$])[^$\n]{1,100}(?<=[^\s$])\$(?![\w$])"
_PLACEHOLDERS = r"""
  \{\{[^{}]{1,60}\}\} | \{[^{}\s]{0,60}\} | \$\{[^{}]{1,60}\} | \$[A-Za-z_]\w*
| (?<![\w%])%(?:\(\w{1,40}\))?[-+\#0]*\d*(?:\.\d+)?[sdifgxcr](?!\w)
"""
_NAMES = r"""
  (?<![\w&/#])\#(?=\w*[^\W\d_])\w+ | (?<![\w@.])@\w[\w.]*\w
| (?<![\w:]):(?=[a-z0-9_+-]*[a-z])[a-z0-9_+-]{2,40}:(?![\w:])
"""
_BRACKETED = r"""
  \[(?=[^\[\]]{1,200}\]\() | \]\([^()\s]{1,300}\) | \[\^?[^\[\]]{1,60}\](?!\()
"""
_EMOTICONS = r"""
  (?<![\w:;=])(?:>?[:;=]['^]?-?(?:[)(]{1,8}|[\]\[}{|*]|[DPpOo3/\\](?![\w/]))|[DO]-?:(?![\w:])|[xX]D+(?!\w)|(?<!\()[xX]-?[()](?!\w))
| (?<![\w^])(?:\^_*\^|-_+-|[oO]_[oO]|[Tt]_[Tt]|>_<|¯\\_\(ツ\)_/¯)(?![\w^])
| <3+(?![\d.,:/]|\s*(?:%|\$|star|min|hour|hr|day|week|month|year|mile|people))
"""
_SYMBOLS = "[\u2190-\u2bff\ufe0f\u200d\u20e3\U0001f000-\U0001faff]+"
# List and quotation marks, headings and dashes of dialogue at the beginning of a line; rules, pipes, emphasis.
_MARKDOWN = r"""
  (?:\A\s*)(?:\#{1,6}(?=\s)|>+(?=\s)|[-*+•–—](?=\s+\S))(?:\s+\[[ xX]\](?=\s))?
| \|+ | (?<![\w*])\*{1,3}(?=[^\s*]) | (?<=[^\s*])\*{1,3}(?![\w*])
| (?<![\w_])_{1,3}(?=[^\s_]) | (?<=[^\s_])_{1,3}(?![\w_]) | ~~ | ={3,} | -{3,} | [{}]
"""
_KINDS = (
    _ADDRESSES,
    _CODE,
    _MARKUP,
    _MATHS,
    _PLACEHOLDERS,
    _PATHS,
    _EMOTICONS,
    _LATEX,
    _BRACKETED,
    _NAMES,
    _SYMBOLS,
    _MARKDOWN,
)
_CARRIED = " | ".join(f"(?: {kind} )" for kind in _KINDS)
# The inches of a screen, the feet of a ladder, minutes of arc.
_MEASURE = r"""\d+(?:\.\d+)?(?:'\s?\d{1,2}(?:\.\d+)?(?:"|''|″)? | ["'′″]{1,2}+(?!\w))"""
_DIGITS = r"\.?\d+(?:[.,:/x×-]\d+)*"
_UNIT = r"""(?:\s?%|\s?°\s?[CF]?\b|\s?[ap]\.m\.|\s?[ap]m\b
  |(?:st|nd|rd|th|s|k|m|h|g|kg|lb|lbs|oz|cm|mm|km|mi|ft|in|mph|px|gb|mb)\b)"""
_CURRENCY = "[$£€¥]"
# A line that matches none of this holds nothing to be carried.
_MAY_BE_CARRIED = re.compile(
    r"""[@#<&{}\[\]\\*~|^=\u2581]|://|www\.|(?<!`)`(?!`)|```|[\w.~]/|/\w|(?<!\w)_|_(?!\w)|[:;]['^]?-?[()DPpOo3/\\]"""
    r"""|:\w+:|\w\.\w|\d\s?['"′″]|%(?:[\w(+#-]|\.\d)|\$[^\s\d]|---|\A\s*(?:>+|[-+•–—])\s|[DO]-?:|\b[xX]-?[D()]"""
    r"""|\b[oOtT]_|-_"""
    "|[\u2190-\u2bff\U0001f000-\U0001faff]"
)
_MAY_BE_LISTED = re.compile(r"\d|_")


class Span(NamedTuple):
    """Protected part of a line, from ``start`` to before ``stop``.

    Attributes:
        start: The position of its first character.
        stop: The position after its last.
        number: Whether it is a number with its unit that the model may read as one number.
    """

    start: int
    stop: int
    number: bool = False


class Protector:
    """Finds protected spans in lines; thread-safe."""

    def __init__(self, patterns: Iterable[str] = (), words: Iterable[str] = ()) -> None:
        """Add the user's patterns and terms.

        Args:
            patterns: Regular expressions.
            words: Terms that stay unchanged, in this spelling, as whole words.

        Raises:
            AraeError: A pattern is not a regular expression, or matches nothing at all ("x*").
        """
        self.patterns = tuple(patterns)
        self.words = tuple(sorted({word.strip() for word in words if word.strip()}, key=len, reverse=True))
        own = []
        for pattern in self.patterns:
            try:
                compiled = re.compile(pattern)
            except re.error as error:
                raise AraeError(
                    f"{pattern!r} is not a regular expression: {error}",
                    "quote it for the shell, such as 'JIRA-[0-9]+'.",
                ) from error
            if compiled.match(""):
                raise AraeError(f"{pattern!r} matches the empty text", "let it match at least one character.")
            own.append(compiled)
        if self.words:
            own.append(re.compile("|".join(rf"(?<!\w){re.escape(word)}(?!\w)" for word in self.words)))
        self._own = tuple(own)

    def may_hold(self, line: str, number: str = "") -> bool:
        """Return whether a line may have carried spans; a fast test without false negatives.

        Args:
            line: The line.
            number: The corpus's placeholder of numbers, which is no carried span.
        """
        return _may_be_carried(line, number) or any(own.search(line) for own in self._own)

    def find(self, line: str, number: str = "") -> list[Span]:
        """Return the carried spans, in order and without overlaps.

        Args:
            line: The line.
            number: The corpus's placeholder of numbers, which is no carried span.
        """
        spans = [
            Span(*found.span()) for own in self._own for found in own.finditer(line) if found.end() > found.start()
        ]
        free = _without_overlaps(spans)
        if _may_be_carried(line, number):
            found = _built_in(line, number)
            free = _without_overlaps([*free, *found], len(free)) if free else found
        return free

    def sequence(self, line: str, number: str = "") -> list[str]:
        """Return all protected text of a line in order, including numbers with their units.

        Args:
            line: A line or an answer.
            number: The corpus's placeholder of numbers, which counts as one.
        """
        spans = self.find(line, number)
        if _MAY_BE_LISTED.search(line) is not None:
            numbers = [Span(*found.span()) for found in _numbers(number).finditer(line)]
            spans = _without_overlaps([*spans, *numbers], len(spans))
        return [" ".join(line[span.start : span.stop].split()) for span in spans]

    def masked(self, line: str, number: str = "") -> str:
        """Return a line without its protected text."""
        for span in reversed(self.find(line, number)):
            line = f"{line[: span.start]} {line[span.stop :]}"
        return line


def _may_be_carried(line: str, number: str) -> bool:
    if number and number in line:
        line = line.replace(number, "n")
    return _MAY_BE_CARRIED.search(line) is not None


def _built_in(line: str, number: str) -> list[Span]:
    spans = []
    for found in _carried(number).finditer(line):
        start, stop = found.span()
        if found.lastgroup == "number":
            continue
        if found.lastgroup == "measure":
            quoted = line.count('"', 0, start) + line.count("“", 0, start) - line.count("”", 0, start)
            opened = re.search(r"(?:^|\s)'\w", line[:start]) if line[stop - 1] == "'" else None
            if quoted % 2 or opened or (line[stop - 1] == '"' and line.count('"', stop) % 2):
                continue  # the mark closes a quotation, or opens one
            spans.append(Span(start, stop, number=True))
            continue
        if found[0][:1].isspace():
            start += len(found[0]) - len(found[0].lstrip())
        spans.append(Span(start, stop))
    return spans


@cache
def _carried(number: str) -> re.Pattern[str]:
    placeholder = rf"(?P<number> {re.escape(number)} ) |" if number else ""
    return re.compile(rf"{placeholder} (?P<measure> (?<![\w.]) {_MEASURE} ) | {_CARRIED}", re.VERBOSE)


@cache
def _numbers(number: str) -> re.Pattern[str]:
    digits = rf"(?:{re.escape(number)}|{_DIGITS})" if number else rf"(?:{_DIGITS})"
    return re.compile(rf"(?:{_CURRENCY}\s?)?{digits}{_UNIT}?", re.IGNORECASE | re.VERBOSE)


def _without_overlaps(spans: Sequence[Span], first: int = 0) -> list[Span]:
    """Return spans in order; of overlapping ones, keep preferred or earlier spans."""
    taken: list[Span] = []
    for span in [*spans[:first], *sorted(spans[first:])]:
        if all(span.stop <= other.start or other.stop <= span.start for other in taken):
            taken.append(span)
    return sorted(taken)
