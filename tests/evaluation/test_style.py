"""The judges learn, say the same every time, and are not fooled by blank lines or unequal classes."""

from __future__ import annotations

import random

import pytest
import torch

from arae_transfer.corpus.quickstart import make_sentences
from arae_transfer.evaluation.neural_judge import NeuralJudge
from arae_transfer.evaluation.style import Judge, LinearJudge, find_accepted

SENTENCES = make_sentences(3, train_lines=1200, held_out_lines=200)


@pytest.fixture(scope="module", params=[LinearJudge, NeuralJudge])
def judge(request: pytest.FixtureRequest) -> Judge:
    trained: Judge = request.param(SENTENCES["train"])
    return trained


def test_judges_know_real_text(judge: Judge) -> None:
    for name, lines in SENTENCES["test"].items():
        assert find_accepted(judge, lines, name).mean() > 0.9
        for other in set(judge.classes) - {name}:
            assert find_accepted(judge, lines, other).mean() < 0.1


def test_a_blank_line_has_no_style(judge: Judge) -> None:
    for name in judge.classes:
        assert find_accepted(judge, ["", SENTENCES["test"][name][0]], name).tolist() == [0.0, 1.0]
    assert find_accepted(judge, [], judge.classes[0]).shape == (0,)


def test_judges_answer_what_they_have_never_seen(judge: Judge) -> None:
    assert set(judge.judge(["zebra", "qwertz uiop", "x"])) <= set(range(len(judge.classes)))


@pytest.mark.parametrize("kind", [LinearJudge, NeuralJudge])
def test_the_same_text_makes_the_same_judge(kind: type[LinearJudge | NeuralJudge]) -> None:
    few = {name: lines[:150] for name, lines in SENTENCES["train"].items()}
    generator = random.Random(1)
    words = sorted({word for lines in few.values() for line in lines for word in line.split()})
    hard = [" ".join(generator.choices(words, k=8)) for _ in range(500)]
    torch.manual_seed(98)
    state = torch.random.get_rng_state()
    first = kind(few).judge(hard)
    assert torch.equal(torch.random.get_rng_state(), state), "judges must not disturb others' random numbers"
    torch.manual_seed(99)
    assert (first == kind(few).judge(hard)).all()


@pytest.mark.parametrize("kind", [LinearJudge, NeuralJudge])
def test_a_class_is_not_favoured_for_its_size(kind: type[LinearJudge | NeuralJudge]) -> None:
    # Of the few lines half have the word, of the many one in twenty: in all, more lines of the large class have it.
    lines = {"few": ["special sky", "plain sky"] * 20, "many": ["special sky", *["plain sky"] * 19] * 40}
    assert kind(lines).judge(["special sky", "plain sky"]).tolist() == [0, 1]


@pytest.mark.parametrize("kind", [LinearJudge, NeuralJudge])
def test_three_unequal_classes(kind: type[LinearJudge | NeuralJudge]) -> None:
    lines = {
        "few": [f"blue {number % 7} sky" for number in range(20)],
        "many": [f"red {number % 7} sky" for number in range(400)],
        "some": [f"green {number % 7} sky" for number in range(80)],
    }
    judge = kind(lines)
    assert judge.classes == ("few", "many", "some")
    assert judge.judge(["blue 3 sky", "red 3 sky", "green 3 sky"]).tolist() == [0, 1, 2]


def test_word_order_counts() -> None:
    lines = {
        "negative": [f"not good {word} bad" for word in "abcdefghij"] * 30,
        "positive": [f"not bad {word} good" for word in "abcdefghij"] * 30,
    }
    for judge in (LinearJudge(lines), NeuralJudge(lines)):
        assert judge.judge(["not good c bad", "not bad c good"]).tolist() == [0, 1]
