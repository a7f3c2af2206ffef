"""Span edits: the differences between a sentence and its rewrite, and their decoding (numpy, never torch)."""
