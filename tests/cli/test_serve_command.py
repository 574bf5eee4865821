"""`resnets serve`: what keeps it from starting."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import resnets
from resnets.serving.server import bound
from resnets.specs import InputSpec
from resnets.weights import weights_file

Command = Callable[..., tuple[int, str, str]]


def test_what_keeps_a_server_from_starting_is_one_line(digits_run: Path, tmp_path: Path, command: Command) -> None:
    """A port that is taken, no model, and names that are none; a busy port is found before the model is loaded."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for arguments, code, message in (
            ((tmp_path / "absent", "--port", port), 1, f"127.0.0.1:{port}"),
            ((tmp_path / "absent", "--port", "0"), 1, "absent"),
            ((digits_run, "--port", "0", "--host", "no.such.host"), 1, "no.such.host"),
            ((digits_run, "--port", "0", "--host", "127..1"), 2, "127..1"),
            ((digits_run, "--port", "0", "--max-body", "inf"), 2, "max_body"),
            ((digits_run, "--port", "0", "--name", "a/b"), 2, "a/b"),
            ((digits_run, "--port", "0", "--engine", "fast"), 2, "'fast'"),
        ):
            found, out, err = command("serve", *arguments)
            assert (found, out, err.count("\n")) == (code, "", 1) and message in err


def test_a_network_that_no_image_file_fits_is_not_served(tmp_path: Path, command: Command) -> None:
    """Weights for 4 channels are refused in one line before an engine is prepared: each request would fail."""
    network = resnets.create("resnet8", num_classes=2, in_channels=4)
    path = tmp_path / "four.safetensors"
    weights_file.save(path, network, input_spec=InputSpec(size=8, resize=8, channels=4))
    code, out, err = command("serve", path, "--port", "0")
    assert (code, out, err.count("\n")) == (2, "", 1) and "four.safetensors" in err and "4 channels" in err


def test_a_port_is_taken_as_soon_as_a_server_prepares_its_engine(command: Command, tmp_path: Path) -> None:
    """A second server on the same port is refused in one line, though the first does not answer yet."""
    with bound("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        code, out, err = command("serve", tmp_path / "absent", "--port", str(port))
        assert (code, out, err.count("\n")) == (1, "", 1) and f"127.0.0.1:{port}" in err


WITHOUT = """
import sys
from resnets.cli import run

for package in ("starlette", "uvicorn", "python_multipart", "prometheus_client"):
    sys.modules[package] = None
    print(package, run(["serve", "x"]))
    del sys.modules[package]
"""


def test_without_the_extra_its_command_is_named() -> None:
    """A package that is missing is one line, and nothing else of the command needs it."""
    done = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines() == ["starlette 2", "uvicorn 2", "python_multipart 2", "prometheus_client 2"]
    assert [("resnets[serve]" in line) for line in done.stderr.splitlines()] == [True] * 4
