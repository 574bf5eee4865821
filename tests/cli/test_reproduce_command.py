"""`resnets reproduce` as a user types it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

Command = Callable[..., tuple[int, str, str]]


SMOKE = ("--scale", "smoke", "--data", "digits", "--workers", 0)


def test_plan_run_table_and_page(tmp_path: Path, command: Command) -> None:
    """--plan writes nothing; the run is made, compared and reported; a second call has nothing to do."""
    asked = ("table6", "--only", "resnet-20-layers", *SMOKE, "--out", tmp_path)
    code, out, err = command("reproduce", *asked, "--plan")
    assert (code, err) == (0, "")
    assert "1 run to do: some seconds each on cpu" in out
    assert not list(tmp_path.iterdir())  # a plan begins nothing
    code, out, err = command("reproduce", *asked)
    assert (code, err) == (0, "")
    assert "resnet20, seed 0 training error" in out
    assert "8.75" in out and "reduced" in out
    assert "reduced: digits instead of cifar10; smoke: 5 of 64,000 iterations" in out
    assert f"The page: {tmp_path / 'site' / 'index.html'}" in out
    code, out, _ = command("reproduce", *asked)
    assert code == 0
    assert "the run is done" in out


def test_what_is_left_out_is_said_once(tmp_path: Path, command: Command) -> None:
    """An ensemble whose members are not named is left out with the command that tests one."""
    code, out, _ = command("reproduce", "table14", "--out", tmp_path)
    assert code == 0
    assert out.count("left out, `resnets locate evaluate` ") == 1
    assert "not run" in out and "cited" in out
