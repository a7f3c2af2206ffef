"""Measuring how fast the product is, beside what the machine itself can do."""
