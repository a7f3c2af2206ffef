"""Learning: losses, networks, the loop and its checkpoints (torch)."""
