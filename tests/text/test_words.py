"""Word lists: the words that a corpus has more than once, contractions as one word."""

from __future__ import annotations

import pytest

from arae_transfer.text.words import WordList, pack_words, words_of


def test_a_contraction_is_a_word() -> None:
    assert list(words_of("i 'm sure it wo n't")) == ["i'm", "i", "'m", "sure", "it", "won't"]
    assert list(words_of("the cook 's cook")) == ["the", "cook", "'s", "cook"]
    assert list(words_of("")) == []


def test_a_list_has_whole_words_that_occur_twice() -> None:
    words = WordList(
        pack_words(["it wo n't do .", "it wo n't help .", "the naïve staff helps , it do", "the naïve staff"])
    )
    for word in ("it", "won't", "do", ".", "the", "naïve", "staff"):
        assert word in words, word
    for word in ("help", "helps", "wo", "n't", "won", "taff", "", ",", "it\ndo", "İt", "do\n"):
        assert word not in words, word


@pytest.mark.parametrize("content", [b"", b"it\nthe", pack_words(["a a"])[:-5]])
def test_a_damaged_list_is_told(content: bytes) -> None:
    with pytest.raises(ValueError, match="decompress"):
        WordList(content)
