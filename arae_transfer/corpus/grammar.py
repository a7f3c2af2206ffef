"""A small grammar that writes sentences of a class and knows every correct rewrite of each.

A grammar is a set of named symbols and a list of sentence patterns. A pattern is text with symbol names in
braces, ``the {dish} {dish.is} .``. There are two kinds of symbols:

* a *content* symbol has alternatives that say nothing about the class: ``dish`` is ``soup``, ``pizza``, ...;
* a *style* symbol has alternatives for each class: ``dish.is`` is ``was cold`` or ``was delicious``.

Alternatives may use other symbols; no symbol may use itself, so the language is finite and each pattern is
also a regular expression. That gives the judge: a right rewrite of a sentence has the same pattern and the
same content words, and at each style symbol some alternative of the wished class.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from string import Formatter

Alternatives = tuple[str, ...]


@dataclass(frozen=True)
class Parse:
    """One parse of a sentence.

    Attributes:
        label: The class of all its style symbols, or None when they are of several classes.
        skeleton: Its content: text pieces and names of style symbols by turns, beginning and ending with
            text.
    """

    label: str | None
    skeleton: tuple[str, ...]


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
        self.pattern_of_symbol = cache(self._pattern_of_symbol)

    def write(self, label: str, generator: random.Random) -> str:
        """Return a random sentence of a class; every choice is uniform.

        Only ``generator.random()`` is used, the one method whose sequence Python promises to keep.
        """
        return self._expand(_pick(self.sentences, generator), label, generator)

    def write_with_content(self, skeleton: Sequence[str], label: str, generator: random.Random) -> str:
        """Return a random sentence of a class with the content of a parsed sentence."""
        return "".join(
            self._expand(f"{{{piece}}}", label, generator) if index % 2 else piece
            for index, piece in enumerate(skeleton)
        )

    def _expand(self, pattern: str, label: str, generator: random.Random) -> str:
        pieces: list[str] = []
        for text, symbol in _split(pattern):
            pieces.append(text)
            if symbol is not None:
                alternatives = self.content[symbol] if symbol in self.content else self.style[symbol][label]
                pieces.append(self._expand(_pick(alternatives, generator), label, generator))
        return "".join(pieces)

    def _pattern_of_symbol(self, symbol: str, label: str | None) -> str:
        """Return the regular expression of a symbol in a class, or in any class (None)."""
        if symbol in self.content:
            alternatives: Sequence[str] = self.content[symbol]
            return _either(self._regular_expression(text, label) for text in alternatives)
        labels = self.classes if label is None else (label,)
        return _either(self._regular_expression(text, each) for each in labels for text in self.style[symbol][each])

    def _regular_expression(self, pattern: str, label: str | None) -> str:
        return "".join(
            re.escape(text) + ("" if symbol is None else self.pattern_of_symbol(symbol, label))
            for text, symbol in _split(pattern)
        )

    @cached_property
    def _readers(self) -> list[tuple[re.Pattern[str], list[str]]]:
        """One regular expression per sentence pattern, with a group per style symbol, and the symbols' names."""
        readers = []
        for pattern in self.sentences:
            expression = ""
            symbols = []
            for text, symbol in _split(pattern):
                expression += re.escape(text)
                if symbol is not None and symbol in self.style:
                    expression += f"({self.pattern_of_symbol(symbol, None)})"
                    symbols.append(symbol)
                elif symbol is not None:
                    expression += self.pattern_of_symbol(symbol, None)
            readers.append((re.compile(expression), symbols))
        return readers

    def parse(self, sentence: str) -> list[Parse]:
        """Return every parse of a sentence; none if the grammar does not produce it.

        Sentences with style symbols of different classes are read as well; their parse has no class.
        """
        parses = []
        for reader, symbols in self._readers:
            match = reader.fullmatch(sentence)
            if match is None:
                continue
            skeleton: list[str] = []
            position = 0
            labels = set(self.classes)
            for group, symbol in enumerate(symbols, 1):
                skeleton += [sentence[position : match.start(group)], symbol]
                position = match.end(group)
                labels &= {
                    label for label in self.classes if re.fullmatch(self.pattern_of_symbol(symbol, label), match[group])
                }
            skeleton.append(sentence[position:])
            parses.append(Parse(labels.pop() if len(labels) == 1 else None, tuple(skeleton)))
        return parses

    def rewrites(self, skeleton: Sequence[str], label: str) -> re.Pattern[str]:
        """Return the regular expression of all sentences of a class with this content (use ``fullmatch``)."""
        return re.compile(
            "".join(
                self.pattern_of_symbol(piece, label) if index % 2 else re.escape(piece)
                for index, piece in enumerate(skeleton)
            )
        )


def _either(expressions: Iterable[str]) -> str:
    return "(?:" + "|".join(expressions) + ")"


@cache
def _split(pattern: str) -> tuple[tuple[str, str | None], ...]:
    """Split a pattern into literal texts, each with the symbol that follows it."""
    return tuple((text, symbol) for text, symbol, _, _ in Formatter().parse(pattern))


def _pick(alternatives: Sequence[str], generator: random.Random) -> str:
    return alternatives[int(generator.random() * len(alternatives))]
