"""`arae train --devices N`: run the command in N processes that end together."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from operator import itemgetter
from types import FrameType

from arae_transfer.errors import AraeError

# How long a process may take to end after another one has ended badly.
GRACE_SECONDS = 10.0
_PAUSE_SECONDS = 0.1
INTERRUPTED = 130


def run_processes(number: int, command: Sequence[str]) -> int:
    """Run a command in several processes that connect as torchrun's do, and return their exit status.

    The first signal that asks this process to stop is passed on to all of them, and so is the second. When one ends
    badly, the others are ended too.

    Args:
        number: The number of processes.
        command: The command.

    Raises:
        AraeError: A process was killed.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    common = {"WORLD_SIZE": number, "LOCAL_WORLD_SIZE": number, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    processes: list[subprocess.Popen[bytes]] = []
    try:
        with _passing_on(processes):
            for rank in range(number):
                own = {"RANK": rank, "LOCAL_RANK": rank, **common}
                environment = {**os.environ, **{name: str(value) for name, value in own.items()}}
                # In a session of its own: a terminal's Ctrl-C comes to this process alone, and is passed on once.
                processes.append(subprocess.Popen(command, env=environment, start_new_session=True))
            return _wait(processes)
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
                process.wait()


@contextmanager
def _passing_on(processes: Sequence[subprocess.Popen[bytes]]) -> Iterator[None]:
    def pass_on(number: int, frame: FrameType | None) -> None:
        for process in processes:
            if process.poll() is None:
                process.send_signal(number)

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _wait(processes: Sequence[subprocess.Popen[bytes]]) -> int:
    """Wait for all processes; after a failure, give the others limited time."""
    failed: tuple[int, int] | None = None
    deadline = float("inf")
    while True:
        statuses = [process.poll() for process in processes]
        if failed is None:
            bad = ((rank, status) for rank, status in enumerate(statuses) if status not in (None, 0, INTERRUPTED))
            # One that was killed is the cause, where others have already failed because it is gone.
            failed = min(
                ((rank, status) for rank, status in bad if status is not None), key=itemgetter(1), default=None
            )
            if failed is not None:
                deadline = time.monotonic() + GRACE_SECONDS
                for process in processes:
                    if process.poll() is None:
                        process.terminate()
        elif time.monotonic() > deadline:
            for process in processes:
                process.kill()
        if None not in statuses:
            break
        time.sleep(_PAUSE_SECONDS)
    if failed is None:
        return INTERRUPTED if INTERRUPTED in statuses else 0
    rank, status = failed
    if status < 0:
        raise AraeError(
            f"process {rank} of {len(processes)} was killed by {signal.Signals(-status).name}; the others were stopped",
            "continue the run from its last checkpoint with --resume.",
        )
    return status  # it has said why


def own_command() -> list[str]:
    """Return the command that started this process."""
    return [sys.executable, "-m", "arae_transfer", *sys.argv[1:]]
