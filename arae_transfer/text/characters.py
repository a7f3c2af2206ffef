"""Reduce words to the characters that a model knows."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection

from arae_transfer.text.treebank import PLAIN_CHARACTERS


def fold(word: str, known: Collection[str], *, lower_case: bool) -> str | None:
    """Return a word in known characters, without accents; None if it has others.

    Letters lose their marks, ligatures are split, curly quotes become straight, and invisible characters are dropped.

    Args:
        word: A word, as the corpus would write it if it knew all characters.
        known: The characters that the model reads.
        lower_case: Whether the corpus has no capitals.
    """
    folded = "".join(character if character in known else _plain(character) for character in word)
    if lower_case:
        folded = folded.lower()
    return folded if folded and all(character in known for character in folded) else None


def _plain(character: str) -> str:
    """Return a character without combining marks: none, one or several characters."""
    parts = unicodedata.normalize("NFKD", character.translate(PLAIN_CHARACTERS))
    return "".join(part for part in parts if not unicodedata.combining(part) and unicodedata.category(part) != "Cf")
