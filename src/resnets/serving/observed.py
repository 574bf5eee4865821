"""What is counted and logged of each request."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from resnets.serving.metrics import Metrics

OTHER = "other"


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
