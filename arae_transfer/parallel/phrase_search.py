"""Rewrite a sentence by exchanging phrases: a monotone phrase-based translation with a beam.

A sentence is read from left to right; at each position a phrase is kept, or replaced by one of the phrase table. The
best sentence is probable under the target class's language model, more probable than under the source class's, and
results from few and fitting replacements (a noisy channel; Koehn, Och & Marcu 2003 for the search).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from arae_transfer.language_model.incremental import IncrementalLanguageModels
from arae_transfer.language_model.ngram import END
from arae_transfer.parallel.options import PhraseSearch
from arae_transfer.parallel.phrase_table import Phrase, Replacements

DEFAULTS = PhraseSearch()

# The best way to one state at one place: what is maximised; the state and the place that it came from; what was put
# there instead of the words, None where they were kept.
# A plain tuple, because a search makes thousands of them per sentence.
_Hypothesis = tuple[float, int, int, Phrase | None]


class PhraseSearcher:
    """Rewrites sentences from any class to any other with language models and phrase tables."""

    def __init__(
        self,
        models: IncrementalLanguageModels,
        tables: Mapping[tuple[int, int], Replacements],
        words: Sequence[str],
        options: PhraseSearch = DEFAULTS,
    ) -> None:
        """Prepare a search.

        Args:
            models: The classes' language models, in the order of the classes.
            tables: A phrase table for each pair of source and target class.
            words: The word of each id.
            options: The width of the search, and the cost of replacements.
        """
        self._models = models
        self._words = words
        self._search_options = options
        self._longest = max((len(phrase) for table in tables.values() for phrase in table), default=0)
        self._options = {
            pair: {
                phrase: [
                    (replacement.words, options.fit_weight * replacement.fit - options.replacement_cost)
                    for replacement in replacements[: options.options]
                    if options.fit_weight * replacement.fit - options.replacement_cost > -options.maximum_cost
                ]
                for phrase, replacements in table.items()
            }
            for pair, table in tables.items()
        }

    def candidates(self, words: Sequence[str], ids: Sequence[int], source: int, target: int) -> list[list[str]]:
        """Return rewrites of a sentence, from the most conservative to the boldest.

        Args:
            words: The words of the sentence; kept words without an id stay.
            ids: Their ids.
            source: The index of its class.
            target: The index of the target class.

        Returns:
            Different sentences, each a list of words; the sentence itself and the empty one are not among them.
        """
        self._models.forget(only_when_full=True)
        found: dict[tuple[str, ...], None] = {}
        for weight in self._search_options.style_weights:
            found |= dict.fromkeys(self._search(words, ids, source, target, weight))
        return [list(rewrite) for rewrite in found if rewrite and rewrite != tuple(words)]

    def _search(
        self, words: Sequence[str], ids: Sequence[int], source: int, target: int, weight: float
    ) -> list[tuple[str, ...]]:
        models, options = self._models, self._options[source, target]
        length = len(ids)
        stacks: list[dict[int, _Hypothesis]] = [{} for _ in range(length + 1)]
        stacks[0][models.begin] = (0.0, -1, 0, None)
        step = models.step
        for place in range(length):
            ways: list[tuple[int, Phrase, float]] = [(1, (ids[place],), 0.0)]
            for taken in range(1, min(self._longest, length - place) + 1):
                ways += [(taken, *option) for option in options.get(tuple(ids[place : place + taken]), ())]
            best = sorted(stacks[place].items(), key=lambda item: -item[1][0])[: self._search_options.beam]
            for start, (score_before, *_) in best:
                if score_before < best[0][1][0] - self._search_options.threshold:
                    break
                for taken, phrase, price in ways:
                    state, score = start, score_before + price
                    for word in phrase:
                        probabilities, state = step(state, word)
                        wanted = probabilities[target]
                        score += wanted + weight * (wanted - probabilities[source])
                    reached = stacks[place + taken]
                    known = reached.get(state)
                    if known is None or score > known[0]:
                        reached[state] = (score, start, place, phrase if price else None)
        return self._best(stacks, words, source, target, weight)

    def _best(
        self, stacks: list[dict[int, _Hypothesis]], words: Sequence[str], source: int, target: int, weight: float
    ) -> list[tuple[str, ...]]:
        """Complete all hypotheses, and return the best ones."""
        ended = []
        for state, hypothesis in stacks[-1].items():
            probabilities, _ = self._models.step(state, END)
            wanted = probabilities[target]
            ended.append((hypothesis[0] + wanted + weight * (wanted - probabilities[source]), state))
        ended.sort(reverse=True)
        rewrites = []
        for _, last in ended[: self._search_options.candidates]:
            place, state, parts = len(words), last, []
            while place > 0:
                _, previous, start, replacement = stacks[place][state]
                kept = words[start:place]
                parts.append(kept if replacement is None else [self._words[word] for word in replacement])
                place, state = start, previous
            rewrites.append(tuple(word for part in reversed(parts) for word in part))
        return rewrites
