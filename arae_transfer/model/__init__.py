"""The five networks: encoder, one decoder per class, generator, critic and attribute classifier (torch)."""
