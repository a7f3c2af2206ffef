"""Scores and probes while training, on a model small enough to know what it answers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from arae_transfer.corpus.batches import TokenizedSentences
from arae_transfer.corpus.tokenizing import tokenize
from arae_transfer.model.arae import ARAE
from arae_transfer.recipe import Recipe, recipe_from_table
from arae_transfer.tokenizer import END_ID, Tokenizer
from arae_transfer.training.validation import ValidationReport, validate

CLASSES = ("bad", "good", "so-so")
LINES = {
    "bad": ["the food was cold .", "the soup was bad .", "so slow !", "the food was cold and bad ."],
    "good": ["the food was warm .", "the soup was good .", "great ."],
    "so-so": ["the food was fair .", "the soup was plain .", "so what !", "fair ."],
}
TOKENIZER = Tokenizer.train([line for lines in LINES.values() for line in lines] * 9, 330)


def recipe(**validation: Any) -> Recipe:
    return recipe_from_table(
        {
            "model": {"code_size": 8, "embedding_size": 8, "hidden_size": 8, "dropout": 0.5},
            "adversary": {"noise_size": 4, "generator_layers": [4], "critic_layers": [4]},
            "attribute": {"layers": [4]},
            "validation": {"probes": 2, **validation},
        }
    )


def sentences() -> list[TokenizedSentences]:
    return [tokenize(lines, TOKENIZER, 40) for lines in LINES.values()]


def build(answer: str = "great .") -> ARAE:
    """Return a model that writes one sentence whatever it reads, and whose scorer believes in one class."""
    torch.manual_seed(1)
    model = ARAE(recipe(), CLASSES, TOKENIZER.vocabulary_size)
    ids = [*TOKENIZER.encode(answer), END_ID]
    with torch.no_grad():
        for index in range(len(CLASSES)):
            decoder = model.decoder(index)
            # The state of the LSTM is the embedding of the token before, so that each token calls the next.
            for parameter in decoder.parameters():
                parameter.zero_()
            size = decoder.first.hidden_size
            weight, bias = decoder.first.get_parameter("weight_ih_l0"), decoder.first.get_parameter("bias_ih_l0")
            torch.nn.init.eye_(weight[2 * size : 3 * size, : decoder.embedding.embedding_dim])
            bias[:size] = 20.0  # the gates in and out are open, the gate of the past is shut
            bias[size : 2 * size] = -20.0
            bias[3 * size :] = 20.0
            for place, (before, after) in enumerate(zip([2, *ids], ids, strict=False)):
                decoder.embedding.weight[before, place] = 3.0
                decoder.output.weight[after, place] = 50.0
        model.scorer.last.weight.zero_()
        model.scorer.last.bias.copy_(torch.tensor([0.0, 5.0, 0.0]))
    return model


def run(model: ARAE, **validation: Any) -> ValidationReport:
    return validate(model, recipe(**validation), TOKENIZER, sentences(), torch.device("cpu"))


def test_probes_are_the_first_sentences_of_each_class_as_they_stand() -> None:
    report = run(build())
    assert [(probe.label, probe.source) for probe in report.probes] == [
        (label, line) for label, lines in LINES.items() for line in lines[:2]
    ]
    for probe in report.probes:
        assert probe.reconstruction == "great ."
        assert probe.rewrites == {label: "great ." for label in CLASSES if label != probe.label}


def test_scores_count_what_they_say() -> None:
    scores = run(build("the food was cold .")).scores
    # One of eleven sentences comes back exactly; of 22 rewrites, those of that one are copies: two.
    assert scores["exact"] == pytest.approx(100 / 11, abs=1e-3)
    assert scores["copies"] == pytest.approx(100 * 2 / 22, abs=1e-3)
    # The scorer takes everything for good: of the rewrites, the eight from the other two classes are to good.
    assert scores["style"] == pytest.approx(100 * 8 / 22, abs=1e-3)
    assert scores["score"] == pytest.approx(math.sqrt(scores["style"] * scores["self_bleu"]), abs=1e-2)
    assert 0 < scores["self_bleu"] < 60


def test_copies_have_a_self_bleu_of_a_hundred() -> None:
    model = build("the food was cold .")
    only = [tokenize(["the food was cold ."], TOKENIZER, 40) for _ in CLASSES]
    scores = validate(model, recipe(), TOKENIZER, only, torch.device("cpu")).scores
    assert scores["self_bleu"] == pytest.approx(100.0)
    assert scores["copies"] == scores["exact"] == 100.0
    assert scores["score"] == pytest.approx(math.sqrt(100 * 100 / 3), abs=1e-2)


def test_the_surprise_is_per_token() -> None:
    model = build()
    with torch.no_grad():
        for parameter in model.decoders.parameters():
            parameter.zero_()
    # Each of the vocabulary's tokens is equally probable.
    assert run(model).scores["nll"] == pytest.approx(math.log(TOKENIZER.vocabulary_size), abs=1e-3)


def test_only_so_many_sentences_are_read() -> None:
    assert run(build(), sentences=2).scores["exact"] == 0.0  # "great ." is the third
    assert run(build(), sentences=3).scores["exact"] > 0.0
    assert run(build(), sentences=1, probes=5).probes[0].source == LINES["bad"][0]
    assert len(run(build(), sentences=1, probes=5).probes) == 3
    assert run(build(), probes=0).probes == []


def test_validation_is_without_noise_and_leaves_the_model_training() -> None:
    model = build().train()
    before = torch.get_rng_state()
    first, second = run(model), run(model)
    assert first == second
    assert model.training
    assert model.encoder.dropout.training
    assert torch.equal(torch.get_rng_state(), before)


def test_batches_do_not_change_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    from arae_transfer.training import validation

    torch.manual_seed(2)
    model = ARAE(recipe(), CLASSES, TOKENIZER.vocabulary_size)
    # Of one length, because the bound on an answer's length is the batch's.
    generator = np.random.default_rng(1)
    given = [
        TokenizedSentences(generator.integers(270, 330, 35).astype(np.int32), np.arange(0, 36, 7)) for _ in CLASSES
    ]
    whole = validate(model, recipe(), TOKENIZER, given, torch.device("cpu"))
    assert len({probe.reconstruction for probe in whole.probes}) > 1
    monkeypatch.setattr(validation, "_BATCH", 2)
    single = validate(model, recipe(), TOKENIZER, given, torch.device("cpu"))
    assert single.probes == whole.probes
    assert single.scores == pytest.approx(whole.scores, abs=2e-3)
    assert np.isfinite(list(whole.scores.values())).all()
