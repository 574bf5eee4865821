"""Reproduction of the paper's tables and figures: their runs, compared with the published numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from resnets.errors import RunError, UsageError, public
from resnets.report.collect import collect
from resnets.report.compare_figures import ComparedFigure, compare_figure
from resnets.report.compare_tables import ComparedTable, compare_table
from resnets.report.write import Report, write_report
from resnets.reproduction.costs import write_costs
from resnets.reproduction.data_resolver import Data
from resnets.reproduction.ensembles import evaluate_ensembles
from resnets.reproduction.planned_run import PlannedRun
from resnets.reproduction.pool import train_and_test_all
from resnets.reproduction.run import train_and_test
from resnets.reproduction.run_list import OUT, ReproductionPlan, check, plan_reproduction
from resnets.runtime.signals import StopRequest
from resnets.training.observers import Observer

Observe = Callable[[PlannedRun], Observer]


@dataclass(frozen=True, kw_only=True)
class Reproduction:
    """The requested tables and figures with published and measured numbers, and the page of all.

    `made` are the runs of this call, `done_before` those that an earlier one had made, `failed` those that could not
    be trained to their end, each with the reason.
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
    if workers < 0:
        raise UsageError(f"workers is {workers}; it must be 0 or more")
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
        evaluate_ensembles(plan, workers=workers)
    return conclude(plan, ended)


def make_runs(
    plan: ReproductionPlan, *, resume: bool, workers: int = 2, observe: Observe | None = None
) -> list[tuple[PlannedRun, str | None]]:
    """Make the runs of a plan that are not done; return each with None, or why it failed.

    Raises: RunError, CheckpointError, DataError; Interrupted after a signal, with everything saved.
    """
    started = [run for run in plan.todo if run.state == "started" and run.iteration < run.recipe.iterations]
    if started and not resume:
        raise RunError(f"{started[0].folder} was started: add --resume to continue it, or name another --out")
    with StopRequest() as stop:
        return _train_and_test(plan, workers, observe, stop)


def conclude(plan: ReproductionPlan, ended: Sequence[tuple[PlannedRun, str | None]]) -> Reproduction:
    """Compare what was measured with what was published, and write the page; `ended` are runs, each as `make_runs`.

    Raises: RunError.
    """
    write_costs(plan.results / "costs.json", plan.selection.own)
    found = collect([plan.results])
    return Reproduction(
        plan=plan,
        tables=tuple(compare_table(table, found) for table in plan.selection.tables),
        figures=tuple(compare_figure(figure, found) for figure in plan.selection.figures),
        report=write_report(plan.results, out=plan.out / "site", tables=plan.selection.own),
        made=tuple(run.name for run, why in ended if why is None),
        done_before=tuple(run.name for run in plan.runs if run.state == "done"),
        failed=tuple((run.name, why) for run, why in ended if why is not None),
    )


def _train_and_test(
    plan: ReproductionPlan, workers: int, observe: Observe | None, stop: StopRequest
) -> list[tuple[PlannedRun, str | None]]:
    """Make the runs of a plan; return each with None, or why it failed."""
    ended: list[tuple[PlannedRun, str | None]] = []
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
