"""Descriptions of exports that a test has changed, as an export would have written them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from arae_transfer.checksums import CHECKSUM, checksum_of


def as_exported(config: Mapping[str, Any]) -> str:
    """Return the text of a ``config.json`` with the checksum that belongs to it."""
    return json.dumps({**config, CHECKSUM: checksum_of(config)})
