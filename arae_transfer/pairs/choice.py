"""Which of several rewrites of a sentence is the best: of the wanted style, as fluent as the sentence, and close to it.

The three are weighed in nats. What a rewrite gains in fluency over its sentence counts nothing: language models like
what is said often, and a choice that follows them turns every sentence into a popular one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from arae_transfer.language_model.ngram import NgramLanguageModel
from arae_transfer.linear_classifier import LinearClassifier
from arae_transfer.runtime.candidates import only_appends

Floats = npt.NDArray[np.float64]

# A rewrite of less belief in its class is none, and neither is one that lost so much fluency, in nats.
_LEAST_BELIEF = 0.7
_MOST_LOST_FLUENCY = 10.0
# More belief than this adds nothing, so that style is not bought with content.
_ENOUGH_BELIEF = 0.97
# The weights of style and fluency, and the prices of lost and of added words, and of each word by which a rewrite is
# shorter: what said too much shall be said otherwise, not left out.
_STYLE, _FLUENCY = 3.0, 0.7
_LOST, _ADDED, _SHORTER = 8.0, 3.0, 2.0
# A word begins to carry style where it is this much more frequent in its class, in nats ("breakfast" is where people
# are happy, and still is content), and at the second figure carries hardly any content.
_LEAST_STYLE, _MOST_STYLE = 0.8, 2.0
_LEAST_WORD_PRICE = 0.1
# The price of a word rises with its rarity, in units of so many nats, between these bounds.
_RARITY = 8.0
_COMMON, _RARE = 0.2, 1.4


class RewriteChoice:
    """Chooses rewrites by what the training text teaches."""

    def __init__(self, lines: Mapping[str, Sequence[str]], classifier: LinearClassifier) -> None:
        """Count the words.

        Args:
            lines: The training lines of each class, words separated by blanks.
            classifier: A classifier of the same classes.
        """
        self._classifier = classifier
        counts = [Counter(word for line in own for word in line.split()) for own in lines.values()]
        totals = [max(1, sum(own.values())) for own in counts]
        every = sum(counts, Counter[str]())
        self._rarity = {word: float(np.log(sum(totals) / count)) / _RARITY for word, count in every.items()}
        self._rates = [
            {word: float(np.log((own[word] + 2) / total)) for word in every}
            for own, total in zip(counts, totals, strict=True)
        ]

    def word_price(self, word: str, own: int, other: int) -> float:
        """Price a word as content of a sentence of one class, seen from another; a word that bears style is cheap."""
        style = self._rates[own].get(word, 0.0) - self._rates[other].get(word, 0.0)
        free = 1.0 - (style - _LEAST_STYLE) / (_MOST_STYLE - _LEAST_STYLE)
        free = min(max(free, _LEAST_WORD_PRICE), 1.0)
        return free * min(max(self._rarity.get(word, _RARE), _COMMON), _RARE)

    def choose(
        self,
        sentences: Sequence[Sequence[str]],
        candidates: Sequence[Sequence[Sequence[str]]],
        models: Sequence[NgramLanguageModel],
        source: int,
        target: int,
    ) -> list[list[str] | None]:
        """Choose a rewrite for each of some sentences of one class.

        Args:
            sentences: The words of each sentence.
            candidates: The candidates of each, words each.
            models: Each class's language model; they have not seen the sentences.
            source: The index of the sentences' class.
            target: The index of the rewrites' class.

        Returns:
            The best candidate of each sentence; None where none is good enough.
        """
        flat = [list(words) for own in candidates for words in own]
        if not flat:
            return [None] * len(sentences)
        beliefs = self._classifier.probabilities([" ".join(words) for words in flat])[:, target]
        likely = models[target].score(flat).log_probability
        before = np.maximum(*(models[index].score(sentences).log_probability for index in (source, target)))
        chosen: list[list[str] | None] = []
        start = 0
        for words, own, base in zip(sentences, candidates, before, strict=True):
            best, best_score = None, -np.inf
            for place, rewrite in enumerate(own, start):
                lost_fluency = max(0.0, base - likely[place])
                if beliefs[place] < _LEAST_BELIEF or lost_fluency > _MOST_LOST_FLUENCY:
                    continue
                if _repetitions(rewrite) > _repetitions(words) or only_appends(" ".join(words), " ".join(rewrite)):
                    continue
                score = _STYLE * np.log(min(beliefs[place], _ENOUGH_BELIEF)) - _FLUENCY * lost_fluency
                score -= self._distance(words, rewrite, source, target)
                if score > best_score:
                    best, best_score = list(rewrite), score
            chosen.append(best)
            start += len(own)
        return chosen

    def _distance(self, words: Sequence[str], rewrite: Sequence[str], source: int, target: int) -> float:
        """Price what a rewrite lost of its sentence and what it added to it."""
        before, after = Counter(words), Counter(rewrite)
        lost = sum(count * self.word_price(word, source, target) for word, count in (before - after).items())
        added = sum(count * self.word_price(word, target, source) for word, count in (after - before).items())
        return _LOST * lost + _ADDED * added + _SHORTER * max(0, len(words) - len(rewrite))


def _repetitions(words: Sequence[str]) -> int:
    """Count the words that follow themselves: enthusiasm where somebody wrote it, stuttering where a model did."""
    return sum(first == second for first, second in pairwise(words))
