"""Rewrite text from one style to another with adversarially regularized autoencoders."""

from __future__ import annotations


def __getattr__(name: str) -> str:
    """Look up the version only when it is asked for: reading package metadata costs start-up time."""
    if name == "__version__":
        from importlib.metadata import version

        return version("arae-transfer")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
