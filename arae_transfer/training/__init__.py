"""Learning: losses, players, the loop and its checkpoints (torch)."""
