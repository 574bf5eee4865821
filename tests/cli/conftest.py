"""Commands as a user types them, run in this process."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from resnets.cli import run

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    """Run `resnets` with these arguments; return its exit code, standard output and standard error."""

    def run_command(*arguments: object) -> tuple[int, str, str]:
        code = run([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run_command
