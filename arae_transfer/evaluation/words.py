"""Tokenization of measured texts into words, the same for all systems, references and classifiers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from sacrebleu.metrics.bleu import BLEU

Tokenization = Literal["none", "13a", "char"]
"""Sacrebleu's tokenizations: at spaces; also at punctuation; into characters."""


def make_bleu(tokenization: Tokenization) -> BLEU:
    """Return sacrebleu's BLEU, in lower case."""
    return BLEU(lowercase=True, tokenize=tokenization, force=True)


class WordSplitter:
    """Lowercases lines and splits them into words like BLEU."""

    def __init__(self, tokenization: Tokenization) -> None:
        self.tokenization = tokenization
        self._tokenizer = make_bleu(tokenization).tokenizer

    def split(self, line: str) -> list[str]:
        """Return the words of a line."""
        return str(self._tokenizer(line.lower().rstrip())).split()

    def normalize(self, lines: Iterable[str]) -> list[str]:
        """Return lines in lower case with single spaces between words, the input of all measures."""
        return [" ".join(self.split(line)) for line in lines]
