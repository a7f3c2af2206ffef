"""Worker: load the model once, then rewrite part after part."""

from __future__ import annotations

import os
import signal
import threading
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait
from typing import Any, NamedTuple

from arae_transfer.batch.job import Job, Part
from arae_transfer.batch.rewrite_batch import RewriteBatch
from arae_transfer.batch.tables import write_part
from arae_transfer.errors import AraeError


class Outcome(NamedTuple):
    """Outcome of a part.

    Attributes:
        report: What the manifest says of it; None: it failed.
        message: What is wrong, where it failed.
        hint: What to do about it.
    """

    report: dict[str, Any] | None
    message: str = ""
    hint: str | None = None


class PartWorker:
    """Rewrites parts of a job, as a Ray actor or in a local process."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._batch = batch_of(job)

    def rewrite(self, part: Part) -> Outcome:
        """Rewrite a part; return errors that the user can fix, and raise others."""
        try:
            return Outcome(write_part(self._job, part, self._batch))
        except AraeError as error:
            return Outcome(None, error.message, error.hint)


def batch_of(job: Job) -> RewriteBatch:
    """Return the rewriter of a job's rows.

    Raises:
        AraeError: The model or an option of the job cannot be used.
    """
    return RewriteBatch(
        job.model,
        job.to,
        column=job.column,
        rewrite_column=job.rewrite_column,
        device=job.device,
        threads=job.threads,
        variant=job.variant,
        batch_size=job.batch_size,
        form=job.form,
        long=job.long,
        protect=job.protect,
        glossary=job.glossary,
        options=job.options,
    )


def serve(job: Job, connection: Connection) -> None:
    """Rewrite the parts from a connection until it is closed: the main loop of a local worker."""
    # Ctrl-C comes to all processes of a terminal; the one that hands out the parts decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    worker = PartWorker(job)
    while True:
        try:
            part = connection.recv()
        except EOFError:
            return
        if part is None:
            return
        connection.send(worker.rewrite(part))


def _die_with_parent() -> None:
    """End this process when its parent dies, even by a kill; a started part is left to a resume."""
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
