"""The documentation site: nothing that is public is missing in its reference, and it builds."""

from __future__ import annotations

import inspect
import re
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from docutils import nodes
from docutils.core import publish_doctree
from sphinx.ext.napoleon import Config, GoogleDocstring
from typer.main import get_command

import resnets
from resnets.cli import app

WEBSITE = Path(__file__).parents[1] / "tools" / "website"

conf = runpy.run_path(str(WEBSITE / "conf.py"))


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


@pytest.mark.parametrize(
    ("docstring", "faults"),
    [
        ("Raises: DataError, if one of PATH/*.jpg is\n    damaged, or `size*2` too large.", 0),
        ("Raises: DataError, if an image is\ndamaged.", 1),  # the second line is not indented
    ],
)
def test_faults_of_a_docstring_are_found(docstring: str, faults: int) -> None:
    """The next test can fail."""
    assert len(faults_of(docstring)) == faults


def test_every_docstring_is_readable_by_sphinx() -> None:
    """A fault would end `make docs`."""
    found = {name: faults_of(inspect.getdoc(getattr(resnets, name)) or "") for name in resnets.__all__}
    assert {name: faults for name, faults in found.items() if faults} == {}


def faults_of(docstring: str) -> set[str]:
    """Return what docutils reports of a docstring, as the site has it."""
    lines = docstring.splitlines()
    conf["docstring"](None, "", "", None, None, lines)
    text = str(GoogleDocstring(lines, Config()))
    tree = publish_doctree(text, settings_overrides={"report_level": 5})
    return {message.astext() for message in tree.findall(nodes.system_message)}


@pytest.mark.slow
def test_the_site_builds(tmp_path: Path) -> None:
    """Without a warning: every link and anchor leads somewhere, also those of docstrings and notebooks."""
    done = subprocess.run([sys.executable, WEBSITE / "build.py", tmp_path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert {"index.html", "search.html", "searchindex.js", "genindex.html"} <= {
        path.name for path in (tmp_path / "site").iterdir()
    }
