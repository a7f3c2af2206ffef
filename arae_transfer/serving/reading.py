"""Read requests: bodies within limits, valid JSON, keys."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any, NoReturn

from starlette.requests import ClientDisconnect, Request

from arae_transfer.folders import nearest
from arae_transfer.serving.keys import Keys
from arae_transfer.serving.limits import Limits
from arae_transfer.serving.problems import CLIENT_GONE, Problem, over_limit

DRAINED = 8
"""Multiple of the maximum body size to read and discard, so that a client that is still sending sees the refusal."""

_JSON = {str: "a text", int: "a whole number", float: "a number", list: "a list", bool: "true or false"}


async def read_body(request: Request, limits: Limits) -> bytes:
    """Return the body of a request.

    Raises:
        Problem: It is too large, comes too slowly, or its sender has gone.
    """
    declared = request.headers.get("content-length", "")
    size = int(declared) if declared.isdecimal() else 0
    if size > limits.body_bytes and "expect" in request.headers:
        raise _too_large(size, limits)  # the client waits for a yes before it sends
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(limits.body_seconds):
            async for part in request.stream():
                size += len(part)
                if size <= limits.body_bytes:
                    parts.append(part)
                elif size > DRAINED * limits.body_bytes:
                    break
    except TimeoutError as error:
        raise Problem(
            408,
            "too-slow",
            f"the body did not arrive within {limits.body_seconds} s",
            "send it without pauses.",
            headers={"Connection": "close"},
        ) from error
    except ClientDisconnect as error:
        raise gone() from error
    if size > limits.body_bytes:
        raise _too_large(size, limits)
    return b"".join(parts)


def gone() -> Problem:
    """Return the exception for a closed connection."""
    return Problem(CLIENT_GONE, "gone", "the client has closed the connection")


def _too_large(size: int, limits: Limits) -> Problem:
    problem = over_limit(
        "body_bytes",
        size,
        limits.body_bytes,
        "bytes of body",
        "send the texts in several requests.",
        413,
    )
    problem.headers["Connection"] = "close"
    return problem


async def read_json(request: Request, limits: Limits) -> dict[str, Any]:
    """Return the JSON object in a request's body.

    Raises:
        Problem: It holds none.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json" and not kind.endswith("+json"):
        raise Problem(
            415,
            "not-json",
            f"the body is {kind or 'of no type'}; this route takes JSON",
            "send the header Content-Type: application/json.",
        )
    body = await read_body(request, limits)
    try:
        found = json.loads(body.decode("utf-8-sig"), parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        raise Problem(400, "bad-json", f"the body is not UTF-8, at byte {error.start}", "send UTF-8.") from error
    except (ValueError, RecursionError) as error:
        where = f": {error.msg}, at character {error.pos}" if isinstance(error, json.JSONDecodeError) else ""
        raise Problem(
            400, "bad-json", f"the body is not JSON{where}", 'send an object like {"text": "..."}.'
        ) from error
    if not isinstance(found, dict):
        raise Problem(422, "invalid", "the body is not a JSON object", 'send an object like {"text": "..."}.')
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def take_options(
    body: Mapping[str, Any], known: Mapping[str, tuple[type, ...]], besides: tuple[str, ...]
) -> dict[str, Any]:
    """Return the options in a request's object; null means absent.

    Args:
        body: The object.
        known: The types of each option.
        besides: What else the object may hold.

    Raises:
        Problem: A member is unknown or of a wrong type.
    """
    options = {}
    for name, value in body.items():
        if name in besides:
            continue
        if name not in known:
            likely = nearest(name, [*besides, *known])
            question = f'did you mean "{likely}"? ' if likely else ""
            raise Problem(
                422, "unknown-member", f"unknown member {name!r:.60}", f"{question}{_list([*besides, *known])}"
            )
        if value is None:
            continue
        if not isinstance(value, known[name]) or isinstance(value, bool):
            wanted = _JSON[known[name][-1]]
            raise Problem(422, "wrong-type", f'"{name}" is {_kind(value)}', f"give {wanted}.", member=name)
        options[name] = value
    return options


def take_texts(body: Mapping[str, Any], limits: Limits) -> list[str]:
    """Return the texts of a request: ``text`` is one or a list of them.

    Raises:
        Problem: There is none, it is something else, or beyond a limit.
    """
    if "text" not in body:
        raise Problem(422, "missing", '"text" is missing', 'give "text": "..." or a list of texts.')
    texts = body["text"] if isinstance(body["text"], list) else [body["text"]]
    if len(texts) > limits.texts:
        raise over_limit("texts", len(texts), limits.texts, "texts per request", "send several requests.")
    for place, text in enumerate(texts):
        if not isinstance(text, str):
            where = f" at index {place}" if isinstance(body["text"], list) else ""
            raise Problem(
                422, "wrong-type", f'"text" is {_kind(text)}{where}', "give a text or a list of texts.", member="text"
            )
        check_length(text, limits)
    return texts


def check_length(text: str, limits: Limits) -> None:
    """Raise an error for a text that is too long.

    Raises:
        Problem: It is.
    """
    if len(text) > limits.characters:
        raise over_limit(
            "characters", len(text), limits.characters, "characters per text", "split it into several texts."
        )


def check_lines(number: int, limits: Limits) -> None:
    """Raise an error for more lines than a request may have.

    Raises:
        Problem: There are more.
    """
    if number > limits.lines:
        raise over_limit("lines", number, limits.lines, "lines per request", "send several requests.")


def require_key(request: Request, keys: Keys | None, other: str | None = None) -> None:
    """Raise an error for a request without a key, if keys are required.

    Args:
        request: The request.
        keys: The keys, or None: none is asked for.
        other: A key that was not in the header.

    Raises:
        Problem: It shows no key, or an unknown one.
    """
    if keys is None:
        return
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    shown = key.strip() if scheme.lower() == "bearer" else other
    if not keys.admit(shown):
        detail = "this key is unknown" if shown else "this server requires a key"
        raise Problem(
            401,
            "no-key",
            detail,
            "send the header Authorization: Bearer KEY.",
            headers={"WWW-Authenticate": 'Bearer realm="arae"'},
        )


def _kind(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    return next((name for kind, name in _JSON.items() if isinstance(value, kind)), "an object")


def _list(names: list[str]) -> str:
    return f"known are {', '.join(names)}."
