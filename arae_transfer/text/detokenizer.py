"""Detokenizer: spaces of ordinary English between the tokens of a treebank corpus."""

from __future__ import annotations

from collections.abc import Sequence

from arae_transfer.text.treebank import CLITICS, MERGED_PAIRS

QUOTES = frozenset(("``", "''"))
CONTRACTED = frozenset(("n't", *(f"'{clitic}" for clitic in CLITICS.split("|") if clitic != "n")))
# Marks that stand close to the word before them.
CLOSE_MARKS = frozenset([".", ",", "!", "?", ";", ":", ")", "]", "}", "%", "..."])
_MERGED_HEADS = frozenset(head for head, _ in MERGED_PAIRS)
# An apostrophe after another word in "s" belongs to it: "the kids' menu".
_NO_OWNERS = frozenset(("as", "does", "has", "his", "is", "its", "says", "this", "us", "was"))
_LONGEST_QUOTATION = 30  # words between single quotes; the bound keeps the time linear
_OPENING = frozenset("([{")
_PREFIXES = frozenset("$#")


def spaces_before(words: Sequence[str], number: str) -> list[str]:
    """Return the space, one or none, before each word in ordinary text.

    Args:
        words: Words of a treebank corpus.
        number: The corpus's placeholder of numbers; "$" and "#" stand close to it.
    """
    gaps: list[str] = []
    quotes_left = sum(word in QUOTES for word in words)
    closing_left = sum(word == ")" for word in words)
    quote_open = apostrophe_open = False
    brackets_open = 0
    previous, close = "", True
    for index, word in enumerate(words):
        if word.isalpha():
            gaps.append("" if close or (previous in _MERGED_HEADS and (previous, word) in MERGED_PAIRS) else " ")
            previous, close = word, False
            continue
        following = words[index + 1] if index + 1 < len(words) else ""
        joins_before = close
        joins_after = False
        if word in CLOSE_MARKS:
            joins_before = True
            if word == ")":
                closing_left -= 1
                brackets_open = max(0, brackets_open - 1)
            elif (word in ":;") and (
                (following == ")" and not brackets_open) or (following == "(" and not closing_left)
            ):
                joins_before, joins_after = close, True  # ":)" and ":("
        elif word in CONTRACTED:
            joins_before = close or previous[-1:].isalnum() or previous[-1:] == "_"
        elif word in QUOTES:
            quotes_left -= 1
            opens = not quote_open and (word == "``" or (quotes_left > 0 and previous != number))
            quote_open = opens
            joins_before, joins_after = close or not opens, opens
        elif word == "'":
            owned = previous.endswith("s") and previous not in _NO_OWNERS
            if apostrophe_open or owned or "'" not in words[index + 1 : index + _LONGEST_QUOTATION]:
                joins_before, apostrophe_open = True, False
            else:
                joins_after = apostrophe_open = True
        elif word in _OPENING:
            joins_after = True
            brackets_open += word == "("
        elif word in _PREFIXES:
            joins_after = following in (number, word) if following else False
            joins_after = joins_after or following[:1].isdecimal()
        gaps.append("" if joins_before else " ")
        previous, close = word, joins_after
    return gaps
