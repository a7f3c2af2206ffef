"""The HTTP application: routes and middleware."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from functools import partial
from importlib.resources import files
from typing import cast

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from arae_transfer import __version__
from arae_transfer.serving import api, languagetool
from arae_transfer.serving.api import json_response, service_of
from arae_transfer.serving.middleware import Observed
from arae_transfer.serving.problems import Problem, bug, draining, starting
from arae_transfer.serving.service import Service

Handler = Callable[[Request], Awaitable[Response]]
Stop = Callable[[], None]

_PREFLIGHT_SECONDS = 3600


async def live(request: Request) -> Response:
    """Answer ``GET /health/live``: the process works."""
    return json_response({"status": "live"})


async def ready(request: Request) -> Response:
    """Answer ``GET /health/ready``: a first line was rewritten, and the server is not stopping."""
    service = service_of(request)
    if service.batcher.draining:
        raise draining()
    if not service.ready:
        raise starting()
    return json_response({"status": "ready"})


async def info(request: Request) -> Response:
    """Answer ``GET /info``: the version, the models and the limits."""
    service = service_of(request)
    service.authorize(request)
    return json_response(
        {
            "name": "arae",
            "version": __version__,
            "models": [engine.description() for engine in service.engines.values()],
            "limits": asdict(service.limits),
            "keys": service.keys is not None,
        }
    )


async def metrics(request: Request) -> Response:
    """Answer ``GET /metrics`` for Prometheus."""
    service = service_of(request)
    service.authorize(request)
    batcher = service.batcher
    content = service.metrics.exposition(batcher.waiting, ready=service.ready and not batcher.draining)
    return Response(content, headers={"Content-Type": service.metrics.content_type})


def _read(name: str) -> bytes:
    return files("arae_transfer.serving").joinpath(name).read_bytes()


def page_policy(page: str) -> str:
    """Return the content security policy of a page: its own script and style by their hashes, no other host."""

    def hashes(tag: str) -> str:
        texts = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digests = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in texts)
        return " ".join(f"'sha256-{digest}'" for digest in digests)

    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {hashes('script')}",
            f"style-src {hashes('style')}",
            "connect-src 'self'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )


def _static(content: bytes, headers: dict[str, str], request: Request) -> Response:
    return Response(content, headers=headers)


def routes() -> list[Route]:
    """Return all routes."""
    page = _read("playground.html")
    policy = {"Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": page_policy(page.decode())}
    kind = {"Content-Type": "application/json"}
    handlers: list[tuple[str, str, Handler | partial[Response]]] = [
        ("GET", "/", partial(_static, page, policy | {"Cache-Control": "no-cache"})),
        ("GET", "/openapi.json", partial(_static, _read("openapi.json"), kind)),
        ("GET", "/info", info),
        ("GET", "/health/live", live),
        ("GET", "/health/ready", ready),
        ("GET", "/metrics", metrics),
        ("GET", "/v1/models", api.models),
        ("POST", "/v1/rewrite", api.rewrite),
        ("POST", "/v1/classify", api.classify),
        ("POST", "/v1/interpolate", api.interpolate),
        ("POST", "/v2/check", languagetool.check),
        ("GET", "/v2/languages", languagetool.languages),
        ("POST", "/to/{to}/v2/check", languagetool.check),
        ("GET", "/to/{to}/v2/languages", languagetool.languages),
    ]
    return [Route(path, _named(path, handler), methods=[method]) for method, path, handler in handlers]


def _named(path: str, handler: Handler | partial[Response]) -> Handler:
    """Return a handler that records its route for the metrics."""

    async def answer(request: Request) -> Response:
        request.scope["arae.route"] = path
        answered = handler(request)
        return answered if isinstance(answered, Response) else await answered

    return answer


async def _on_problem(request: Request, error: Exception) -> Response:
    return cast(Problem, error).response()


async def _on_bug(request: Request, error: Exception) -> Response:
    return bug().response()


async def _on_http_error(request: Request, error: Exception) -> Response:
    error = cast(HTTPException, error)
    here = request.url.path
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "")
        problem = Problem(405, "wrong-method", f"this route does not answer {request.method}", f"use {allowed}.")
    elif error.status_code == 404:
        problem = Problem(404, "no-route", f"there is nothing at {here:.80}", "/openapi.json lists the routes.")
    else:
        problem = Problem(error.status_code, "http", error.detail)
    problem.headers |= error.headers or {}
    return problem.response()


def build(service: Service, origins: Sequence[str] = (), stop: Stop | None = None) -> Observed:
    """Build the application.

    Args:
        service: The server's state.
        origins: The web pages that may call it from browsers; no others may.
        stop: What to call where the models cannot be made ready.
    """

    def warmed_up(failure: Exception | None) -> None:
        service.warmed_up(failure)
        if failure is not None and stop is not None:
            stop()

    @asynccontextmanager
    async def lifespan(application: Starlette) -> AsyncIterator[None]:
        service.batcher.start(service.warm_up, warmed_up)
        yield
        service.batcher.abort()

    middleware = []
    if origins:
        middleware.append(
            Middleware(
                CORSMiddleware,
                allow_origins=list(origins),
                allow_methods=["GET", "POST"],
                allow_headers=["Authorization", "Content-Type", "Accept"],
                expose_headers=["Retry-After"],
                max_age=_PREFLIGHT_SECONDS,
            )
        )
    application = Starlette(
        routes=routes(),
        middleware=middleware,
        exception_handlers={Problem: _on_problem, HTTPException: _on_http_error, Exception: _on_bug},
        lifespan=lifespan,
    )
    application.state.service = service
    return Observed(application, service.metrics, service.limits.connections)
