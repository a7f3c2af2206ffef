"""Ordinary writing to the form of a model's corpus, and back.

A corpus has its own way of writing: lower case, words split from punctuation, a placeholder for numbers. A person types
ordinary sentences and expects ordinary sentences. ``Form`` says how a corpus is written and travels with the model;
``Writer`` brings a typed line to that form and the model's answer back to the way in which the line was typed.
"""

from __future__ import annotations

from arae_transfer.form.description import Form, FormChoice
from arae_transfer.form.writer import Memory, Writer

__all__ = ["Form", "FormChoice", "Memory", "Writer"]
