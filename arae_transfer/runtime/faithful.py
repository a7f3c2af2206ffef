"""Restoring: answers are written as their sentences were typed, and those that break what must stay come last."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from arae_transfer.runtime.preparation import PreparedSentence, one_line
from arae_transfer.runtime.reranking import RankedText, ScoredHypothesis, only_appends
from arae_transfer.text.english import agree_articles, doubles_a_word
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
    """Restores answers to sentences of one form of writing, and checks that they are faithful."""

    def __init__(self, normalizer: Normalizer, vocabulary: Vocabulary, *, edits: bool) -> None:
        """Take what answers are restored and checked by.

        Args:
            normalizer: What brings answers back to the form that their sentences were typed in.
            vocabulary: The words of the corpus.
            edits: Whether the model rewrites by edits, and so adds the copy of each sentence to its hypotheses.
        """
        self._normalizer = normalizer
        self._vocabulary = vocabulary
        self._edits = edits

    def restore(self, sentence: PreparedSentence, text: str) -> str:
        """Return an answer in the form of the corpus as its sentence was typed.

        A model that edits replaces words and keeps the articles before them, which then may not agree any more.
        """
        if self._edits and self._normalizer.form.tokens == ENGLISH_TOKENS:
            text = agree_articles(sentence.text, text)
        return self._normalizer.restore(text, sentence.surface)

    def restore_ranked(
        self, sentence: PreparedSentence, ranked: Sequence[RankedText], options: DecodingOptions
    ) -> list[ScoredHypothesis]:
        """Return the best hypotheses, written as the sentence was typed; those that break what must stay come last.

        A model that edits adds the copy of the sentence. Where it is not sure of it, it is no answer, even if it alone
        keeps what must stay.

        Args:
            sentence: What is rewritten.
            ranked: Its hypotheses, the best first.
            options: How many are wanted, and whether they must be faithful.
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

    def is_faithful(self, sentence: PreparedSentence, text: str, output: str) -> bool:
        """Say whether an answer keeps what must stay, and has only words of its source and of the corpus.

        Args:
            sentence: What is rewritten.
            text: The answer in the form of the corpus.
            output: The answer as the sentence was typed.
        """
        if text == sentence.text:
            return True
        number = self._normalizer.form.number
        if number and text.count(number) != sentence.text.count(number):
            return False
        if not self._vocabulary.has_whole_words(sentence.text, text):
            return False
        if self._edits and doubles_a_word(sentence.text, text):
            return False
        if sentence.truncated:  # what was not read cannot be kept
            return True
        return keeps_form(one_line(sentence.source), output, self._normalizer.protector, number)


def is_rewrite(hypothesis: ScoredHypothesis, source: str) -> bool:
    """Say whether a hypothesis may replace a greedy copy: a finished, faithful rewrite of the target class.

    Args:
        hypothesis: The hypothesis.
        source: What was copied, in the form of the hypothesis's output.
    """
    if (
        hypothesis.unfinished
        or not hypothesis.faithful
        or hypothesis.output == source
        or only_appends(source, hypothesis.output)
    ):
        return False
    return hypothesis.style > LEAST_STYLE
