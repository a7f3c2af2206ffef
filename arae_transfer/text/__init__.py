"""Convert ordinary text to the form of a model's corpus, and back.

A corpus has its own way of writing: lower case, words split from punctuation, a placeholder for numbers. A person types
ordinary sentences and expects ordinary sentences. ``TextFormat`` says how a corpus is written and travels with the
model; ``Normalizer`` brings a typed line to that form and the model's answer back to the way in which it was typed.
"""

from __future__ import annotations

from arae_transfer.text.format import FormatChoice, TextFormat
from arae_transfer.text.normalizer import Normalizer
from arae_transfer.text.surface import SurfaceForm

__all__ = ["FormatChoice", "Normalizer", "SurfaceForm", "TextFormat"]
