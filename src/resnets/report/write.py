"""`write_report`: result files next to the paper, as one page and as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from resnets.errors import public
from resnets.files import write_bytes
from resnets.paper.declarations import Table
from resnets.report import markdown, page, paper_figures
from resnets.report.collect import collect
from resnets.report.view import View

RESULTS = "results"  # of the current folder
SITE = "site"


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a report says. `counts` are the rows of the paper's tables by status.

    `problems` are files that are no results, and runs that do not count. `page` is None where none was requested.
    """

    page: Path | None
    figures: tuple[Path, ...]
    markdown: str
    sentence: str  # whether training error rises with depth
    depths: tuple[tuple[str, ...], ...]  # the numbers of it: kind, layers, training and test error, runs
    counts: dict[str, int]
    runs: int
    problems: tuple[str, ...]


@public
def write_report(
    results: str | Path | Iterable[str | Path] = (),
    *,
    out: str | Path | None = SITE,
    figures: str | Path | None = None,
    tables: Sequence[Table] = (),
) -> Report:
    """Compare result files with the paper's tables and figures, and write `out`/index.html, a page that needs no other.

    `results` are files that `train`, `reproduce` or `python -m benchmarks` wrote, or folders with such files; without
    any it is the folder `results`. With `out` None no page is written. `figures` is a folder for the figures that have
    measurements, each as a PNG and a PDF file. `tables` are your own, which come first.

    Raises: UsageError, if there are no results; RunError, if the page or a figure cannot be written.
    """
    places = [results] if isinstance(results, str | Path) else list(results)
    view = View.of(collect([Path(place) for place in places or [RESULTS]]), tables)
    written: Path | None = None
    if out is not None:
        written = Path(out) / "index.html"
        write_bytes(written, page.render(view).encode())
    return Report(
        page=written,
        figures=() if figures is None else tuple(paper_figures.write_figures(view, Path(figures))),
        markdown=markdown.render(view),
        sentence=view.sentence,
        depths=tuple(map(tuple, view.depths.rows)),
        counts={str(status): number for status, number in view.counts.items()},
        runs=len(view.results.everything),
        problems=view.results.problems,
    )
