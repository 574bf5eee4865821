"""A served model, in this process and in one of its own."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from starlette.testclient import TestClient

import resnets
from resnets.serving.app import make_app
from resnets.serving.limits import Limits


@pytest.fixture(scope="session")
def served(digits_run: Path) -> resnets.Model:
    """A trained model with an engine that is quickly prepared."""
    return resnets.optimize(resnets.load(digits_run), engine="eager", precision="fp32", batch_size=8)


MakeClient = Callable[..., TestClient]


@pytest.fixture
def make_client(served: resnets.Model) -> Iterator[MakeClient]:
    """A function that returns a client of the application, with these limits."""
    clients = []

    def make(**limits: float) -> TestClient:
        app = make_app(served, name="digits", limits=Limits(**limits))  # type: ignore[arg-type]
        clients.append(TestClient(app, raise_server_exceptions=False))
        return clients[-1].__enter__()

    yield make
    for client in clients:
        client.__exit__(None, None, None)


@pytest.fixture
def client(make_client: MakeClient) -> TestClient:
    """A client of the application, with the limits that are the default."""
    return make_client()


@dataclass
class Server:
    """`resnets serve` in a process of its own."""

    process: subprocess.Popen[str]
    port: int

    def stop(self, signum: int) -> tuple[int, str]:
        """Send a signal; return the exit code and what is on standard error."""
        self.process.send_signal(signum)
        return self.process.wait(30), self.process.communicate()[1]


@pytest.fixture(scope="module")
def start_server(digits_run: Path) -> Iterator[Callable[..., Server]]:
    """A function that starts a server with these options and waits until it listens."""
    started = []

    def start(*options: str) -> Server:
        command = [sys.executable, "-m", "resnets", "serve", str(digits_run), "--port", "0", "--engine", "eager"]
        process = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None
        for line in process.stdout:
            if found := re.search(r"http://127\.0\.0\.1:(\d+)", line):
                return Server(process, int(found[1]))
        raise AssertionError(process.communicate()[1])

    yield start
    for process in started:
        process.kill()
        process.communicate()
