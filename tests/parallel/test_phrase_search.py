"""What the search proposes: different sentences, made of the corpus's own phrases, with unknown words kept."""

from __future__ import annotations

import pytest

from arae_transfer.corpus.quickstart import make_sentences
from arae_transfer.language_model.ngram import UNKNOWN
from arae_transfer.parallel import mining as find
from arae_transfer.parallel.phrase_search import PhraseSearcher

LINES = make_sentences()["train"]


@pytest.fixture(scope="module")
def knowledge() -> find._Knowledge:
    return find._prepare(LINES, find.MiningOptions())


@pytest.fixture(scope="module")
def search(knowledge: find._Knowledge) -> PhraseSearcher:
    return knowledge.search(0)


def propose(search: PhraseSearcher, knowledge: find._Knowledge, words: list[str], source: int) -> list[list[str]]:
    return search.candidates(words, [knowledge.ids.get(word, UNKNOWN) for word in words], source, 1 - source)


@pytest.mark.parametrize("source", [0, 1])
def test_words_without_an_id_survive(search: PhraseSearcher, knowledge: find._Knowledge, source: int) -> None:
    seen = 0
    for line in list(LINES.values())[source][:40]:
        for found in propose(search, knowledge, ["zyzzyva", *line.split(), "qwerty"], source):
            assert (found[0], found[-1]) == ("zyzzyva", "qwerty")
            seen += 1
    assert seen > 40


def test_candidates_differ_from_each_other_and_from_the_sentence(
    search: PhraseSearcher, knowledge: find._Knowledge
) -> None:
    for line in LINES["positive"][:60]:
        found = propose(search, knowledge, line.split(), list(LINES).index("positive"))
        assert line.split() not in found
        assert len({tuple(words) for words in found}) == len(found)
        assert all(found)


def test_bolder_candidates_are_more_of_the_other_class(search: PhraseSearcher, knowledge: find._Knowledge) -> None:
    first, last = [], []
    for line in LINES["negative"][:80]:
        found = propose(search, knowledge, line.split(), 0)
        if len(found) > 1:
            first.append(found[0])
            last.append(found[-1])
    assert len(first) > 40

    def margin(sentences: list[list[str]]) -> float:
        own, other = (model.score(sentences).log_probability.mean() for model in knowledge.models[0])
        return float(other - own)

    assert margin(last) > margin(first) + 1.0
