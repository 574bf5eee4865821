"""`write_report`: result files beside the paper, as one page and as Markdown."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from resnets.report import collection, content, depth, markdown, page
from resnets.storage import write_durably, writing

RESULTS = "results"  # of the current folder
SITE = "site"


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a report says. `counts` are the rows of the paper's tables by status.

    `problems` are files that are no results, and runs that stand behind no number. `page` is None where none was
    asked for.
    """

    page: Path | None
    markdown: str
    sentence: str  # whether training error rises with depth
    depths: tuple[tuple[str, ...], ...]  # the numbers behind it: kind, layers, training and test error, runs
    counts: dict[str, int]
    runs: int
    problems: tuple[str, ...]


def write_report(results: str | Path | Iterable[str | Path] = (), *, out: str | Path | None = SITE) -> Report:
    """Set result files beside the paper's tables and figures, and write `out`/index.html, a page that stands alone.

    `results` are files that `train`, `reproduce` or `python -m benchmarks` wrote, or folders with such files; without
    any it is the folder `results`. With `out` None no page is written.

    Raises: UsageError, if there are no results; RunError, if the page cannot be written.
    """
    places = [results] if isinstance(results, str | Path) else list(results)
    found = content.assemble(collection.collect([Path(place) for place in places or [RESULTS]]))
    written: Path | None = None
    if out is not None:
        written = Path(out) / "index.html"
        text = page.render(found)
        with writing(written):
            written.parent.mkdir(parents=True, exist_ok=True)
            write_durably(written, text.encode())
    return Report(
        page=written,
        markdown=markdown.render(found),
        sentence=found.sentence,
        depths=tuple(map(tuple, depth.table(found.study)[1])),
        counts={str(status): number for status, number in found.counts.items()},
        runs=len(found.results.runs) + len(found.results.detectors),
        problems=found.results.problems,
    )
