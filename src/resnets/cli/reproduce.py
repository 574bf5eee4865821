"""`resnets reproduce`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Context, Option

from resnets.cli import jobs, options
from resnets.cli.output import note
from resnets.planning.devices import DEVICES
from resnets.quantities import plural

if TYPE_CHECKING:
    from resnets.reproduction.planned_run import PlannedRun
    from resnets.reproduction.reproduce import Reproduction
    from resnets.reproduction.run_list import ReproductionPlan
    from resnets.runtime.cluster import Cluster
    from resnets.training.observers import Observer


def reproduce(
    context: jobs.Context,
    names: Annotated[
        list[str],
        Argument(metavar="NAME...", help="table1 ... table14, figure1, figure4, figure6, figure7, all, or a .py file."),
    ],
    only: Annotated[
        list[str] | None,
        Option(
            help="Label, slug or network of a row or curve; may be repeated, and runs follow this order.",
            show_default="all rows",
        ),
    ] = None,
    seeds: Annotated[
        int, Option(help="Runs per row, with seeds 0, 1 ...; the plan shows where the paper has more.")
    ] = 1,
    scale: Annotated[
        str, Option(help="Length: full (the paper's), short (a sixteenth) or smoke (5 iterations).")
    ] = "full",
    data: Annotated[
        list[str] | None,
        Option(
            "--data",
            "-d",
            help="Data to use for the declared data: cifar10:PATH, imagenet:PATH, voc:PATH ...; may be repeated.",
            show_default="the declared data",
        ),
    ] = None,
    weights: Annotated[
        list[str] | None,
        Option(
            "--weights",
            "-w",
            help="Initial weights of detectors and localisers, NETWORK=FILE: an ImageNet classifier or a COCO "
            "detector; repeatable.",
            show_default="a run in --out",
        ),
    ] = None,
    out: Annotated[Path, Option("--out", "-o", help="Folder for runs/, results/ and site/.")] = Path("reproduction"),
    resume: Annotated[bool, Option("--resume", help="Continue the runs in the folder.")] = False,
    plan: Annotated[bool, Option("--plan", help="Only print the runs and their estimated time.")] = False,
    measure: Annotated[bool, Option("--measure/--no-measure", help="Measure each network first, for the plan.")] = True,
    device: Annotated[str, Option(help="auto, cpu, cuda, cuda:1 ...", show_default="auto: every GPU")] = "auto",
    device_kind: Annotated[
        str | None,
        Option(help=f"With --plan: plan for another machine instead: {DEVICES.help()}", show_default="this machine's"),
    ] = None,
    devices: Annotated[int, Option(help="With --device-kind: the number of such devices.")] = 1,
    together: options.Together = None,
    workers: options.Workers = 2,
    run: Annotated[
        list[str] | None,
        Option(
            help="Make only the run of this name, without the page, as jobs do; may be repeated.", show_default=False
        ),
    ] = None,
    cluster: jobs.ClusterName = None,
    partition: jobs.Partition = None,
    at_once: jobs.AtOnce = None,
    job_time: jobs.JobTime = None,
) -> None:
    """Reproduce tables or figures of the paper, and compare the results with the paper's.

    `resnets reproduce table6 --scale short` is section 4.2 in a sixteenth of the iterations. Finished runs are not
    repeated. SIGINT (Ctrl-C) and SIGTERM save everything and exit; the same command with --resume continues.
    With --cluster each run is a job; the same command shows the jobs, and at the end the results and the page.
    """
    from rich.console import Console
    from typer import Exit

    from resnets.cli.display import Display, ShortDisplay
    from resnets.cli.output import resumable
    from resnets.errors import TrainingError, UsageError
    from resnets.reproduction import reproduce as reproduction
    from resnets.reproduction import run_list

    if (device_kind is not None or devices != 1) and not plan:
        raise UsageError("--device-kind and --devices are of a plan for another machine: add --plan")
    where = jobs.read_cluster(cluster, partition, at_once, job_time, workers=workers)
    console = Console(highlight=False, soft_wrap=True)
    settings: dict[str, Any] = {
        "only": only or (),
        "seeds": seeds,
        "scale": scale,
        "data": data or (),
        "weights": weights or (),
        "out": out,
        "device": device,
        "together": together,
        "measure": measure and where is None,  # of the jobs' machine nothing is known here
    }
    planning = console.status("planning")

    several = False

    def notify(what: str) -> None:
        planning.update(f"planning: {what}")
        if not console.is_terminal:
            print(f"planning: {what}", file=sys.stderr)

    def announce(made: ReproductionPlan) -> None:
        nonlocal several
        several = len(made.devices) > 1 or len(made.groups) < len(made.todo)
        planning.stop()
        _show_plan(made)

    def observe(run: PlannedRun) -> Observer:
        if several or run.scale == "smoke":
            return ShortDisplay(run.short_name, console, at_once=several)
        return Display()

    if console.is_terminal:
        planning.start()
    failed: Sequence[tuple[str, str]] = ()
    try:
        if plan or run or where is not None:
            made = run_list.plan_reproduction(
                names, **settings, device_kind=device_kind, devices=devices, runs=run or (), notify=notify
            )
            announce(made)
            if where is not None and not plan:
                failed = _make_by_jobs(context, made, where, resume=resume)
            elif not plan:
                with resumable():
                    ended = reproduction.make_runs(made, resume=resume, workers=workers, observe=observe)
                if stopped := [f"{run.name}: {why}" for run, why in ended if why is not None]:
                    raise TrainingError("; ".join(stopped))
        else:
            with resumable():
                result = reproduction.reproduce(
                    names,
                    **settings,
                    resume=resume,
                    workers=workers,
                    announce=announce,
                    notify=notify,
                    observe=observe,
                )
            failed = result.failed
            _show(result)
    finally:
        planning.stop()
    for name, reason in failed:
        note(f"{name} failed: {reason}")
    if failed:
        raise Exit(1)


def _make_by_jobs(
    context: Context, plan: ReproductionPlan, cluster: Cluster, *, resume: bool
) -> Sequence[tuple[str, str]]:
    """Make the runs of a plan as jobs, show them, and once all have ended the results; return which failed, and why."""
    from resnets.reproduction.planned_run import is_done
    from resnets.reproduction.reproduce import conclude
    from resnets.runtime.cluster import Jobs

    runs = {run.name: run for run in plan.todo}
    ready = [group for group in plan.groups if all(run.teacher is None or is_done(run.teacher) for run in group)]
    base = jobs.typed(context, {"out", "resume", "measure", *jobs.OPTIONS})
    common = [f"--out={plan.out}", "--resume", "--no-measure"]
    states = jobs.make_by_jobs(
        Jobs(plan.out / "jobs", cluster),
        [[run.name for run in group] for group in ready],
        lambda names: [*base, *(f"--run={name}" for name in names), *common],
        lambda name: is_done(runs[name]),
        {name: run.folder for name, run in runs.items()},
        [run.name for run in plan.todo if run.state == "started"],
        resume=resume,
    )
    if later := len(plan.todo) - len(states):
        print(
            f"{plural(later, 'run')} learn from others, and will be submitted by the same command once those are done."
        )
    failed = [(name, state.why) for name, state in states.items() if state.state == "failed"]
    if not later and not any(state.in_progress for state in states.values()):
        _show(conclude(plan, [(runs[name], state.why or None) for name, state in states.items()]))
        if any(row.members for table in plan.selection.tables for row in table.rows):
            print("Ensembles are tested by the same command without --cluster.")
    return failed


def _show_plan(plan: ReproductionPlan) -> None:
    from resnets.cli.display import print_table
    from resnets.reproduction import summary

    if plan.runs:
        print_table(summary.PLAN, summary.plan_lines(plan), words=("for",), title=summary.plan_title(plan))
    for sentence in summary.plan_sentences(plan):
        print(sentence)


def _show(result: Reproduction) -> None:
    from resnets.cli.display import print_table
    from resnets.report.view import COMPARED
    from resnets.reproduction import summary

    every_row = "all" not in result.plan.selection.name.split(" and ")
    for table in result.tables:
        if lines := summary.table_lines(table, all_rows=every_row):
            print_table(COMPARED, lines, words=("status",), title=f"{table.table.name}: {table.table.title}")
    for figure in result.figures:
        if lines := summary.figure_lines(figure, all_curves=every_row):
            print_table(summary.CURVES, lines, words=("status",), title=f"{figure.figure.name}: {figure.figure.title}")
    for reason in summary.reasons(result.tables, result.figures) if every_row else ():
        print(reason)
    for problem in result.report.problems:
        note(problem)
    print(
        "rows of all tables on the page: "
        + ", ".join(f"{count} {status}" for status, count in result.report.counts.items())
    )
    print(result.report.sentence)
    print(f"The page: {result.report.page}")
