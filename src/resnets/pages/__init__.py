"""Pages that need no other file: the environment of their templates, and the style and script that they share."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment


def environment(*packages: str) -> Environment:
    """Return the environment of the templates of some packages; they may include `report.css` and `report.js`."""
    from jinja2 import ChoiceLoader, Environment, PackageLoader

    loaders = [PackageLoader(package) for package in (*packages, __name__)]
    return Environment(loader=ChoiceLoader(loaders), autoescape=True, trim_blocks=True, lstrip_blocks=True)
