"""Configuration of the documentation site, for Sphinx; `build.py` starts it."""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes

import resnets

project = "resnets"
version = release = resnets.__version__
copyright = "The resnets contributors, Apache-2.0"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
root_doc = "index"

myst_heading_anchors = 4  # as on GitHub
myst_enable_extensions = ["attrs_inline"]
smartquotes = False  # two hyphens are an option's
default_role = "py:obj"  # a docstring's `name` is a link where it is public, and code elsewhere
maximum_signature_line_length = 60
autodoc_default_options = {"members": True}
autodoc_class_signature = "mixed"
napoleon_google_docstring = True

html_theme = "furo"
html_title = "resnets"
html_static_path = ["_static"]
html_css_files = ["style.css"]
html_show_sphinx = False
html_copy_source = False
toc_object_entries_show_parents = "hide"
pygments_style, pygments_dark_style = "friendly", "github-dark"
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#1f5fa8", "color-brand-content": "#1f5fa8"},
    "dark_css_variables": {"color-brand-primary": "#8bbcf6", "color-brand-content": "#8bbcf6"},
}
copybutton_prompt_text = "$ "

FIELD = re.compile(r"^(Shape|Units|Raises|Paper): ")
EXCEPTION = re.compile(r"(?<![`\w.])(\w+Error|Interrupted|FailedElsewhere)(?![`\w])")


def docstring(app: object, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Write sections of one line, such as `Raises:`, as fields, and exceptions as links; an asterisk is an asterisk."""
    for number, line in enumerate(lines):
        text = [part if place % 2 else part.replace("*", r"\*") for place, part in enumerate(line.split("`"))]
        lines[number] = EXCEPTION.sub(r"`\1`", FIELD.sub(r":\1: ", "`".join(text)))


def dashes(app: object, doctree: nodes.document, page: str) -> None:
    """Write a dash between a parameter and its meaning, where Sphinx has two hyphens."""
    for text in doctree.findall(nodes.Text):
        if text == " -- ":
            text.parent.replace(text, nodes.Text(" \N{EN DASH} "))


def setup(app: Any) -> None:
    """Connect the functions above; Sphinx calls it."""
    app.connect("doctree-resolved", dashes)
    app.connect("autodoc-process-docstring", docstring, priority=400)  # before napoleon
