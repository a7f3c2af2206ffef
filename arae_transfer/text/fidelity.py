"""Check that a rewrite keeps protected spans, balances quotation marks and brackets, and invents no symbol."""

from __future__ import annotations

import re

from arae_transfer.text.escapes import without_escapes
from arae_transfer.text.protected import Protector

# Lines without any of these have nothing to lose but words.
_SPECIAL = re.compile(r"""[^A-Za-z ,.!?'-]|'{2}|\.\w|---|\A\s*-\s|-_-|[DO]-?:|\b[xX]D""")
_PAIRED = re.compile(r"""``|''|["“”„«»‹›()\[\]{}]""")
# Symbols that mean something: a price, a share, an address, a product.
_SYMBOLS = re.compile(r"[$€£¥%#@&*+=<>^~|\\/©®™°§]")
_IRREGULAR_BLANKS = re.compile(r"\s\s|[^\S ]")
_TOKEN = re.compile(r"\s+|\w+(?:['’]\w+)*|[^\w\s]")
_CLOSES = {")": "(", "]": "[", "}": "{"}
_OPENS = frozenset(_CLOSES.values())


def keeps_form(source: str, answer: str, protector: Protector, number: str = "") -> bool:
    """Return whether a rewrite has its source's protected spans, balanced marks, and no symbol that the source lacks.

    Args:
        source: A line as it was typed.
        answer: Its answer, in the typed form.
        protector: What is protected.
        number: The corpus's placeholder of numbers.
    """
    source, answer = without_escapes(source), without_escapes(answer)
    if _SPECIAL.search(source) is None and _SPECIAL.search(answer) is None and not protector.words:
        return not protector.patterns or protector.sequence(source) == protector.sequence(answer)
    invented = set(_SYMBOLS.findall(answer)) - set(source)
    if invented or protector.sequence(source, number) != protector.sequence(answer, number):
        return False
    if _IRREGULAR_BLANKS.search(source) is not None and not keeps_blanks(source, answer):
        return False
    if _PAIRED.search(source) is None and _PAIRED.search(answer) is None:
        return True
    before = _PAIRED.findall(protector.masked(source, number))
    after = _PAIRED.findall(protector.masked(answer, number))
    if before == after:
        return True
    return is_balanced(after) and set(after) <= set(before) if is_balanced(before) else False


def keeps_blanks(source: str, answer: str) -> bool:
    """Return whether the spaces at both ends, and between words adjacent in both texts, are equal."""
    from difflib import SequenceMatcher  # here, because few lines need it

    words, gaps = _words_and_gaps(source)
    answer_words, answer_gaps = _words_and_gaps(answer)
    if (gaps[0], gaps[-1]) != (answer_gaps[0], answer_gaps[-1]):
        return False
    return all(
        gaps[begin + 1 : begin + length] == answer_gaps[place + 1 : place + length]
        for begin, place, length in SequenceMatcher(None, words, answer_words, autojunk=False).get_matching_blocks()
    )


def _words_and_gaps(text: str) -> tuple[list[str], list[str]]:
    """Return the words and marks of a text, and the spaces around them."""
    words: list[str] = []
    gaps = [""]
    for token in _TOKEN.findall(text):
        if token.isspace():
            gaps[-1] = token
        else:
            words.append(token)
            gaps.append("")
    return words, gaps


def is_balanced(marks: list[str]) -> bool:
    """Return whether brackets match, and quotation marks occur in pairs of their kind."""
    opened: list[str] = []
    counts: dict[str, int] = {}
    for mark in marks:
        if mark in _OPENS:
            opened.append(mark)
        elif mark in _CLOSES:
            if not opened or opened.pop() != _CLOSES[mark]:
                return False
        else:
            counts[mark] = counts.get(mark, 0) + 1
    if opened or counts.get('"', 0) % 2:
        return False
    if counts.get("``", 0) > counts.get("''", 0) or (counts.get("``", 0) + counts.get("''", 0)) % 2:
        return False
    curly = counts.get("“", 0) + counts.get("„", 0)
    return (
        curly <= counts.get("”", 0) + counts.get("“", 0)
        and (curly + counts.get("”", 0)) % 2 == 0
        and (counts.get("«", 0) == counts.get("»", 0) and counts.get("‹", 0) == counts.get("›", 0))
    )
