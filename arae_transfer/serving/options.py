"""Options of requests: names, types and dependencies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from arae_transfer.errors import AraeError
from arae_transfer.folders import nearest

# Of POST /v1/rewrite, with the type that JSON gives them; `arae transfer` has the same ones.
REWRITE_OPTIONS: dict[str, tuple[type, ...]] = {
    "to": (str,),
    "from": (str,),
    "beam": (int,),
    "sample": (int,),
    "temperature": (int, float),
    "seed": (int,),
    "n_best": (int,),
    "rerank": (str,),
    "min_confidence": (int, float),
    "if_already": (str,),
    "if_unchanged": (str,),
    "copy_above": (int, float),
    "form": (str,),
    "long": (str,),
}
# What DecodingOptions calls them, where it has another name for them.
NAMES = {"from": "source"}
NOT_IN_CHOICE = ("to", "form", "long", "rerank")
CANDIDATES = ("beam", "sample", "n_best")
_NEEDS = {"temperature": ("sample",), "seed": ("sample",), "if_already": ("from",), "rerank": CANDIDATES}
CLASSIFY_OPTIONS: dict[str, tuple[type, ...]] = {"form": (str,)}
INTERPOLATE_OPTIONS: dict[str, tuple[type, ...]] = {"to": (str,), "steps": (int,), "path": (str,), "form": (str,)}


def check_together(options: Mapping[str, Any]) -> None:
    """Raise an error for options that need another one.

    Raises:
        AraeError: There is such an option.
    """
    for name, needed in _NEEDS.items():
        if name in options and not any(options.get(each) for each in needed):
            raise AraeError(f'"{name}" needs "{needed[0]}"', f'give "{needed[0]}", or omit "{name}".')


def one_of(name: str, value: object, known: Sequence[str]) -> None:
    """Raise an error for an unknown value.

    Raises:
        AraeError: It is not.
    """
    if value not in known:
        likely = nearest(str(value), known)
        question = f"did you mean {likely}? " if likely else ""
        raise AraeError(f'unknown "{name}": {value!r}', f"{question}use {', '.join(known)}.")
