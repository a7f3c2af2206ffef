"""Routes under ``/v1``: rewrite, classify and interpolate."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from arae_transfer.errors import AraeError
from arae_transfer.serving.batching import Ticket
from arae_transfer.serving.engine import sentences_of
from arae_transfer.serving.limits import Limits
from arae_transfer.serving.options import CLASSIFY_OPTIONS, INTERPOLATE_OPTIONS, REWRITE_OPTIONS
from arae_transfer.serving.problems import Problem, over_limit
from arae_transfer.serving.reading import check_length, read_json, take_options, take_texts
from arae_transfer.serving.service import Service
from arae_transfer.serving.texts import Unit, joined, lines_of, repair

NDJSON = "application/x-ndjson"
FEWEST_STEPS = 2


def service_of(request: Request) -> Service:
    """Return the server's state."""
    service: Service = request.app.state.service
    return service


def json_response(content: object, status: int = 200) -> Response:
    """Return JSON as a response."""
    body = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
    return Response(body, status, {"Cache-Control": "no-store"}, "application/json")


async def rewrite(request: Request) -> Response:
    """Answer ``POST /v1/rewrite``."""
    service = service_of(request)
    service.authorize(request)
    body = await read_json(request, service.limits)
    options = take_options(body, REWRITE_OPTIONS, ("text", "model"))
    _check_candidates(options, service.limits)
    given = [repair(text) for text in take_texts(body, service.limits)]
    engine = service.engine(body)
    try:
        task = engine.rewrite_task(options)
    except AraeError as error:
        raise Problem.of(error) from error
    streamed = NDJSON in request.headers.get("accept", "")
    cut = sentences_of if streamed and task.long == "split" else lines_of
    units = [cut(text) for text, _ in given]
    lines = [unit.text for each in units for unit in each]
    ticket = service.submit(task, lines, [len(line) for line in lines])
    repaired = [number for _, number in given]
    if streamed:
        answers = _ndjson(service, request, ticket, units, repaired)
        return StreamingResponse(
            answers, headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"}, media_type=NDJSON
        )
    records = await _answers(service, request, ticket)
    service.count(records)
    results = []
    for each, number in zip(units, repaired, strict=True):
        own, records = records[: len(each)], records[len(each) :]
        results.append(joined(each, own) | {"repaired": number})
    return json_response({"model": engine.name, "results": results})


async def classify(request: Request) -> Response:
    """Answer ``POST /v1/classify``."""
    service = service_of(request)
    service.authorize(request)
    body = await read_json(request, service.limits)
    options = take_options(body, CLASSIFY_OPTIONS, ("text", "model"))
    given = [repair(text) for text in take_texts(body, service.limits)]
    engine = service.engine(body)
    try:
        task = engine.classify_task(options)
    except AraeError as error:
        raise Problem.of(error) from error
    texts = [text for text, _ in given]
    records = await _answers(service, request, service.submit(task, texts, [len(text) for text in texts]))
    results = [record | {"repaired": number} for record, (_, number) in zip(records, given, strict=True)]
    return json_response({"model": engine.name, "results": results})


async def interpolate(request: Request) -> Response:
    """Answer ``POST /v1/interpolate``."""
    service = service_of(request)
    service.authorize(request)
    limits = service.limits
    body = await read_json(request, limits)
    options = take_options(body, INTERPOLATE_OPTIONS, ("first", "second", "model"))
    ends = []
    for name in ("first", "second"):
        text = body.get(name)
        if not isinstance(text, str) or not text.strip():
            raise Problem(422, "missing", f'"{name}" is not a sentence', f'give "{name}": "...".', member=name)
        check_length(text, limits)
        ends.append(repair(text)[0])
    steps = options.get("steps", 7)
    if steps < FEWEST_STEPS:
        raise Problem(
            422,
            "invalid",
            f"{steps} sentences are too few for an interpolation",
            f'give "steps": {FEWEST_STEPS} or more.',
        )
    if steps > limits.steps:
        raise over_limit("steps", steps, limits.steps, "steps", 'give fewer "steps".')
    engine = service.engine(body)
    try:
        task = engine.interpolate_task(options)
    except AraeError as error:
        raise Problem.of(error) from error
    ticket = service.submit(task, [tuple(ends)], [sum(map(len, ends))])
    (way,) = await _answers(service, request, ticket, refuses=True)
    return json_response({"model": engine.name, "results": way})


async def models(request: Request) -> Response:
    """Answer ``GET /v1/models``."""
    service = service_of(request)
    service.authorize(request)
    return json_response({"models": [engine.description() for engine in service.engines.values()]})


async def _answers(service: Service, request: Request, ticket: Ticket, *, refuses: bool = False) -> list[Any]:
    """Return the answers of a request.

    Args:
        service: The server.
        request: The request.
        ticket: Its lines.
        refuses: Whether an ``AraeError`` is about what was sent; otherwise it is about the model.

    Raises:
        Problem: There are none.
    """
    try:
        return await service.answers(request, ticket)
    except AraeError as error:
        raise Problem.of(error, *((422, "invalid") if refuses else (500, "model"))) from error


async def _ndjson(
    service: Service, request: Request, ticket: Ticket, units: Sequence[Sequence[Unit]], repaired: Sequence[int]
) -> AsyncIterator[bytes]:
    """Yield a line for each part of each text when it is ready, and a final status line."""
    places = [(number, unit.after) for number, each in enumerate(units) for unit in each]
    done = 0
    try:
        async with aclosing(service.stream(request, ticket)) as answers:
            async for record in answers:
                number, after = places[done]
                done += 1
                service.count([record])
                yield _line(record | {"index": number, "after": after})
    except Problem as problem:
        yield _line({"error": problem.members()})
    except AraeError as error:
        yield _line({"error": Problem.of(error, 500, "model").members()})
    else:
        yield _line({"done": {"texts": len(units), "parts": done, "repaired": sum(repaired)}})


def _line(content: object) -> bytes:
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    # JSON allows these inside a string, but programs that read lines break them there.
    return text.replace("\x85", "\\u0085").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029").encode() + b"\n"


def _check_candidates(options: dict[str, Any], limits: Limits) -> None:
    for name in ("beam", "sample", "n_best"):
        if options.get(name, 0) > limits.candidates:
            what = f'candidates per line ("{name}")'
            raise over_limit("candidates", options[name], limits.candidates, what, f'give a smaller "{name}".')
