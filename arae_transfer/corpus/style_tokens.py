"""Count how strongly each token indicates each class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from arae_transfer.corpus.batches import TokenizedSentences

FloatArray = npt.NDArray[np.float64]

# A token this many times as frequent (in nats) in a class as elsewhere begins to count as style, and at the second
# figure counts fully: e^1.2 = 3 times and e^2.5 = 12 times.
WEAKEST_LOG_RATIO = 1.2
STRONGEST_LOG_RATIO = 2.5
SMOOTHING = 5.0


@dataclass(frozen=True)
class StyleTokens:
    """How strongly each token indicates each class.

    Attributes:
        strength: (classes, vocabulary) in [0, 1]; 0 for tokens that say nothing about the class.
        replacement: (classes, vocabulary) cumulative distribution of a class's style tokens by frequency and strength.
    """

    strength: FloatArray
    replacement: FloatArray

    @classmethod
    def count(cls, sentences: Sequence[TokenizedSentences], vocabulary_size: int) -> StyleTokens:
        """Compare each token's frequency in a class with its frequency in the other classes.

        Args:
            sentences: The training sentences of each class, in the order of the classes.
            vocabulary_size: The number of tokens.
        """
        counts = np.stack([corpus.token_counts(vocabulary_size) for corpus in sentences]).astype(
            np.float64
        )  # (classes, vocabulary)
        # Rates per class first, so that a large class does not outweigh a small one.
        rates = counts / counts.sum(1, keepdims=True)
        total = rates.sum(0)
        size = counts.sum(1, keepdims=True).mean()
        own = rates + SMOOTHING / size
        others = (total - rates) / (len(sentences) - 1) + SMOOTHING / size
        ratio = np.log(own / others)
        strength = np.clip((ratio - WEAKEST_LOG_RATIO) / (STRONGEST_LOG_RATIO - WEAKEST_LOG_RATIO), 0.0, 1.0)
        mass = rates * strength
        sums = mass.sum(1, keepdims=True)
        # A class without style tokens is replaced from its plain word distribution.
        mass = np.where(sums > 0, mass / np.where(sums > 0, sums, 1.0), rates)
        return cls(strength, np.cumsum(mass, axis=1))

    def draw(self, classes: npt.NDArray[np.int64], uniform: FloatArray) -> npt.NDArray[np.int64]:
        """Draw tokens that indicate given classes.

        Args:
            classes: (n,) class indices.
            uniform: (n,) uniform numbers in [0, 1).
        """
        drawn: npt.NDArray[np.int64] = np.empty(len(classes), dtype=np.int64)
        for index in np.unique(classes):
            chosen = classes == index
            cumulative = self.replacement[index]
            drawn[chosen] = np.searchsorted(cumulative, uniform[chosen] * cumulative[-1], side="right")
        # Rounding may carry a draw to the very end.
        np.minimum(drawn, self.replacement.shape[1] - 1, out=drawn)
        return drawn
