"""Labelled text: reading the user's files, and a small synthetic corpus."""
