"""Articles agree with new words, and no answer stutters."""

from __future__ import annotations

import pytest

from arae_transfer.text.english import (
    agree_articles,
    detaches_a_negation,
    doubles_a_mark,
    doubles_a_word,
    keeps_names,
)


@pytest.mark.parametrize(
    ("source", "answer", "right"),
    [
        ("it is an excellent place .", "it is an terrible place .", "it is a terrible place ."),
        ("it is a great place .", "it is a awful place .", "it is an awful place ."),
        ("over an hour now", "over an hr now", "over an hr now"),
        ("a good hour", "a honest hour", "an honest hour"),
        ("an odd thing", "an unique thing", "a unique thing"),
        ("a lively film", "a uninspired film", "an uninspired film"),
        ("a great one", "an one-time thing", "a one-time thing"),
        ("we had an great time", "we had an great day", "we had an great day"),  # the writer's own
        ("a _num_ mile walk", "an _num_ mile walk", "an _num_ mile walk"),
        ("An excellent place .", "An nice place .", "A nice place ."),
        ("Great place .", "A excellent place with an good menu .", "An excellent place with a good menu ."),
        ("plan a", "plan a", "plan a"),
        ("a", "an", "an"),
        ("", "", ""),
    ],
)
def test_articles_agree_with_new_words(source: str, answer: str, right: str) -> None:
    assert agree_articles(source, answer) == right


@pytest.mark.parametrize(
    ("source", "answer", "doubles"),
    [
        ("they are over cooked .", "they are perfectly cooked cooked .", True),
        ("they are over cooked .", "they are perfectly cooked .", False),
        ("it was very bad .", "it was very very good .", False),
        ("it was bad bad .", "it was bad bad and slow .", False),
        ("wait ! !", "great ! !", False),
        ("", "", False),
    ],
)
def test_a_word_twice_in_a_row_is_found(source: str, answer: str, doubles: bool) -> None:
    assert doubles_a_word(source, answer) is doubles


@pytest.mark.parametrize(
    ("source", "answer", "detached"),
    [
        ("It was *good*.", "It was *n't*.", True),
        ("It was (not good)", "It was n't (good)", True),
        ("It’s good", "It n’t good", True),
        ("It was *good* .", "It was *n't* .", True),
        ("It was good.", "It wasn't good.", False),
        ("it was good .", "it was n't good .", False),
        ("it 's good", "it is n't good", False),
        ("it was n't good", "it did n't", False),
    ],
)
def test_negations_stay_with_their_verbs(source: str, answer: str, detached: bool) -> None:
    assert detaches_a_negation(source, answer) is detached


@pytest.mark.parametrize(
    ("source", "answer", "keeps"),
    [
        ("gon na ask Dana Kowalski", "I will ask I Kowalski", False),
        ("Ask Dana , she knows .", "She knows .", False),
        ("it 's on Amazon", "It is available on Amazon.com .", True),
        ("I am DONE . Great job !", "I am finished . Well done .", True),
        ("Yeah , Dana knows .", "Dana knows .", True),
        ("", "", True),
    ],
)
def test_names_stay(source: str, answer: str, keeps: bool) -> None:
    assert keeps_names(source, answer) is keeps


@pytest.mark.parametrize(
    ("source", "answer", "doubles"),
    [
        ("thanks !", "Thank you . .", True),
        ("It is a mess .", "It 's a mess ! .", True),
        ("nice , , really .", "It is nice , , really .", False),
        ("We waited .", "We waited ... .", False),
        ("It is fine .", "It 's fine !", False),
    ],
)
def test_two_marks_in_a_row_are_found(source: str, answer: str, doubles: bool) -> None:
    assert doubles_a_mark(source, answer) is doubles
