"""Restoring: answers get the typed form of their sentences, and unfaithful ones rank last."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from arae_transfer.runtime.preparation import PreparedSentence, one_line
from arae_transfer.runtime.reranking import RankedText, ScoredHypothesis, only_appends
from arae_transfer.text.english import (
    agree_articles,
    detaches_a_negation,
    doubles_a_mark,
    doubles_a_word,
    keeps_names,
)
from arae_transfer.text.fidelity import keeps_form

if TYPE_CHECKING:
    from arae_transfer.runtime.decoding import DecodingOptions
    from arae_transfer.runtime.vocabulary import Vocabulary
    from arae_transfer.text import Normalizer


ENGLISH_TOKENS = "penn-treebank"
"""The setting ``form.tokens`` of corpora in English."""

LEAST_STYLE = 0.5
"""The least probability of the target class for a hypothesis to replace a greedy copy."""


class Restorer:
    """Restores answers to the typed form of their sentences, and checks that they are faithful."""

    def __init__(self, normalizer: Normalizer, vocabulary: Vocabulary, *, edits: bool) -> None:
        """Store the normalizer and the vocabulary.

        Args:
            normalizer: Restores answers to the typed form of their sentences.
            vocabulary: The words of the corpus.
            edits: Whether the model edits: its hypotheses include a copy of each sentence.
        """
        self._normalizer = normalizer
        self._vocabulary = vocabulary
        self._edits = edits

    def restore(self, sentence: PreparedSentence, text: str) -> str:
        """Restore an answer in the corpus's text format to the typed form of its sentence.

        A model that edits may replace a word and keep the article before it; the article is corrected.
        """
        if self._edits and self._normalizer.form.tokens == ENGLISH_TOKENS:
            text = agree_articles(sentence.text, text)
        return self._normalizer.restore(text, sentence.surface)

    def restore_ranked(
        self, sentence: PreparedSentence, ranked: Sequence[RankedText], options: DecodingOptions
    ) -> list[ScoredHypothesis]:
        """Return the best hypotheses in the typed form of the sentence; unfaithful ones come last.

        The hypotheses of a model that edits include a copy of the sentence. If the model is not sure of the copy, it is
        no answer, even if it alone is faithful.

        Args:
            sentence: What is rewritten.
            ranked: Its hypotheses, the best first.
            options: How many to return, and whether they must be faithful.
        """
        most = options.n_best or options.width + self._edits
        faithful: list[ScoredHypothesis] = []
        others: list[ScoredHypothesis] = []
        copies: list[ScoredHypothesis] = []
        for each in ranked:
            output = self.restore(sentence, each.text)
            if self._edits and each.text == sentence.text and each is not ranked[0]:
                copies.append(each.written(output))
            elif not options.faithful or self.is_faithful(sentence, each.text, output):
                faithful.append(each.written(output))
                if len(faithful) == most:
                    break
            else:
                others.append(each.written(output, faithful=False))
        if not faithful:
            return (others + copies)[:most]
        return (faithful + copies + others)[:most]

    def first_rewrite(self, sentence: PreparedSentence, ranked: Iterable[RankedText]) -> str | None:
        """Return the best finished, faithful rewrite of the target class in the typed form, or None.

        Args:
            sentence: What is rewritten.
            ranked: Its hypotheses, the best first.
        """
        source = one_line(sentence.source)
        for each in ranked:
            # Restoring takes longest: it comes after what can do without.
            if not each.hypothesis.finished or math.exp(each.log_style) <= LEAST_STYLE or each.text == sentence.text:
                continue
            if not self._keeps_words(sentence, each.text):
                continue
            output = self.restore(sentence, each.text)
            if output != source and not only_appends(source, output) and self._keeps_form(sentence, output):
                return output
        return None

    def is_faithful(self, sentence: PreparedSentence, text: str, output: str) -> bool:
        """Return whether an answer keeps what must stay, and has only words of its source and of the corpus.

        Args:
            sentence: What is rewritten.
            text: The answer in the corpus's text format.
            output: The answer in the typed form of the sentence.
        """
        if text == sentence.text:
            return True
        return self._keeps_words(sentence, text) and self._keeps_form(sentence, output)

    def _keeps_words(self, sentence: PreparedSentence, text: str) -> bool:
        """Return whether an answer in the corpus's text format keeps numbers and names, and has no wrong word."""
        form, number = self._normalizer.form, self._normalizer.form.number
        if number and text.count(number) != sentence.text.count(number):
            return False
        if not self._vocabulary.has_whole_words(sentence.text, text):
            return False
        if not self._edits:
            return True
        if doubles_a_word(sentence.text, text):
            return False
        if form.lower_case or form.tokens != ENGLISH_TOKENS:
            return True
        return keeps_names(sentence.text, text) and not doubles_a_mark(sentence.text, text)

    def _keeps_form(self, sentence: PreparedSentence, output: str) -> bool:
        """Return whether an answer in the typed form of the sentence keeps what must stay."""
        if sentence.truncated:  # what was not read cannot be kept
            return True
        normalizer = self._normalizer
        english = sentence.surface and normalizer.form.tokens == ENGLISH_TOKENS
        if english and detaches_a_negation(sentence.source, output):
            return False
        return keeps_form(one_line(sentence.source), output, normalizer.protector, normalizer.form.number)
