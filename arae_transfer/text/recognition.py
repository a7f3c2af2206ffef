"""Detect lines that are already in the corpus's text format."""

from __future__ import annotations

import re
from collections.abc import Callable

from arae_transfer.text.format import TextFormat
from arae_transfer.text.treebank import CLITICS, MERGED_WORDS, is_number

# A corpus has few words, so most tests are a look into a set; people type others, so the set is bounded.
_REMEMBERED_WORDS = 2**15
_LONGEST_REMEMBERED_LINE = 1_000
# What nobody writes with blanks around it, except somebody who writes as the corpus does.
_EVIDENCE = frozenset([".", ",", "!", "?", ";", ":", "(", ")", "''", "``", "'", "n't"]) | {
    f"'{clitic}" for clitic in CLITICS.split("|")
}
_TREEBANK_WORD = re.compile(
    rf"""
      [.,!?;:()\[\]{{}}<>$\#%&@|\\^] | \.\.\. | -- | `` | ''? | n't | '\w+
    | (?! .* (?: -- | (?:n't|'(?:{CLITICS})) \Z ) )
      (?: [\w*+/=~-] | (?<=\w) ['.] (?=\w) | (?<=\d) [,:] (?=\d) )+ \.?
    """,
    re.VERBOSE,
)
# Numbers that a corpus with a placeholder never shows; it keeps "5:30", "10-15" and "1,000" if its maker did.
_BARE_NUMBER = re.compile(r"\d*\.?\d+")


def recognizer(form: TextFormat) -> Callable[[str], bool]:
    """Return a test for lines that are certainly in the corpus's text format, not only compatible with it.

    "the food was cold" is consistent with a lower-case treebank corpus and with a person who types so: the test says
    no. "the food was cold ." leaves no doubt: the test says yes.
    """
    if form.tokens == "plain":
        return lambda line: _is_plain_form(line, form)

    def is_word(word: str) -> bool:
        return (
            _TREEBANK_WORD.fullmatch(word) is not None
            and not (form.lower_case and word != word.lower())
            and not (form.number and _BARE_NUMBER.fullmatch(word))
            and word.lower() not in MERGED_WORDS
        )

    evidence = _EVIDENCE | {form.number} if form.number else _EVIDENCE
    known: set[str] = set()

    def is_treebank_form(line: str) -> bool:
        words = line.split(" ")
        if words[-1] not in evidence and evidence.isdisjoint(words):
            return False
        if known.issuperset(words):
            return True
        new = {word for word in words if word not in known}
        if not all(map(is_word, new)):
            return False
        if len(line) <= _LONGEST_REMEMBERED_LINE:
            if len(known) >= _REMEMBERED_WORDS:
                known.clear()
            known.update(new)
        return True

    return is_treebank_form


def _is_plain_form(line: str, form: TextFormat) -> bool:
    if form.lower_case and line != line.lower():
        return False
    if form.number:
        return form.number in line and not any(is_number(word.strip("$.,!?;:%")) for word in line.split())
    return True
