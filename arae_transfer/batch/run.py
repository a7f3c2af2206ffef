"""Run a job from plan to manifest: skip finished parts, and write the manifest last.

While a job runs, its folder holds finished parts and ``_arae/``: the job's description, a report for each finished
part, and a lock. When all parts are done, the manifest takes the place of that, so that ``_manifest.json`` means that
the folder is complete. The same job gives the same bytes, by any engine, with any number of workers, resumed or not.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from arae_transfer.atomic import explain_write_failure, write_text
from arae_transfer.batch.job import Job, Part
from arae_transfer.batch.local import Warn, run_locally
from arae_transfer.batch.plan import cut_into_parts
from arae_transfer.batch.rewrite_batch import FAILED
from arae_transfer.batch.worker import Outcome, batch_of
from arae_transfer.errors import AraeError

MANIFEST = "_manifest.json"
"""Readers of Parquet folders, including Spark, skip names with this prefix."""

STATE = "_arae"


@dataclass(frozen=True, slots=True)
class Engine:
    """An engine and its options.

    Attributes:
        name: ``"local"`` or ``"ray"``.
        workers: How many parts are worked on at once.
        address: Of Ray: the cluster.
    """

    name: str = "local"
    workers: int = 1
    address: str | None = None


def run_job(
    job: Job, engine: Engine, *, resume: bool, warn: Warn, progress: Callable[[int, int], None]
) -> Counter[str]:
    """Run a job, or the rest of it.

    Args:
        job: The job.
        engine: Who does it.
        resume: Whether parts that an earlier run of the same job finished are taken over.
        warn: Told what went wrong, and what follows from it.
        progress: Told how many parts are done, and of how many.

    Returns:
        How many rows have which status.

    Raises:
        AraeError: The folder holds another job, a file cannot be read or written, or a row is bad and the job does
            not keep such rows.
    """
    description = job.describe()
    manifest = job.output / MANIFEST
    if _is_done(manifest, description, resume=resume):
        return _statuses(json.loads(manifest.read_text("utf-8"))["parts"])
    state = job.output / STATE
    _claim(job.output, state, description, resume=resume)
    with _locked(state):
        parts = cut_into_parts(job.inputs, job.kind, job.rows_per_part, batch_of(job))
        reports = {part.number: report for part in parts if (report := _finished(job, state, part)) is not None}
        _sweep(job.output)
        left = [part for part in parts if part.number not in reports]
        progress(len(reports), len(parts))
        try:
            with closing(_outcomes(job, left, engine, warn)) as outcomes:
                for part, outcome in outcomes:
                    if outcome.report is None:
                        raise AraeError(outcome.message, outcome.hint)
                    write_text(_report_path(state, part), json.dumps(outcome.report))
                    reports[part.number] = outcome.report
                    progress(len(reports), len(parts))
        finally:
            _sweep(job.output)
        in_order = [reports[part.number] for part in parts]
        totals = _statuses(in_order)
        rows = sum(totals.values())
        content = {**description, "rows": rows, "statuses": dict(sorted(totals.items())), "parts": in_order}
        write_text(manifest, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    shutil.rmtree(state, ignore_errors=True)
    return totals


def _outcomes(
    job: Job, parts: Sequence[Part], engine: Engine, warn: Warn
) -> Generator[tuple[Part, Outcome], None, None]:
    if parts and engine.name == "ray":
        from arae_transfer.batch.ray_engine import run_by_ray

        yield from run_by_ray(job, parts, engine.workers, engine.address, warn)
    elif parts:
        yield from run_locally(job, parts, engine.workers, warn)


def _statuses(reports: Sequence[dict[str, Any]]) -> Counter[str]:
    totals: Counter[str] = Counter({FAILED: 0})
    for report in reports:
        totals.update(report["statuses"])
    return totals


def _is_done(manifest: Path, description: dict[str, Any], *, resume: bool) -> bool:
    """Return whether a folder has this job, complete.

    Raises:
        AraeError: It holds another one, or this one and nobody wants to resume it.
    """
    if not manifest.exists():
        return False
    try:
        content = json.loads(manifest.read_text("utf-8"))
    except ValueError:
        content = {}
    if resume and isinstance(content, dict) and description.items() <= content.items():
        return True
    raise AraeError(f"{manifest.parent} has a finished job", "choose another folder, or delete it.")


def _claim(output: Path, state: Path, description: dict[str, Any], *, resume: bool) -> None:
    """Prepare a folder for a job.

    Raises:
        AraeError: It holds something else.
    """
    wanted = json.dumps(description, sort_keys=True)
    path = state / "job.json"
    if path.exists():
        if not resume:
            raise AraeError(f"{output} has an unfinished job", "continue with --resume, or choose another folder.")
        if path.read_text("utf-8") != wanted:
            what = _difference(path.read_text("utf-8"), description)
            raise AraeError(
                f"{output} has the parts of another job (different: {what})", "choose another folder, or delete it."
            )
        return
    with suppress(FileNotFoundError, NotADirectoryError):
        if any(each.name != STATE for each in output.iterdir()):
            raise AraeError(f"{output} is not empty", "choose another folder.")
    write_text(path, wanted)


def _difference(text: str, description: dict[str, Any]) -> str:
    """Return the difference between two jobs."""
    try:
        other = json.loads(text)
    except ValueError:
        return "its description"
    own = json.loads(json.dumps(description))
    return ", ".join(key for key in own if other.get(key) != own[key]) or "its description"


def _report_path(state: Path, part: Part) -> Path:
    return state / f"part-{part.number:05d}.json"


def _finished(job: Job, state: Path, part: Part) -> dict[str, Any] | None:
    """Return the report of a part from an earlier run, or None."""
    try:
        report = json.loads(_report_path(state, part).read_text("utf-8"))
        size = job.file_of(part).stat().st_size
    except (OSError, ValueError):
        return None
    return report if isinstance(report, dict) and report.get("bytes") == size else None


def _sweep(output: Path) -> None:
    """Remove unfinished files of killed workers."""
    for left in output.glob(".part-*.part"):
        left.unlink(missing_ok=True)


@contextmanager
def _locked(state: Path) -> Iterator[None]:
    """Lock a folder against other runs, if the platform can.

    Raises:
        AraeError: Another run is in it.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    path = state / "lock"
    try:
        file = path.open("wb")
    except OSError as error:
        raise explain_write_failure(path, error) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise AraeError(f"another run is writing {state.parent}", "wait for it, or stop it.") from error
        except OSError:
            pass  # a file system without locks
        yield
