"""Middleware around every request: count, time, log line, and an answer after any failure."""

from __future__ import annotations

import logging
import time
import traceback
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from arae_transfer.serving.metrics import Metrics
from arae_transfer.serving.problems import CLIENT_GONE, Problem, bug

LOG = logging.getLogger("arae.serve")
OTHER = "other"
ALWAYS = ("/health/", "/metrics")
"""Routes that answer under any load, so that probes do not fail."""

_HEADERS = ((b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer"))


class Observed:
    """Counts, times and logs requests by route, never by text, key or address."""

    def __init__(self, application: ASGIApp, metrics: Metrics, connections: int) -> None:
        """Wrap an application.

        Args:
            application: The application.
            metrics: Where requests are counted.
            connections: Requests that are answered at once; more are refused.
        """
        self._application = application
        self._metrics = metrics
        self._most = connections
        self._running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        started = time.perf_counter()
        status = 0

        async def tell(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), *_HEADERS]
                if status == CLIENT_GONE:
                    return
            elif status == CLIENT_GONE:
                return
            await send(message)

        self._running += 1
        try:
            if self._running > self._most and not scope["path"].startswith(ALWAYS):
                problem = Problem(
                    503,
                    "too-many-requests",
                    f"{self._most:,} requests are in progress",
                    "send the request again in a moment, or fewer at a time.",
                    headers={"Retry-After": "1"},
                )
                await problem.response()(scope, receive, tell)
            else:
                await self._application(scope, receive, tell)
        except Exception as error:  # a bug: the client is answered, the place is logged, and nothing of the text
            places = "".join(traceback.format_tb(error.__traceback__))
            LOG.error("%s in %s\n%s", type(error).__name__, _route(scope), places.rstrip())
            if not status:
                await bug().response()(scope, receive, tell)
        finally:
            self._running -= 1
            seconds = time.perf_counter() - started
            route = _route(scope)
            self._metrics.request(route, status or CLIENT_GONE, seconds)
            LOG.info("%s %d %.1f ms", route, status or CLIENT_GONE, 1e3 * seconds)


def _route(scope: Scope) -> str:
    """Return the declared method and route of a request."""
    route: Any = scope.get("route")
    path = getattr(route, "path", None) or scope.get("arae.route")
    if path is None:
        return OTHER
    method = scope["method"] if scope["method"] in ("GET", "POST", "HEAD", "OPTIONS") else OTHER
    return f"{method} {path}"
