"""The networks in PyTorch: encoder, one decoder per class, generator, critic and attribute classifier."""
