"""The view model of a report: all that it says, in numbers and words, before it becomes a page or Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from resnets.durations import in_words
from resnets.localisation.recipes import all_recipes
from resnets.paper.declarations import Table
from resnets.paper.figures import FIGURES
from resnets.paper.tables import TABLES
from resnets.quantities import plural
from resnets.records.benchmarks import Benchmark, Claim
from resnets.report import depth
from resnets.report.compare_figures import ComparedFigure, compare_figure
from resnets.report.compare_tables import Cell, ComparedRow, ComparedTable, compare_table
from resnets.report.depth import DepthStudy
from resnets.report.runs import Measured, MeasuredTest, Results, by_seed, settings_of
from resnets.report.verdict import Status
from resnets.report.wording import Grid, machine, measured, quantity
from resnets.specs import Departure, Recipe, default_shortcut


@dataclass(frozen=True)
class View:
    """The paper's tables and figures with measurements, the studies of depth, and what else was measured."""

    results: Results
    tables: tuple[ComparedTable, ...]
    figures: tuple[ComparedFigure, ...]
    studies: tuple[DepthStudy, ...]  # the best first
    departures: tuple[tuple[tuple[Recipe, ...], tuple[Departure, ...]], ...]  # of declared recipes and of the runs'
    seeds: Grid  # the trainings of which there are several seeds
    ensembles: Grid  # compared with their members
    weights: Grid  # the tests of weights whose run is not known
    speed: Grid  # the benchmarks, ours next to each peer's

    @classmethod
    def of(cls, results: Results, own: Sequence[Table] = ()) -> View:
        """Return the view of some results: `own` tables, and all tables and figures of the paper, are compared."""
        tables = tuple(compare_table(table, results) for table in (*own, *TABLES.values()))
        used = {row.recipe for table in tables for row in table.table.rows}
        used |= {run.recipe for run in results.everything}
        return cls(
            results=results,
            tables=tables,
            figures=tuple(compare_figure(figure, results) for figure in FIGURES.values()),
            studies=depth.studies(results.runs),
            departures=departures(recipe for name, recipe in all_recipes().items() if name in used),
            seeds=_seeds(results.runs),
            ensembles=_ensembles(results.ensembles),
            weights=_weights(results.weights),
            speed=_speed(results.benchmarks.values()),
        )

    @property
    def study(self) -> DepthStudy | None:
        """The best study, if any compares depths."""
        return self.studies[0] if self.studies and self.studies[0].depths > 1 else None

    @property
    def headline(self) -> str:
        """What depth does to training error, by the best study, in a few words."""
        return depth.headline(self.study)

    @property
    def lead(self) -> str:
        """The numbers of the headline; empty where there are none."""
        return depth.lead(self.study)

    @property
    def sentence(self) -> str:
        """What depth does to training error, by the best study."""
        return depth.summary(self.study)

    @property
    def compared_studies(self) -> tuple[DepthStudy, ...]:
        """The studies of plain and of residual networks, the best first, and the best whatever it has."""
        return tuple(
            study
            for study in self.studies
            if study is self.study or (study.plain and study.residual and study.findings)
        )

    @property
    def more_sentences(self) -> tuple[str, ...]:
        """The same of each other study of plain and residual networks: on other data, or of another length."""
        return tuple(study.sentence for study in self.compared_studies if study is not self.study)

    @property
    def counts(self) -> dict[Status, int]:
        """How many rows of all tables have each status."""
        return Status.tally(row.verdict.status for table in self.tables for row in table.rows)

    @property
    def depths(self) -> Grid:
        """The errors of the best study by depth."""
        kinds = () if self.study is None else (("plain", self.study.plain), ("residual", self.study.residual))
        rows = [
            (kind, f"{one.layers}", f"{one.training:.2f} %", f"{one.test:.2f} %", f"{one.seeds}")
            for kind, depths in kinds
            for one in depths
        ]
        columns = ("kind", "layers", "training error", "test error", "runs")
        return Grid(titles=columns, rows=rows, caption="Errors by depth, means over the seeds")

    @property
    def machines(self) -> str:
        """How many runs there are, how long they took, and on which machines; empty without any."""
        runs = self.results.everything
        if not runs:
            return ""
        machines = dict.fromkeys(machine(one.hardware) for run in runs for one in run.provenance)
        seconds = in_words(sum(run.seconds for run in runs))
        return f"{plural(len(runs), 'run')}, {seconds} in all, on {' and '.join(machines)}"


def departures(recipes: Iterable[Recipe]) -> tuple[tuple[tuple[Recipe, ...], tuple[Departure, ...]], ...]:
    """Return the recipes' lists of departures from the paper, each list once, with the recipes that have it."""
    groups: dict[tuple[Departure, ...], tuple[Recipe, ...]] = {}
    for recipe in recipes:
        groups[recipe.departures] = (*groups.get(recipe.departures, ()), recipe)
    return tuple((same, found) for found, same in groups.items())


# ---------------------------------------------------------------- the paper's tables


COMPARED = ("", "", "published", "measured", "difference", "runs", "status")


def shown(row: ComparedRow) -> list[Cell]:
    """Return the cells that have a line: what is measured next to a published number, but for counts that agree.

    Of a row without any published number, as those of your own tables, it is what its runs measured.
    """
    published = [cell for cell in row.cells if cell.published or cell.published_text]
    return [
        cell
        for cell in published or row.cells
        if cell.is_measured and not (is_as_printed(cell) if published else cell.is_exact)
    ]


def is_as_printed(cell: Cell) -> bool:
    """Return whether a count of layers or parameters is the paper's."""
    return cell.column.measure in ("layers", "depth", "parameters") and cell.verdict.status is Status.COUNTED


def compared_line(row: ComparedRow, cell: Cell) -> tuple[str, ...]:
    """Return published next to measured, in the order of `COMPARED`."""
    runs = "" if cell.is_exact else f"{len(cell.values)}"
    return (row.row.label, cell.column.name, cell.paper, cell.ours, cell.gap, runs, cell.verdict.status.signed)


# ---------------------------------------------------------------- what is no table of the paper


TESTED = ("data", "protocol", "images", "top-1 error", "top-5 error")


def _seeds(runs: Iterable[Measured]) -> Grid:
    """Return the means over the seeds of each setting; of settings whose words are the same a run is named."""
    seeds = [list(by_seed(group).values()) for group in settings_of(runs)]
    several = [group for group in seeds if len(group) > 1]
    said = [_setting(group[0]) for group in several]
    rows = [
        (network, data if said.count(words) == 1 else f"{data}, as in {group[0].name}", *more, *_means(group))
        for group, words in zip(several, said, strict=True)
        for network, data, *more in [words]
    ]
    return Grid(
        titles=("network", "data", "recipe", "iterations", "precision", "test error", "training error", "seeds"),
        rows=rows,
        caption="Several seeds: means and deviations, errors in percent",
        words=("data", "recipe", "precision"),
    )


def _setting(run: Measured) -> tuple[str, ...]:
    option = "" if run.shortcut == default_shortcut(run.network) else f", option {run.shortcut}"
    recipe = "; ".join((run.recipe, *run.changes))
    return (run.network + option, run.data, recipe, f"{run.iterations:,}", run.precision)


def _means(group: Sequence[Measured]) -> tuple[str, ...]:
    errors = ([run.test_error for run in group], [run.training_error for run in group])
    return (*map(_spread, errors), f"{len(group)}")


def _spread(errors: Sequence[float]) -> str:
    return measured(statistics.fmean(errors), std=statistics.stdev(errors))


def _ensembles(tests: Iterable[MeasuredTest]) -> Grid:
    return Grid(
        titles=("ensemble of", *TESTED, "top-1 error of each alone"),
        rows=[
            (", ".join(one.members), *_tested(one), ", ".join(f"{error:.2f}" for error in one.alone)) for one in tests
        ],
        caption="Ensembles, errors in percent, with 95 % intervals",
        words=TESTED[:2],
    )


def _weights(tests: Iterable[MeasuredTest]) -> Grid:
    return Grid(
        titles=("network", "weights", *TESTED),
        rows=[(*one.members, *one.weights, *_tested(one)) for one in tests],
        caption="Weights without a run of theirs, errors in percent, with 95 % intervals",
        words=("weights", *TESTED[:2]),
    )


def _tested(one: MeasuredTest) -> tuple[str, ...]:
    """Return a test in the order of `TESTED`."""
    error = f"{one.top1:.2f} ({one.interval[0]:.1f} to {one.interval[1]:.1f})"
    return (one.data, one.protocol, f"{one.images:,}", error, f"{one.top5:.2f}")


def _speed(benchmarks: Iterable[Benchmark]) -> Grid:
    rows = [
        _speed_row(row.what, claim)
        for benchmark in benchmarks
        for row in benchmark.rows
        for claim in row.claims
        if claim.theirs is not None
    ]
    columns = ("", "over", "ours", "theirs", "ratio (range)", "target")
    caption = "Speed, compared with torchvision and timm"
    return Grid(titles=columns, rows=rows, caption=caption, words=("over", "target"))


def _speed_row(what: str, claim: Claim) -> tuple[str, ...]:
    unit = "" if claim.is_memory else " images/s"
    return (
        f"{what}{', peak memory' if claim.is_memory else ''}",
        claim.over or "",
        quantity(claim.ours, claim.quantity) + unit,
        quantity(claim.theirs or 0.0, claim.quantity) + unit,
        f"{claim.median:.2f} ({claim.lowest:.2f} to {claim.highest:.2f})",
        "" if claim.at_least is None else f"{claim.at_least:g}: {(claim.verdict or '').lower()}",
    )
