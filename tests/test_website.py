"""The documentation site: nothing that is public is missing in its reference, and it builds."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

import resnets
from resnets.cli import app

WEBSITE = Path(__file__).parents[1] / "tools" / "website"


def pages(script: str) -> dict[str, str]:
    """Return the pages that a script of the site makes, by their files."""
    return runpy.run_path(str(WEBSITE / script))["pages"]()


def commands(command: Any, *path: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield each command with its words, and the commands below it."""
    yield path, command
    for name, part in getattr(command, "commands", {}).items():
        yield from commands(part, *path, name)


def test_every_command_and_option_is_in_the_reference() -> None:
    """With its usage, its text and the names of all its parameters."""
    found = pages("commands.py")
    for path, command in commands(get_command(app)):
        text = found[f"reference/commands/{path[0] if path else 'index'}.md"]
        name = " ".join(("resnets", *path))
        _, *sections = text.split("```text\n")
        section = next(section for section in sections if section.startswith((f"{name} [", f"{name} {{", f"{name}\n")))
        declared = re.findall(r"^```\{option\} (.*)", section if path else text, re.MULTILINE)
        assert len(declared) == len(command.params), name
        shown = {word.rstrip(",") for line in declared for word in line.split()}
        assert {one for parameter in command.params for one in parameter.opts if one.startswith("-")} <= shown, name


def test_every_public_name_is_in_the_reference_once() -> None:
    """Functions and classes, each with a docstring of its own."""
    directives = re.findall(r"^\.\. auto(?:function|class):: (\w+)", "\n".join(pages("calls.py").values()), re.M)
    assert sorted(directives) == sorted(set(resnets.__all__) - {"__version__"})
    assert [name for name in directives if not getattr(resnets, name).__doc__] == []


@pytest.mark.slow
def test_the_site_builds(tmp_path: Path) -> None:
    """Without a warning: every link and anchor leads somewhere, also those of docstrings and notebooks."""
    done = subprocess.run([sys.executable, WEBSITE / "build.py", tmp_path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert {"index.html", "search.html", "searchindex.js", "genindex.html"} <= {
        path.name for path in (tmp_path / "site").iterdir()
    }
