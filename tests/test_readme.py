"""What the README shows is what a user gets: its Python examples run, its tables are those of the commands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from resnets.cli import run

README = (Path(__file__).parents[1] / "README.md").read_text()


def test_the_python_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All examples, in their order and in one namespace, as a reader would type them."""
    examples = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(examples) >= 3
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CXX", "none")  # a reader waits for torch.compile; the test of the README need not
    names: dict[str, object] = {}
    for example in examples:
        exec(compile(example, "README.md", "exec"), names)
    assert (tmp_path / "runs" / "digits" / "result.json").exists()


def test_the_table_of_networks_is_that_of_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    """`resnets list --markdown` prints what stands between the two marks."""
    table = re.search(r"<!-- resnets list --markdown -->\n(.*?)<!-- end -->", README, re.DOTALL)
    assert table is not None
    assert run(["list", "--markdown"]) == 0
    assert capsys.readouterr().out == table[1]


def test_the_results_are_those_of_the_report(capsys: pytest.CaptureFixture[str]) -> None:
    """`resnets report --markdown` prints what stands between the two marks, from the committed results."""
    shown = re.search(r"<!-- resnets report --markdown -->\n(.*?)<!-- end -->", README, re.DOTALL)
    assert shown is not None
    assert run(["report", str(Path(__file__).parents[1] / "results"), "--markdown"]) == 0
    assert capsys.readouterr().out == shown[1]


def test_the_shown_network_is_that_of_the_command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    shown = re.search(r"```\n\$ resnets info resnet34\n(.*?)```", README, re.DOTALL)
    assert shown is not None
    assert run(["info", "resnet34"]) == 0
    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == shown[1].splitlines()


def test_every_named_command_and_file_exists(capsys: pytest.CaptureFixture[str]) -> None:
    from resnets.cli import app

    known = {command.name for command in (*app.registered_commands, *app.registered_groups)}
    named = set(re.findall(r"^\$? ?resnets ([a-z]+)", README, re.MULTILINE))
    assert named
    assert named <= known
    root = Path(__file__).parents[1]
    for link in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (root / link).exists(), link
