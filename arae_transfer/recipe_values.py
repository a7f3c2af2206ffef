"""The values of a recipe's keys: of the right type, and in range."""

from __future__ import annotations

import collections.abc
import dataclasses
import difflib
import json
import math
import types
import typing
from typing import Any, Literal

from arae_transfer.errors import AraeError


def check_value(value: object, hint: object, key: str, item: dataclasses.Field[Any], source: str) -> object:
    """Return the value of a key in the type that the key asks for.

    Args:
        value: What TOML or ``--set`` gives.
        hint: The type of the key.
        key: The key, with its section.
        item: The field of the key, with its documentation and its range.
        source: Where the value comes from, for the error.

    Raises:
        AraeError: It is of another type, or out of range.
    """
    documentation = item.metadata.get("help", "")
    origin = typing.get_origin(hint)
    if origin is Literal:
        return _check_choice(value, typing.get_args(hint), key, documentation, source)
    if origin is tuple:
        return _check_list(value, typing.get_args(hint)[0], key, documentation, source)
    if origin is collections.abc.Mapping:
        return _check_names(value, key, documentation, source)
    if isinstance(hint, types.UnionType):
        raise TypeError(f"{key}: union types are not supported in recipes")
    if hint is str and type(value) is int and key.endswith("_column"):
        value = str(value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value) if abs(value) < 2**1000 else math.inf
    if type(value) is not hint:
        kinds: dict[object, str] = {int: "a whole number", float: "a number", bool: "true or false", str: "a string"}
        raise AraeError(f"{source}: {key} = {value!r} must be {kinds[hint]}", documentation)
    if isinstance(value, int | float) and not isinstance(value, bool):
        _check_bounds(value, key, item, source)
    return value


def _check_names(value: object, key: str, documentation: str, source: str) -> dict[str, str]:
    """Return a mapping of names to names from a TOML table or a JSON object."""
    if isinstance(value, str):
        try:
            value = json.loads(value) if value.strip() else {}
        except ValueError as error:
            raise AraeError(f"{source}: {key} = {value!r} is not a JSON object: {error}", documentation) from error
    if not isinstance(value, dict) or not all(isinstance(name, str) for name in value.values()):
        raise AraeError(f"{source}: {key} = {value!r} must map labels to class names", documentation)
    return {str(label): name for label, name in value.items()}


def _check_choice(value: object, known: tuple[Any, ...], key: str, documentation: str, source: str) -> object:
    choices = [str(choice) for choice in known]
    if value in choices:
        return value
    close = difflib.get_close_matches(str(value), choices, n=1, cutoff=0.3)
    nearest = f"; the nearest is {close[0]!r}" if close else ""
    raise AraeError(
        f"{source}: {key} = {value!r} is none of {', '.join(map(repr, choices))}{nearest}",
        documentation,
    )


def _check_list(value: object, element: type, key: str, documentation: str, source: str) -> tuple[Any, ...]:
    if element is float and isinstance(value, list | tuple):
        value = [float(entry) if type(entry) is int else entry for entry in value]
    if not isinstance(value, list | tuple) or not all(type(entry) is element for entry in value):
        wanted = "strings" if element is str else "numbers"
        raise AraeError(f"{source}: {key} = {value!r} must be a list of {wanted}", documentation)
    least = 1 if element is int else 0
    if any(not isinstance(entry, str) and not least <= entry < math.inf for entry in value):
        raise AraeError(f"{source}: {key} = {value!r} must contain positive numbers", documentation)
    return tuple(value)


def _check_bounds(value: float, key: str, item: dataclasses.Field[Any], source: str) -> None:
    low, high = item.metadata.get("minimum", -math.inf), item.metadata.get("maximum", math.inf)
    if low <= value <= high and abs(value) != math.inf:  # which no nan is
        return
    bounds = f"at least {low:g}" if high == math.inf else f"between {low:g} and {high:g}"
    if abs(value) == math.inf:
        bounds = "finite"
    raise AraeError(f"{source}: {key} = {value!r} must be {bounds}", item.metadata.get("help", ""))
