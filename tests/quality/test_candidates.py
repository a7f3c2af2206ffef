"""What the quality estimator reads of a rewrite, how rewrites are made worse, and ratings in files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arae_transfer.editing.edits import Edit, apply_edits
from arae_transfer.errors import AraeError
from arae_transfer.quality.candidates import DELETED, KEPT, NEW, read_candidate
from arae_transfer.quality.corruption import corrupt
from arae_transfer.quality.ratings import Rating, acceptance, read_ratings, write_ratings
from arae_transfer.tokenizer import END_ID

# Ids 10 to 19 begin words, 20 to 29 do not.
BEGINS = [10 <= number < 20 for number in range(30)]
SOURCE = [10, 11, 20, 12, 13, 14]
EDITS = [Edit(1, 3, (15, 21)), Edit(4, 5, ()), Edit(6, 6, (16,))]


def test_a_candidate_tells_new_tokens_and_deleted_ones() -> None:
    found = read_candidate(SOURCE, EDITS, 20)
    rewrite = [token for token, kind in zip(found.tokens, found.kinds, strict=True) if kind != DELETED]
    assert rewrite == [*apply_edits(SOURCE, EDITS), END_ID]
    source = [token for token, kind in zip(found.tokens, found.kinds, strict=True) if kind != NEW]
    assert source == [*SOURCE, END_ID]
    assert found.kinds == [KEPT, DELETED, DELETED, NEW, NEW, KEPT, DELETED, KEPT, NEW, KEPT]
    assert found.places == [0, 1, 2, 1, 2, 3, 4, 5, 6, 6]


def test_a_long_candidate_is_read_in_part() -> None:
    whole = read_candidate(SOURCE, EDITS, 20)
    assert read_candidate(SOURCE, EDITS, 2) == tuple(part[:4] for part in whole)


def test_a_copy_is_kept_whole() -> None:
    assert read_candidate(SOURCE, [], 20).kinds == [KEPT] * (len(SOURCE) + 1)


@given(st.integers(0, 10_000))
def test_worse_edits_are_other_edits_in_order(seed: int) -> None:
    generator = np.random.default_rng(seed)
    found = corrupt(SOURCE, EDITS, [(17,), (18, 22)], BEGINS, generator)
    if found is None:
        return
    assert found != EDITS
    places = [place for edit in found for place in (edit.start, edit.stop)]
    assert places == sorted(places)
    assert all(0 <= place <= len(SOURCE) for place in places)
    assert all(edit.tokens or edit.start < edit.stop for edit in found)


def test_all_mistakes_are_made() -> None:
    """What is changed nowhere, in part, elsewhere and in words: each comes up."""
    found = [corrupt(SOURCE, EDITS, [(17,)], BEGINS, np.random.default_rng(seed)) for seed in range(300)]
    counts = {len(edits) for edits in found if edits is not None}
    assert counts == {0, 1, 2, 3, 4}
    assert any(edits is not None and (17,) in [edit.tokens for edit in edits] for edits in found)


def test_without_edits_nothing_can_be_worse() -> None:
    assert corrupt(SOURCE, [], [(17,)], BEGINS, np.random.default_rng(0)) is None


def test_ratings_come_back_as_they_were_written(tmp_path: Path) -> None:
    ratings = [Rating("good", "the soup is cold", "the soup is warm", 0.95), Rating("bad", "ok", "not ok", 0.02)]
    write_ratings(tmp_path / "ratings.tsv", ratings)
    assert read_ratings(tmp_path / "ratings.tsv", ["bad", "good"]) == ratings


def test_columns_stand_in_any_order_and_others_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "ratings.tsv"
    path.write_text("overall\tfluency\trewrite\tsource\tclass\n3.5\t5\tb\ta\tgood\n", "utf-8")
    assert read_ratings(path, ["good"]) == [Rating("good", "a", "b", acceptance(3.5))]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("class\tsource\trewrite\n", ("overall",)),
        ("class\tsource\trewrite\toverall\ngood\ta\tb\n", ("line 2", "3 columns")),
        ("class\tsource\trewrite\toverall\nfine\ta\tb\t3\n", ("line 2", "fine")),
        ("class\tsource\trewrite\toverall\ngood\ta\tb\t6\n", ("line 2", "'6'", "1 to 5")),
        ("class\tsource\trewrite\toverall\ngood\ta\tb\twell\n", ("line 2", "'well'")),
        ("class\tsource\trewrite\taccepted\ngood\ta\tb\t5\n", ("line 2", "'5'", "0 to 1")),
        ("class\tsource\trewrite\toverall\ngood\ta\tb\tnan\n", ("line 2", "'nan'")),
    ],
)
def test_what_is_wrong_with_ratings_is_said(tmp_path: Path, content: str, words: tuple[str, ...]) -> None:
    path = tmp_path / "ratings.tsv"
    path.write_text(content, "utf-8")
    with pytest.raises(AraeError) as failure:
        read_ratings(path, ["good"])
    assert all(word in " ".join(filter(None, vars(failure.value).values())) + str(failure.value) for word in words)


def test_a_missing_file_of_ratings_is_said(tmp_path: Path) -> None:
    with pytest.raises(AraeError, match=r"none\.tsv"):
        read_ratings(tmp_path / "none.tsv", ["good"])


@given(st.floats(1, 5), st.floats(1, 5))
def test_a_better_rating_is_accepted_as_probably(one: float, other: float) -> None:
    assert (acceptance(one) <= acceptance(other)) or one > other
    assert (acceptance(one) > 0.5) == (one >= 4)
