"""`resnets serve`: what keeps it from starting."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Command = Callable[..., tuple[int, str, str]]


def test_what_keeps_a_server_from_starting_is_one_line(digits_run: Path, tmp_path: Path, command: Command) -> None:
    """A port that is taken, no model, and names that are none; a busy port is found before the model is loaded."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for arguments, code, message in (
            ((tmp_path / "absent", "--port", port), 1, f"127.0.0.1:{port}"),
            ((tmp_path / "absent", "--port", "0"), 1, "absent"),
            ((digits_run, "--port", "0", "--host", "no.such.host"), 1, "no.such.host"),
            ((digits_run, "--port", "0", "--name", "a/b"), 2, "a/b"),
            ((digits_run, "--port", "0", "--engine", "fast"), 2, "'fast'"),
        ):
            found, out, err = command("serve", *arguments)
            assert (found, out, err.count("\n")) == (code, "", 1) and message in err


@pytest.mark.parametrize("package", ["starlette", "uvicorn", "python_multipart", "prometheus_client"])
def test_without_the_extra_its_command_is_named(package: str) -> None:
    """A package that is missing is one line, and nothing else of the command needs it."""
    code = f"import sys; sys.modules[{package!r}] = None; from resnets.cli import run; sys.exit(run(['serve', 'x']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "resnets[serve]" in done.stderr
