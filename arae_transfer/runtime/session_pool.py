"""A pool of sessions of one graph, which grows to one per thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from onnxruntime import InferenceSession

from arae_transfer.errors import AraeError

MOST = 8
"""Sessions of one graph, each of which keeps some twenty megabytes; more threads than these share them evenly."""


class SessionPool:
    """Sessions of one graph that threads borrow.

    Threads may share a session, but then they wait for each other at each memory allocation, some twenty times in a
    step of a loop: two threads that share a session take a twelfth longer than two with a session each.
    """

    def __init__(self, first: InferenceSession, create: Callable[[], InferenceSession], most: int) -> None:
        """Begin with one session.

        Args:
            first: The first session.
            create: Opens another one like it.
            most: The maximum number of sessions; ``MOST`` if that is less.
        """
        self._sessions = [first]
        self._borrowers = [0]
        self._create = create
        self._left = min(most, MOST) - 1
        self._lock = threading.Lock()

    @property
    def first(self) -> InferenceSession:
        """The first session."""
        return self._sessions[0]

    @contextmanager
    def borrow(self, *, grow: bool) -> Iterator[InferenceSession]:
        """Lend the session with the fewest borrowers.

        Args:
            grow: Whether to open another one if all are lent; opening takes as long as dozens of lines.
        """
        place = self._take(grow)
        try:
            yield self._sessions[place]
        finally:
            with self._lock:
                self._borrowers[place] -= 1

    def _take(self, grow: bool) -> int:
        """Take a session and return its index."""
        with self._lock:
            place = min(range(len(self._sessions)), key=self._borrowers.__getitem__)
            if not (grow and self._borrowers[place] and self._left > 0):
                self._borrowers[place] += 1
                return place
            self._left -= 1
        try:
            session = self._create()
        except AraeError:
            self._left = 0  # its file is gone by now, or memory is short: those that are there serve all
            return self._take(grow=False)
        with self._lock:
            self._sessions.append(session)
            self._borrowers.append(1)
            return len(self._sessions) - 1
