"""Capacity, cosine similarity, probe and projection, against cases worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from arae_transfer.paper.diagnosis.coder import Sentence
from arae_transfer.paper.diagnosis.content import (
    Projection,
    capacity_of_covariance,
    capacity_of_norm,
    measure_probe,
    sentence_bits,
)
from arae_transfer.paper.diagnosis.neighbours import choose_pairs, cosines
from arae_transfer.tokenizer import Tokenizer


def test_capacity() -> None:
    # 4 dimensions of power 1/4 through noise of variance 1/4: a signal as strong as the noise, 1/2 bit each.
    assert capacity_of_norm(4, 0.5) == pytest.approx(2.0)
    # Power 1 through noise of variance 1/3: 1/2 log2(1 + 3).
    assert capacity_of_norm(1, math.sqrt(1 / 3)) == pytest.approx(1.0)
    assert capacity_of_norm(4, 0.0) == math.inf


def test_capacity_of_what_codes_use() -> None:
    assert capacity_of_covariance(np.eye(4) / 4, 0.5) == pytest.approx(capacity_of_norm(4, 0.5))
    # All the power in one direction: 1/2 log2(1 + 1 / 0.25) in place of 2 bits.
    one_direction = np.full((4, 4), 0.25)
    assert capacity_of_covariance(one_direction, 0.5) == pytest.approx(0.5 * math.log2(5))
    assert capacity_of_covariance(np.zeros((4, 4)), 0.5) == 0
    assert capacity_of_covariance(np.eye(4), 0.0) == math.inf


def test_cosines() -> None:
    found = cosines(np.array([2.0, 0.0]), np.array([[1.0, 0.0], [0.0, 3.0], [-1.0, 0.0], [1.0, 1.0], [0.0, 0.0]]))
    assert found == pytest.approx([1, 0, -1, math.sqrt(0.5), 0])


def test_pairs_are_near_and_random_and_never_the_sentence_itself() -> None:
    pool = [f"the food was {word}" for word in ["a", "b", "c", "d", "e", "f"]] + [" ".join("xyzuvw" * 3)] * 2
    pairs = choose_pairs(["the food was a", "1 2 3 4 5 6 7 8 9"], pool, np.random.default_rng(0))
    assert pairs.anchors == ["the food was a"]  # the other has no neighbour
    assert [pairs.pool[place] for place in pairs.near[0]] == [f"the food was {word}" for word in "bcdef"]
    assert pairs.distances[0].tolist() == [1] * 5
    assert len(pairs.random[0]) == 5
    for seed in range(20):
        (drawn,) = choose_pairs(["the food was a"], pool, np.random.default_rng(seed)).random
        assert len(set(drawn.tolist())) == 5
        assert "the food was a" not in {pairs.pool[place] for place in drawn}
    assert len(pairs.pool) == 7  # what is there twice counts once


def test_a_language_model_knows_what_it_has_seen(tokenizer: Tokenizer, lines: list[str]) -> None:
    usual = sentence_bits(tokenizer, lines[10:], lines[:10])
    odd = sentence_bits(tokenizer, lines[10:], [" ".join(reversed(line.split())) for line in lines[:10]])
    assert 0 < usual < odd


def test_the_probe_finds_a_class_and_finds_none() -> None:
    random = np.random.default_rng(0)
    labels = ["good", "bad"] * 100
    sentences = [Sentence(f"{place} {label}", label) for place, label in enumerate(labels)]
    told = random.standard_normal((200, 5))
    told[:, 3] += [4 if label == "good" else -4 for label in labels]
    probe = measure_probe(told, sentences, np.random.default_rng(1))
    assert probe is not None
    assert probe.accuracy > 97 and probe.words == 100
    assert (probe.fitted, probe.tested) == (100, 100) and 50 <= probe.chance < 65
    hidden = measure_probe(random.standard_normal((200, 5)), sentences, np.random.default_rng(1))
    assert hidden is not None and abs(hidden.accuracy - 50) < 17
    assert measure_probe(told[:1], sentences[:1], np.random.default_rng(1)) is None


def test_projection() -> None:
    # Points of a flat ellipse in 3 dimensions: variances 8, 2 and 0 along the axes z, x and y.
    codes = np.array([[0, 5, 4], [0, 5, -4], [2, 5, 0], [-2, 5, 0]], dtype=np.float64)
    projection = Projection.fit(codes)
    assert projection.explained == pytest.approx([80, 20])
    assert projection(codes) == pytest.approx(np.array([[4, 0], [-4, 0], [0, 2], [0, -2]]))
