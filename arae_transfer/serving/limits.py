"""Limits of a server, by the names in errors and ``/info``."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from arae_transfer.errors import AraeError


@dataclass(frozen=True)
class Limits:
    """Limits on a request and on the queue.

    Attributes:
        body_bytes: Bytes of a request's body.
        texts: Texts in one request.
        characters: Characters of one text.
        lines: Lines (or sentences, where an answer is streamed) in all texts of one request.
        candidates: Candidates of a line that may be searched, drawn or told.
        steps: Sentences on the way between two.
        queue_lines: Lines that may wait in the queue, of all requests together.
        batch_lines: Lines that the model takes at once.
        batch_tokens: Estimated tokens, times the candidates of each line, that the model takes at once. A line that
            has more goes alone.
        connections: Connections that are open at once.
        body_seconds: Seconds in which a body must have arrived.
    """

    body_bytes: int = 1 << 20
    texts: int = 256
    characters: int = 10_000
    lines: int = 1024
    candidates: int = 16
    steps: int = 32
    queue_lines: int = 4096
    batch_lines: int = 128
    batch_tokens: int = 8192
    connections: int = 1024
    body_seconds: int = 30

    def __post_init__(self) -> None:
        """Raise an error for limits that no request can meet.

        Raises:
            AraeError: A limit is below 1, or the queue is shorter than one request may be.
        """
        for name, value in asdict(self).items():
            if value < 1:
                raise AraeError(f"the limit {name} must be at least 1, not {value}", "use 1 or more.")
        if self.queue_lines < self.lines:
            raise AraeError(
                f"a queue of {self.queue_lines} lines has no room for a request of {self.lines}",
                f"use --max-queue {self.lines} or more, or a smaller --max-lines.",
            )
