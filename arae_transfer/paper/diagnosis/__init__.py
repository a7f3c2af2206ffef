"""Looking into the code space of a run: what the paper's first experiment looks at, and a little more (torch)."""
