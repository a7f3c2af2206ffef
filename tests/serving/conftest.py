"""Real servers on free ports of this machine, each in a thread, and a client that speaks plain HTTP."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from arae_transfer.serving.engine import Engine
from arae_transfer.serving.keys import Keys
from arae_transfer.serving.limits import Limits
from arae_transfer.serving.server import Server, listen
from arae_transfer.serving.service import Checking, Service

SHIPPED = Path(__file__).resolve().parents[2] / "exported" / "yelp-sentiment"
SECONDS = 60


@dataclass(frozen=True)
class Answer:
    """A response: its status, its headers by their names in lower case, and its body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.body.decode().splitlines()]


@dataclass(frozen=True)
class Client:
    """Asks one server."""

    port: int
    service: Service

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        """Send a request; an underscore in the name of a header is a hyphen."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, named)
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, found, response.read())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, None, **headers)

    def post(self, path: str, content: Any, **headers: str) -> Answer:
        return self.ask("POST", path, json.dumps(content).encode(), Content_Type="application/json", **headers)

    def form(self, path: str, body: str, **headers: str) -> Answer:
        headers.setdefault("Content_Type", "application/x-www-form-urlencoded")
        return self.ask("POST", path, body.encode(), **headers)


@contextmanager
def serving(
    *models: Path,
    limits: Limits | None = None,
    keys: Keys | None = None,
    checking: Checking | None = None,
    origins: tuple[str, ...] = (),
) -> Iterator[Client]:
    """Serve models until the block ends."""
    engines = [Engine.open(model, device="cpu", threads=2) for model in models]
    service = Service(engines, limits or Limits(), keys, checking)
    bound = listen("127.0.0.1", 0)
    server = Server(service, grace=5, origins=origins)
    thread = threading.Thread(target=server.run, args=([bound],), daemon=True)
    thread.start()
    try:
        end = time.monotonic() + SECONDS
        while not service.ready and service.failure is None and time.monotonic() < end:
            time.sleep(0.01)
        assert service.ready, service.failure
        yield Client(bound.getsockname()[1], service)
    finally:
        assert server._loop is not None
        server._loop.call_soon_threadsafe(server.drain)
        thread.join(SECONDS)
        assert not thread.is_alive()


@pytest.fixture(scope="session")
def small(pristine_model: Path) -> Iterator[Client]:
    """Serve the small model, which has no style scorer."""
    with serving(pristine_model) as client:
        yield client


@pytest.fixture(scope="session")
def shipped() -> Iterator[Client]:
    """Serve the shipped model."""
    with serving(SHIPPED) as client:
        yield client


Serving = Callable[..., Any]


@pytest.fixture
def serve() -> Serving:
    """Return what serves models with limits, keys and so on."""
    return serving
