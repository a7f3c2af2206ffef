"""How natural rewrites are judged to be, on sentences of a grammar that the rewrites break or keep."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from arae_transfer.corpus.holdout import part_of
from arae_transfer.corpus.quickstart import make_sentences
from arae_transfer.errors import AraeError
from arae_transfer.model import naturalness as network
from arae_transfer.tokenizer import Tokenizer
from arae_transfer.training import naturalness
from arae_transfer.training.naturalness import Floats, Naturalness

LINES = {name: own[:2000] for name, own in make_sentences()["train"].items()}
SENTENCES = [line for own in LINES.values() for line in own[:400]]


def swapped(sentence: str) -> str:
    """Return the words in another order, which nobody wrote."""
    words = sentence.split()
    random.Random(sentence).shuffle(words)
    return " ".join(words)


# For each sentence one that somebody else wrote, and one that nobody did.
REWRITES = [
    [other, swapped(sentence)] for sentence, other in zip(SENTENCES, SENTENCES[1:] + SENTENCES[:1], strict=True)
]


@pytest.fixture(autouse=True, scope="module")
def quick() -> Iterator[None]:
    """Train a small network in small steps, which is enough for a grammar."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(naturalness, "_BATCH", 32)
        patch.setattr(naturalness, "_LEAST_STEPS", 120)
        patch.setattr(naturalness, "_LEARNING_RATE", 1e-2)
        patch.setattr(network, "_EMBEDDING", 32)
        patch.setattr(network, "_FILTERS", 32)
        yield


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train([line for own in LINES.values() for line in own], 600)


def judge(tokenizer: Tokenizer, rewrites: list[list[str]], told: list[tuple[int, int]] | None = None) -> list[Floats]:
    progress = (lambda done, total: told.append((done, total))) if told is not None else (lambda done, total: None)
    judged = Naturalness(tokenizer, 5, torch.device("cpu"), progress)
    return judged.log_probabilities(LINES, SENTENCES, rewrites)


@pytest.fixture(scope="module")
def judged(tokenizer: Tokenizer) -> list[Floats]:
    return judge(tokenizer, REWRITES)


def test_what_nobody_would_write_is_unnatural(judged: list[Floats]) -> None:
    assert [len(own) for own in judged] == [2] * len(SENTENCES)
    written, made = np.array(judged).T
    assert (written <= 0).all()
    assert np.isfinite(made).all()
    assert (written > made).mean() > 0.8


def test_whoever_judges_has_not_seen_the_rewrites(tokenizer: Tokenizer, judged: list[Floats]) -> None:
    # Other rewrites of one part teach only the discriminator of the other part.
    parts = np.array([part_of(sentence, naturalness._PARTS) for sentence in SENTENCES])
    changed = [own if part else [own[0], own[0]] for own, part in zip(REWRITES, parts, strict=True)]
    again = np.array(judge(tokenizer, changed))
    np.testing.assert_allclose(again[parts == 0, 0], np.array(judged)[parts == 0, 0], rtol=1e-5)
    assert not np.allclose(again[parts == 1], np.array(judged)[parts == 1], rtol=0.01)


def test_the_seed_decides_and_nothing_else_is_drawn(tokenizer: Tokenizer, judged: list[Floats]) -> None:
    torch.manual_seed(9)
    before = torch.get_rng_state()
    told: list[tuple[int, int]] = []
    np.testing.assert_array_equal(np.array(judge(tokenizer, REWRITES, told)), np.array(judged))
    assert torch.equal(torch.get_rng_state(), before)
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[-1][0] == told[-1][1] >= 2 * len(SENTENCES)


def test_how_many_are_judged_at_once_changes_nothing(
    tokenizer: Tokenizer, judged: list[Floats], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(naturalness, "_JUDGED_AT_ONCE", 7)
    np.testing.assert_allclose(np.array(judge(tokenizer, REWRITES)), np.array(judged), rtol=1e-4, atol=1e-6)


def test_a_rewrite_without_tokens_is_no_sentence(tokenizer: Tokenizer) -> None:
    odd = [["", *own[1:]] if row == 3 else own for row, own in enumerate(REWRITES)]
    assert judge(tokenizer, odd)[3][0] == -np.inf


def test_too_few_rewrites_to_learn_from_are_refused(tokenizer: Tokenizer) -> None:
    few = [own if row < 12 else [] for row, own in enumerate(REWRITES)]
    with pytest.raises(AraeError, match=r"sentences and 1[0-9] rewrites are too few") as caught:
        judge(tokenizer, few)
    assert "pairs.naturalness=0" in (caught.value.hint or "")
