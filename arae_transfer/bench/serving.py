"""Throughput of `arae serve`: a real server process, and clients that send requests without pause."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from arae_transfer.errors import AraeError

READY_SECONDS = 120
WARM_UP_SECONDS = 1.0
ONE_BY_ONE = ("--max-batch-lines", "1")
_ADDRESS = re.compile(r"http://127\.0\.0\.1:(\d+)")


@dataclass(frozen=True)
class Load:
    """Results of some clients.

    Attributes:
        cores: The processors that the server had.
        clients: The clients, each of which asks again as soon as it is answered.
        batched: Whether lines that wait together were rewritten together.
        requests: The requests that were answered.
        rate: Requests a second.
        median: Of the time to an answer, in milliseconds.
        percentile_95: Of the same.
        cost: Milliseconds of a processor for each request, in the server; None where its system does not tell.
    """

    cores: int
    clients: int
    batched: bool
    requests: int
    rate: float
    median: float
    percentile_95: float
    cost: float | None


@contextmanager
def running_server(arguments: Sequence[str], cores: int | None = None) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Run ``arae serve`` on a free local port, and stop it.

    Args:
        arguments: Its arguments.
        cores: The processors that it may use; None: all that this process may.

    Yields:
        The process, and its port.

    Raises:
        AraeError: It does not become ready.
    """
    command = [sys.executable, "-m", "arae_transfer", "serve", "--host", "127.0.0.1", "--port", "0", *arguments]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
    try:
        if cores is not None and hasattr(os, "sched_setaffinity"):
            # Before its libraries are imported, which count the processors.
            os.sched_setaffinity(process.pid, sorted(os.sched_getaffinity(0))[:cores])
        assert process.stderr is not None  # as asked for
        said = []
        port = 0
        for line in process.stderr:
            said.append(line)
            if found := _ADDRESS.search(line):
                port = int(found[1])
            if line.strip() == "arae: ready":
                break
        else:
            raise AraeError(f"the server did not start: {''.join(said).strip() or process.wait()}")
        yield process, port
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.communicate(timeout=READY_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
        if process.stderr is not None:
            process.stderr.close()
        process.wait()


def request_bytes(path: str, body: object) -> bytes:
    """Return a request as bytes."""
    content = json.dumps(body).encode()
    lines = (f"POST {path} HTTP/1.1", "Host: 127.0.0.1", "Content-Type: application/json")
    return "\r\n".join((*lines, f"Content-Length: {len(content)}", "", "")).encode() + content


async def read_response(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Return the status and the body of a response with a Content-Length."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
    body = await reader.readexactly(int(length[1])) if length else b""
    return int(head.split(b" ", 2)[1]), body


async def press(
    port: int, requests: Sequence[bytes], clients: int, seconds: float
) -> tuple[list[tuple[float, float]], int]:
    """Let clients send requests without pause.

    Returns:
        When each answer came and how long it took, in seconds, without those of the warm-up; and how many there were,
        with them.

    Raises:
        AraeError: A request is refused.
    """
    times: list[tuple[float, float]] = []
    start = time.perf_counter()
    end = start + WARM_UP_SECONDS + seconds

    async def client(number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        place = number
        while (asked := time.perf_counter()) < end:
            writer.write(requests[place % len(requests)])
            status, body = await read_response(reader)
            if status != 200:
                raise AraeError(f"the server answered {status}: {body.decode(errors='replace')[:200]}")
            times.append((time.perf_counter(), time.perf_counter() - asked))
            place += clients
        writer.close()

    await asyncio.gather(*(client(number) for number in range(clients)))
    return [(when, took) for when, took in times if start + WARM_UP_SECONDS <= when < end], len(times)


def processor_seconds(port: int) -> float | None:
    """Return the CPU time of a server, or None if its system does not report it."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=READY_SECONDS) as answer:
        found = re.search(rb"^process_cpu_seconds_total (\S+)$", answer.read(), re.MULTILINE)
    return float(found[1]) if found else None


def measure_serving(
    texts: Sequence[str],
    options: dict[str, Any],
    clients: Sequence[int],
    cores: Sequence[int],
    seconds: float,
    arguments: Sequence[str] = (),
) -> list[Load]:
    """Measure a server with batching and one without, alternately.

    Args:
        texts: One for each request, in turn.
        options: Further members of each request.
        clients: The numbers of clients.
        cores: The numbers of processors of the server.
        seconds: How long each measurement lasts.
        arguments: Of both servers.

    Raises:
        AraeError: A server does not start, or refuses a request.
    """
    requests = [request_bytes("/v1/rewrite", {"text": text, **options}) for text in texts]
    loads = []
    for count in cores:
        with (
            running_server([*arguments, *ONE_BY_ONE], count) as (_, one_by_one),
            running_server(arguments, count) as (_, batching),
        ):
            for number in clients:
                for batched, port in ((False, one_by_one), (True, batching)):
                    before = processor_seconds(port)
                    found, all_requests = asyncio.run(press(port, requests, number, seconds))
                    after = processor_seconds(port)
                    took = sorted(1e3 * each for _, each in found)
                    if len(took) < 2:
                        raise AraeError(f"too few answers in {seconds} s", "use more --seconds.")
                    high = statistics.quantiles(took, n=20)[-1]
                    rate = len(took) / seconds
                    cost = None if before is None or after is None else 1e3 * (after - before) / all_requests
                    loads.append(Load(count, number, batched, len(took), rate, statistics.median(took), high, cost))
    return loads


def verdicts(loads: Sequence[Load]) -> list[tuple[str, float, float, bool]]:
    """Return the targets: for each the sentence, the number, the target value, and whether it is met.

    They speak of the greatest number of clients, and of one, on the greatest number of processors.
    """
    most = max(load.cores for load in loads)
    found = {(load.clients, load.batched): load for load in loads if load.cores == most}
    crowd = max(clients for clients, _ in found)
    answers: list[tuple[str, float, float, bool]] = []
    if crowd > 1:
        times = found[crowd, True].rate / found[crowd, False].rate
        answers.append((f"{crowd} clients, requests/s with batching relative to without", times, 3.0, times >= 3))
    if (1, True) in found:
        kept = found[1, True].rate / found[1, False].rate
        answers.append(("1 client, requests/s with batching relative to without", kept, 0.95, kept >= 0.95))
        if crowd > 1:
            slower = found[crowd, True].percentile_95 / found[1, True].percentile_95
            answers.append((f"p95 of {crowd} clients relative to that of 1", slower, 10.0, slower <= 10))
    return answers


def to_table(loads: Sequence[Load]) -> list[dict[str, Any]]:
    """Return measurements as JSON data."""
    return [
        {name: round(value, 2) if isinstance(value, float) else value for name, value in asdict(load).items()}
        for load in loads
    ]
