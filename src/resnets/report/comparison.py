"""The paper's tables with what was measured of them: for each row its runs, its numbers and a status."""

from __future__ import annotations

import dataclasses
import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from resnets.paper.declarations import Column, Part, Row, Statistic, Table, Tolerance
from resnets.paper.published import Published
from resnets.report.collection import Cost, Results
from resnets.report.detectors import MeasuredDetector
from resnets.report.measured import Errors, Measured, Run, Setting
from resnets.report.verdicts import Verdict, choose, judge, setting_of

PARTS: dict[Part, str] = {
    "ten-crop": "ten-crop testing",
    "dense-multi-scale": "fully convolutional testing at several scales",
    "ensemble": "ensembles of classifiers",
    "detection": "the detector",
    "box-refinement": "box refinement",
    "global-context": "global context",
    "multi-scale-detection": "detection at several scales",
    "detection-ensemble": "ensembles of detectors",
    "imagenet-det": "ImageNet's detection data",
    "localisation": "localisation",
    "localisation-rcnn": "the second stage of localisation",
    "localisation-ensemble": "ensembles of localisers",
}

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
    def difference(self) -> float | None:
        """Measured less published."""
        if self.measured is None or self.published is None or self.published.relation:
            return None
        return self.measured - self.published.value

    @property
    def is_measured(self) -> bool:
        """Whether there is anything of ours."""
        return self.measured is not None or bool(self.measured_text)


@dataclass(frozen=True)
class ComparedRow:
    """A row, its cells in the order of the columns, the runs behind them, and what it comes to."""

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
        """Whether anything of ours stands in it."""
        return any(cell.is_measured for row in self.rows for cell in row.cells)

    def has_measured(self, column: Column) -> bool:
        """Whether any row has a number of ours in a column."""
        return any(cell.is_measured for row in self.rows for cell in row.cells if cell.column is column)


# ---------------------------------------------------------------- comparing


def compare_table(table: Table, results: Results) -> ComparedTable:
    """Return a table with what was measured of it."""
    return ComparedTable(table, tuple(_row(table, row, results) for row in table.rows))


def _row(table: Table, row: Row, results: Results) -> ComparedRow:
    setting = setting_of(row)
    runs = (
        choose(_candidates(row, results), setting, lambda run: _has_any(run, row, table.columns))
        if setting and not row.cited
        else ()
    )
    cost = results.cost(row.network, row.shortcut)
    missing = _without_runs(row, results, setting, f"{table.name} --only {row.slug}")
    cells = tuple(_cell(column, row, runs, cost, missing) for column in table.columns)
    return ComparedRow(row, cells, runs, _together(table, row, cells, missing))


def _candidates(row: Row, results: Results) -> Sequence[Run]:
    return results.runs if row.detection_test is None else results.detectors


def _has_any(run: Run, row: Row, columns: Sequence[Column]) -> bool:
    return any(_value(run, row, column) is not None for column in columns)


def _without_runs(row: Row, results: Results, setting: Setting | None, name: str) -> Verdict:
    """Return what a row is where nothing was measured."""
    if row.cited:
        return Verdict("cited", f"from {row.reference}" if row.reference else "another paper's")
    if row.missing:
        return Verdict("not built yet", f"needs {listed([PARTS[part] for part in row.missing])}")
    if row.network is None:
        command, server = ("evaluate", "ImageNet's") if row.detection_test is None else ("detect evaluate", "COCO's")
        how = f"`resnets {command}` tests an ensemble of such networks"
        return Verdict("not run", f"{how}; this one is not named, and {server} server scores the test set")
    if setting is None and row.recipe is None and row.data is not None:
        return Verdict("not built yet", "there is no recipe of it yet")
    if setting and choose(_candidates(row, results), setting):
        if row.detection_test is not None:
            how = "`resnets detect evaluate` does, and with --out writes the files that a server scores"
            return Verdict("not run", f"trained, and not tested so on images whose boxes are known: {how}")
        return Verdict("not run", f"trained, and not tested: `resnets evaluate` does, with --protocol {row.protocol}")
    return Verdict("not run", f"`resnets reproduce {name}` runs it")


def _value(run: Run, row: Row, column: Column) -> float | None:
    if isinstance(run, MeasuredDetector):
        return None if row.detection_test is None else run.value(row.detection_test, column)
    errors: Errors | None = run.errors.get(row.protocol or "") if isinstance(run, Measured) else None
    if errors is None:
        return None
    return {"top-1 error": errors.top1, "top-5 error": errors.top5}.get(column.measure)


def _cell(column: Column, row: Row, runs: Sequence[Run], cost: Cost | None, missing: Verdict) -> Cell:
    published, text = row.published.get(column.name), row.text.get(column.name, "")
    nothing = missing if published or text else Verdict(missing.status, row.reason or "the paper prints no number here")
    if column.measure == "layers":
        return _layers(column, text, None if row.cited else cost, nothing)
    values = _values(column, row, runs, cost)
    compared = column.name in row.compared and published is not None
    statistic = "mean" if compared else column.statistic
    measured = _statistic(values, statistic, higher_is_better="AP" in column.measure)
    empty = Cell(column=column, published=published, published_text=text, values=values, verdict=nothing)
    is_repeated = len(values) == 1 and (statistic == "best" or (statistic == "mean" and published is None))
    if measured is None or is_repeated:  # of one run the column that is compared shows it
        return empty
    departures = runs[0].departures if column.measure not in EXACT else ()
    if departures:
        verdict = Verdict("reduced", "; ".join(departures))
    elif compared and published:
        verdict = judge(values, published, row.tolerances.get(column.name) or _exactly(column, published))
    else:
        verdict = Verdict("not judged", "shown beside the number that is compared" if published else nothing.why)
    std = statistics.stdev(values) if statistic == "mean" and len(values) > 1 else None
    return dataclasses.replace(empty, measured=measured, std=std, verdict=verdict)


def _values(column: Column, row: Row, runs: Sequence[Run], cost: Cost | None) -> tuple[float, ...]:
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


def _exactly(column: Column, published: Published) -> Tolerance | None:
    """Return the tolerance of a count of layers: none at all."""
    return Tolerance(0.0, f"a count, {published.quantity}") if column.measure == "depth" else None


def _layers(column: Column, text: str, cost: Cost | None, nothing: Verdict) -> Cell:
    """Compare the layers of a stage, which is found by the size of its output."""
    side = re.search(r"(\d+)x\1$", column.name)
    stage = next((one for one in cost.stages if side and one.output == int(side[1])), None) if cost else None
    if stage is None:
        return Cell(column=column, published_text=text, verdict=nothing)
    same = _words(stage.layers) == _words(text)
    verdict = Verdict("reproduced", "the same layers") if same else Verdict("differs", f"ours: {stage.layers}")
    return Cell(column=column, published_text=text, measured_text=stage.layers, verdict=verdict)


def _words(layers: str) -> str:
    return layers.replace(";", ",").replace(" ", "").replace(",softmax", "")  # the loss has the softmax


def _together(table: Table, row: Row, cells: Sequence[Cell], missing: Verdict) -> Verdict:
    """Return a row's verdict: that of its trained cells, or of all cells of a table of costs; the worst counts."""
    counted = [
        cell
        for cell in cells
        if cell.is_measured and (cell.column.measure not in EXACT or table.kind == "complexity")
        if cell.column.name in row.compared or cell.published_text
    ]
    for status in ("differs", "reduced", "not judged", "reproduced"):
        if found := [cell for cell in counted if cell.verdict.status == status]:
            of = len(found) < len(counted)  # say of which columns
            whys = dict.fromkeys(
                f"{cell.column.name}: {cell.verdict.why}" if of else cell.verdict.why for cell in found
            )
            return Verdict(status, "; ".join(whys))
    return missing


def listed(words: Sequence[str]) -> str:
    """Return words as a sentence has them: a, b and c."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
