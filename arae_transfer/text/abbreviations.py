"""Words whose period does not end a sentence, for sentence splitting and tokenization."""

from __future__ import annotations

# They stand before a name or a number, so that a capital after them begins no sentence either.
TITLES = frozenset(("mr", "mrs", "ms", "dr", "prof", "st", "mt", "ft", "vs"))
OTHER_ABBREVIATIONS = frozenset(
    """approx ave blvd co corp dept est etc hwy inc jr lb ltd oz rd sr""".split()  # noqa: SIM905
)
ABBREVIATIONS = TITLES | OTHER_ABBREVIATIONS
