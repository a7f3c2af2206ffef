"""The server process: socket, signals and shutdown."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from types import FrameType

import uvicorn

from arae_transfer.errors import AraeError
from arae_transfer.serving.application import build
from arae_transfer.serving.middleware import LOG
from arae_transfer.serving.service import Service

BACKLOG = 2048
SIGNALLED = 128
SWITCH_SECONDS = 0.001
"""Switch interval of the interpreter, in seconds, so that the event loop writes answers while the model runs."""

# Seconds left for the last bytes to leave after the grace.
_LAST_SECONDS = 1


def listen(host: str, port: int) -> socket.socket:
    """Return a socket bound to an address; port 0 chooses a free one.

    Raises:
        AraeError: The address cannot be used.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:
        raise AraeError(
            f"there is no address {host!r}", "use --host 127.0.0.1, or 0.0.0.0 for all networks."
        ) from error
    bound = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen(BACKLOG)
    except OSError as error:
        bound.close()
        hint = f"stop the program on this port, or use --port {port + 1}, or --port 0 for a free one."
        if isinstance(error, PermissionError):
            hint = "use --port 8080, and a proxy for ports below 1024."
        raise AraeError(f"cannot listen on {url_of(host, port)}: {error.strerror or error}", hint) from error
    return bound


def url_of(host: str, port: int) -> str:
    """Return the address of a server as a URL."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class Server(uvicorn.Server):
    """A server that finishes accepted requests on the first signal, and stops at once on the second.

    Attributes:
        signalled: The signal that it was told to stop by.
        late: How many accepted requests the grace did not suffice for.
    """

    def __init__(
        self, service: Service, *, grace: float, origins: Sequence[str] = (), ready: Callable[[], None] | None = None
    ) -> None:
        """Create the server without listening.

        Args:
            service: Its state.
            grace: The seconds in which accepted requests are finished.
            origins: As ``application.build`` takes them.
            ready: Called when a first line was rewritten.
        """
        self.service = service
        self.signalled: int | None = None
        self.late = 0
        self._grace = grace
        self._ready = ready
        self._ending: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        application = build(service, origins, stop=self._stop)
        super().__init__(
            uvicorn.Config(
                application,
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                backlog=BACKLOG,
                timeout_keep_alive=30,
                timeout_graceful_shutdown=max(1, round(grace)),
                # The application refuses by itself, and more politely, before this.
                limit_concurrency=4 * service.limits.connections,
                http="h11",
                ws="none",
            )
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to serve."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)

    async def on_tick(self, counter: int) -> bool:
        """Run the periodic checks, ten times a second, and return whether to stop."""
        if self._ready is not None and self.service.ready:
            self._ready()
            self._ready = None
        return await super().on_tick(counter)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Handle a signal: finish accepted requests, or stop at once on the second one."""
        if self.signalled is not None or self._loop is None:  # nothing was accepted before there is a loop
            os._exit(SIGNALLED + sig)
        self.signalled = sig
        self._loop.call_soon_threadsafe(self.drain)

    def drain(self) -> None:
        """Refuse new work, finish accepted requests, then stop."""
        if self._ending is None:
            waiting = self.service.batcher.open_requests
            LOG.warning("stopping: %d accepted requests to finish, within %g s", waiting, self._grace)
            self.service.batcher.drain()
            self._ending = asyncio.ensure_future(self._finish())

    async def _finish(self) -> None:
        end = time.monotonic() + self._grace
        try:
            async with asyncio.timeout(self._grace):
                await self.service.batcher.finished()
        except TimeoutError:
            self.late = self.service.batcher.abort()
        # Answers that are being written have what is left of the grace.
        self.config.timeout_graceful_shutdown = max(_LAST_SECONDS, round(end - time.monotonic()))
        self.should_exit = True

    def _stop(self) -> None:
        self.should_exit = True


def serve(server: Server, bound: socket.socket, *, verbose: bool) -> None:
    """Serve until a signal, then finish accepted requests.

    Raises:
        AraeError: The models cannot be made ready, or the grace did not suffice.
        KeyboardInterrupt: The signal was Ctrl-C.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    for name, level in ((LOG.name, logging.INFO if verbose else logging.WARNING), ("uvicorn.error", logging.ERROR)):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level)
    sys.setswitchinterval(SWITCH_SECONDS)
    server.run(sockets=[bound])
    if server.service.failure is not None:
        raise server.service.failure
    if verbose:
        for (route, status), number in sorted(server.service.metrics.answered.items()):
            LOG.info("answered %s %d: %d", route, status, number)
    if server.late:
        raise AraeError(
            f"{server.late} accepted requests did not finish within the grace period",
            "allow more time: --grace SECONDS.",
        )
    if server.signalled == signal.SIGINT:
        raise KeyboardInterrupt
