"""A small grammar that writes sentences of a class.

A grammar is a set of named symbols and a list of sentence patterns. A pattern is text with symbol names in
braces, ``the {dish} {dish.is} .``. There are two kinds of symbols:

* a *content* symbol has alternatives that say nothing about the class: ``dish`` is ``soup``, ``pizza``, ...;
* a *style* symbol has alternatives for each class: ``dish.is`` is ``was cold`` or ``was delicious``.

Alternatives may use other symbols; no symbol may use itself, so the language is finite.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from functools import cache
from string import Formatter

Alternatives = tuple[str, ...]


class Grammar:
    """Sentence patterns and their symbols.

    Args:
        sentences: The sentence patterns. Each has at least one style symbol.
        content: Content symbols and their alternatives.
        style: Style symbols: name -> class -> alternatives. All have the same classes.
    """

    def __init__(
        self,
        sentences: Sequence[str],
        content: Mapping[str, Alternatives],
        style: Mapping[str, Mapping[str, Alternatives]],
    ) -> None:
        self.sentences = tuple(sentences)
        self.content = content
        self.style = style
        self.classes = tuple(next(iter(style.values())))

    def write(self, label: str, generator: random.Random) -> str:
        """Return a random sentence of a class; every choice is uniform.

        Only ``generator.random()`` is used, the one method whose sequence Python promises to keep.
        """
        return self.expand(_pick(self.sentences, generator), label, generator)

    def expand(self, pattern: str, label: str, generator: random.Random) -> str:
        """Return a pattern with random alternatives of a class in the place of its symbols."""
        pieces: list[str] = []
        for text, symbol in split(pattern):
            pieces.append(text)
            if symbol is not None:
                alternatives = self.content[symbol] if symbol in self.content else self.style[symbol][label]
                pieces.append(self.expand(_pick(alternatives, generator), label, generator))
        return "".join(pieces)


@cache
def split(pattern: str) -> tuple[tuple[str, str | None], ...]:
    """Split a pattern into literal texts, each with the symbol that follows it."""
    return tuple((text, symbol) for text, symbol, _, _ in Formatter().parse(pattern))


def _pick(alternatives: Sequence[str], generator: random.Random) -> str:
    return alternatives[int(generator.random() * len(alternatives))]
