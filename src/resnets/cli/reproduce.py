"""`resnets reproduce`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from resnets.cli import options
from resnets.planning.devices import DEVICES

if TYPE_CHECKING:
    from resnets.reproduction.planned_run import PlannedRun
    from resnets.reproduction.reproduce import Reproduction
    from resnets.reproduction.run_list import ReproductionPlan
    from resnets.training.observers import Observer


def reproduce(
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
) -> None:
    """Reproduce tables or figures of the paper, and compare the results with the paper's.

    `resnets reproduce table6 --scale short` is section 4.2 in a sixteenth of the iterations. Finished runs are not
    repeated. SIGINT (Ctrl-C) and SIGTERM save everything and exit; the same command with --resume continues.
    """
    from rich.console import Console
    from typer import Exit

    from resnets.cli.display import Display, ShortDisplay
    from resnets.cli.resuming import resumable
    from resnets.errors import UsageError
    from resnets.reproduction import reproduce as reproduction
    from resnets.reproduction import run_list

    if (device_kind is not None or devices != 1) and not plan:
        raise UsageError("--device-kind and --devices are of a plan for another machine: add --plan")
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
        "measure": measure,
    }
    planning = console.status("planning")

    at_once = False

    def notify(what: str) -> None:
        planning.update(f"planning: {what}")
        if not console.is_terminal:
            print(f"planning: {what}", file=sys.stderr)

    def announce(made: ReproductionPlan) -> None:
        nonlocal at_once
        at_once = len(made.devices) > 1 or len(made.groups) < len(made.todo)
        planning.stop()
        _show_plan(made)

    def observe(run: PlannedRun) -> Observer:
        if at_once or run.scale == "smoke":
            return ShortDisplay(run.short_name, console, at_once=at_once)
        return Display()

    if console.is_terminal:
        planning.start()
    try:
        if plan:
            announce(
                run_list.plan_reproduction(names, **settings, device_kind=device_kind, devices=devices, notify=notify)
            )
            return
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
    finally:
        planning.stop()
    _show(result, every_row="all" not in names)
    if result.failed:
        raise Exit(1)


def _show_plan(plan: ReproductionPlan) -> None:
    from resnets.cli.display import print_table
    from resnets.reproduction import summary

    if plan.runs:
        print_table(summary.PLAN, summary.plan_lines(plan), words=("for",), title=summary.plan_title(plan))
    for sentence in summary.plan_sentences(plan):
        print(sentence)


def _show(result: Reproduction, *, every_row: bool) -> None:
    from resnets.cli.display import print_table
    from resnets.report.view import COMPARED
    from resnets.reproduction import summary

    for table in result.tables:
        if lines := summary.table_lines(table, all_rows=every_row):
            print_table(COMPARED, lines, words=("status",), title=f"{table.table.name}: {table.table.title}")
    for figure in result.figures:
        if lines := summary.figure_lines(figure, all_curves=every_row):
            print_table(summary.CURVES, lines, words=("status",), title=f"{figure.figure.name}: {figure.figure.title}")
    for reason in summary.reasons(result.tables, result.figures) if every_row else ():
        print(reason)
    for run, reason in result.failed:
        print(f"resnets: note: {run} failed: {reason}", file=sys.stderr)
    for problem in result.report.problems:
        print(f"resnets: note: {problem}", file=sys.stderr)
    print(
        "rows of the paper's tables: "
        + ", ".join(f"{count} {status}" for status, count in result.report.counts.items())
    )
    print(result.report.sentence)
    print(f"The page: {result.report.page}")
