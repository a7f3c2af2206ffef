"""What every correct rewrite of a sentence of the quickstart corpus looks like, and whether a rewrite is one.

Each pattern of a grammar is also a regular expression. A right rewrite of a sentence has the same pattern and the same
content words, and at each style symbol some alternative of the wished class.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property

from arae_transfer.corpus.grammar import Grammar, split
from arae_transfer.corpus.quickstart import CLASSES
from arae_transfer.corpus.quickstart_grammar import QUICKSTART_GRAMMAR
from arae_transfer.errors import AraeError


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


class GrammarReader:
    """Reads sentences of a grammar.

    Args:
        grammar: The grammar.
    """

    def __init__(self, grammar: Grammar) -> None:
        self.grammar = grammar
        self.pattern_of_symbol = cache(self._pattern_of_symbol)

    def _pattern_of_symbol(self, symbol: str, label: str | None) -> str:
        """Return the regular expression of a symbol in a class, or in any class (None)."""
        if symbol in self.grammar.content:
            alternatives: Sequence[str] = self.grammar.content[symbol]
            return _either(self._regular_expression(text, label) for text in alternatives)
        labels = self.grammar.classes if label is None else (label,)
        return _either(
            self._regular_expression(text, each) for each in labels for text in self.grammar.style[symbol][each]
        )

    def _regular_expression(self, pattern: str, label: str | None) -> str:
        return "".join(
            re.escape(text) + ("" if symbol is None else self.pattern_of_symbol(symbol, label))
            for text, symbol in split(pattern)
        )

    @cached_property
    def _readers(self) -> list[tuple[re.Pattern[str], list[str]]]:
        """One regular expression per sentence pattern, with a group per style symbol, and the symbols' names."""
        readers = []
        for pattern in self.grammar.sentences:
            expression = ""
            symbols = []
            for text, symbol in split(pattern):
                expression += re.escape(text)
                if symbol is not None and symbol in self.grammar.style:
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
            labels = set(self.grammar.classes)
            for group, symbol in enumerate(symbols, 1):
                skeleton += [sentence[position : match.start(group)], symbol]
                position = match.end(group)
                labels &= {
                    label
                    for label in self.grammar.classes
                    if re.fullmatch(self.pattern_of_symbol(symbol, label), match[group])
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

    def write_with_content(self, skeleton: Sequence[str], label: str, generator: random.Random) -> str:
        """Return a random sentence of a class with the content of a parsed sentence."""
        return "".join(
            self.grammar.expand(f"{{{piece}}}", label, generator) if index % 2 else piece
            for index, piece in enumerate(skeleton)
        )


def _either(expressions: Iterable[str]) -> str:
    return "(?:" + "|".join(expressions) + ")"


READER = GrammarReader(QUICKSTART_GRAMMAR)


def class_of(sentence: str) -> str | None:
    """Return the class of a sentence of this grammar.

    None when the grammar does not have the sentence, or when it has opinions of both classes.
    """
    parses = READER.parse(sentence)
    return parses[0].label if parses else None


def correct_rewrites(source: str, target: str) -> re.Pattern[str]:
    """Return the regular expression of all correct rewrites of a sentence (use ``fullmatch``).

    Args:
        source: A sentence of this grammar, of any class or even with opinions of both.
        target: The class to rewrite to; the source's own class gives its paraphrases.

    Raises:
        AraeError: The grammar does not have the source, or there is no such class.
    """
    if target not in CLASSES:
        raise AraeError(f"the quickstart corpus has no class {target!r}", f"use {' or '.join(CLASSES)}.")
    parses = READER.parse(source)
    if not parses:
        raise AraeError(
            f"not a sentence of the quickstart corpus: {source!r}",
            "give one of its sentences in its own form (lower case, spaces around punctuation).",
        )
    return re.compile("|".join(READER.rewrites(parse.skeleton, target).pattern for parse in parses))


def judge_rewrite(source: str, rewrite: str, target: str) -> bool:
    """Return whether a rewrite is a correct transfer of a sentence of this corpus.

    Right means: every content word stands unchanged and in its place (who, when, where, what it is about, the
    kind of sentence), and wherever the source has an opinion the rewrite has one of the target class that
    fits the same noun in the same number. Which of the fitting opinions it is, and whether an adverb
    strengthens it, is free: both ``the soup was cold .`` -> ``the soup was delicious .`` and ``-> the soup
    tasted great .`` are right; ``the pizza was delicious .``, ``the soup was friendly .`` and ``the soup were
    delicious .`` are not.

    Args:
        source: A sentence of this corpus.
        rewrite: What a model made of it, in the corpus's text format; blanks at its ends do not count.
        target: The class to which it was to be rewritten.

    Raises:
        AraeError: The source is no sentence of this corpus, or there is no such class.
    """
    return correct_rewrites(source, target).fullmatch(rewrite.strip()) is not None


def example_rewrite(source: str, target: str, seed: int = 0) -> str:
    """Return a random correct rewrite of a sentence of this corpus, as a perfect model would.

    Raises:
        AraeError: The source is no sentence of this corpus, or there is no such class.
    """
    correct_rewrites(source, target)  # raises where there is none
    parse = READER.parse(source)[0]
    return READER.write_with_content(parse.skeleton, target, random.Random(f"{seed} {source}"))
