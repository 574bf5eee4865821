"""Reference of the package: a page for each subject, with the calls and classes of `resnets.__all__`."""

from __future__ import annotations

import resnets

FOLDER = "reference/python"
SUBJECTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "networks": ("Networks and weights", ("networks", "weights", "exporting")),
    "training": ("Training", ("training", "detection.recipes", "specs", "planning", "cli")),
    "evaluation": ("Evaluation", ("evaluation", "records.evaluations")),
    "inference": ("Prediction and serving", ("inference", "serving")),
    "data": ("Data", ("data", "records.audits")),
    "detection": ("Object detection and localisation", ("detection", "localisation")),
    "analysis": ("Why depth helps", ("analysis", "records.analyses")),
    "study": ("Depth studies and the paper's tables", ("depth_study", "reproduction", "report", "paper")),
    "errors": ("Errors and diagnosis", ("errors", "runtime")),
}
"""The pages, each with its title and the modules whose public names it has; the first page that has a module counts."""

INTRODUCTION = "Each name is used as ``resnets.NAME``. Importing the package imports no torch; the first call does."


def pages() -> dict[str, str]:
    """Return the pages in reStructuredText, by their files below the folder of the sources."""
    by_page: dict[str, list[str]] = {page: [] for page in SUBJECTS}
    for name in sorted(resnets.__all__, key=lambda name: (isinstance(getattr(resnets, name), type), name.lower())):
        if name != "__version__":
            by_page[_page_of(name)].append(name)
    toctree = [".. toctree::", "   :maxdepth: 2", "", *(f"   {page}" for page in SUBJECTS)]
    index = ["Python", "======", "", INTRODUCTION, "", *toctree]
    found = {f"{FOLDER}/index.rst": "\n".join(index) + "\n"}
    for page, (title, _) in SUBJECTS.items():
        lines = [title, "=" * len(title), "", ".. currentmodule:: resnets"]
        for name in by_page[page]:
            directive = "autoclass" if isinstance(getattr(resnets, name), type) else "autofunction"
            lines += ["", f".. {directive}:: {name}"]
        found[f"{FOLDER}/{page}.rst"] = "\n".join(lines) + "\n"
    return found


def _page_of(name: str) -> str:
    """Return the page of a public name, by the module that it is from."""
    home = getattr(resnets, name).__module__.removeprefix("resnets.")
    for page, (_, modules) in SUBJECTS.items():
        if any(f"{home}.".startswith(f"{module}.") for module in modules):
            return page
    raise SystemExit(f"resnets.{name} is from resnets.{home}, which is on no page of the reference; add it to SUBJECTS")
