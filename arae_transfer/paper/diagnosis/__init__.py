"""Analysis of a run's code space: the paper's first experiment, extended (torch)."""
