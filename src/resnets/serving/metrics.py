"""Metrics of a server's requests, for Prometheus, and its log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
OTHER = "other"
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """Requests by route and status code, their seconds, sizes of batches, and what waits."""

    def __init__(self, waiting: Callable[[], float], in_progress: Callable[[], float]) -> None:
        self.registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)
        self.requests = Counter(
            "resnets_requests", "Requests by route and status code.", ("route", "code"), registry=self.registry
        )
        self.seconds = Histogram(
            "resnets_request_seconds",
            "Time from a request's headers to the end of its answer.",
            ("route",),
            buckets=SECONDS,
            registry=self.registry,
        )
        self.batches = Histogram(
            "resnets_batch_images", "Images that were computed at once.", buckets=BATCHES, registry=self.registry
        )
        for name, what, read in (
            ("resnets_waiting_images", "Images that wait for a batch.", waiting),
            ("resnets_requests_in_progress", "Requests that are being read or answered.", in_progress),
        ):
            Gauge(name, what, registry=self.registry).set_function(read)

    def text(self) -> bytes:
        """Return all of them in Prometheus' text format."""
        return generate_latest(self.registry)


class Observed:
    """An application whose requests are counted and, with `log`, each written as a line on standard error.

    Paths that are not among `paths` are counted as one.
    """

    def __init__(self, app: ASGIApp, *, metrics: Metrics, paths: Sequence[str], log: bool) -> None:
        self.app, self.metrics, self.paths, self.log = app, metrics, frozenset(paths), log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status, start = 500, time.perf_counter()

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, noting)
        finally:
            seconds = time.perf_counter() - start
            route = scope["path"] if scope["path"] in self.paths else OTHER
            self.metrics.requests.labels(route, str(status)).inc()
            self.metrics.seconds.labels(route).observe(seconds)
            if self.log:
                log_request(scope.get("client"), f"{scope['method']} {_path(scope)}", status, seconds)


def log_request(client: Any, what: str, status: int, seconds: float) -> None:
    """Write the line of a request."""
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    print(f"{at} {client[0] if client else '-'} {what} {status} {1000 * seconds:.1f} ms", file=sys.stderr, flush=True)


def _path(scope: Scope) -> str:
    """Return a path as it was sent, percent-encoded: it cannot hold a line of its own."""
    return scope.get("raw_path", b"").decode("ascii", "backslashreplace") or ascii(scope["path"])[1:-1]
