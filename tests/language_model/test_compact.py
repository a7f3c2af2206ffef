"""A language model in a small file says nearly what the whole one says, and numbers its words as the tokenizer does."""

from __future__ import annotations

import io

import numpy as np
import pytest

from arae_transfer.language_model.compact import ORDER, CompactLanguageModel, compact
from arae_transfer.language_model.ngram import NgramLanguageModel
from arae_transfer.tokenizer import END_ID

VOCABULARY = 40


def rows(number: int = 400, seed: int = 1) -> list[list[int]]:
    """Return sentences in which a token mostly follows the one before."""
    generator = np.random.default_rng(seed)
    made = []
    for _ in range(number):
        row = [int(generator.integers(END_ID + 1, VOCABULARY))]
        while len(row) < generator.integers(1, 9):
            step = 1 if generator.random() < 0.8 else int(generator.integers(2, 9))
            row.append(END_ID + 1 + (row[-1] - END_ID - 1 + step) % (VOCABULARY - END_ID - 1))
        made.append(row)
    return made


def whole(text: list[list[int]]) -> NgramLanguageModel:
    names = [str(token) for token in range(END_ID + 1, VOCABULARY)]
    return NgramLanguageModel.train([[str(token) for token in row] for row in text], ORDER, names)


def test_it_says_what_the_whole_model_says_of_what_was_seen_often() -> None:
    text = rows()
    small = CompactLanguageModel(compact(text, VOCABULARY))
    wanted = whole(text).score([[str(token) for token in row] for row in text]).log_probability
    found = small.score(text)
    assert found.shape == (len(text),)
    # Of what was seen once, the file holds only what shorter n-grams say.
    assert float(np.corrcoef(found, wanted)[0, 1]) > 0.9
    common = [[token, token + 1, token + 2] for token in range(END_ID + 1, VOCABULARY - 3)]
    exact = whole(text).score([[str(token) for token in row] for row in common]).log_probability
    np.testing.assert_allclose(small.score(common), exact, rtol=0.02)


def test_likely_text_is_likelier_than_the_same_tokens_in_another_order() -> None:
    small = CompactLanguageModel(compact(rows(), VOCABULARY))
    other = rows(seed=2)
    long = [row for row in other if len(row) > 4]
    assert np.mean(small.score(long) > small.score([row[::-1] for row in long])) > 0.9


def test_a_score_depends_on_no_other_row() -> None:
    small = CompactLanguageModel(compact(rows(), VOCABULARY))
    text = [*rows(30, seed=3), []]
    together = small.score(text)
    assert together.tolist() == [float(small.score([row])[0]) for row in text]
    assert np.all(np.isfinite(together)) and np.all(together < 0)
    assert small.score([]).shape == (0,)


def test_what_is_no_such_file_is_refused() -> None:
    content = compact(rows(), VOCABULARY)
    for damaged in (b"", b"PK", content[: len(content) // 2]):
        with pytest.raises(ValueError):
            CompactLanguageModel(damaged)
    pickled = io.BytesIO()
    np.savez(pickled, unigrams=np.array([{}], dtype=object))
    with pytest.raises(ValueError):
        CompactLanguageModel(pickled.getvalue())


def test_a_word_is_one_if_its_pieces_end_a_word_there() -> None:
    begins = {4, 5, 6}  # 7 and 8 go on
    rows = [[4, 7, 5], [4, 7, 5], [5, 6, 4, 7], [5, 6, 4, 7]]
    model = CompactLanguageModel(compact(rows, 9))

    def ends_word(following: int) -> bool:
        return following in begins or following == END_ID

    found = {word: model.has_word(word, ends_word) for word in [(4, 7), (5,), (6,), (4,), (4, 8), (5, 7), (4, 7, 8)]}
    assert found == {(4, 7): True, (5,): True, (6,): True, (4,): False, (4, 8): False, (5, 7): False, (4, 7, 8): False}
