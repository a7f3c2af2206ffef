"""Pairs of a corpus that the project makes itself, where right and wrong rewrites are known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from arae_transfer.corpus.holdout import cross_fitting_fold
from arae_transfer.corpus.quickstart import make_sentences
from arae_transfer.language_model.ngram import NgramLanguageModel
from arae_transfer.parallel import mining as find
from arae_transfer.parallel.examples import ParallelExample
from arae_transfer.parallel.mining import Floats, mine_parallel
from tests.corpus.quickstart_judge import class_of


def silent(done: int, total: int) -> None:
    pass


@pytest.fixture(scope="module")
def lines() -> dict[str, list[str]]:
    return make_sentences()["train"]


@pytest.fixture(scope="module")
def pairs(lines: dict[str, list[str]]) -> list[ParallelExample]:
    return mine_parallel(lines, 400, 7, silent, workers=1)


def test_most_sentences_are_brought_to_the_other_class(
    lines: dict[str, list[str]], pairs: list[ParallelExample]
) -> None:
    assert len(pairs) > 300
    names = set(lines)
    right = 0
    for pair in pairs:
        assert {pair.label, pair.rewrite_label} == names
        assert pair.sentence in lines[pair.label]
        assert pair.rewrite != pair.sentence
        right += class_of(pair.rewrite) == pair.rewrite_label
    assert right > 0.7 * len(pairs)


def test_content_is_kept(pairs: list[ParallelExample]) -> None:
    kept = [
        len(set(pair.sentence.split()) & set(pair.rewrite.split())) / len(set(pair.sentence.split())) for pair in pairs
    ]
    assert sum(kept) / len(kept) > 0.6


def test_processes_change_nothing(
    lines: dict[str, list[str]], pairs: list[ParallelExample], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(find, "_CHUNK", 50)
    told: list[tuple[int, int]] = []
    assert mine_parallel(lines, 400, 7, lambda *now: told.append(now), workers=2) == pairs
    assert told == [(done, 400) for done in range(0, 401, 50)]


def test_the_seed_chooses_the_sentences(lines: dict[str, list[str]], pairs: list[ParallelExample]) -> None:
    few = mine_parallel(lines, 40, 8, silent, workers=1)
    assert {pair.sentence for pair in few} != {pair.sentence for pair in pairs}
    assert len({(pair.label, pair.sentence) for pair in pairs}) == len(pairs)


def test_three_classes_are_rewritten_to_either_other(lines: dict[str, list[str]]) -> None:
    first, second = lines.values()
    three = {"a": first[:600], "b": second[:600], "c": [line + " wow" for line in second[600:1200]]}
    pairs = mine_parallel(three, 120, 1, silent, workers=1)
    assert {(pair.label, pair.rewrite_label) for pair in pairs} >= {("a", "b"), ("a", "c"), ("b", "a"), ("c", "a")}


def test_proposals_are_asked_by_direction_and_may_win(
    lines: dict[str, list[str]], pairs: list[ParallelExample]
) -> None:
    asked: list[tuple[int, int, int]] = []
    names = list(lines)
    known = {(pair.label, pair.sentence): pair.rewrite for pair in pairs}
    best = {name: max(lines[name], key=lambda line: len(line.split())) for name in names}

    class Poor:
        """Has proposals of no use, and no opinion."""

        def generate(self, sentences: Sequence[str], source: int, target: int) -> list[list[str]]:
            asked.append((len(sentences), source, target))
            # The sentence itself and nothing at all are no rewrites; real text of the class far from the sentence is a
            # poor one, and what the search found before loses nothing.
            return [[sentence, "", best[names[target]]] for sentence in sentences]

        def log_probabilities(
            self, sentences: Sequence[str], rewrites: Sequence[str], source: int, target: int
        ) -> tuple[Floats, Floats]:
            return np.zeros(len(sentences)), np.zeros(len(rewrites))

    told = mine_parallel(lines, 400, 7, silent, workers=1, candidate_model=Poor())
    assert sorted(asked) == [(200, 0, 1), (200, 1, 0)]
    assert all(pair.rewrite not in ("", pair.sentence) for pair in told)
    again = {(pair.label, pair.sentence): pair.rewrite for pair in told}
    assert set(again) >= set(known)
    same = sum(again[key] == rewrite for key, rewrite in known.items())
    assert same > 0.95 * len(known)


def test_a_model_that_proposes_has_a_say(lines: dict[str, list[str]], pairs: list[ParallelExample]) -> None:
    known = {(pair.label, pair.sentence): pair.rewrite for pair in pairs}
    told: dict[tuple[int, int], set[tuple[str, str]]] = {(0, 1): set(), (1, 0): set()}

    class Contrary:
        """Proposes nothing and finds what the search would choose absurd."""

        def generate(self, sentences: Sequence[str], source: int, target: int) -> list[list[str]]:
            return [[] for _ in sentences]

        def log_probabilities(
            self, sentences: Sequence[str], rewrites: Sequence[str], source: int, target: int
        ) -> tuple[Floats, Floats]:
            told[source, target].update(zip(sentences, rewrites, strict=True))
            name = list(lines)[source]
            absurd = [known[name, sentence] == rewrite for sentence, rewrite in zip(sentences, rewrites, strict=True)]
            likely = np.array([-1.0 - len(rewrite) / 1000 for rewrite in rewrites])
            return likely - 99.0 * np.array(absurd), np.zeros(len(sentences))

    others = mine_parallel(lines, 400, 7, silent, workers=1, candidate_model=Contrary())
    # Where there is a second one, it is taken; of what is left, the least likely are left out.
    several = Counter(sentence for own in told.values() for sentence, _ in own)
    assert sum(count > 1 for count in several.values()) > 20
    absurd = [pair for pair in others if known[pair.label, pair.sentence] == pair.rewrite]
    assert all(several[pair.sentence] == 1 for pair in absurd)
    assert 0.8 * len(known) < len(others) < len(known)
    for pair in others:
        direction = (0, 1) if pair.label == next(iter(lines)) else (1, 0)
        assert {(pair.sentence, pair.rewrite), (pair.sentence, known[pair.label, pair.sentence])} <= told[direction]


def test_a_sentence_is_never_judged_by_a_model_that_has_seen_it(
    lines: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    learnt: list[set[str]] = []
    train = NgramLanguageModel.train

    def listen(sentences: Sequence[Sequence[str]], **more: Any) -> NgramLanguageModel:
        learnt.append({" ".join(words) for words in sentences})
        return train(sentences, **more)

    monkeypatch.setattr(NgramLanguageModel, "train", listen)
    find._prepare(lines, find.MiningOptions())
    names, folds = list(lines), find.MiningOptions().parallel.folds
    assert len(learnt) == folds * len(names)
    for number, seen in enumerate(learnt):
        part, name = number // len(names), names[number % len(names)]
        own = {line for line in lines[name] if cross_fitting_fold(" ".join(line.split()), folds) == part}
        assert len(own) > 100
        assert not own & seen
        assert seen | own == set(lines[name])
