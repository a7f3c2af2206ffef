"""Score several n-gram language models word by word, for a left-to-right search."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Sequence

import numpy as np

from arae_transfer.language_model.ngram import BEGIN, NgramLanguageModel

# Of the steps that were taken, about 150 bytes each; beyond this many, all are forgotten.
_MAXIMUM_REMEMBERED = 2_000_000

# The n-grams that the words read so far end with, from the shortest on: each one's number and backoff.
_Suffixes = tuple[tuple[int, float], ...]


class _Model:
    """One language model as plain arrays, which Python searches faster than numpy arrays for single keys."""

    def __init__(self, model: NgramLanguageModel, order: int) -> None:
        self.order = min(order, model.order)
        self.size = model.id_count
        # A begin is never predicted, and nothing has no probability: the floor is never seen in a score.
        with np.errstate(divide="ignore"):
            tables = [
                (orders.keys, np.maximum(np.log(orders.probability), -100.0), np.log(orders.backoff))
                for orders in model.orders[: self.order]
            ]
        self.keys = [array("q", keys.astype(np.int64).tobytes()) for keys, _, _ in tables]
        self.probability = [array("d", values.tobytes()) for _, values, _ in tables]
        self.backoff = [array("d", values.tobytes()) for _, _, values in tables]

    def step(self, suffixes: _Suffixes, word: int) -> tuple[float, _Suffixes]:
        """Return the log-probability of a word and the suffixes after it."""
        probability = self.probability[0][word]
        after = [(word, self.backoff[0][word])]
        for order, ((number, backoff), keys) in enumerate(zip(suffixes, self.keys[1:], strict=False), start=1):
            key = number * self.size + word
            place = bisect_left(keys, key)
            if place < len(keys) and keys[place] == key:
                probability = self.probability[order][place]
                if order + 1 < self.order:
                    after.append((place, self.backoff[order][place]))
            else:
                probability += backoff
        return probability, tuple(after)


class IncrementalLanguageModels:
    """Language models of one vocabulary that read the same words.

    A state is a number. Steps are cached, because a search repeats them.
    """

    def __init__(self, models: Sequence[NgramLanguageModel], order: int) -> None:
        """Prepare models for incremental scoring.

        Args:
            models: Models with the same words in the same order.
            order: The maximum length of the n-grams that are used.
        """
        self._models = [_Model(model, order) for model in models]
        self._size = models[0].id_count
        self._steps: dict[int, tuple[tuple[float, ...], int]] = {}
        self._states: list[tuple[_Suffixes, ...]] = []
        self._numbers: dict[tuple[_Suffixes, ...], int] = {}
        self.begin = 0
        self.forget()

    def forget(self, *, only_when_full: bool = False) -> None:
        """Clear all states and cached steps except the beginning, between sentences."""
        if only_when_full and len(self._steps) < _MAXIMUM_REMEMBERED:
            return
        self._steps.clear()
        self._states.clear()
        self._numbers.clear()
        self.begin = self._number(tuple(((BEGIN, model.backoff[0][BEGIN]),) for model in self._models))

    def step(self, state: int, word: int) -> tuple[tuple[float, ...], int]:
        """Return each model's log-probability of a word id after a state, and the state after it."""
        key = state * self._size + word
        known = self._steps.get(key)
        if known is None:
            read = [
                model.step(suffixes, word) for model, suffixes in zip(self._models, self._states[state], strict=True)
            ]
            known = tuple(p for p, _ in read), self._number(tuple(suffixes for _, suffixes in read))
            self._steps[key] = known
        return known

    def _number(self, state: tuple[_Suffixes, ...]) -> int:
        number = self._numbers.setdefault(state, len(self._states))
        if number == len(self._states):
            self._states.append(state)
        return number
