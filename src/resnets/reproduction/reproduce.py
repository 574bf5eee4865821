"""Reproduction of the paper's tables and figures: their runs, compared with the published numbers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path

import torch

from resnets.errors import ANOTHER_FOLDER, RunError, first_line, public, require_at_least
from resnets.files import sha256_of
from resnets.networks.describe import describe
from resnets.paper.declarations import Row, Table
from resnets.paper.tables import TABLES
from resnets.records.base import read_valid, write
from resnets.records.costs import Cost, Costs
from resnets.records.evaluations import Evaluation
from resnets.report.collect import collect
from resnets.report.compare_figures import ComparedFigure, compare_figure
from resnets.report.compare_tables import EXACT, ComparedTable, compare_table
from resnets.report.write import Report, write_report
from resnets.reproduction.data_resolver import Data, ResolvedData
from resnets.reproduction.planned_run import PlannedRun, fitting
from resnets.reproduction.pool import train_and_test_all
from resnets.reproduction.run import evaluate_by, testing, train_and_test
from resnets.reproduction.run_list import OUT, ReproductionPlan, check, plan_reproduction
from resnets.runtime.provenance import provenance
from resnets.runtime.signals import StopRequest
from resnets.specs import NetworkSettings, Shortcut
from resnets.training.observers import Observer
from resnets.training.run_folder import RunFolder
from resnets.training.together import TRAINING_FAILURES

Observe = Callable[[PlannedRun], Observer]


@dataclass(frozen=True, kw_only=True)
class Reproduction:
    """The requested tables and figures with published and measured numbers, and the page of all.

    `made` are the runs of this call, `done_before` those that an earlier one had made, `failed` those that could not
    be trained to their end or tested, and ensembles likewise, each with the reason.
    """

    plan: ReproductionPlan
    tables: tuple[ComparedTable, ...]
    figures: tuple[ComparedFigure, ...]
    report: Report
    made: tuple[str, ...]
    done_before: tuple[str, ...]
    failed: tuple[tuple[str, str], ...]


@public
def reproduce(
    name: str | Sequence[str],
    *,
    only: str | Sequence[str] = (),
    seeds: int = 1,
    scale: str = "full",
    data: Data | Sequence[Data] = (),
    weights: str | Sequence[str] = (),
    out: str | Path = OUT,
    resume: bool = False,
    device: str = "auto",
    together: int | None = None,
    measure: bool = True,
    workers: int = 2,
    observe: Observe | None = None,
    announce: Callable[[ReproductionPlan], None] | None = None,
    notify: Callable[[str], None] | None = None,
) -> Reproduction:
    """Reproduce a table or figure of the paper, and compare the results with the paper's.

    In `out`, each run has a folder in runs/ and a file in results/, and site/ holds the page. Finished runs are not
    repeated, unless network, recipe, data, weights or version changed. Several GPUs have one run each at a time.

    Args:
        name: `table6`, `figure4` ..., `all`, or a Python file with tables of your own; or several of them.
        only: rows or curves, by label, slug or network, in the order of their runs.
        seeds: runs per row, with seeds 0, 1 ...
        scale: `full` (the paper's iterations), `short` (a sixteenth) or `smoke` (5 iterations).
        data: sources or splits instead of the declared data: one named as a declared data set (`cifar10:PATH`)
            replaces it, another is for everything that has none. Detectors need `voc:PATH`, `coco:PATH` or
            `ilsvrc:PATH`, localisers `clsloc:PATH`.
        weights: initial weights of detectors and localisers, each `NETWORK=FILE`; by default those that `reproduce`
            made in `out`.
        out: folder for runs/, results/ and site/.
        resume: continue the runs that were started in the folder.
        device: `auto` is every GPU, else the CPU.
        together: networks for small images that are trained at once on each device, as memory allows; None is 10 on a
            GPU, which one of them leaves mostly idle, and 1 on a CPU. Each gets the weights that it would get alone.
        measure: measure each network for the plan; without it the first run starts at once.
        workers: data-loading processes.
        observe: makes an observer for each run.
        announce: is called with the plan before the first run.
        notify: is called with a sentence before each network is measured.

    Raises: UsageError, DataError, RunError, CheckpointError; Interrupted after a signal, with everything saved.
    Paper: Tables 1 to 14, Figures 1, 4, 6 and 7.
    """
    require_at_least(0, workers=workers)
    with StopRequest() as stop:
        plan = plan_reproduction(
            name,
            only=only,
            seeds=seeds,
            scale=scale,
            data=data,
            weights=weights,
            out=out,
            device=device,
            together=together,
            measure=measure,
            notify=notify,
        )
        if announce is not None:
            announce(plan)
        ended = make_runs(plan, resume=resume, workers=workers, observe=observe)
        check(stop)
        failed = _evaluate_ensembles(plan, workers=workers)
    return conclude(plan, ended, failed)


def make_runs(
    plan: ReproductionPlan, *, resume: bool, workers: int = 2, observe: Observe | None = None
) -> list[tuple[PlannedRun, str | None]]:
    """Make the runs of a plan that are not done; return each with None, or why it failed.

    Raises: RunError, CheckpointError, DataError; Interrupted after a signal, with everything saved.
    """
    started = [run for run in plan.todo if run.state == "started" and run.iteration < run.recipe.iterations]
    if started and not resume:
        raise RunError(f"{started[0].folder} was started: add --resume to continue it, or {ANOTHER_FOLDER}")
    ended: list[tuple[PlannedRun, str | None]] = []
    with StopRequest() as stop:
        for taught in (False, True):  # teachers before those that learn from them
            groups = [group for group in plan.groups if (group[0].teacher is not None) == taught]
            if len(plan.devices) > 1 and len(groups) > 1:
                ended += train_and_test_all(groups, plan.devices, workers=workers, observe=observe, stop=stop)
                continue
            for runs in groups:
                check(stop)
                failed = train_and_test(runs, device=plan.devices[0], workers=workers, observe=observe)
                ended += zip(runs, failed, strict=True)
        check(stop)
    return ended


def conclude(
    plan: ReproductionPlan, ended: Sequence[tuple[PlannedRun, str | None]], failed: Iterable[tuple[str, str]] = ()
) -> Reproduction:
    """Compare what was measured with what was published, and write the page; `ended` are runs, each as `make_runs`.

    `failed` are ensembles that could not be tested, each with the reason.

    Raises: RunError.
    """
    write_costs(plan)
    found = collect([plan.results])
    return Reproduction(
        plan=plan,
        tables=tuple(compare_table(table, found) for table in plan.selection.tables),
        figures=tuple(compare_figure(figure, found) for figure in plan.selection.figures),
        report=write_report(plan.results, out=plan.out / "site", tables=plan.selection.own),
        made=tuple(run.name for run, why in ended if why is None),
        done_before=tuple(run.name for run in plan.runs if run.state == "done"),
        failed=(*((run.name, why) for run, why in ended if why is not None), *failed),
    )


# ---------------------------------------------------------------- ensembles


def _evaluate_ensembles(plan: ReproductionPlan, *, workers: int) -> list[tuple[str, str]]:
    """Test the ensembles of a plan whose members are all trained, and write a result file for each.

    One that its file has of the same weights is not tested again. Returned are those that could not be tested, and why.

    Raises: RunError.
    """
    failed = []
    for table in plan.selection.tables:
        for row in (row for row in table.rows if row.members):
            for seed in sorted({run.seed for run in plan.runs}):
                if not (members := _members(plan, row, seed)):
                    continue
                try:
                    _evaluate(table.name, row, members, device=plan.devices[0], workers=workers)
                except TRAINING_FAILURES as error:
                    failed.append((f"{table.name} {row.label}, seed {seed}", first_line(error)))
    return failed


def _members(plan: ReproductionPlan, row: Row, seed: int) -> list[PlannedRun]:
    """Return the runs of a row's members in their order; [] where one is missing."""
    runs = {run.task.training: run for run in plan.runs if run.seed == seed}
    found = [runs[training] for training in row.trainings if training in runs]
    trained = all((run.folder / "result.json").is_file() for run in found)
    return found if trained and len(found) == len(row.members) else []


def _evaluate(table: str, row: Row, members: Sequence[PlannedRun], *, device: str, workers: int) -> None:
    first = members[0]
    data = first.data
    assert isinstance(data, ResolvedData) and row.protocol is not None
    tested = sha256(json.dumps([row.protocol, *(member.name for member in members)]).encode()).hexdigest()
    parts = (table, row.slug, data.splits.name, first.scale, f"seed{first.seed}", tested[:8])  # labels may be alike
    file = first.file.with_name("-".join(re.sub(r"[^a-z0-9]+", "_", part.lower()) for part in parts if part) + ".json")
    weights = [RunFolder(run.folder).weights for run in members]
    earlier = read_valid(file, Evaluation)
    if earlier is not None and [one.sha256 for one in earlier.members] == [sha256_of(path) for path in weights]:
        return
    with testing(row.protocol):
        found = evaluate_by(row.protocol, [run.folder for run in members], data.splits, device=device, workers=workers)
    write(file, found.with_changes(protocol=row.protocol))


# ---------------------------------------------------------------- what networks cost


def write_costs(plan: ReproductionPlan) -> None:
    """Write what every network of a table that prints layers, parameters or multiply-adds costs; no training is needed.

    Raises: RunError, if it cannot be written.
    """
    costs = [
        _cost_by_default(*one)
        for one in dict.fromkeys((row.network or "", row.shortcut) for row in _counting(TABLES.values()))
    ]
    data = {run.task.training: run.data for run in plan.runs}
    for training in dict.fromkeys(row.training for row in _counting(plan.selection.own)):
        if training is not None and isinstance(found := data.get(training), ResolvedData):
            costs.append(_cost(training.network, training.shortcut, training.data, found))
    write(plan.results / "costs.json", Costs(networks=tuple(costs), provenance=provenance(torch.device("cpu"))))


def _counting(tables: Iterable[Table]) -> Iterator[Row]:
    """Yield the rows of which a number is counted without a training."""
    for table in tables:
        if any(column.measure in EXACT for column in table.columns):
            yield from (row for row in table.rows if row.network is not None and not row.cited)


@cache
def _cost_by_default(network: str, shortcut: Shortcut | None) -> Cost:
    return _cost(network, shortcut)


def _cost(network: str, shortcut: Shortcut | None, data: str | None = None, on: ResolvedData | None = None) -> Cost:
    options: NetworkSettings = {"shortcut": shortcut, **(fitting(network, on) if on else {})}
    found = describe(network, **options)
    return Cost(
        network=network,
        shortcut=shortcut,
        data=data,
        depth=found.cost.depth if found.spec.depth is None else found.spec.depth,
        parameters=found.cost.parameters,
        macs=found.cost.macs,
        stages=found.stages,
    )
