"""Tell a line that is already in the corpus's form from one that is not."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from arae_transfer.form.description import Form
from arae_transfer.form.pieces import CLITICS, MERGED_WORDS, is_number

# The words of a corpus are few; typed ones are not, and the memory for them is bounded.
_REMEMBERED_WORDS = 2**14
_LONGEST_REMEMBERED_LINE = 1_000
# What nobody writes with blanks around it, except somebody who writes as the corpus does.
_EVIDENCE = frozenset(". , ! ? ; : ( ) '' `` ' n't".split()) | {f"'{clitic}" for clitic in CLITICS.split("|")}
_TREEBANK_WORD = re.compile(
    rf"""
      [.,!?;:()\[\]{{}}<>$\#%&@|\\^] | \.\.\. | -- | `` | ''? | n't | '\w+
    | (?! .* (?: -- | (?:n't|'(?:{CLITICS})) \Z ) )
      (?: [\w*+/=~-] | (?<=\w) ['.] (?=\w) | (?<=\d) [,:] (?=\d) )++ \.?
    """,
    re.VERBOSE,
)
# Numbers that a corpus with a placeholder never shows; it keeps "5:30", "10-15" and "1,000" if its maker did.
_BARE_NUMBER = re.compile(r"\d*\.?\d+")


def recognizer(form: Form) -> Callable[[str], bool]:
    """Return a test that says whether a line is surely in the form, and not merely in no conflict with it.

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
    remembered = lru_cache(_REMEMBERED_WORDS)(is_word)

    def is_treebank_form(line: str) -> bool:
        words = line.split(" ")
        test = remembered if len(line) <= _LONGEST_REMEMBERED_LINE else is_word
        return not evidence.isdisjoint(words) and all(map(test, words))

    return is_treebank_form


def _is_plain_form(line: str, form: Form) -> bool:
    if form.lower_case and line != line.lower():
        return False
    if form.number:
        return form.number in line and not any(is_number(word.strip("$.,!?;:%")) for word in line.split())
    return True
