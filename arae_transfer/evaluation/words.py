"""What counts as a word when texts are measured: the same for every system, reference and judge."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from sacrebleu.metrics.bleu import BLEU

Tokenization = Literal["none", "13a", "char"]
"""As sacrebleu names them: as written, blanks between words; punctuation split off; one word a character."""


def make_bleu(tokenization: Tokenization) -> BLEU:
    """Return sacrebleu's BLEU, in lower case."""
    return BLEU(lowercase=True, tokenize=tokenization, force=True)


class WordSplitter:
    """Brings lines to lower case and splits them into words as BLEU does."""

    def __init__(self, tokenization: Tokenization) -> None:
        self.tokenization = tokenization
        self._tokenizer = make_bleu(tokenization).tokenizer

    def split(self, line: str) -> list[str]:
        """Return the words of a line."""
        return str(self._tokenizer(line.lower().rstrip())).split()

    def normalize(self, lines: Iterable[str]) -> list[str]:
        """Return lines in lower case with one blank between words, which is what every measure reads."""
        return [" ".join(self.split(line)) for line in lines]
