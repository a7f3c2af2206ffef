"""Similarity of the codes of similar sentences, beside random pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from arae_transfer.paper.diagnosis.coder import Coder, Floats
from arae_transfer.paper.diagnosis.edits import Integers, WordTable

FARTHEST = 5
NEIGHBOURS = 100


@dataclass(frozen=True)
class Pairs:
    """Pairs of sentences to compare.

    Attributes:
        anchors: The sentences.
        pool: What their partners are chosen from.
        near: For each anchor, the places of its neighbours in the pool.
        distances: For each anchor, the edit distances of its neighbours.
        random: For each anchor, as many places drawn at random.
    """

    anchors: list[str]
    pool: list[str]
    near: list[Integers]
    distances: list[Integers]
    random: list[Integers]


@dataclass(frozen=True)
class Similarity:
    """Mean cosine similarities; every anchor counts the same.

    Attributes:
        near: Of sentences within ``FARTHEST`` edits.
        near_interval: Half the width of its 95 % interval, over anchors.
        random: Of random pairs.
        random_interval: Likewise.
        by_distance: Of sentences at each edit distance, over all their pairs.
    """

    near: float
    near_interval: float
    random: float
    random_interval: float
    by_distance: dict[int, float]


def choose_pairs(anchors: Sequence[str], pool: Sequence[str], random: np.random.Generator) -> Pairs:
    """Find up to ``NEIGHBOURS`` nearest neighbours of each anchor (paper, Section 6.1), and as many random partners.

    Anchors without neighbours are left out. A random partner is never the anchor itself.
    """
    distinct = list(dict.fromkeys(pool))
    table = WordTable(distinct)
    pairs = Pairs([], distinct, [], [], [])
    for anchor in anchors:
        near, distances = table.near(anchor, FARTHEST, NEIGHBOURS)
        drawn = random.permutation(len(distinct))[: len(near) + 1].tolist()
        others = np.array([place for place in drawn if distinct[place] != anchor][: len(near)], dtype=np.int64)
        if len(near) and len(others):
            pairs.anchors.append(anchor)
            pairs.near.append(near)
            pairs.distances.append(distances)
            pairs.random.append(others)
    return pairs


def cosines(one: Floats, many: Floats) -> Floats:
    """Return the cosine similarities of a vector (size,) to many (rows, size): (rows,). That of zero is 0."""
    norms = np.linalg.norm(one) * np.linalg.norm(many, axis=1)
    found: Floats = np.divide(many @ one, norms, out=np.zeros(len(many)), where=norms > 0)
    return found


def measure_similarity(coder: Coder, pairs: Pairs) -> Similarity | None:
    """Return the similarities of the codes of pairs, or None if no anchor has neighbours.

    Codes of several vectors are compared by the means of their vectors.
    """
    if not pairs.anchors:
        return None
    used = np.unique(np.concatenate([*pairs.near, *pairs.random]))
    codes = dict(zip(used.tolist(), coder.pooled([pairs.pool[place] for place in used]), strict=True))
    near_means, random_means = [], []
    by_distance: dict[int, list[float]] = {}
    for code, near, distances, random in zip(
        coder.pooled(pairs.anchors), pairs.near, pairs.distances, pairs.random, strict=True
    ):
        own = cosines(code, np.stack([codes[place] for place in near.tolist()]))
        near_means.append(float(own.mean()))
        random_means.append(float(cosines(code, np.stack([codes[place] for place in random.tolist()])).mean()))
        for distance, cosine in zip(distances.tolist(), own.tolist(), strict=True):
            by_distance.setdefault(distance, []).append(cosine)
    return Similarity(
        float(np.mean(near_means)),
        _half_width(near_means),
        float(np.mean(random_means)),
        _half_width(random_means),
        {distance: float(np.mean(found)) for distance, found in sorted(by_distance.items())},
    )


def _half_width(values: Sequence[float]) -> float:
    return float(1.96 * np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")
