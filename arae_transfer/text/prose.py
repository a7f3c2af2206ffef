"""Detect lines without style: code, logs and subtitle timings."""

from __future__ import annotations

import re
from functools import cache

_LEVEL = r"(?:TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|CRITICAL|FATAL|SEVERE)"
_DATE = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d"
_NOT_PROSE = rf"""
      \W* {_DATE} .* \b{_LEVEL}\b                                  # logs
    | \W* {_LEVEL} (?: \] | : (?=\s*\S) | \s+\[ | \s+{_DATE} )
    | [A-Z][a-z]{{2}}\s+\d{{1,2}}\s\d\d:\d\d:\d\d\s\S+\s[\w./-]+(?:\[\d+\])?:
    | \d{{1,3}}(?:\.\d{{1,3}}){{3}} \s .* "(?:GET|POST|PUT|HEAD|DELETE)\s
    | \s* (?: Traceback\s\( | File\s"[^"]+",\sline\s\d | at\s[\w.$]+\([\w.]+:\d+\) )
    | [\w.]*(?:Error|Exception):\s
    | \s* (?: \d\d: )? \d\d:\d\d[,.]\d{{3}} \s* -->                  # timings of subtitles
    | \s* [\[\u266a] [^\[\]]{{1,80}} [\]\u266a] \s* \Z                # what is heard: [music]
    | \s* (?: (?:async\s+)?def\s+\w+\s*\( | class\s+\w+\s*[(:{{] | from\s+[\w.]+\s+import\s
          | import\s+[\w.]+(?:\s+as\s+\w+)?\s*;?\s*\Z
          | (?:public|private|protected|static)\s+[\w<>\[\]]+\s+\w+ | (?:const|let|var)\s+\w+\s*= | function\s*\w*\(
          | \#include\s | \#!/ | @\w+\s*\Z | return\b[^.!?]*;\s*\Z | package\s[\w.]+;\s*\Z
          | (?:if|for|while|elif|with|switch)\b.*(?:[)\]]\s*[:{{]|\{{)\s*\Z
          | for\s+\w+(?:\s*,\s*\w+)*\s+in\s.*:\s*\Z | (?:if|elif|while)\s.*(?:==|!=|<=|>=|&&|\|\|).*
          | (?:else|try|finally|do)\s*[:{{]\s*\Z
          | (?:SELECT|INSERT\sINTO|UPDATE|DELETE\sFROM|CREATE\sTABLE|ALTER\sTABLE|DROP\sTABLE)\s.*
          | \$\s+[a-z][\w./-]*\s .*
          | [\w.\[\]'"]+\s*(?:[-+*/|&]?=|:=)\s*
            (?:-?\d|["'\[{{(]|None\b|True\b|False\b|null\b|true\b|false\b|\w+[.(\[]).*
          | [\w.]+\([^()]*(?:\([^()]*\)[^()]*)*\)\s*[;:{{]?\s*\Z
          | [\[{{]\s*"[^"]*"\s*[:,].*
          | "[^"]+"\s*:\s*(?:["\[{{\d-]|true\b|false\b|null\b).*,?\s*\Z
          | .*(?:[)\]}}];|\)\s*\{{)\s*\Z | (?://|/\*)\s .* )
    """
# What is in no line of code, log or subtitle: most lines are told by their characters alone.
_PLAIN = re.compile(r"[A-Za-z0-9 ,.!?'`$-]*(?<![;:{])\Z")
_LETTER = re.compile(r"[^\W\d_]")
_CODE_WORD = re.compile(
    r"\s*(?:import\b|return\b|SELECT|INSERT|UPDATE|DELETE|CREATE|ALTER|DROP|from\b|\$|\w*(?:Error|Exception)\b)"
    "|.*(?:TRACE|DEBUG|ERROR|INFO|WARN|NOTICE|FATAL|SEVERE|CRITICAL)"
)


@cache
def _not_prose() -> re.Pattern[str]:
    """Return the regular expression, compiled on first use, which takes as long as a small import."""
    return re.compile(_NOT_PROSE, re.VERBOSE)


def is_prose(line: str) -> bool:
    """Return whether a line may be prose: not code, logs, subtitle timings, marks or numbers."""
    if _PLAIN.match(line) is not None and _CODE_WORD.match(line) is None:
        return _LETTER.search(line) is not None
    return _LETTER.search(line) is not None and _not_prose().match(line) is None
