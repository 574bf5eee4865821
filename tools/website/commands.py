"""Reference of the command `resnets`: a page for each of its commands, from the help that Typer shows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import typer
from typer.main import get_command

from resnets.cli import PANELS, app

FOLDER = "reference/commands"


def pages() -> dict[str, str]:
    """Return the pages, in MyST's Markdown, by their files below the folder of the sources."""
    program: Any = get_command(app)
    found = {f"{FOLDER}/index.md": _joined(_index(program))}
    for name, command in program.commands.items():
        found[f"{FOLDER}/{name}.md"] = _joined(_page(command, f"resnets {name}"))
    return found


def _joined(lines: Iterator[str]) -> str:
    return "\n".join(lines) + "\n"


def _index(program: Any) -> Iterator[str]:
    yield from ("# Commands", "", *_introduction(program, "resnets"))
    for panel, names in PANELS.items():
        yield from ("", f"## {panel}", "", "| command | |", "|---|---|")
        for name in names:
            summary = " ".join(program.commands[name].help.partition("\n\n")[0].split())
            yield f"| [`resnets {name}`]({name}.md) | {_escaped(summary)} |"
        yield from ("", "```{toctree}", ":hidden:", "", *names, "```")
    yield from _parameters(program, "resnets", "##")


def _page(command: Any, name: str, level: str = "#") -> Iterator[str]:
    """Yield a command's usage, text, arguments and options, and those of its subcommands."""
    yield from ("", f"{level} {name}", "", *_introduction(command, name))
    yield from _parameters(command, name, f"{level}#")
    for part, subcommand in getattr(command, "commands", {}).items():
        yield from _page(subcommand, f"{name} {part}", f"{level}#")


def _introduction(command: Any, name: str) -> Iterator[str]:
    usage = [name, *command.collect_usage_pieces(typer.Context(command, info_name=name))]
    yield from ("```text", " ".join(usage), "```", "", _escaped(command.help.strip()))


def _parameters(command: Any, name: str, level: str) -> Iterator[str]:
    """Yield each argument and option with its type, help and default, in the groups of the help."""
    context = typer.Context(command, info_name=name)
    groups: dict[str, list[Any]] = {"Arguments": [], "Options": []}
    for parameter in command.params:
        group = "Arguments" if parameter.param_type_name == "argument" else "Options"
        groups.setdefault(parameter.rich_help_panel or group, []).append(parameter)
    yield from ("", f"```{{program}} {name}", "```")
    for group, parameters in groups.items():
        records = [record for one in parameters if (record := one.get_help_record(context)) is not None]
        if records:
            yield from ("", f"{level} {group}")
        for declared, text in records:
            yield from ("", f"```{{option}} {declared}", "", _with_default(text), "```")


def _with_default(text: str) -> str:
    """Return the help of an option, in which Typer has its default and other facts in brackets at the end."""
    found = re.fullmatch(r"(.*?)(?:(?:  |^)\[([^\[\]]*)\])?", text, re.DOTALL)
    assert found is not None
    words, facts = found[1].replace("\\[", "["), found[2]  # escaped, since the help has markup in brackets
    if not facts:
        return _escaped(words)
    default = re.fullmatch(r"default: \((.*)\)", facts)  # in parentheses where it is described
    return f"{_escaped(words)} [{_escaped(f'default: {default[1]}' if default else facts)}]{{.facts}}"


def _escaped(text: str) -> str:
    """Return plain text as Markdown, in which `code`, and options in a sentence, are code."""
    parts = re.split(r"(`[^`]*`|(?<!\S)--[a-z][a-z-]*)", text)
    return "".join(
        f"`{part.strip('`')}`" if place % 2 else re.sub(r"([\\*_<>\[\]{}$|~])", r"\\\1", part)
        for place, part in enumerate(parts)
    )
