"""Allow only one training per run folder at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from filelock import FileLock, Timeout

from arae_transfer.atomic import explain_write_failure
from arae_transfer.errors import AraeError, quoted
from arae_transfer.layout import RunLayout


@contextmanager
def lock_run(layout: RunLayout, *, resume: bool) -> Iterator[None]:
    """Lock a run's folder for a block; the lock of a killed process is released.

    Args:
        layout: The run.
        resume: Whether the run is continued; the folder of a new one must still be empty when it is locked.

    Raises:
        AraeError: Another process trains it, another new run was written meanwhile, or its folder cannot be written.
    """
    run = layout.root
    if resume and not run.is_dir():
        yield  # there is nothing to continue, which is said by what looks for it
        return
    lock = FileLock(layout.lock)
    try:
        run.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout as error:
        raise AraeError(
            f"the run {run} is being trained by another process", "wait for it, stop it, or give another --name."
        ) from error
    except NotImplementedError:
        pass  # a file system without locks, where nobody can know
    except OSError as error:
        raise explain_write_failure(run, error) from error
    try:
        if not resume and layout.recipe.is_file():
            raise AraeError(
                f"the run {run} exists: another process has trained it meanwhile",
                f"give another --name, or continue it with `arae train {quoted(run)} --resume`.",
            )
        yield
    finally:
        with suppress(OSError):
            if all(path == layout.lock for path in run.iterdir()):  # nothing was written: leave nothing behind
                layout.lock.unlink()
                run.rmdir()
        lock.release()
