"""Errors in the format of RFC 9457, with remedies."""

from __future__ import annotations

import http
import re
from collections.abc import Mapping
from typing import Any

from starlette.responses import JSONResponse

from arae_transfer.errors import AraeError

MEDIA_TYPE = "application/problem+json"
CLIENT_GONE = 499
"""Status for counting requests whose client has disconnected; it is never sent."""

_OPTION = re.compile(r"--([a-z][a-z-]*)")


class Problem(Exception):
    """A refusal or a failure, as the client receives it.

    Attributes:
        status: The HTTP status.
        kind: What kind of problem it is, for programs: the end of the ``type``.
        detail: What is wrong, in one line.
        remedy: What to do, in one line.
        extra: Further members, such as the limit that was met.
        headers: Headers that go with it.
    """

    def __init__(
        self,
        status: int,
        kind: str,
        detail: str,
        remedy: str | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        **extra: Any,  # noqa: ANN401 -- members of a JSON object
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.detail = detail
        self.remedy = remedy
        self.extra = extra
        self.headers = dict(headers or {})

    @classmethod
    def of(cls, error: AraeError, status: int = 422, kind: str = "invalid") -> Problem:
        """Return the problem for an error that the user can fix."""
        message, hint = (text and _OPTION.sub(_member, text) for text in (error.message, error.hint))
        return cls(status, kind, message or "", hint)

    def members(self) -> dict[str, Any]:
        """Return the members of its JSON object."""
        members: dict[str, Any] = {
            "type": f"urn:arae:problem:{self.kind}",
            "title": "Client Closed Request" if self.status == CLIENT_GONE else http.HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
        }
        if self.remedy is not None:
            members["remedy"] = self.remedy
        return members | self.extra

    def response(self) -> JSONResponse:
        """Return the problem as a response."""
        return JSONResponse(self.members(), self.status, self.headers, MEDIA_TYPE)


def _member(option: re.Match[str]) -> str:
    """Return the JSON name of a command's option."""
    return f'"{option[1].replace("-", "_")}"'


def over_limit(name: str, value: int, limit: int, what: str, remedy: str, status: int = 422) -> Problem:
    """Return the problem for a request over a limit.

    Args:
        name: The limit, as ``Limits`` names it.
        value: What was given.
        limit: The most that is allowed.
        what: What there is too much of, for a sentence that begins with its number.
        remedy: What to do.
        status: The HTTP status.
    """
    detail = f"{value:,} {what}; the limit is {limit:,}"
    return Problem(status, "over-limit", detail, remedy, limit={"name": name, "most": limit, "given": value})


def bug() -> Problem:
    """Return the problem for an internal failure."""
    return Problem(500, "bug", "internal error", "see the server's log, and report the error.")


def draining() -> Problem:
    """Return the problem for new work on a stopping server."""
    return Problem(
        503,
        "draining",
        "this server is stopping",
        "send the request again, to another server or in a moment.",
        headers={"Retry-After": "5", "Connection": "close"},
    )


def starting() -> Problem:
    """Return the problem for a server that is not ready yet."""
    return Problem(503, "starting", "the model is being loaded", "ask again in a moment.", headers={"Retry-After": "1"})


def overloaded(seconds: int, waiting: int, most: int) -> Problem:
    """Return the problem for a full queue.

    Args:
        seconds: When there will be room, as far as can be said.
        waiting: The lines that wait.
        most: The lines that may wait.
    """
    return Problem(
        429,
        "overloaded",
        f"{waiting:,} lines are waiting; the limit is {most:,}",
        f"send the request again in {seconds} s, or fewer requests at a time.",
        headers={"Retry-After": str(seconds)},
        retry_after=seconds,
    )


def unfinished() -> Problem:
    """Return the problem for accepted work that did not end within the grace period."""
    return Problem(503, "stopped", "this server stopped before it answered", "send the request again.")
