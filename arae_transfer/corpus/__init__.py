"""Labelled text: reading what the user has, and a small corpus that the project makes itself."""
