"""Span edits: what changes between a sentence and its rewrite, and how a decoder writes it (numpy, never torch)."""
