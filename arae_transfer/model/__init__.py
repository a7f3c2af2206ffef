"""The five players: encoder, one decoder per class, generator, critic and attribute classifier (torch)."""
