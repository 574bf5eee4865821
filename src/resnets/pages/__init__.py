"""Pages that need no other file: the environment of their templates, and the style and script that they share."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment

_PERCENT = re.compile(r"(?<=\d) %")


@cache
def environment(*packages: str) -> Environment:
    """Return the environment of the templates of some packages; each page extends `base.html`.

    It is kept, so that a process compiles a template once: what one page alone shows is an argument of `render`.

    The filter `typeset` makes a sentence of the package one of a page: arrows, percent signs that stay with their
    number, and code for words in backticks.
    """
    from jinja2 import ChoiceLoader, Environment, PackageLoader

    loaders = [PackageLoader(package) for package in (*packages, __name__)]
    made = Environment(loader=ChoiceLoader(loaders), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    made.filters["typeset"] = _typeset
    return made


def _typeset(text: str) -> Any:
    from markupsafe import Markup, escape

    parts = [escape(part) for part in _PERCENT.sub("\N{NO-BREAK SPACE}%", text).replace("->", "→").split("`")]
    return Markup("".join(f"<code>{part}</code>" if index % 2 else part for index, part in enumerate(parts)))
