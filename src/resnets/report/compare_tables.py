"""The paper's tables with measurements: each row with its runs, its numbers and a status."""

from __future__ import annotations

import dataclasses
import re
import shlex
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from resnets.paper.declarations import Column, Row, Statistic, Table, Tolerance
from resnets.paper.published import Published
from resnets.records.costs import Cost
from resnets.records.evaluations import Errors
from resnets.report.runs import Measured, MeasuredDetector, MeasuredLocaliser, MeasuredTest, Results, Run
from resnets.report.verdict import Status, Verdict, choose, judge
from resnets.report.wording import NOTHING, measured, published, relative

EXACT = ("layers", "depth", "parameters", "macs")  # of the network itself, known without training


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A row's column. `values` are the runs', `measured` is their mean, best or deviation, as the column has it.

    Units: the column's; `std` is None for a single run.
    """

    column: Column
    published: Published | None = None
    published_text: str = ""
    values: tuple[float, ...] = ()
    measured: float | None = None
    measured_text: str = ""
    std: float | None = None
    verdict: Verdict

    @property
    def is_measured(self) -> bool:
        """Whether there is anything of ours."""
        return self.measured is not None or bool(self.measured_text)

    @property
    def is_exact(self) -> bool:
        """Whether it is of the network itself, known without training."""
        return self.column.measure in EXACT

    @property
    def difference(self) -> float | None:
        """Measured less published."""
        if self.measured is None or self.published is None or self.published.relation:
            return None
        return self.measured - self.published.value

    @property
    def paper(self) -> str:
        """The paper's number in words."""
        return self.published_text or NOTHING if self.published is None else published(self.published)

    @property
    def ours(self) -> str:
        """Our number in words, with its deviation."""
        if self.measured is None:
            return self.measured_text or NOTHING
        return measured(self.measured, self.column.unit, self.std)

    @property
    def gap(self) -> str:
        """The difference in words: signed, of counts in percent of the published; empty where there is none."""
        if self.difference is None or self.published is None or self.column.unit == "layers":
            return ""
        return relative(self.difference, None if self.column.unit == "%" else self.published.value)


@dataclass(frozen=True)
class ComparedRow:
    """A row with its cells in the order of the columns, its runs, and its status."""

    row: Row
    cells: tuple[Cell, ...]
    runs: tuple[Run, ...]
    verdict: Verdict


@dataclass(frozen=True)
class ComparedTable:
    """A table of the paper with what was measured of it."""

    table: Table
    rows: tuple[ComparedRow, ...]

    @property
    def is_measured(self) -> bool:
        """Whether it has a number of ours."""
        return any(cell.is_measured for row in self.rows for cell in row.cells)

    @property
    def trained_rows(self) -> tuple[ComparedRow, ...]:
        """The rows with a number of ours that takes a training."""
        return tuple(row for row in self.rows if any(cell.is_measured and not cell.is_exact for cell in row.cells))

    @property
    def other_rows(self) -> tuple[ComparedRow, ...]:
        """The rows without."""
        return tuple(row for row in self.rows if row not in self.trained_rows)

    def has_measured(self, column: Column) -> bool:
        """Whether any row has a number of ours in a column."""
        return any(cell.is_measured for row in self.rows for cell in row.cells if cell.column is column)


# ---------------------------------------------------------------- comparing


def compare_table(table: Table, results: Results) -> ComparedTable:
    """Return a table with what was measured of it."""
    return ComparedTable(table, tuple(_row(table, row, results) for row in table.rows))


def _row(table: Table, row: Row, results: Results) -> ComparedRow:

    def has_any(run: Run) -> bool:
        return any(_value(run, row, column) is not None for column in table.columns)

    runs: Sequence[Run] = () if row.cited else choose(_candidates(row, results), row.training, has_any)
    tested: Sequence[Run | MeasuredTest] = runs
    if row.members:
        tested = ensembles = _ensembles(row, results)
        runs = [run for one in ensembles for run in one.runs]
    cost = results.cost(row.network, row.shortcut, row.data)
    missing = _without_runs(row, results, f"{shlex.quote(table.file or table.name)} --only {row.slug}")
    compared = {column.measure for column in table.columns if column.name in row.compared}
    cells = tuple(
        _cell(column, row, tested, cost, missing, column.measure in compared and column.name not in row.compared)
        for column in table.columns
    )
    return ComparedRow(row, cells, tuple(runs), _together(table, row, cells, missing))


def _candidates(row: Row, results: Results) -> Sequence[Run]:
    if row.localises:
        return results.localisers
    return results.runs if row.detection_test is None else results.detectors


def _ensembles(row: Row, results: Results) -> list[MeasuredTest]:
    """Return the tests of a row's ensemble by its protocol, of all of them those nearest to what was declared.

    Another row may have the same ensemble, and so a test of the same runs: the first one counts.
    """
    declared = sorted(repr(training.with_default_shortcut()) for training in row.trainings)
    of_runs = {
        tuple(run.file for run in one.runs): one
        for one in reversed(results.ensembles)
        if one.protocol == row.protocol and sorted(repr(run.declared) for run in one.runs) == declared
    }
    found = list(of_runs.values())[::-1]
    nearest = min(found, key=lambda one: one.rank, default=None)
    return [one for one in found if nearest is not None and one.alike == nearest.alike]


def _without_runs(row: Row, results: Results, name: str) -> Verdict:
    """Return the status of a row without measurements."""
    if row.availability == "cited":
        return Verdict(Status.CITED, f"from {row.reference}" if row.reference else "another paper's")
    if row.availability == "ensemble":
        return Verdict(Status.NOT_RUN, unnamed(row))
    if choose(_candidates(row, results), row.training):
        if row.detection_test is not None:
            how = "`resnets detect evaluate` does, and with --out writes the files that a server scores"
            return Verdict(Status.NOT_RUN, f"trained, and not tested so on images whose boxes are known: {how}")
        if row.localises:
            how = f"`resnets locate evaluate` does, with --classifier and --protocol {row.protocol}"
            return Verdict(Status.NOT_RUN, f"trained, and not tested so: {how}")
        how = f"`resnets evaluate` does, with --protocol {option_of(row.protocol or '')}"
        return Verdict(Status.NOT_RUN, f"trained, and not tested: {how}")
    return Verdict(Status.NOT_RUN, f"`resnets reproduce {name}` runs it")


def option_of(protocol: str) -> str:
    """Return a protocol, which may name its scales, as the options of `resnets evaluate` after `--protocol`."""
    name, at, scales = protocol.partition(" at ")
    return f"{name} --scales {scales.replace(', ', ',')}" if at else name


def unnamed(row: Row) -> str:
    """Return why the row of an ensemble whose members the paper does not name is not run."""
    if row.localises:
        return "`resnets locate evaluate` tests an ensemble of such networks; this one is not named"
    command = "evaluate" if row.detection_test is None else "detect evaluate"
    server = "ImageNet's" if (row.tested_on or "").startswith("imagenet") else "COCO's"
    how = f"`resnets {command}` tests an ensemble of such networks"
    return f"{how}; this one is not named, and {server} server scores the test set"


def _value(run: Run | MeasuredTest, row: Row, column: Column) -> float | None:
    if isinstance(run, MeasuredDetector):
        return None if row.detection_test is None else run.value(row.detection_test, column)
    if isinstance(run, MeasuredLocaliser):
        return run.value(row.protocol or "", column) if column.name in row.published else None
    errors: Errors | None = run.errors.get(row.protocol or "") if isinstance(run, Measured) else None
    if isinstance(run, MeasuredTest):
        errors = Errors(run.top1, run.top5)
    if errors is None:
        return None
    return {"top-1 error": errors.top1, "top-5 error": errors.top5}.get(column.measure)


def _cell(
    column: Column,
    row: Row,
    runs: Sequence[Run | MeasuredTest],
    cost: Cost | None,
    missing: Verdict,
    repeats: bool,
) -> Cell:
    """Compare a column; it `repeats` one of the same measure that is compared, unless there are several runs."""
    published, text = row.published.get(column.name), row.text.get(column.name, "")
    nothing = missing if published or text else Verdict(missing.status, row.reason or "the paper prints no number here")
    if column.measure == "layers":
        return _layers(column, text, None if row.cited else cost, nothing)
    values = _values(column, row, runs, cost)
    compared = column.name in row.compared and published is not None
    statistic = "mean" if compared else column.statistic
    measured = _statistic(values, statistic, higher_is_better=column.better == "higher")
    empty = Cell(column=column, published=published, published_text=text, values=values, verdict=nothing)
    of_one = len(values) == 1 and (statistic == "best" or (statistic == "mean" and published is None))
    if measured is None or (repeats and of_one):  # of one run the column that is compared shows it
        return empty
    departures = runs[0].departures if not empty.is_exact else ()
    if departures:
        verdict = Verdict(Status.REDUCED, "; ".join(departures))
    elif row.is_without_labels:
        verdict = Verdict(Status.NOT_JUDGED, "of the validation images; the published number is of the test set")
    elif compared and published:
        exactly = Tolerance(0.0, f"a count, {published.quantity}") if column.measure == "depth" else None
        verdict = judge(values, published, row.tolerances.get(column.name, exactly), better=column.better)
        if empty.is_exact and verdict.status is Status.REPRODUCED:  # which takes a run
            verdict = dataclasses.replace(verdict, status=Status.COUNTED)
    else:
        verdict = Verdict(Status.NOT_JUDGED, "shown next to the number that is compared" if published else nothing.why)
    std = statistics.stdev(values) if statistic == "mean" and len(values) > 1 else None
    return dataclasses.replace(empty, measured=measured, std=std, verdict=verdict)


def _values(column: Column, row: Row, runs: Sequence[Run | MeasuredTest], cost: Cost | None) -> tuple[float, ...]:
    """Return what each run has for a column, or the one number that is known of the network without any."""
    if column.measure in EXACT:
        return () if cost is None or row.cited else (float(getattr(cost, column.measure)),)
    found = [_value(run, row, column) for run in runs]
    return tuple(value for value in found if value is not None)


def _statistic(values: Sequence[float], statistic: Statistic, *, higher_is_better: bool) -> float | None:
    if not values:
        return None
    if statistic == "std":
        return statistics.stdev(values) if len(values) > 1 else None
    if statistic == "best":
        return max(values) if higher_is_better else min(values)
    return statistics.fmean(values)


def _layers(column: Column, text: str, cost: Cost | None, nothing: Verdict) -> Cell:
    """Compare the layers of a stage, which is found by the size of its output."""
    side = re.search(r"(\d+)x\1$", column.name)
    stage = next((one for one in cost.stages if side and one.output_size[0] == int(side[1])), None) if cost else None
    if stage is None:
        return Cell(column=column, published_text=text, verdict=nothing)
    same = _words(stage.layers) == _words(text)
    verdict = Verdict(Status.COUNTED, "the same layers") if same else Verdict(Status.DIFFERS, f"ours: {stage.layers}")
    return Cell(column=column, published_text=text, measured_text=stage.layers, verdict=verdict)


def _words(layers: str) -> str:
    return layers.replace(";", ",").replace(" ", "").replace(",softmax", "")  # the loss has the softmax


def _together(table: Table, row: Row, cells: Sequence[Cell], missing: Verdict) -> Verdict:
    """Return a row's status: the worst of its trained cells, or of all cells in a table of costs."""
    counted = [
        cell
        for cell in cells
        if cell.is_measured and (not cell.is_exact or table.kind == "complexity")
        if not row.compared or cell.column.name in row.compared or cell.published_text
    ]
    worst_first = (Status.DIFFERS, Status.REDUCED, Status.NOT_JUDGED, Status.BETTER, Status.REPRODUCED, Status.COUNTED)
    for status in worst_first:
        if found := [cell for cell in counted if cell.verdict.status is status]:
            of = len(found) < len(counted)  # say of which columns
            whys = dict.fromkeys(
                f"{cell.column.name}: {cell.verdict.why}" if of else cell.verdict.why for cell in found
            )
            return Verdict(status, "; ".join(whys))
    return missing
