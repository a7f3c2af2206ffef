"""Metrics for Prometheus and the final summary: numbers only, without texts, keys or addresses."""

from __future__ import annotations

from collections import Counter as Tally

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from arae_transfer import __version__
from arae_transfer.serving.engine import Engine

SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
LINES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
TOKENS = (64, 256, 1024, 2048, 4096, 8192, 16384)


class Metrics:
    """The metrics of one server."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        """Register all metrics."""
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._requests = Counter("arae_requests", "Requests answered.", ["route", "status"], registry=registry)
        self._duration = Histogram(
            "arae_request_duration_seconds",
            "Time to the end of an answer.",
            ["route"],
            buckets=SECONDS,
            registry=registry,
        )
        self._waited = Histogram(
            "arae_queue_duration_seconds",
            "Waiting time of a request's first line.",
            buckets=SECONDS,
            registry=registry,
        )
        self._inference = Histogram(
            "arae_inference_duration_seconds", "Time of a batch in the model.", buckets=SECONDS, registry=registry
        )
        self._batch_lines = Histogram("arae_batch_lines", "Lines per batch.", buckets=LINES, registry=registry)
        self._batch_tokens = Histogram(
            "arae_batch_tokens", "Estimated tokens times candidates per batch.", buckets=TOKENS, registry=registry
        )
        self._lines = Counter("arae_lines", "Lines answered, by outcome.", ["outcome"], registry=registry)
        self._queue = Gauge("arae_queue_lines", "Lines waiting for the model.", registry=registry)
        self._ready = Gauge("arae_ready", "1 if the server accepts requests, else 0.", registry=registry)
        self._info = Gauge(
            "arae_info", "The served model.", ["version", "model", "variant", "device"], registry=registry
        )
        self.answered: Tally[tuple[str, int]] = Tally()

    def request(self, route: str, status: int, seconds: float) -> None:
        """Count an answered request."""
        self._requests.labels(route, str(status)).inc()
        self._duration.labels(route).observe(seconds)
        self.answered[route, status] += 1

    def batch(self, lines: int, tokens: int, seconds: float) -> None:
        """Count a batch."""
        self._batch_lines.observe(lines)
        self._batch_tokens.observe(tokens)
        self._inference.observe(seconds)

    def waited(self, seconds: float) -> None:
        """Record the waiting time of a request's first line."""
        self._waited.observe(max(0.0, seconds))

    def lines(self, outcomes: Tally[str]) -> None:
        """Count lines by outcome."""
        for outcome, number in outcomes.items():
            self._lines.labels(outcome).inc(number)

    def loaded(self, engine: Engine) -> None:
        """Record a ready model."""
        self._info.labels(__version__, engine.name, engine.sessions.variant, str(engine.sessions.device)).set(1)

    def exposition(self, queue_lines: int, *, ready: bool) -> bytes:
        """Return all metrics in Prometheus's format."""
        self._queue.set(queue_lines)
        self._ready.set(ready)
        return generate_latest(self._registry)
