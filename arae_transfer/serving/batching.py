"""Dynamic batching: when the model is free, batch the waiting lines up to a limit, without a timer."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from arae_transfer.serving.limits import Limits
from arae_transfer.serving.problems import draining, overloaded, unfinished

SHARE = 16
"""Lines that each request adds to a batch before any adds more, so that long requests do not delay short ones."""

CHARACTERS_PER_TOKEN = 4
"""Characters per token, for a fast estimate; errors make a batch only a little larger or smaller."""

LONGEST_WAIT = 60
"""Maximum of ``Retry-After``, in seconds."""


class Task(Protocol):
    """Operation on lines; lines of equal tasks may share a batch, so a task must be hashable."""

    @property
    def width(self) -> int:
        """Number of candidates per line."""

    def run(self, lines: Sequence[Any]) -> list[Any]:
        """Return an answer for each line, or an exception as that line's own failure."""


class Observer(Protocol):
    """Receives figures about batches."""

    def batch(self, lines: int, tokens: int, seconds: float) -> None:
        """Record a batch."""

    def waited(self, seconds: float) -> None:
        """Record the waiting time of a request's first line."""


@dataclass(eq=False)
class Ticket:
    """Lines of one request in the queue.

    Attributes:
        task: What is done with them.
        lines: The lines.
        costs: The estimated tokens of each, times its candidates.
        answers: The answer to each line, in order.
        since: When it was accepted, by ``time.perf_counter``.
        taken: How many lines the model has taken.
        left: How many lines are not answered.
        gone: Whether nobody waits for it any more.
    """

    task: Task
    lines: Sequence[Any]
    costs: Sequence[int]
    answers: list[asyncio.Future[Any]]
    since: float = field(default_factory=time.perf_counter)
    taken: int = 0
    left: int = 0
    gone: bool = False


# The lines of one batch: each a ticket and the place of the line in it.
_Batch = list[tuple[Ticket, int]]


class Batcher:
    """A thread that owns the models, and its queue.

    All methods but those of the thread are called in the event loop.
    """

    def __init__(self, limits: Limits, observer: Observer) -> None:
        self._limits = limits
        self._observer = observer
        self._changed = threading.Condition()
        # Shared with the thread, under the condition's lock.
        self._waiting: deque[Ticket] = deque()
        self._lines = 0
        self._closed = False
        # The event loop's own.
        self._arrivals: list[Ticket] = []
        self._open: set[Ticket] = set()
        self._draining = False
        self._empty = asyncio.Event()
        self._empty.set()
        self._rate = 0.0
        self._loop = asyncio.get_running_loop()
        self._thread: threading.Thread | None = None

    def start(self, prepare: Callable[[], None], ready: Callable[[Exception | None], None]) -> None:
        """Start the thread.

        Args:
            prepare: What the thread does first.
            ready: Called in the event loop afterwards, with what has gone wrong.
        """
        self._thread = threading.Thread(target=self._work, args=(prepare, ready), name="arae-model", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Number of waiting lines."""
        with self._changed:
            return self._lines

    @property
    def draining(self) -> bool:
        """Whether new work is refused."""
        return self._draining

    @property
    def open_requests(self) -> int:
        """Number of accepted requests without an answer."""
        return len(self._open)

    def submit(self, task: Task, lines: Sequence[Any], lengths: Iterable[int]) -> Ticket:
        """Accept lines.

        Args:
            task: What is to be done with them.
            lines: The lines; none is answered at once.
            lengths: The characters of each.

        Raises:
            Problem: There is no room, or the server is stopping.
        """
        if self._draining:
            raise draining()
        width = task.width
        costs = [(length // CHARACTERS_PER_TOKEN + 2) * width for length in lengths]
        with self._changed:
            waiting = self._lines
            if waiting + len(lines) > self._limits.queue_lines:
                seconds = math.ceil(waiting / self._rate) if self._rate else 1
                raise overloaded(min(LONGEST_WAIT, max(1, seconds)), waiting, self._limits.queue_lines)
            self._lines += len(lines)
        answers: list[asyncio.Future[Any]] = [self._loop.create_future() for _ in lines]
        ticket = Ticket(task, lines, costs, answers, left=len(lines))
        if lines:
            self._open.add(ticket)
            self._empty.clear()
            # What arrives in the same turn of the event loop goes together.
            if not self._arrivals:
                self._loop.call_soon(self._hand_over)
            self._arrivals.append(ticket)
        return ticket

    def abandon(self, ticket: Ticket) -> None:
        """Drop abandoned lines; the model finishes its current batch, whose answers are discarded."""
        for answer in ticket.answers:
            if not answer.cancel() and not answer.cancelled():
                answer.exception()  # it has been heard of
        if ticket not in self._open:
            return
        with self._changed:
            ticket.gone = True
            self._lines -= len(ticket.lines) - ticket.taken
        self._close(ticket)

    def drain(self) -> None:
        """Refuse new work."""
        self._draining = True

    async def finished(self) -> None:
        """Wait until every accepted request is answered."""
        await self._empty.wait()

    def abort(self) -> int:
        """Fail all unanswered requests, and return their number."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self._lines = 0
            self._changed.notify()
        late = list(self._open)
        for ticket in late:
            ticket.gone = True
            for answer in ticket.answers:
                if not answer.done():
                    answer.set_exception(unfinished())
            self._close(ticket)
        return len(late)

    def _hand_over(self) -> None:
        with self._changed:
            self._waiting += self._arrivals
            self._changed.notify()
        self._arrivals = []

    def _close(self, ticket: Ticket) -> None:
        self._open.discard(ticket)
        if not self._open:
            self._empty.set()

    def _deliver(self, batch: _Batch, answers: list[Any], seconds: float) -> None:
        """Deliver each answer once to its waiting request."""
        self._observer.batch(len(batch), sum(ticket.costs[place] for ticket, place in batch), seconds)
        rate = len(batch) / max(seconds, 1e-6)
        self._rate = 0.8 * self._rate + 0.2 * rate if self._rate else rate
        now = time.perf_counter()
        for (ticket, place), found in zip(batch, answers, strict=True):
            answer = ticket.answers[place]
            if answer.done():  # nobody waits
                continue
            if place == 0:
                self._observer.waited(now - seconds - ticket.since)
            if isinstance(found, Exception):
                answer.set_exception(found)
            else:
                answer.set_result(found)
            ticket.left -= 1
            if not ticket.left:
                self._close(ticket)

    # What follows runs in the thread.

    def _work(self, prepare: Callable[[], None], ready: Callable[[Exception | None], None]) -> None:
        failure: Exception | None = None
        try:
            prepare()
        except Exception as error:  # whatever it is, the server must hear of it
            failure = error
        with suppress(RuntimeError):  # the event loop may have ended
            self._loop.call_soon_threadsafe(ready, failure)
            while batch := self._take():
                started = time.perf_counter()
                answers = _answers(batch)
                self._loop.call_soon_threadsafe(self._deliver, batch, answers, time.perf_counter() - started)

    def _take(self) -> _Batch:
        """Wait for lines and return a batch; return nothing after the end."""
        with self._changed:
            while True:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if self._closed:
                    return []
                batch = self._choose()
                if batch:
                    self._lines -= len(batch)
                    return batch

    def _choose(self) -> _Batch:
        """Select lines of the first request's task: a share of each request in turn, then more until the batch is full.

        Requests that have lines left stand behind the others afterwards.
        """
        self._waiting = deque(ticket for ticket in self._waiting if not ticket.gone)
        if not self._waiting:
            return []
        task = self._waiting[0].task
        alike = [ticket for ticket in self._waiting if ticket.task == task]
        batch: _Batch = []
        tokens, full = 0, False
        for share in (SHARE, self._limits.batch_lines):
            for ticket in alike:
                end = min(ticket.taken + share, len(ticket.lines))
                while ticket.taken < end and not full:
                    cost = ticket.costs[ticket.taken]
                    room = len(batch) < self._limits.batch_lines and tokens + cost <= self._limits.batch_tokens
                    if batch and not room:
                        full = True
                        break
                    batch.append((ticket, ticket.taken))
                    ticket.taken += 1
                    tokens += cost
        rest = [ticket for ticket in self._waiting if ticket.taken < len(ticket.lines)]
        served = {ticket for ticket, _ in batch}
        self._waiting = deque([each for each in rest if each not in served] + [each for each in rest if each in served])
        return batch


def _answers(batch: _Batch) -> list[Any]:
    """Run a batch; after a failure, run its lines one by one, so that only faulty lines fail."""
    task = batch[0][0].task
    lines = [ticket.lines[place] for ticket, place in batch]
    try:
        answers = task.run(lines)
        if len(answers) != len(lines):
            raise RuntimeError(f"{len(answers)} answers for {len(lines)} lines")
        return answers
    except Exception as error:
        if len(lines) == 1:
            return [error]
    alone: list[Any] = []
    for line in lines:
        try:
            alone += task.run([line])
        except Exception as error:  # the line's own
            alone.append(error)
    return alone
