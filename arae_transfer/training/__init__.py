"""Training with PyTorch: losses, networks, the loop and its checkpoints."""
