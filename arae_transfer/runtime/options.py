"""Options of rewriting that a command's help shows: names and weights.

This module needs the standard library alone, so that a command's help can say them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields

from arae_transfer.errors import AraeError

LONG = ("split", "keep", "truncate")
"""The values of ``--long``, for lines of several sentences, or longer than the model reads."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """The weights of the scores that rank hypotheses: the greatest weighted sum comes first.

    The default weights were chosen by measuring, see ``recipes/LOG.md``.

    Attributes:
        style: The weight of the natural logarithm of the style score, the probability of the target class.
        fluency: The weight of the mean log-probability of the hypothesis's tokens under the decoder of its class.
        content: The weight of the agreement with the source, see ``agreement``.
        language: The weight of what the hypothesis loses as text of its class, see ``language_model_drop``; nothing
            where the export has no language models.
        quality: The weight of the log-odds that a reader accepts the hypothesis, by the quality estimator; nothing
            where the export has none.
    """

    style: float = 1.0
    fluency: float = 0.25
    content: float = 1.5
    language: float = 0.2
    quality: float = 0.0

    @classmethod
    def of(cls, weights: Mapping[str, float]) -> Ranking:
        """Return the weights in a mapping; unknown names are ignored."""
        return cls(**{field.name: weights.get(field.name, 0.0) for field in fields(cls)})

    @classmethod
    def parse(cls, text: str) -> Ranking:
        """Parse ``style=1,fluency=0.5,content=2``; the weight of a missing name is 0.

        Raises:
            AraeError: A name is unknown or comes twice, a weight is not a finite number of 0 or more, or all are 0.
        """
        names = [field.name for field in fields(cls)]
        weights = dict.fromkeys(names, 0.0)
        for part in text.split(","):
            name, _, number = part.partition("=")
            try:
                weight = float(number)
            except ValueError:
                weight = math.nan
            if name.strip() not in names or not (0 <= weight < math.inf) or weights[name.strip()]:
                raise AraeError(
                    f"{part.strip()!r} does not say how to rank", f"write NAME=WEIGHT of {', '.join(names)}."
                )
            weights[name.strip()] = weight
        if not any(weights.values()):
            raise AraeError("candidates cannot be ranked by nothing", f"give a weight to one of {', '.join(names)}.")
        return cls(**weights)

    def __str__(self) -> str:
        named = {field.name: getattr(self, field.name) for field in fields(self)}
        return ",".join(f"{name}={weight:g}" for name, weight in named.items() if weight)

    def score(self, style: float, fluency: float, content: float, language: float, quality: float = 0.0) -> float:
        """Return the weighted sum of scores; ``style`` is a log-probability, ``quality`` are log-odds."""
        counted = self.style * style + self.fluency * fluency + self.content * content + self.language * language
        return counted + self.quality * quality
