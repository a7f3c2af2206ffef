"""Damaged sentences, in which words of another class replace spans, and the edits that repair them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from arae_transfer.corpus.style_tokens import StyleTokens
from arae_transfer.editing.edits import Edit, word_starts

# Spans of one word are the most frequent edit of a rewrite, and about as many words come as go.
_SPANS = (1, 1, 1, 2, 2, 3)
_REPLACEMENTS = (0, 1, 1, 1, 1, 2, 2)


def damage_words(
    tokens: Sequence[int],
    label: int,
    begins_word: Sequence[bool],
    style: StyleTokens,
    style_damage: float,
    plain_damage: float,
    generator: np.random.Generator,
) -> tuple[list[int], list[Edit]]:
    """Replace spans of one to three words by up to two words of another class.

    Args:
        tokens: A sentence without its end id.
        label: The index of its class.
        begins_word: (vocabulary,) whether a token begins a word.
        style: The style-bearing tokens of each class.
        style_damage: The probability that a span begins at a fully style-bearing word.
        plain_damage: The probability that a span begins at any other word.
        generator: The source of randomness.

    Returns:
        The damaged sentence, of at least one token, and the edits that restore the sentence.
    """
    starts = [*word_starts(tokens, begins_word), len(tokens)]
    words = len(starts) - 1
    classes = style.strength.shape[0]
    other = (label + int(generator.integers(1, classes))) % classes
    chances = generator.random(words)
    damaged: list[int] = []
    edits: list[Edit] = []
    word = 0
    while word < words:
        strength = float(style.strength[label, tokens[starts[word] : starts[word + 1]]].max())
        # An edit right behind another would be one with it.
        if chances[word] >= max(plain_damage, style_damage * strength) or (edits and edits[-1].stop == len(damaged)):
            damaged += tokens[starts[word] : starts[word + 1]]
            word += 1
            continue
        end = min(words, word + int(generator.choice(_SPANS)))
        count = int(generator.choice(_REPLACEMENTS))
        drawn = style.draw(np.full(count, other), generator.random(count))
        written = [token for token in drawn.tolist() if begins_word[token]]
        if not written and not damaged and end == words:
            return list(tokens), []
        edits.append(Edit(len(damaged), len(damaged) + len(written), tuple(tokens[starts[word] : starts[end]])))
        damaged += written
        word = end
    return damaged, edits
