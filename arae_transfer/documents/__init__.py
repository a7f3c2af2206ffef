"""Documents: text with structure. Only the text is rewritten; every other byte comes back as it was."""
