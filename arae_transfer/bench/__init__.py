"""Measurements of speed on the machine at hand, each beside what the machine can do at best."""
