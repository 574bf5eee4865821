"""Pages of one subject, such as a study or a measurement: sentences, drawings and tables in one file of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnets.files import write_bytes
from resnets.pages import environment
from resnets.records import base
from resnets.records.base import Record
from resnets.records.runs import Provenance
from resnets.report import plots
from resnets.report.wording import Grid, machine

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PAPER = "“Deep Residual Learning for Image Recognition” (He, Zhang, Ren, Sun, 2015)"


@dataclass(frozen=True, kw_only=True)
class PageText:
    """What a page says around its drawings and tables: the finding in a sentence first; `note` is its last line."""

    title: str
    headline: str
    sentences: Sequence[str]
    note: str
    cautions: Sequence[str] = ()


@dataclass(frozen=True)
class Panel:
    """One panel of a figure: it draws itself on axes, alone on a page and next to the others in a file."""

    draw: Callable[[Axes], None]
    alternative: str


@dataclass(frozen=True)
class Files:
    """The files of a result: the record with every number, the figure, and the page."""

    record: Path
    plot: Path
    page: Path

    @classmethod
    def of(cls, folder: Path, name: str) -> Files:
        """Return the files of this name in a folder."""
        return cls(*(folder / f"{name}{suffix}" for suffix in (".json", ".png", ".html")))


def publish(
    folder: Path, name: str, record: Record, text: PageText, panels: Sequence[Panel], tables: Sequence[Grid]
) -> Files:
    """Write a result as NAME.json, NAME.png, with its panels side by side, and NAME.html.

    Raises: RunError, if they cannot be written.
    """
    files = Files.of(folder, name)
    base.write(files.record, record)
    draw(files.plot, files.page, text, panels, tables)
    return files


def origin(provenance: Provenance) -> str:
    """Return the versions and the hardware of a result, for the note of its page."""
    versions = provenance.versions
    return f"resnets {versions.get('resnets')}, torch {versions.get('torch')}, on {machine(provenance.hardware)}"


def draw(
    plot: Path,
    page: Path,
    text: PageText,
    panels: Sequence[Panel],
    tables: Sequence[Grid],
    *,
    template: str = "single.html",
    package: str = "resnets.report",
    **values: Any,
) -> None:
    """Write the panels side by side as a plot, and a page of them that needs no other file.

    `template` is one of a package, with its `values`; it may extend `single.html`.

    Raises: RunError, if they cannot be written.
    """
    plots.save(figure_of(panels), plot, dpi=110)
    drawings = [(_alone(panel, f"{page.stem}-{number}"), panel.alternative) for number, panel in enumerate(panels, 1)]
    made = environment(package, "resnets.report").get_template(template)
    write_bytes(page, made.render(text=text, drawings=drawings, tables=tables, **values).encode())


def figure_of(panels: Sequence[Panel]) -> Figure:
    """Return the figure of panels side by side."""
    figure, axes = plots.canvas(4.4 * len(panels), 3.6, columns=len(panels))
    for panel, place in zip(panels, axes, strict=True):
        panel.draw(place)
    return figure


def _alone(panel: Panel, name: str) -> str:
    figure, (axes,) = plots.canvas(4.4, 3.6)
    panel.draw(axes)
    return plots.svg(figure, name)
