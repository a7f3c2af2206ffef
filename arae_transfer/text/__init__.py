"""Convert ordinary text to the text format of a model's corpus, and back.

A corpus may be in lower case, with words split from punctuation and a placeholder for numbers. A user types ordinary
sentences and expects ordinary sentences. ``TextFormat`` describes the format of a corpus and is stored with the model;
``Normalizer`` converts a typed line to that format, and restores the model's answer to the typed form.
"""

from __future__ import annotations

from arae_transfer.text.format import FormatChoice, TextFormat
from arae_transfer.text.normalizer import Normalizer
from arae_transfer.text.surface import SurfaceForm

__all__ = ["FormatChoice", "Normalizer", "SurfaceForm", "TextFormat"]
