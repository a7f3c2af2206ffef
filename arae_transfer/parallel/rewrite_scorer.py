"""Score rewrites of a sentence by target style, fluency and closeness.

The three are weighted in nats. A gain in fluency over the sentence counts nothing: language models prefer frequent
phrases, and would turn every sentence into a frequent one.

A trained model adds its own scores: the probability of the rewrite, and the probability of the sentence given the
rewrite (a noisy channel). It was trained on all pairs, so rare changes are improbable under it, such as dropped words
or arbitrary praise.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from arae_transfer.language_model.ngram import NgramLanguageModel
from arae_transfer.parallel.linear_classifier import LinearClassifier
from arae_transfer.parallel.options import RewriteScores
from arae_transfer.runtime.reranking import only_appends

Floats = npt.NDArray[np.float64]

DEFAULTS = RewriteScores()


@dataclass(frozen=True)
class ScoredRewrite:
    """A rewrite with a sufficient score.

    Attributes:
        words: Its words.
        score: Its score in nats, comparable only with rewrites of the same sentence.
        likelihood: A trained model's log-probability of it, given the sentence, in nats; 0 without a model.
    """

    words: list[str]
    score: float
    likelihood: float = 0.0


class RewriteScorer:
    """Scores rewrites with statistics of the training text."""

    def __init__(
        self, lines: Mapping[str, Sequence[str]], classifier: LinearClassifier, options: RewriteScores = DEFAULTS
    ) -> None:
        """Count the words.

        Args:
            lines: The training lines of each class, words separated by spaces.
            classifier: A classifier of the same classes.
            options: The weights of the scores.
        """
        self.options = options
        self._classifier = classifier
        counts = [Counter(word for line in own for word in line.split()) for own in lines.values()]
        totals = [max(1, sum(own.values())) for own in counts]
        every = sum(counts, Counter[str]())
        self._rarity = {word: float(np.log(sum(totals) / count)) / options.rarity for word, count in every.items()}
        self._rates = [
            {word: float(np.log((own[word] + 2) / total)) for word in every}
            for own, total in zip(counts, totals, strict=True)
        ]

    def word_price(self, word: str, own: int, other: int) -> float:
        """Return the cost of a content word in a sentence of one class relative to another; style words cost less."""
        options = self.options
        style = self._rates[own].get(word, 0.0) - self._rates[other].get(word, 0.0)
        free = 1.0 - (style - options.style_from) / (options.style_to - options.style_from)
        free = min(max(free, options.minimum_price), 1.0)
        return free * min(max(self._rarity.get(word, options.rare_price), options.common_price), options.rare_price)

    def rate(
        self,
        sentences: Sequence[Sequence[str]],
        candidates: Sequence[Sequence[Sequence[str]]],
        models: Sequence[NgramLanguageModel],
        source: int,
        target: int,
    ) -> list[list[ScoredRewrite]]:
        """Score the candidates of some sentences of one class.

        Args:
            sentences: The words of each sentence.
            candidates: The candidates of each, words each.
            models: Each class's language model; they have not seen the sentences.
            source: The index of the sentences' class.
            target: The index of the rewrites' class.

        Returns:
            For each sentence the candidates that are good enough, the best first.
        """
        flat = [list(words) for own in candidates for words in own]
        if not flat:
            return [[] for _ in sentences]
        beliefs = self._classifier.probabilities([" ".join(words) for words in flat])[:, target]
        likely = models[target].score(flat).log_probability
        before = np.maximum(*(models[index].score(sentences).log_probability for index in (source, target)))
        rated: list[list[ScoredRewrite]] = []
        start, options = 0, self.options
        for words, own, base in zip(sentences, candidates, before, strict=True):
            good = []
            for place, rewrite in enumerate(own, start):
                lost_fluency = max(0.0, base - likely[place])
                if beliefs[place] < options.minimum_style or lost_fluency > options.maximum_lost_fluency:
                    continue
                if _repetitions(rewrite) > _repetitions(words) or only_appends(" ".join(words), " ".join(rewrite)):
                    continue
                score = (
                    options.style * np.log(min(beliefs[place], options.enough_style)) - options.fluency * lost_fluency
                )
                score -= self._distance(words, rewrite, source, target)
                good.append(ScoredRewrite(list(rewrite), float(score)))
            rated.append(sorted(good, key=lambda rewrite: -rewrite.score))
            start += len(own)
        return rated

    def prefer(
        self,
        words: Sequence[str],
        rated: Sequence[ScoredRewrite],
        forward: Sequence[float] | Floats,
        back: Sequence[float] | Floats,
        source: int,
        target: int,
    ) -> ScoredRewrite | None:
        """Choose among scored rewrites of a sentence with a trained model's scores.

        Args:
            words: The words of the sentence.
            rated: Its rewrites.
            forward: (rewrites,) the model's log-probability of each, given the sentence, in nats.
            back: (rewrites,) its log-probability of the sentence, given each.
            source: The index of the sentence's class.
            target: The index of the rewrites' class.

        Returns:
            The best one with its new score; None if the model can read none.
        """
        best, options = None, self.options
        for rewrite, there, home in zip(rated, forward, back, strict=True):
            if not np.isfinite(there):
                continue
            score = rewrite.score + options.forward * there + options.back * home
            score -= options.repeated * self._said_again(words, rewrite.words, source, target)
            if best is None or score > best.score:
                best = ScoredRewrite(rewrite.words, float(score), float(there))
        return best

    def _said_again(self, words: Sequence[str], rewrite: Sequence[str], source: int, target: int) -> int:
        """Count the words of the target style that a rewrite repeats and its sentence does not."""
        before = Counter(words)
        return sum(
            max(0, count - max(1, before[word]))
            for word, count in Counter(rewrite).items()
            if self._rates[target].get(word, 0.0) - self._rates[source].get(word, 0.0) > self.options.style_from
        )

    def _distance(self, words: Sequence[str], rewrite: Sequence[str], source: int, target: int) -> float:
        """Return the cost of content that a rewrite drops and adds."""
        before, after, options = Counter(words), Counter(rewrite), self.options
        lost = sum(count * self.word_price(word, source, target) for word, count in (before - after).items())
        added = sum(count * self.word_price(word, target, source) for word, count in (after - before).items())
        return options.lost * lost + options.added * added + options.shorter * max(0, len(words) - len(rewrite))


def _repetitions(words: Sequence[str]) -> int:
    """Count words that directly repeat the preceding word."""
    return sum(first == second for first, second in pairwise(words))
