"""Pages of one subject, such as a study or a measurement: sentences, drawings and tables in one file of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from resnets.files import write_durably, writing
from resnets.records import base
from resnets.records.base import Record
from resnets.records.runs import Provenance
from resnets.report import plots
from resnets.report.page import environment

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PAPER = "“Deep Residual Learning for Image Recognition” (He, Zhang, Ren, Sun, 2015)"


@dataclass(frozen=True, kw_only=True)
class PageText:
    """What a page says around its drawings and tables; `note` is its last line."""

    title: str
    sentences: Sequence[str]
    note: str
    headline: str = ""
    cautions: Sequence[str] = ()


@dataclass(frozen=True)
class Drawing:
    """A figure, its name in the page's identifiers, and what it shows, for who does not see it."""

    name: str
    figure: Figure
    alternative: str

    @property
    def is_wide(self) -> bool:
        """Whether it has several panels, and so a least width on a small screen."""
        return float(self.figure.get_figwidth()) > 6

    @property
    def svg(self) -> str:
        """The figure as an SVG element in the page's colours."""
        return plots.svg(self.figure, self.name)


@dataclass(frozen=True)
class Panel:
    """One panel of a figure: it draws itself on axes, alone on a page and next to the others in a file."""

    draw: Callable[[Axes], None]
    alternative: str


@dataclass(frozen=True, kw_only=True)
class Table:
    """The titles of a table's columns, its rows, each of which starts with its name, and its caption."""

    titles: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""


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
    folder: Path, name: str, record: Record, text: PageText, panels: Sequence[Panel], tables: Sequence[Table]
) -> Files:
    """Write a result as NAME.json, NAME.png, with its panels side by side, and NAME.html.

    Raises: RunError, if they cannot be written.
    """
    files = Files.of(folder, name)
    base.write(files.record, record)
    figure, axes = plots.canvas(4.4 * len(panels), 3.6, columns=len(panels))
    for panel, place in zip(panels, axes, strict=True):
        panel.draw(place)
    plots.save(figure, files.plot, dpi=110)
    write(files.page, text, [_alone(panel, f"{name}-{index}") for index, panel in enumerate(panels, 1)], tables)
    return files


def _alone(panel: Panel, name: str) -> Drawing:
    figure, (axes,) = plots.canvas(4.4, 3.6)
    panel.draw(axes)
    return Drawing(name, figure, panel.alternative)


def origin(provenance: Provenance) -> str:
    """Return the versions and the hardware of a result, for the note of its page."""
    versions, hardware = provenance.versions, provenance.hardware
    where = hardware.get("gpu", hardware.get("processor"))
    return f"resnets {versions.get('resnets')}, torch {versions.get('torch')}, on {where}"


def write(path: Path, text: PageText, drawings: Sequence[Drawing], tables: Sequence[Table]) -> None:
    """Write a page that needs no other file. Raises: RunError, if it cannot be written."""
    template = environment().get_template("single.html")
    content = template.render(text=text, drawings=drawings, tables=tables)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_durably(path, content.encode())
