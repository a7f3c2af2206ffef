"""Work on several threads, with results in order; after a failure nothing new begins."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def run_in_parallel(tasks: Sequence[Callable[[], Result]], threads: int) -> list[Result]:
    """Run tasks in several threads, in their order, and return their results in order.

    Args:
        tasks: The tasks.
        threads: How many run at once; the caller's own thread is one of them.

    Raises:
        BaseException: The exception of the first task that failed; no further task was started.
    """
    if threads == 1 or len(tasks) < 2:
        return [task() for task in tasks]
    results: dict[int, Result] = {}
    errors: dict[int, BaseException] = {}
    waiting = deque(range(len(tasks)))

    def work() -> None:
        while True:
            try:
                number = waiting.popleft()
            except IndexError:
                return
            try:
                results[number] = tasks[number]()
            except BaseException as error:
                errors[number] = error
                waiting.clear()

    others = [threading.Thread(target=work) for _ in range(min(threads, len(tasks)) - 1)]
    try:
        for thread in others:
            thread.start()
        work()
        for thread in others:
            thread.join()
    finally:
        waiting.clear()  # interrupted: what runs is not waited for, and nothing more is begun
    if errors:
        raise errors[min(errors)]
    return [results[number] for number in range(len(tasks))]


def map_in_parallel(work: Callable[[Item], Result], items: Iterable[Item], threads: int) -> list[Result]:
    """Return the result of ``work`` for each item, in order; see ``run_in_parallel``."""
    return run_in_parallel([partial(work, item) for item in items], threads)
