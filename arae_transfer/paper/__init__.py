"""Experiments of the paper: its tables, its diagnosis of codes, and its model of images."""
