"""Checksums of JSON descriptions, to detect changes that parsers accept."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from typing import Any

CHECKSUM = "checksum"
# Keys of a run's recipe that say how long it trains and how it is measured, not what its weights mean.
_FREE_SECTIONS = ("[validation]",)
_FREE_KEYS = {"": ("name", "description", "data_source"), "[training]": ("sentences",)}


def checksum_of(description: Mapping[str, Any]) -> str:
    """Return the CRC-32 of a description as JSON, without its own checksum."""
    own = {key: value for key, value in description.items() if key != CHECKSUM}
    return f"{zlib.crc32(json.dumps(own, sort_keys=True).encode()):08x}"


def recipe_checksum(text: str) -> str:
    """Return the CRC-32 of a run's recipe.

    Comments do not count, and neither do keys that somebody may change by hand without a change of what the weights
    mean: the length of the training, validation, name and description.
    """
    section = ""
    kept = []
    for line in text.split("\n"):
        stripped = line.strip()
        if stripped.startswith("["):
            section = stripped
        key = stripped.partition("=")[0].strip()
        if not stripped or stripped.startswith("#") or section in _FREE_SECTIONS or key in _FREE_KEYS.get(section, ()):
            continue
        kept.append(f"{section} {stripped}")
    return f"{zlib.crc32(chr(10).join(sorted(kept)).encode('utf-8', 'surrogatepass')):08x}"
