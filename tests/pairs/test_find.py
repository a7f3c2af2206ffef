"""Pairs of a corpus that the project makes itself, where right and wrong rewrites are known."""

from __future__ import annotations

import pytest

from arae_transfer.corpus.quickstart import class_of, make_sentences
from arae_transfer.language_model.ngram import UNKNOWN
from arae_transfer.pairs import find
from arae_transfer.pairs.find import LEAST_MARGIN, find_pairs
from arae_transfer.pairs.pair import Pair


def silent(done: int, total: int) -> None:
    pass


@pytest.fixture(scope="module")
def lines() -> dict[str, list[str]]:
    return make_sentences()["train"]


@pytest.fixture(scope="module")
def pairs(lines: dict[str, list[str]]) -> list[Pair]:
    return find_pairs(lines, 400, 7, silent, workers=1)


def test_most_sentences_are_brought_to_the_other_class(lines: dict[str, list[str]], pairs: list[Pair]) -> None:
    assert len(pairs) > 300
    names = set(lines)
    right = 0
    for pair in pairs:
        assert {pair.label, pair.rewrite_label} == names
        assert pair.sentence in lines[pair.label]
        assert pair.rewrite != pair.sentence
        right += class_of(pair.rewrite) == pair.rewrite_label
    assert right > 0.7 * len(pairs)


def test_content_is_kept(pairs: list[Pair]) -> None:
    kept = [
        len(set(pair.sentence.split()) & set(pair.rewrite.split())) / len(set(pair.sentence.split())) for pair in pairs
    ]
    assert sum(kept) / len(kept) > 0.6


def test_processes_change_nothing(
    lines: dict[str, list[str]], pairs: list[Pair], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(find, "_CHUNK", 50)
    told: list[tuple[int, int]] = []
    assert find_pairs(lines, 400, 7, lambda *now: told.append(now), workers=2) == pairs
    assert told == [(done, 400) for done in range(0, 401, 50)]


def test_the_seed_chooses_the_sentences(lines: dict[str, list[str]], pairs: list[Pair]) -> None:
    few = find_pairs(lines, 40, 8, silent, workers=1)
    assert {pair.sentence for pair in few} != {pair.sentence for pair in pairs}
    assert len({(pair.label, pair.sentence) for pair in pairs}) == len(pairs)


def test_words_without_an_id_survive_and_the_margin_is_the_language_models(lines: dict[str, list[str]]) -> None:
    knowledge = find._prepare(list(lines.values()))
    search, ids = knowledge.search(), knowledge.models[0].ids
    rewritten = 0
    for line in lines["negative"][:40]:
        words = ["zyzzyva", *line.split(), "qwerty"]
        found = search.rewrite(words, [ids.get(word, UNKNOWN) for word in words], 0, 1, LEAST_MARGIN)
        assert found.words[0] == "zyzzyva"
        assert found.words[-1] == "qwerty"
        scores = [model.score([found.words]).log_probability[0] for model in knowledge.models]
        assert found.margin == pytest.approx(scores[1] - scores[0], rel=1e-6, abs=1e-6)
        assert (found.replacements == 0) == (found.words == words)
        rewritten += found.replacements > 0
    assert rewritten > 20


def test_three_classes_are_rewritten_to_either_other(lines: dict[str, list[str]]) -> None:
    first, second = lines.values()
    three = {"a": first[:600], "b": second[:600], "c": [line + " wow" for line in second[600:1200]]}
    pairs = find_pairs(three, 120, 1, silent, workers=1)
    assert {(pair.label, pair.rewrite_label) for pair in pairs} >= {("a", "b"), ("a", "c"), ("b", "a"), ("c", "a")}


def test_no_pair_is_in_doubt(lines: dict[str, list[str]], pairs: list[Pair]) -> None:
    names = list(lines)
    models = find._prepare(list(lines.values())).models
    for name in names:
        rewrites = [pair.rewrite.split() for pair in pairs if pair.rewrite_label == name]
        own, other = (
            models[names.index(label)].score(rewrites).log_probability for label in sorted(names, key=name.__ne__)
        )
        assert (own - other > LEAST_MARGIN - 1e-6).all()


def test_no_more_weight_is_given_to_style_than_it_takes(lines: dict[str, list[str]]) -> None:
    knowledge = find._prepare(list(lines.values()))
    search, ids = knowledge.search(), knowledge.models[0].ids
    taken = set()
    for line in lines["positive"][:60]:
        words = line.split()
        numbers = [ids[word] for word in words]
        easy, hard = (search.rewrite(words, numbers, 1, 0, margin) for margin in (-1e9, 1e9))
        assert (easy.style_weight, hard.style_weight) == (0.3, 1.0)
        assert hard.margin >= easy.margin - 1e-6
        middle = search.rewrite(words, numbers, 1, 0, easy.margin + 1.0)
        taken.add(middle.style_weight)
        if middle.style_weight < 1.0:
            assert middle.margin > easy.margin + 1.0
    assert max(taken) > 0.3
