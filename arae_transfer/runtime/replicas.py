"""Sessions of one graph for several threads: a session of its own for each, where there is enough to do."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from onnxruntime import InferenceSession

from arae_transfer.errors import AraeError


class Replicas:
    """Sessions of one graph that threads borrow.

    Threads may share a session, but then they wait for each other wherever its memory is given out, some twenty times
    in each step of a loop: two threads that share take a twelfth longer than two with a session each.
    """

    def __init__(self, first: InferenceSession, create: Callable[[], InferenceSession], most: int) -> None:
        """Begin with one session.

        Args:
            first: The session that is there already.
            create: Opens another one like it.
            most: How many there may be.
        """
        self.first = first
        self._create = create
        self._left = most - 1
        self._idle = [first]
        self._lock = threading.Lock()

    @contextmanager
    def borrow(self, *, grow: bool) -> Iterator[InferenceSession]:
        """Lend a session that nobody else has, or the first one where there is no such.

        Args:
            grow: Whether another session may be opened for it, which takes as long as dozens of lines.
        """
        with self._lock:
            session = self._idle.pop() if self._idle else None
            grow = grow and session is None and self._left > 0
            self._left -= grow
        if grow:
            try:
                session = self._create()
            except AraeError:
                self._left = 0  # its file is gone by now, or memory is short: the first one serves all
        if session is None:
            yield self.first
            return
        try:
            yield session
        finally:
            self._idle.append(session)
