"""Word lists of corpora: an answer has the words of its source and of the corpus, and no others."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import zip_longest

from arae_transfer.text.detokenizer import CONTRACTED

# A word that a corpus has once is mostly a name or a typing error.
_LEAST_COUNT = 2
# Every noun has one.
_POSSESSIVE = "'s"
# What stands before it may be no word: "wo n't".
_NEGATION = "n't"


class WordList:
    """The words of a corpus in Penn Treebank tokens; thread-safe.

    The list is one text, which is searched: few words are looked up, and a set of all words would take longer to build.
    """

    def __init__(self, content: bytes) -> None:
        """Read what ``pack_words`` returned.

        Raises:
            ValueError: The content is damaged.
        """
        try:
            words = zlib.decompress(content)
        except zlib.error as error:
            raise ValueError(str(error)) from error
        self._text = b"\n" + words + b"\n"

    def __contains__(self, word: str) -> bool:
        return b"\n%b\n" % word.encode() in self._text


def words_of(line: str) -> Iterator[str]:
    """Yield the words of a line, and each contraction with the word before it: "i" and "i'm", but "won't" alone.

    Args:
        line: Penn Treebank tokens, separated by spaces.
    """
    tokens = line.split()
    for token, following in zip_longest(tokens, tokens[1:], fillvalue=""):
        if following in CONTRACTED and following != _POSSESSIVE:
            yield token + following
        if following != _NEGATION and token != _NEGATION:
            yield token


def pack_words(lines: Iterable[str]) -> bytes:
    """Return a list of the words that lines of Penn Treebank tokens have more than once, for ``WordList``."""
    counts: Counter[str] = Counter()
    for line in lines:
        counts.update(words_of(line))
    words = sorted(word for word, count in counts.items() if count >= _LEAST_COUNT)
    return zlib.compress("\n".join(words).encode(), 9)
