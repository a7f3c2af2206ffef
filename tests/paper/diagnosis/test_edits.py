"""Edit distances and swaps, against cases counted by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from arae_transfer.paper.diagnosis.edits import WordTable, draw_swaps, swap_words

LINES = ["the food was cold", "the food was warm", "food was cold", "cold food the was", "we left", ""]


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("the food was cold", [0, 1, 1, 3, 4, 4]),  # of "cold food the was" one word stands in its place
        ("the food was very cold", [1, 2, 2, 4, 5, 5]),
        ("unknown", [4, 4, 3, 4, 2, 1]),
        ("", [4, 4, 3, 4, 2, 0]),
    ],
)
def test_distances(line: str, wanted: list[int]) -> None:
    assert WordTable(LINES).distances(line, np.arange(len(LINES))).tolist() == wanted


def test_some_of_the_sentences() -> None:
    assert WordTable(LINES).distances("we went", np.array([4, 2])).tolist() == [1, 3]


def test_distances_agree_with_the_textbook() -> None:
    random = np.random.default_rng(4)
    lines = [" ".join(random.choice(["a", "b", "c"], size=random.integers(0, 7))) for _ in range(60)]
    table = WordTable(lines)
    for line in lines[:10]:
        wanted = [_textbook(line.split(), other.split()) for other in lines]
        assert table.distances(line, np.arange(len(lines))).tolist() == wanted


def _textbook(one: list[str], other: list[str]) -> int:
    if not one or not other:
        return len(one) + len(other)
    row = list(range(len(other) + 1))
    for word in one:
        before, row = row, [row[0] + 1]
        for place, second in enumerate(other):
            row.append(min(before[place] + (word != second), before[place + 1] + 1, row[place] + 1))
    return row[-1]


def test_neighbours_are_near_and_others() -> None:
    places, distances = WordTable(LINES).near("the food was cold", 2, 10)
    assert (places.tolist(), distances.tolist()) == ([1, 2], [1, 1])
    places, distances = WordTable(LINES).near("food was", 2, 2)
    assert (places.tolist(), distances.tolist()) == ([2, 0], [1, 2])


def test_swaps() -> None:
    assert swap_words("a b c d", []) == "a b c d"
    assert swap_words("a b c d", [(0, 2)]) == "c b a d"
    assert swap_words("a b c d", [(0, 2), (2, 3)]) == "c b d a"


def test_drawn_swaps_exchange_different_places_and_depend_on_the_seed_alone() -> None:
    drawn = draw_swaps(4, 50, np.random.default_rng(0))
    assert drawn == draw_swaps(4, 50, np.random.default_rng(0)) != draw_swaps(4, 50, np.random.default_rng(1))
    assert all(0 <= first < second < 4 for first, second in drawn)
    assert all(one != other for one, other in itertools.pairwise(drawn))
    assert len(set(drawn)) == 6
