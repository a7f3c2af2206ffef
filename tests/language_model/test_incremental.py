"""Reading word by word gives what scoring whole sentences gives."""

from __future__ import annotations

import numpy as np
import pytest

from arae_transfer.language_model import incremental
from arae_transfer.language_model.incremental import IncrementalLanguageModels
from arae_transfer.language_model.ngram import END, UNKNOWN, NgramLanguageModel

WORDS = ["a", "b", "c", "d", "e", "f"]


def sentences(seed: int, count: int = 200) -> list[list[str]]:
    generator = np.random.default_rng(seed)
    weights = np.array([8, 4, 2, 1, 1, 1]) / 17
    return [list(generator.choice(WORDS, generator.integers(1, 9), p=weights)) for _ in range(count)]


def models(order: int) -> list[NgramLanguageModel]:
    return [NgramLanguageModel.train(sentences(seed), order=order, vocabulary=WORDS) for seed in (1, 2)]


def read(reader: IncrementalLanguageModels, ids: dict[str, int], words: list[str]) -> np.ndarray:
    state, total = reader.begin, np.zeros(2)
    for word in [*(ids.get(word, UNKNOWN) for word in words), END]:
        probabilities, state = reader.step(state, word)
        total += probabilities
    return total


@pytest.mark.parametrize("order", [1, 2, 4])
def test_the_steps_of_a_sentence_add_up_to_its_score(order: int) -> None:
    trained = models(order)
    reader = IncrementalLanguageModels(trained, order)
    unseen = [*sentences(3, 40), ["a", "unknown", "b", "unknown", "unknown", "c"], ["f"] * 12, []]
    expected = np.stack([model.score(unseen).log_probability for model in trained], axis=1)
    found = np.stack([read(reader, trained[0].ids, words) for words in unseen])
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_a_shorter_order_reads_shorter_contexts() -> None:
    trained = models(4)
    reader = IncrementalLanguageModels(trained, 2)
    _, after_a = reader.step(reader.begin, trained[0].ids["a"])
    _, after_b = reader.step(reader.begin, trained[0].ids["b"])
    b, c = trained[0].ids["b"], trained[0].ids["c"]
    assert reader.step(reader.step(after_a, b)[1], c)[0] == reader.step(reader.step(after_b, b)[1], c)[0]


def test_forgetting_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    trained = models(3)
    reader = IncrementalLanguageModels(trained, 3)
    some = sentences(4, 20)
    before = [read(reader, trained[0].ids, words) for words in some]
    reader.forget(only_when_full=True)
    assert reader._steps
    monkeypatch.setattr(incremental, "_MAXIMUM_REMEMBERED", 1)
    after = []
    for words in some:
        reader.forget(only_when_full=True)
        assert not reader._steps
        after.append(read(reader, trained[0].ids, words))
    np.testing.assert_array_equal(before, after)
