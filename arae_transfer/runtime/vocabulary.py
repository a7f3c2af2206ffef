"""The words of a model's corpus, by its word list, or by its tokenizer and its language models."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from arae_transfer.errors import AraeError
from arae_transfer.text.words import WordList, words_of

if TYPE_CHECKING:
    from arae_transfer.runtime.sessions import Sessions
    from arae_transfer.tokenizer import Tokenizer

# A corpus has few words; people type others, so the number of those that are remembered is bounded.
_REMEMBERED_WORDS = 1 << 15


class Vocabulary:
    """The words that an answer may contain; threads may share it."""

    def __init__(self, sessions: Sessions, tokenizer: Tokenizer) -> None:
        self._sessions = sessions
        self._tokenizer = tokenizer
        self._known: dict[str, bool] = {}
        self._list: WordList | None = None
        self._lock = threading.Lock()

    def has_whole_words(self, source: str, answer: str) -> bool:
        """Return whether each word of an answer is one of its source or of the corpus.

        An export with neither a word list nor language models does not know the words of its corpus: every word counts
        as one. With a word list, contractions of an answer are checked as words, too: "can n't" is none.

        Args:
            source: The source in the corpus's text format.
            answer: The answer in the corpus's text format.

        Raises:
            AraeError: The word list or a language model is missing or damaged.
        """
        folder = self._sessions.folder
        if folder.words:
            new = set(words_of(answer)).difference(words_of(source))
        elif folder.language_models:
            new = set(answer.split()).difference(source.split())
        else:
            return True
        known = self._known
        for word in new:
            found = known.get(word)
            if found is None:
                if len(known) >= _REMEMBERED_WORDS:
                    known.clear()
                found = known[word] = self._is_word(word)
            if not found:
                return False
        return True

    def _is_word(self, word: str) -> bool:
        if self._sessions.folder.words:
            return word in self._word_list()
        pieces = self._tokenizer.encode(word)
        models = self._sessions.language_models().values()
        return bool(pieces) and any(model.has_word(pieces, self._tokenizer.ends_word) for model in models)

    def _word_list(self) -> WordList:
        with self._lock:
            if self._list is None:
                folder = self._sessions.folder
                assert folder.words is not None
                try:
                    self._list = WordList(folder.read_file(folder.words))
                except ValueError as error:
                    raise AraeError(
                        f"{folder.root / folder.words} is no word list: {error}", "export the model again."
                    ) from error
            return self._list
