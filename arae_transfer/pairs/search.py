"""The rewrite of one sentence that exchanges phrases: a monotone phrase-based translation with a beam.

A sentence is read from left to right; at each place a phrase is kept, or replaced by one that the phrase table offers.
What is sought is the sentence that the target class's language model likes, that it likes more than the source class's
does, and that took few and fitting replacements (a noisy channel; Koehn, Och & Marcu 2003 for the search).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from arae_transfer.language_model.incremental import IncrementalLanguageModels
from arae_transfer.language_model.ngram import END
from arae_transfer.pairs.phrase_table import LONGEST_PHRASE, Phrase, PhraseTable

_BEAM = 6
_OPTIONS = 14
# A hypothesis so many nats behind the best one at its place is given up, and so is a replacement of such a price.
_BEHIND = 8.0
_WORST_PRICE = -16.0
# What each replacement costs, and how far its fit counts, against nats of the target class's language model.
_REPLACEMENT_COST = 2.5
_FIT_WEIGHT = 2.0
# The weight of the target class's language model over the source class's: the first that brings the rewrite over to
# the target class is taken, so that a sentence is changed no more than it must.
_STYLE_WEIGHTS = (0.3, 0.6, 1.0)


@dataclass(frozen=True)
class Found:
    """The best rewrite of a sentence.

    Attributes:
        words: Its words; of kept ones the caller's own, so that words without an id survive.
        margin: The log-probability of the target class's language model, less that of the source class's.
        replacements: The number of exchanged phrases.
        style_weight: The weight of style that it took.
    """

    words: list[str]
    margin: float
    replacements: int
    style_weight: float


# The best way to one state at one place: what is maximised; the target class's log-probability less the source class's;
# the state and the place that it came from; what was put there instead of the words, None where they were kept.
# A plain tuple, because a search makes thousands of them per sentence.
_Hypothesis = tuple[float, float, int, int, Phrase | None]


class PhraseSearch:
    """Rewrites sentences of any class to any other by the classes' language models and phrase tables."""

    def __init__(
        self,
        models: IncrementalLanguageModels,
        tables: Mapping[tuple[int, int], PhraseTable],
        words: Sequence[str],
    ) -> None:
        """Prepare a search.

        Args:
            models: The classes' language models, in the order of the classes.
            tables: A phrase table for each pair of source and target class.
            words: The word of each id.
        """
        self._models = models
        self._words = words
        self._options = {
            pair: {
                phrase: [
                    (replacement.words, _FIT_WEIGHT * replacement.fit - _REPLACEMENT_COST)
                    for replacement in replacements[:_OPTIONS]
                    if _FIT_WEIGHT * replacement.fit - _REPLACEMENT_COST > _WORST_PRICE
                ]
                for phrase, replacements in table.items()
            }
            for pair, table in tables.items()
        }

    def rewrite(self, words: Sequence[str], ids: Sequence[int], source: int, target: int, margin: float) -> Found:
        """Rewrite a sentence with the least weight of style that reaches a margin, or with the greatest.

        Args:
            words: The words of the sentence.
            ids: Their ids.
            source: The index of its class.
            target: The index of the wanted class.
            margin: How much more likely, in nats, the target class's language model shall find the rewrite.
        """
        self._models.forget(only_when_full=True)
        for weight in _STYLE_WEIGHTS:
            found = self._search(words, ids, source, target, weight)
            if found.margin > margin:
                break
        return found

    def _search(self, words: Sequence[str], ids: Sequence[int], source: int, target: int, weight: float) -> Found:
        models, options = self._models, self._options[source, target]
        length = len(ids)
        stacks: list[dict[int, _Hypothesis]] = [{} for _ in range(length + 1)]
        stacks[0][models.begin] = (0.0, 0.0, -1, 0, None)
        step = models.step
        for place in range(length):
            ways: list[tuple[int, Phrase, float]] = [(1, (ids[place],), 0.0)]
            for taken in range(1, min(LONGEST_PHRASE, length - place) + 1):
                ways += [(taken, *option) for option in options.get(tuple(ids[place : place + taken]), ())]
            best = sorted(stacks[place].items(), key=lambda item: -item[1][0])[:_BEAM]
            for start, (score_before, margin_before, *_) in best:
                if score_before < best[0][1][0] - _BEHIND:
                    break
                for taken, phrase, price in ways:
                    state, score, margin = start, score_before + price, margin_before
                    for word in phrase:
                        probabilities, state = step(state, word)
                        wanted = probabilities[target]
                        difference = wanted - probabilities[source]
                        score += wanted + weight * difference
                        margin += difference
                    reached = stacks[place + taken]
                    known = reached.get(state)
                    if known is None or score > known[0]:
                        reached[state] = (score, margin, start, place, phrase if price else None)
        return self._best(stacks, words, source, target, weight)

    def _best(
        self, stacks: list[dict[int, _Hypothesis]], words: Sequence[str], source: int, target: int, weight: float
    ) -> Found:
        """End every hypothesis, and read the best one back."""
        best_score, best_margin, state = float("-inf"), 0.0, -1
        for number, hypothesis in stacks[-1].items():
            probabilities, _ = self._models.step(number, END)
            difference = probabilities[target] - probabilities[source]
            score = hypothesis[0] + probabilities[target] + weight * difference
            if score > best_score:
                best_score, best_margin, state = score, hypothesis[1] + difference, number
        place, parts, replacements = len(stacks) - 1, [], 0
        while place > 0:
            _, _, previous, start, replacement = stacks[place][state]
            if replacement is None:
                parts.append(list(words[start:place]))
            else:
                parts.append([self._words[word] for word in replacement])
                replacements += 1
            place, state = start, previous
        rewritten = [word for part in reversed(parts) for word in part]
        return Found(rewritten, best_margin, replacements, weight)
