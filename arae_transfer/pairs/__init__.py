"""Pseudo-parallel pairs: a rewrite for each of many training sentences, found before there is a model to ask."""
