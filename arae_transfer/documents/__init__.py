"""Documents: rewrite the text, and keep every other byte of the structure."""
