"""`reproduce`: what the paper's tables and figures declare is run, and set beside what the paper printed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from resnets.data.splits import DataSplits
from resnets.detection.annotations import DetectionSplits
from resnets.errors import RunError, UsageError, public
from resnets.report.collect import collect
from resnets.report.compare_figures import ComparedFigure, compare_figure
from resnets.report.compare_tables import ComparedTable, compare_table
from resnets.report.write import Report, write_report
from resnets.reproduction import parallel, runs
from resnets.reproduction.costs import write_costs
from resnets.reproduction.planned import PlannedRun
from resnets.reproduction.planning import ReproductionPlan, check, make_plan
from resnets.runtime.device import choose_device
from resnets.runtime.launch import require_alone
from resnets.runtime.signals import StopRequest
from resnets.training.observers import Observer
from resnets.training.train import TRAINING_FAILURES

OUT = "reproduction"

Data = str | DataSplits | DetectionSplits
Observe = Callable[[PlannedRun], Observer]


@dataclass(frozen=True, kw_only=True)
class Reproduction:
    """What came out: the tables and figures that were asked for, published beside measured, and the page of all.

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
def plan_reproduction(
    name: str,
    *,
    only: str | Sequence[str] = (),
    seeds: int = 1,
    scale: str = "full",
    data: Data | Sequence[Data] = (),
    weights: str | Sequence[str] = (),
    out: str | Path = OUT,
    device: str = "auto",
    measure: bool = True,
) -> ReproductionPlan:
    """Return the runs of `reproduce` with the same arguments, and estimate their time and disk; nothing is started.

    Args:
        name, only, seeds, scale, data, weights, out, device, measure: as in `reproduce`.

    Raises: UsageError, DataError; RunError, if `out` is not usable; Interrupted after a signal.
    """
    with StopRequest() as stop:
        return _plan(name, only, seeds, scale, data, weights, Path(out), device, measure, stop)


@public
def reproduce(
    name: str,
    *,
    only: str | Sequence[str] = (),
    seeds: int = 1,
    scale: str = "full",
    data: Data | Sequence[Data] = (),
    weights: str | Sequence[str] = (),
    out: str | Path = OUT,
    resume: bool = False,
    device: str = "auto",
    measure: bool = True,
    workers: int = 2,
    observe: Observe | None = None,
    announce: Callable[[ReproductionPlan], None] | None = None,
) -> Reproduction:
    """Reproduce a table or figure of the paper, and compare the results with the paper's.

    In `out`, each run has a folder in runs/ and a file in results/, and site/ holds the page. Finished runs are not
    repeated, unless network, recipe, data, weights or version changed. Several GPUs have one run each at a time.

    Args:
        name: `table6`, `figure4` ..., or `all`.
        only: rows or curves, by label, slug or network, in the order of their runs.
        seeds: runs per row, with seeds 0, 1 ...
        scale: `full` (the paper's iterations), `short` (a sixteenth) or `smoke` (5 iterations).
        data: sources or splits instead of the declared data: one named as a declared data set (`cifar10:PATH`)
            replaces it, another is for everything that has none. Detectors need `voc:PATH` or `coco:PATH`.
        weights: initial weights of detectors, each `NETWORK=FILE`; by default those that `reproduce` made in `out`.
        out: folder for runs/, results/ and site/.
        resume: continue the runs that were started in the folder.
        device: `auto` is every GPU, else the CPU.
        measure: measure each network for the plan; without it the first run starts at once.
        workers: data-loading processes.
        observe: makes an observer for each run.
        announce: is called with the plan before the first run.

    Raises: UsageError, DataError, RunError, CheckpointError; Interrupted after a signal, with everything saved.
    Paper: Tables 1 to 14, Figures 1, 4, 6 and 7.
    """
    if workers < 0:
        raise UsageError(f"workers is {workers}; it must be 0 or more")
    with StopRequest() as stop:
        plan = _plan(name, only, seeds, scale, data, weights, Path(out), device, measure, stop)
        if announce is not None:
            announce(plan)
        begun = [run for run in plan.todo if run.state == "begun" and run.iteration < run.recipe.iterations]
        if begun and not resume:
            raise RunError(f"{begun[0].folder} is begun: add --resume to go on with it, or name another --out")
        write_costs(plan.results / "costs.json")
        made: list[str] = []
        failed: list[tuple[str, str]] = []
        if len(plan.devices) > 1 and len(plan.todo) > 1:
            made, failed = parallel.make(plan.todo, plan.devices, workers=workers, observe=observe, stop=stop)
        else:
            for run in plan.todo:
                check(stop)
                try:
                    runs.make(run, device=plan.devices[0], workers=workers, observers=[observe(run)] if observe else [])
                    made.append(run.name)
                except TRAINING_FAILURES as error:
                    failed.append((run.name, str(error).partition("\n")[0]))  # the others may still be made
        check(stop)
    found = collect([plan.results])
    return Reproduction(
        plan=plan,
        tables=tuple(compare_table(table, found) for table in plan.selection.tables),
        figures=tuple(compare_figure(figure, found) for figure in plan.selection.figures),
        report=write_report(plan.results, out=plan.out / "site"),
        made=tuple(made),
        done_before=tuple(run.name for run in plan.runs if run.state == "done"),
        failed=tuple(failed),
    )


def _plan(
    name: str,
    only: str | Sequence[str],
    seeds: int,
    scale: str,
    data: Data | Sequence[Data],
    weights: str | Sequence[str],
    out: Path,
    device: str,
    measure: bool,
    stop: StopRequest,
) -> ReproductionPlan:
    require_alone("reproduce")
    return make_plan(
        name,
        only=[only] if isinstance(only, str) else only,
        seeds=seeds,
        scale=scale,
        data=[data] if isinstance(data, str | DataSplits | DetectionSplits) else data,
        weights=[weights] if isinstance(weights, str) else weights,
        out=out,
        devices=_devices(device),
        measure=measure,
        stop=stop,
    )


def _devices(name: str) -> tuple[str, ...]:
    """Return the devices of a name: of `auto` all GPUs, where there are any.

    Raises: UsageError, as `choose_device`.
    """
    chosen = choose_device(name)
    if name == "auto" and chosen.type == "cuda":
        return tuple(f"cuda:{index}" for index in range(torch.cuda.device_count()))
    return (str(chosen),)
