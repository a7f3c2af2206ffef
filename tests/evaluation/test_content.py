"""BLEU from sums against arithmetic by hand and against sacrebleu itself; copies; lengths."""

from __future__ import annotations

import random

import numpy as np
import pytest
from sacrebleu.metrics.bleu import BLEU

from arae_transfer.evaluation.content import (
    COUNTS,
    compute_bleu,
    count_bleu_matches,
    count_words,
    find_copies,
    signature,
)


def _corpus(generator: random.Random, lines: int) -> list[str]:
    return [" ".join(generator.choices("abcdefgh.", k=generator.randrange(9))) for _ in range(lines)]


def test_bleu_by_hand() -> None:
    # 4 of 5 words, 3 of 4 pairs, 2 of 3 triples, 1 of 2 quadruples.
    counts = count_bleu_matches(["a b c d e"], [["a b c d f"]])
    assert counts.tolist() == [[5, 5, 4, 3, 2, 1, 5, 4, 3, 2]]
    assert compute_bleu(counts[0]) == pytest.approx(100 * (4 / 5 * 3 / 4 * 2 / 3 * 1 / 2) ** 0.25)
    # All match, but a word is missing: the brevity penalty is exp(1 - 5 / 4).
    assert compute_bleu(count_bleu_matches(["a b c d"], [["a b c d e"]])[0]) == pytest.approx(100 * np.exp(-0.25))


def test_case_is_ignored_and_the_closest_reference_gives_the_length() -> None:
    counts = count_bleu_matches(["The Food was good ."], [["the food was good ."], ["the food was good , i think ."]])
    assert compute_bleu(counts[0]) == pytest.approx(100.0)
    assert counts[0, :2].tolist() == [5, 5]


@pytest.mark.parametrize("references", [1, 3])
@pytest.mark.parametrize("seed", range(8))
def test_sums_give_what_sacrebleu_gives(references: int, seed: int) -> None:
    generator = random.Random(seed)
    lines = generator.choice([1, 2, 5, 60])
    hypotheses = _corpus(generator, lines)
    sets = [_corpus(generator, lines) for _ in range(references)]
    expected = BLEU(lowercase=True, tokenize="none", force=True).corpus_score(hypotheses, sets).score
    counts = count_bleu_matches(hypotheses, sets)
    assert counts.shape == (lines, COUNTS)
    assert compute_bleu(counts.sum(axis=0)) == pytest.approx(expected)


def test_no_match_no_words_and_short_lines_are_zero_as_in_sacrebleu() -> None:
    for hypothesis in ("x y z w v", "", "a b"):
        counts = count_bleu_matches([hypothesis], [["a b c d e"]])
        assert compute_bleu(counts[0]) == BLEU(tokenize="none").corpus_score([hypothesis], [["a b c d e"]]).score == 0


def test_many_sums_at_once() -> None:
    generator = random.Random(1)
    counts = count_bleu_matches(_corpus(generator, 30), [_corpus(generator, 30)])
    sums = np.stack([[counts[:10].sum(0), counts[10:].sum(0)], [counts.sum(0), counts[5:].sum(0)]])
    several = compute_bleu(sums)
    assert several.shape == (2, 2)
    assert several[1, 0] == pytest.approx(compute_bleu(counts.sum(0)))


def test_lines_of_different_number_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        count_bleu_matches(["a", "b"], [["a"]])


def test_signature_says_what_was_done() -> None:
    assert signature("13a", 2).startswith("nrefs:2|case:lc|eff:no|tok:13a|smooth:exp|version:")


def test_copies_and_words() -> None:
    assert find_copies(["a b", "a", ""], ["a b", "b", ""]).tolist() == [1, 0, 1]
    assert count_words(["a b", "", "a"]).tolist() == [2, 0, 1]
