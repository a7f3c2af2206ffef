"""What a model proposes: rewrites of every sentence that fits it, the same for the same seed, in any batches."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from arae_transfer.corpus.batches import TokenizedSentences
from arae_transfer.corpus.quickstart import make_sentences
from arae_transfer.corpus.style_tokens import StyleTokens
from arae_transfer.model.arae import ARAE
from arae_transfer.parallel import self_training
from arae_transfer.parallel.self_training import SelfTrainingGenerator
from arae_transfer.recipe import recipe_from_table
from arae_transfer.tokenizer import END_ID, Tokenizer

LINES = make_sentences()["train"]
NAMES = tuple(LINES)
SENTENCES = LINES["negative"][:30]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train([line for own in LINES.values() for line in own], 600)


@pytest.fixture(scope="module")
def model(tokenizer: Tokenizer) -> ARAE:
    torch.manual_seed(5)
    table = {
        "data": {"maximum_tokens": 40},
        "model": {
            "code": "sequence",
            "code_size": 128,
            "embedding_size": 128,
            "hidden_size": 32,
            "shared_embeddings": True,
            "residual": True,
        },
        "training": {"schedule": "joint", "initialization": "scaled"},
    }
    model = ARAE(recipe_from_table(table), NAMES, tokenizer.vocabulary_size).eval()
    with torch.no_grad():
        # An untrained model repeats its source for ever; this one ends where its source ends, and looks nowhere else.
        for index in range(2):
            decoder = model.decoder(index)
            assert decoder.nearness is not None
            decoder.nearness.mul_(20.0)
    return model


@pytest.fixture(scope="module")
def style(tokenizer: Tokenizer) -> StyleTokens:
    sentences = [TokenizedSentences.join(tokenizer.encode_lines(own)) for own in LINES.values()]
    return StyleTokens.count(sentences, tokenizer.vocabulary_size)


def propose(
    model: ARAE, tokenizer: Tokenizer, style: StyleTokens | None, count: int, sentences: list[str], seed: int = 3
) -> list[list[str]]:
    told: list[tuple[int, int]] = []
    found = SelfTrainingGenerator(model, tokenizer, style, count, seed, lambda *now: told.append(now)).generate(
        sentences, 0, 1
    )
    assert told[-1][0] == told[-1][1]
    return found


@pytest.fixture
def opinion(model: ARAE, tokenizer: Tokenizer) -> SelfTrainingGenerator:
    return SelfTrainingGenerator(model, tokenizer, None, 1, 1, lambda done, total: None)


def test_the_first_proposal_is_the_greedy_rewrite(model: ARAE, tokenizer: Tokenizer) -> None:
    found = propose(model, tokenizer, None, 1, SENTENCES)
    # A fresh model with residual connections says what it read; that is how proposals and sentences are known to match.
    assert [own[0] for own in found if own] == [line for line, own in zip(SENTENCES, found, strict=True) if own]
    assert sum(map(bool, found)) > 20


def test_damaged_sources_and_samples_bring_others(model: ARAE, tokenizer: Tokenizer, style: StyleTokens) -> None:
    few, damaged, many = (propose(model, tokenizer, style, count, SENTENCES) for count in (3, 4, 8))
    numbers = [sum(map(len, found)) for found in (few, damaged, many)]
    assert numbers[0] < numbers[1] < numbers[2]
    for own in many:
        assert len(set(own)) == len(own) <= 8
    assert propose(model, tokenizer, style, 8, SENTENCES) == many
    assert propose(model, tokenizer, style, 8, SENTENCES, seed=4) != many


def test_batches_change_no_greedy_proposal(model: ARAE, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = propose(model, tokenizer, None, 1, SENTENCES)
    monkeypatch.setattr(self_training, "_BATCH", 7)
    # The bound of a batch is that of its longest sentence, so only rows that end are compared.
    for few, many in zip(propose(model, tokenizer, None, 1, SENTENCES), whole, strict=True):
        assert few == many or not few or not many


def test_what_is_too_long_gets_none(model: ARAE, tokenizer: Tokenizer) -> None:
    long = " ".join(["the soup was cold ."] * 30)
    found = propose(model, tokenizer, None, 1, [long, SENTENCES[0], ""])
    assert found[0] == found[2] == []
    assert found[1] == propose(model, tokenizer, None, 1, [SENTENCES[0]])[0]


def test_a_sentence_is_likelier_to_become_itself_than_another(opinion: SelfTrainingGenerator) -> None:
    forward, back = opinion.log_probabilities(SENTENCES, SENTENCES, 0, 1)
    elsewhere, _ = opinion.log_probabilities(SENTENCES, SENTENCES[::-1], 0, 1)
    assert (forward < 0).all()
    assert (forward > elsewhere)[[one != other for one, other in zip(SENTENCES, SENTENCES[::-1], strict=True)]].all()
    # The way back is the other class's decoder.
    there, _ = opinion.log_probabilities(SENTENCES, SENTENCES, 1, 0)
    assert there == pytest.approx(back, abs=1e-4)
    assert back != pytest.approx(forward, abs=1e-4)


def test_log_probabilities_are_those_of_single_steps(
    opinion: SelfTrainingGenerator, model: ARAE, tokenizer: Tokenizer
) -> None:
    """The decoder is asked for one token after the other."""
    sentence, rewrite = SENTENCES[0], SENTENCES[1]
    forward, _ = opinion.log_probabilities([sentence], [rewrite], 0, 1)
    [read], [written] = tokenizer.encode_lines([sentence]), tokenizer.encode_lines([rewrite])
    with torch.no_grad():
        tokens = torch.tensor([[*read, END_ID]])
        code, mask = model.encoder(tokens, torch.tensor([len(read) + 1]))
        expected = 0.0
        for place, token in enumerate([*written, END_ID]):
            # What comes after a place does not count, so any target will do there.
            logits, _ = model.decoder(1)(torch.tensor([[*written[:place], token]]), code, mask)
            expected += float(logits[-1].log_softmax(0)[token])
    assert forward[0] == pytest.approx(expected, rel=1e-4)


def test_batches_change_no_log_probability(opinion: SelfTrainingGenerator, monkeypatch: pytest.MonkeyPatch) -> None:
    rewrites = SENTENCES[::-1]
    whole = opinion.log_probabilities(SENTENCES, rewrites, 0, 1)
    monkeypatch.setattr(self_training, "_BATCH", 4)
    for some, every in zip(opinion.log_probabilities(SENTENCES, rewrites, 0, 1), whole, strict=True):
        assert some == pytest.approx(every, abs=1e-4)


def test_what_is_too_long_or_empty_has_no_probability(opinion: SelfTrainingGenerator) -> None:
    long = " ".join(["soup"] * 60)
    forward, back = opinion.log_probabilities([long, SENTENCES[0], ""], [SENTENCES[0]] * 3, 0, 1)
    assert np.isinf(forward).tolist() == np.isinf(back).tolist() == [True, False, True]
    assert [len(part) for part in opinion.log_probabilities([], [], 0, 1)] == [0, 0]
