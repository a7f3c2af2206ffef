"""The words of a model's corpus, by its tokenizer and its language models."""

from __future__ import annotations

from typing import TYPE_CHECKING

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

    def has_whole_words(self, source: str, answer: str) -> bool:
        """Say whether each word of an answer is one of its source or of the corpus.

        An export without language models does not know the words of its corpus: every word may be one. So it is with
        models that edit, which replace whole words, and write most of them as one piece.

        Args:
            source: The source in the form of the corpus.
            answer: The answer in the form of the corpus.
        """
        new = set(answer.split()).difference(source.split())
        if not new or not self._sessions.folder.language_models:
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
        pieces = self._tokenizer.encode(word)
        models = self._sessions.language_models().values()
        return bool(pieces) and any(model.has_word(pieces, self._tokenizer.ends_word) for model in models)
