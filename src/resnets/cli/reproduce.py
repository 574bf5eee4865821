"""`resnets reproduce`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

if TYPE_CHECKING:
    from rich.console import Console

    from resnets.reproduction.planning import ReproductionPlan
    from resnets.reproduction.reproduce import Reproduction


def reproduce(
    name: Annotated[str, Argument(help="table1 ... table14, figure1, figure4, figure6, figure7, or all.")],
    only: Annotated[
        list[str] | None,
        Option(
            help="A row's or a curve's label, slug or network; may be repeated: runs are made in this order.",
            show_default="all rows",
        ),
    ] = None,
    seeds: Annotated[
        int, Option(help="Runs of each row, seeded 0, 1 ...; the plan says where the paper made more.")
    ] = 1,
    scale: Annotated[str, Option(help="full (the paper's), short (a sixteenth), or smoke (5 iterations).")] = "full",
    data: Annotated[
        list[str] | None,
        Option(
            "--data",
            "-d",
            help="A source for what is declared: cifar10:PATH, imagenet:PATH, voc:PATH, or another; may be repeated.",
            show_default="the declared data",
        ),
    ] = None,
    weights: Annotated[
        list[str] | None,
        Option(
            "--weights",
            "-w",
            help="NETWORK=FILE that a detector begins with: an ImageNet classifier, or a detector of COCO; may be "
            "repeated.",
            show_default="a run in --out",
        ),
    ] = None,
    out: Annotated[Path, Option("--out", "-o", help="Where runs/, results/ and site/ go.")] = Path("reproduction"),
    resume: Annotated[bool, Option("--resume", help="Go on with the runs that were begun there.")] = False,
    plan: Annotated[bool, Option("--plan", help="Print what would be run and how long it takes; no more.")] = False,
    measure: Annotated[
        bool, Option("--measure/--no-measure", help="Time each network first, for the plan; or start at once.")
    ] = True,
    device: Annotated[
        str, Option(help="cpu, cuda, cuda:1 ...", show_default="auto: every GPU, one run at a time on each")
    ] = "auto",
    workers: Annotated[int, Option(help="Processes that read image files.")] = 2,
) -> None:
    """Run a table or figure of the paper and set what is measured beside what it printed.

    `resnets reproduce table6 --scale short` is section 4.2 in a sixteenth of the iterations. Runs that are done are
    not made again. SIGINT (Ctrl-C) and SIGTERM save everything and exit; the same command with --resume goes on.
    """
    from rich.console import Console
    from typer import Exit

    from resnets.cli.display import Display, ShortDisplay
    from resnets.cli.resuming import resumable
    from resnets.reproduction import reproduce as reproduction

    console = Console(highlight=False, soft_wrap=True)
    asked: dict[str, Any] = {
        "only": only or (),
        "seeds": seeds,
        "scale": scale,
        "data": data or (),
        "weights": weights or (),
        "out": out,
        "device": device,
        "measure": measure,
    }
    planning = console.status("planning: some steps of each network are measured" if measure else "planning")

    def announce(made: ReproductionPlan) -> None:
        planning.stop()
        _show_plan(made, console)

    if console.is_terminal:
        planning.start()
    try:
        with resumable():
            if plan:
                announce(reproduction.plan_reproduction(name, **asked))
                return
            result = reproduction.reproduce(
                name,
                **asked,
                resume=resume,
                workers=workers,
                announce=announce,
                observe=lambda run: ShortDisplay(run.short_name, console) if run.scale == "smoke" else Display(),
            )
    finally:
        planning.stop()
    _show(result, console, every_row=name != "all")
    if result.failed:
        raise Exit(1)


def _show_plan(plan: ReproductionPlan, console: Console) -> None:
    from resnets.reproduction import summary

    if plan.runs:
        _print(console, summary.plan_title(plan), summary.PLAN, summary.plan_lines(plan), 2)
    for sentence in summary.plan_sentences(plan):
        print(sentence)


def _show(result: Reproduction, console: Console, *, every_row: bool) -> None:
    import sys

    from resnets.report.view import COMPARED
    from resnets.reproduction import summary

    for table in result.tables:
        if lines := summary.table_lines(table, all_rows=every_row):
            _print(console, f"{table.table.name}: {table.table.title}", COMPARED, lines, 2)
    for figure in result.figures:
        if lines := summary.figure_lines(figure, all_curves=every_row):
            _print(console, f"{figure.figure.name}: {figure.figure.title}", summary.CURVES, lines, 2)
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


def _print(console: Console, title: str, columns: tuple[str, ...], lines: list[tuple[str, ...]], words: int) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=escape(title), title_justify="left")
    for number, column in enumerate(columns):
        left = number < words or column == "status"
        table.add_column(column, justify="left" if left else "right", no_wrap=not left, overflow="fold")
    for line in lines:
        table.add_row(*map(escape, line))
    console.print(table)
