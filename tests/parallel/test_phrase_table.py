"""What can stand for what, in a corpus whose answer is known."""

from __future__ import annotations

from itertools import product

import numpy as np

from arae_transfer.language_model.ngram import END
from arae_transfer.parallel.phrase_table import Replacements, build_phrase_tables

THINGS = ("soup", "waiter", "room", "bread")
STYLES = {
    "bad": {"soup": "salty", "waiter": "rude", "room": "dirty", "bread": "stale"},
    "good": {"soup": "tasty", "waiter": "friendly", "room": "clean", "bread": "fresh"},
}
PLACES = ("here", "there", "again", "today", "tonight")


def corpus(style: str) -> list[str]:
    said = STYLES[style]
    lines = [
        f"{start} {thing} was {said[thing]} {place} ."
        for start, thing, place in product(("the", "our", "their"), THINGS, PLACES)
    ]
    lines += [
        f"we would {'not ' if style == 'bad' else ''}recommend the {thing} {place} ."
        for thing, place in product(THINGS, PLACES)
    ]
    lines += [f"we ate {place} with {number} friends ." for place, number in product(PLACES, ("two", "three", "four"))]
    return lines * 2


def tables() -> tuple[dict[str, int], dict[tuple[int, int], Replacements]]:
    lines = [[line.split() for line in corpus(style)] for style in STYLES]
    # Function words come first, as the frequent words of a real corpus do; then the content words.
    function = ["the", "our", "their", "was", ".", "we", "would", "not", "here", "there", "with"]
    filling = [f"unused{number}" for number in range(120 - len(function))]
    others = dict.fromkeys(word for own in lines for words in own for word in words if word not in function)
    ids = {word: number for number, word in enumerate([*function, *filling, *others], END + 1)}
    numbers = [[[ids[word] for word in words] for words in own] for own in lines]
    return ids, build_phrase_tables(numbers, len(ids) + END + 1)


IDS, TABLES = tables()
WORDS = {number: word for word, number in IDS.items()}


def replacements(source: int, target: int, phrase: str) -> list[str]:
    found = TABLES[source, target].get(tuple(IDS[word] for word in phrase.split()), [])
    return [" ".join(WORDS[word] for word in replacement.words) for replacement in found]


def test_a_style_word_is_replaced_by_its_counterpart() -> None:
    for thing in THINGS:
        assert replacements(0, 1, STYLES["bad"][thing])[0] == STYLES["good"][thing]
        assert replacements(1, 0, STYLES["good"][thing])[0] == STYLES["bad"][thing]


def test_content_is_not_replaced() -> None:
    for source, target in ((0, 1), (1, 0)):
        for word in (*THINGS, *PLACES, "friends", "two"):
            assert [other for other in replacements(source, target, word) if word not in other.split()] == []


def test_a_phrase_without_style_may_be_added_to_or_lose_its_negation() -> None:
    assert replacements(1, 0, "recommend") == ["not recommend"]
    assert replacements(0, 1, "recommend") == []
    assert "recommend" in replacements(0, 1, "not recommend")


def test_fit_is_a_logarithm_of_a_probability() -> None:
    for table in TABLES.values():
        assert table
        for phrase, others in table.items():
            assert 1 <= len(phrase) <= 3
            assert all(other.fit <= 0 and other.words != phrase for other in others)


def test_more_classes_have_a_table_for_each_ordered_pair() -> None:
    generator = np.random.default_rng(1)
    sentences = [[list(generator.integers(3, 9, 6)) for _ in range(50)] for _ in range(3)]
    built = build_phrase_tables(sentences, 9)
    assert sorted(built) == [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)]
