"""Adapt a recipe for any corpus to the corpus that it is given.

The recipe's own values are maxima: they were tuned on a corpus of 440,000 short sentences. A smaller corpus has fewer
words, and would be repeated too often before they are reached.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np

from arae_transfer.corpus.plan import ReadingOptions
from arae_transfer.corpus.reading import LabelledLines, first_lines
from arae_transfer.corpus.tokenizing import sample_lines
from arae_transfer.recipe import Recipe
from arae_transfer.text import Normalizer
from arae_transfer.tokenizer import MINIMUM_VOCABULARY

# Lines by which the way of writing and the sizes are judged.
_JUDGED_LINES = 5_000
_MEASURED_LINES = 200_000
# Of a corpus that is in a form, nearly all lines are the same once they are brought to it (0.99 and more of Yelp's).
_SHARE_IN_FORM = 0.9
# A word must occur this often to be worth a token of its own.
_OCCURRENCES = 3
_FEWEST_PIECES = 1_000
# How often each line is seen, unless that is more than the recipe asks for, or too little to learn anything.
_EPOCHS = 12
_FEWEST_SENTENCES = 60_000
_VALIDATIONS = 5
# Of lines that may be longer than the recipe has room for: this share is kept, up to a length that fits into memory.
_SHARE_KEPT = 0.95
_PIECES_A_WORD = 1.3
_MOST_TOKENS = 80


def find_writing(recipe: Recipe, data: Sequence[str]) -> Recipe:
    """Return the recipe with the corpus's text format, where it leaves the format open.

    Args:
        recipe: The recipe.
        data: What ``--data`` names.

    Raises:
        AraeError: The data cannot be read.
    """
    if recipe.data.writing != "auto":
        return recipe
    options = replace(ReadingOptions.of(recipe), form=None)
    normalizer = Normalizer(recipe.form, "ordinary")
    same = [normalizer.normalize(line)[0] == line for line in first_lines(data, options, _JUDGED_LINES)]
    in_form = sum(same) >= _SHARE_IN_FORM * len(same)
    return replace(recipe, data=replace(recipe.data, writing="corpus" if in_form else "ordinary"))


def adapt(recipe: Recipe, lines: LabelledLines, name: str, given: Collection[str]) -> tuple[Recipe, str]:
    """Size a recipe by a corpus, and name it after its run.

    Args:
        recipe: The recipe; its values are maxima.
        lines: The training lines by class, as they are trained on.
        name: The name of the run, which becomes that of the model.
        given: The keys (``section.key``) that the user has set, which stay.

    Returns:
        The recipe, which no longer asks to be adapted, and a sentence that says what was found.
    """
    sample = list(itertools.chain.from_iterable(sample_lines(lines, _MEASURED_LINES, recipe.training.seed).values()))
    words: Counter[str] = Counter()
    lengths = []
    for line in sample[:: max(1, len(sample) // _MEASURED_LINES)]:
        split = line.split()
        words.update(split)
        lengths.append(len(split))
    count = sum(map(len, lines.values()))
    frequent = sum(times >= _OCCURRENCES for times in words.values())
    sentences = min(max(_EPOCHS * count, _FEWEST_SENTENCES), recipe.training.sentences)
    long = int(np.quantile(lengths, _SHARE_KEPT) * _PIECES_A_WORD) + 1
    found = {
        "tokenizer.vocabulary_size": min(
            max(_hundreds(MINIMUM_VOCABULARY + frequent), _FEWEST_PIECES), recipe.tokenizer.vocabulary_size
        ),
        "data.maximum_tokens": max(recipe.data.maximum_tokens, min(long, _MOST_TOKENS)),
        "parallel.sentences": min(count, recipe.parallel.sentences),
        "training.sentences": sentences,
        "validation.every": max(1, sentences // _VALIDATIONS),
        "description": f"Rewrites text between {' and '.join(lines)}.",
        "name": name,
        "data.adapt": False,
        # As they were found: a run that is continued reads the same.
        "data.classes": tuple(lines),
    }
    adapted = _with({key: value for key, value in found.items() if key not in given}, recipe)
    classes = ", ".join(f"{label} ({len(own):,} lines)" for label, own in lines.items())
    writing = "ordinary writing" if adapted.data.writing == "ordinary" else "the text format of a corpus"
    return adapted, (
        f"found {len(lines)} classes: {classes}; {writing}. Sizes for this corpus: a vocabulary of at most "
        f"{adapted.tokenizer.vocabulary_size:,} tokens, lines of up to {adapted.data.maximum_tokens} tokens, "
        f"{adapted.parallel.sentences:,} lines to mine rewrites for, training on {adapted.training.sentences:,} "
        "sentences"
    )


def _with(values: dict[str, object], recipe: Recipe) -> Recipe:
    """Return a recipe with changed values of some keys."""
    sections: dict[str, dict[str, object]] = {}
    top: dict[str, object] = {}
    for key, value in values.items():
        section, dot, name = key.partition(".")
        if dot:
            sections.setdefault(section, {})[name] = value
        else:
            top[section] = value
    changed = {section: dataclasses.replace(getattr(recipe, section), **inner) for section, inner in sections.items()}
    return dataclasses.replace(recipe, **changed, **top)  # type: ignore[arg-type]  # keys of the recipe


def _hundreds(number: int) -> int:
    return -(-number // 100) * 100
