"""Regular expressions that every supported Python matches alike."""

from __future__ import annotations

import re
import tokenize
from pathlib import Path

import arae_transfer

# CPython 3.11.0 to 3.11.4 match possessive and atomic groups wrongly (python/cpython#106052).
POSSESSIVE_GROUP = re.compile(r"(?<!\\)\)(?:[*+?]|\{\d*,?\d*\})\+|\(\?>")


def test_no_group_is_possessive() -> None:
    found = []
    for path in sorted(Path(arae_transfer.__file__).parent.rglob("*.py")):
        with path.open("rb") as file:
            for token in tokenize.tokenize(file.readline):
                if token.type != tokenize.COMMENT and POSSESSIVE_GROUP.search(token.string):
                    found.append(f"{path.name}, line {token.start[0]}")
    assert found == []
