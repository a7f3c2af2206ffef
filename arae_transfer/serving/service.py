"""State that the routes share: models, queue, limits, and waiting for answers."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request

from arae_transfer.errors import AraeError
from arae_transfer.folders import nearest
from arae_transfer.serving.batching import Batcher, Task, Ticket
from arae_transfer.serving.engine import Engine
from arae_transfer.serving.keys import Keys
from arae_transfer.serving.limits import Limits
from arae_transfer.serving.metrics import Metrics
from arae_transfer.serving.problems import Problem
from arae_transfer.serving.reading import check_lines, gone, require_key
from arae_transfer.serving.texts import outcome


@dataclass(frozen=True)
class Checking:
    """Settings of ``/v2/check``.

    Attributes:
        to: The target class; None: the model's last.
        confidence: How sure the classifier must be that a sentence has another.
        offers: The most rewrites of a sentence.
    """

    to: str | None = None
    confidence: float = 0.8
    offers: int = 3


class Service:
    """State of one server."""

    def __init__(
        self,
        engines: Sequence[Engine],
        limits: Limits,
        keys: Keys | None = None,
        checking: Checking | None = None,
    ) -> None:
        """Collect the models by name.

        Raises:
            AraeError: Two models have the same name, or the target class of ``/v2/check`` does not exist.
        """
        self.engines = {engine.name: engine for engine in engines}
        if len(self.engines) < len(engines):
            raise AraeError("two models have the same name", "export one of them with another name.")
        self.default = engines[0]
        self.limits = limits
        self.keys = keys
        self.checking = checking or Checking()
        self.metrics = Metrics()
        self.ready = False
        self.failure: Exception | None = None
        self._batcher: Batcher | None = None
        if self.checking.to is not None:
            self.default.check_task(self.checking.to, self.checking.confidence, self.checking.offers)

    @property
    def batcher(self) -> Batcher:
        """Queue of the event loop."""
        if self._batcher is None:
            self._batcher = Batcher(self.limits, self.metrics)
        return self._batcher

    def warm_up(self) -> None:
        """Warm up all models, in the batching thread."""
        for engine in self.engines.values():
            engine.warm_up()

    def warmed_up(self, failure: Exception | None) -> None:
        """Record that all models are ready, or the failure."""
        self.failure = failure
        if failure is None:
            self.ready = True
            for engine in self.engines.values():
                self.metrics.loaded(engine)

    def authorize(self, request: Request, other: str | None = None) -> None:
        """Raise an error for a request without a key, if keys are required."""
        require_key(request, self.keys, other)

    def engine(self, body: Mapping[str, Any]) -> Engine:
        """Return the model that a request names, by default the first one.

        Raises:
            Problem: It is not served.
        """
        name = body.get("model")
        if name is None:
            return self.default
        if not isinstance(name, str) or name not in self.engines:
            likely = nearest(str(name), self.engines)
            question = f"did you mean {likely}? " if likely else ""
            detail = f"the model {name!r:.60} is not on this server"
            raise Problem(422, "unknown-model", detail, f"{question}the models are: {', '.join(self.engines)}.")
        return self.engines[name]

    def submit(self, task: Task, lines: Sequence[Any], characters: Sequence[int]) -> Ticket:
        """Submit lines to the model.

        Raises:
            Problem: There are more than a request may have, no room for them, or the server is stopping.
        """
        check_lines(len(lines), self.limits)
        return self.batcher.submit(task, lines, characters)

    async def answers(self, request: Request, ticket: Ticket) -> list[Any]:
        """Wait for all answers of a request; drop waiting lines if the client disconnects.

        Raises:
            Problem: The client has gone, or the server was stopped.
            AraeError: The model cannot run, or cannot answer this.
        """
        async with aclosing(self.stream(request, ticket)) as answers:
            return [answer async for answer in answers]

    async def stream(self, request: Request, ticket: Ticket) -> AsyncGenerator[Any, None]:
        """Yield the answers of a request in order, when they are ready; see ``answers``."""
        hung_up = asyncio.ensure_future(_hung_up(request))
        hung_up.add_done_callback(lambda done: None if done.cancelled() else self.batcher.abandon(ticket))
        try:
            for answer in ticket.answers:
                yield await answer
        except asyncio.CancelledError:
            if hung_up.done() and not hung_up.cancelled():
                raise gone() from None
            raise
        finally:
            hung_up.cancel()
            self.batcher.abandon(ticket)

    def count(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Count lines by outcome."""
        self.metrics.lines(Counter(map(outcome, records)))


async def _hung_up(request: Request) -> None:
    """Wait until the client has disconnected."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
