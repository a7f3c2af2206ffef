"""Local engine: worker processes on this machine, which receive parts one by one."""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, NamedTuple

from arae_transfer.batch.job import Job, Part
from arae_transfer.batch.worker import Outcome, serve
from arae_transfer.errors import AraeError

TRIES = 2
"""Maximum number of attempts at a part whose worker dies."""

Warn = Callable[[str, str], None]


class _Worker(NamedTuple):
    process: BaseProcess
    connection: Connection


def run_locally(job: Job, parts: Sequence[Part], workers: int, warn: Warn) -> Iterator[tuple[Part, Outcome]]:
    """Yield finished parts with their outcomes.

    Args:
        job: The job.
        parts: The parts to do.
        workers: How many processes there are at most.
        warn: Told what went wrong, and what follows from it.

    Raises:
        AraeError: A part's worker died as often as it was begun.
    """
    waiting = deque(parts)
    tries: dict[int, int] = {}
    busy: dict[Any, tuple[_Worker, Part]] = {}  # by connection
    with _ending() as started:

        def hand_out(worker: _Worker) -> None:
            part = waiting.popleft() if waiting else None
            if part is not None:
                tries[part.number] = tries.get(part.number, 0) + 1
                busy[worker.connection] = worker, part
            with suppress(OSError):  # of a worker that has died nothing but the end comes back
                worker.connection.send(part)

        for _ in range(min(workers, len(parts))):
            hand_out(_start(job, started))
        while busy:
            for ready in wait(list(busy)):
                worker, part = busy.pop(ready)
                try:
                    outcome = worker.connection.recv()
                except (EOFError, ConnectionError):
                    worker.process.join()
                    how = _how_ended(worker.process)
                    if tries[part.number] >= TRIES:
                        raise AraeError(
                            f"the worker of part {part.number} {how}, {TRIES} times",
                            "if memory is short, use fewer --workers or --rows-per-part; continue with --resume.",
                        ) from None
                    warn(f"the worker of part {part.number} {how}", "another worker starts the part again.")
                    waiting.appendleft(part)
                    hand_out(_start(job, started))
                else:
                    hand_out(worker)
                    yield part, outcome


def _start(job: Job, started: list[_Worker]) -> _Worker:
    # Spawned, not forked: threads of onnxruntime do not survive a fork.
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(job, theirs), name="arae-worker", daemon=True)
    process.start()
    theirs.close()  # so that its end is seen here when the worker dies
    worker = _Worker(process, ours)
    started.append(worker)
    return worker


@contextmanager
def _ending() -> Iterator[list[_Worker]]:
    """Wait for the workers, and terminate those that remain."""
    started: list[_Worker] = []
    done = False
    try:
        yield started
        done = True
    finally:
        for process, _ in started:
            if not done:
                process.terminate()
        for process, connection in started:
            connection.close()
            process.join()


def _how_ended(process: BaseProcess) -> str:
    code = process.exitcode or 0
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"
