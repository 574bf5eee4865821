"""All that a report says, from results and declarations, before it becomes a page or Markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from resnets.detection.recipes import ALL_RECIPES
from resnets.paper.figures import FIGURES
from resnets.paper.tables import TABLES
from resnets.report import depth
from resnets.report.collection import Results
from resnets.report.comparison import ComparedTable, compare_table
from resnets.report.curves import ComparedFigure, compare_figure
from resnets.report.depth import DepthStudy
from resnets.report.verdicts import STATUSES, Status
from resnets.specs import Recipe


@dataclass(frozen=True)
class Content:
    """The paper's tables and figures with what was measured of them, and what depth did."""

    results: Results
    tables: tuple[ComparedTable, ...]
    figures: tuple[ComparedFigure, ...]
    studies: tuple[DepthStudy, ...]  # the best first
    recipes: tuple[Recipe, ...]  # the declarations', and those of the runs

    @property
    def study(self) -> DepthStudy | None:
        """The runs that tell best what depth does."""
        return self.studies[0] if self.studies else None

    @property
    def sentence(self) -> str:
        """What depth did, in one sentence."""
        return depth.sentence(self.study)

    @property
    def more_sentences(self) -> tuple[str, ...]:
        """What it did in the other studies that have a plain network beside a residual one: other data, or lengths."""
        told = (depth.sentence(one) if one.is_complete else depth.twins_sentence(one) for one in self.studies[1:])
        return tuple(sentence for sentence in told if sentence)

    @property
    def counts(self) -> dict[Status, int]:
        """How many rows of all tables have each status."""
        return count(row.verdict.status for table in self.tables for row in table.rows)


def count(statuses: Iterable[Status]) -> dict[Status, int]:
    """Return how often each status occurs, in their order, those that do not left out."""
    found = Counter(statuses)
    return {status: found[status] for status in STATUSES if found[status]}


def assemble(results: Results) -> Content:
    """Set all tables and figures of the paper beside the results."""
    tables = tuple(compare_table(table, results) for table in TABLES.values())
    declared = {row.recipe for table in tables for row in table.table.rows}
    declared |= {run.recipe for run in (*results.runs, *results.detectors)}
    return Content(
        results=results,
        tables=tables,
        figures=tuple(compare_figure(figure, results) for figure in FIGURES.values()),
        studies=depth.studies(results.runs),
        recipes=tuple(recipe for name, recipe in ALL_RECIPES.items() if name in declared),
    )
