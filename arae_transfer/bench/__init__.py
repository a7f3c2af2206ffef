"""Benchmarks on this machine, beside its peak performance."""
