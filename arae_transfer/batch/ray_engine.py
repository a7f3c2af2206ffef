"""Ray engine: actors on a cluster, which receive file names of parts one by one."""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

from arae_transfer.batch.job import Job, Part
from arae_transfer.batch.local import TRIES, Warn
from arae_transfer.batch.worker import Outcome, PartWorker
from arae_transfer.errors import AraeError

# Nothing is sent anywhere; and a busy machine has time to start.
_SETTINGS = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_raylet_start_wait_time_s": "120"}


def run_by_ray(
    job: Job, parts: Sequence[Part], workers: int, address: str | None, warn: Warn
) -> Iterator[tuple[Part, Outcome]]:
    """Yield finished parts with their outcomes.

    Args:
        job: The job.
        parts: The parts to do.
        workers: How many actors there are at most.
        address: The cluster; None: Ray is started on this machine, and ended with the job.
        warn: Told what went wrong, and what follows from it.

    Raises:
        AraeError: The cluster cannot be reached, or a part's worker died as often as it was begun.
    """
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    import ray

    mine = not ray.is_initialized()
    if mine:
        options: dict[str, Any] = {"include_dashboard": False} if address is None else {}
        try:
            ray.init(address=address or "local", log_to_driver=False, logging_level=logging.ERROR, **options)
        except ConnectionError as error:
            reason = str(error).partition("\n")[0]
            raise AraeError(f"there is no Ray cluster at {address}: {reason}", "start one: ray start --head") from error
    try:
        yield from _run(ray, job, parts, workers, warn)
    finally:
        if mine:
            ray.shutdown()


def _run(ray: Any, job: Job, parts: Sequence[Part], workers: int, warn: Warn) -> Iterator[tuple[Part, Outcome]]:  # noqa: ANN401
    actor = ray.remote(num_cpus=job.threads)(PartWorker)
    waiting = deque(parts)
    tries: dict[int, int] = {}
    busy: dict[Any, tuple[Any, Part]] = {}  # by the result that is waited for

    def hand_out(worker: Any) -> None:  # noqa: ANN401
        if waiting:
            part = waiting.popleft()
            tries[part.number] = tries.get(part.number, 0) + 1
            busy[worker.rewrite.remote(part)] = worker, part

    for _ in range(min(workers, len(parts))):
        hand_out(actor.remote(job))
    while busy:
        (ready, *_), _ = ray.wait(list(busy), num_returns=1)
        worker, part = busy.pop(ready)
        try:
            outcome = ray.get(ready)
        except ray.exceptions.RayActorError as error:
            reason = str(error).partition("\n")[0]
            if tries[part.number] >= TRIES:
                raise AraeError(
                    f"the worker of part {part.number} died {TRIES} times: {reason}", "continue with --resume."
                ) from error
            warn(f"the worker of part {part.number} died: {reason}", "another worker starts the part again.")
            waiting.appendleft(part)
            hand_out(actor.remote(job))
        else:
            hand_out(worker)
            yield part, outcome
