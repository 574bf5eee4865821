"""The command `python -m benchmarks`, run from the repository's root."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Option

from benchmarks.rows import CPU
from resnets.cli import import_modules
from resnets.cli import run as run_program
from resnets.cli.options import Modules

if TYPE_CHECKING:
    from rich.table import Table

    from resnets.records.benchmarks import Benchmark, Claim, Side

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def main(arguments: list[str]) -> int:
    """Run the command with these arguments and return its exit code, as `resnets` does."""
    return run_program(arguments, app, "python -m benchmarks")


@app.command(
    context_settings={"help_option_names": ["-h", "--help"]}, epilog="--debug shows the traceback of an error."
)
def bench(
    quick: Annotated[bool, Option("--quick", help="Few rows and short rounds, in two minutes.")] = False,
    only: Annotated[
        list[str] | None,
        Option(
            "--only",
            help=f"Measure this row alone; may be repeated. {', '.join(row.name for row in CPU)}; more on a GPU.",
            show_default="all rows",
        ),
    ] = None,
    network: Annotated[
        str | None,
        Option(help="Measure the training of this network instead, compared with a plain PyTorch loop."),
    ] = None,
    data: Annotated[
        str | None,
        Option(
            "--data",
            "-d",
            help="cifar10[:PATH] or cifar100[:PATH]; any source with --network.",
            show_default="random images",
        ),
    ] = None,
    photos: Annotated[
        Path | None,
        Option(help="A folder with train/CLASS/* and val/CLASS/*.", show_default="synthetic JPEG files of 500 x 375"),
    ] = None,
    rounds: Annotated[int | None, Option(help="Rounds of all candidates in turn.", show_default="7, quick: 2")] = None,
    round_seconds: Annotated[
        float | None, Option(help="Length of a candidate's turn in seconds.", show_default="5, quick: 1")
    ] = None,
    json: Annotated[Path | None, Option("--json", help="Write all numbers to this file.")] = None,
    device: Annotated[str, Option(help="auto, cpu, cuda, cuda:1 ...")] = "auto",
    modules: Modules = None,
) -> None:
    """Measure speed and memory on this machine, compared with torchvision, timm and the baseline CIFAR repository.

    Each runs in its own process, one at a time and in turns. Ratios are medians over the rounds.
    """
    from benchmarks import run
    from resnets.cli.output import outlive
    from resnets.files import require_file
    from resnets.records import base

    if json is not None:
        require_file(json)
        outlive()
    import_modules(modules or [])
    with _status() as observe:
        result = run.bench(
            quick=quick,
            only=only or (),
            network=network,
            imports=modules or (),
            data=data,
            photos=photos,
            rounds=rounds,
            round_seconds=round_seconds,
            device=device,
            observe=observe,
        )
    if json is not None:
        base.write(json, result)
    _show(result)


@contextmanager
def _status() -> Iterator[Callable[[str], None]]:
    """Yield what shows a few words on what is being done: in one line of a terminal, elsewhere a line for each row."""
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    status = console.status("starting")
    shown = ""

    def observe(text: str) -> None:
        nonlocal shown
        status.update(text)
        row = text.partition(",")[0]
        if row != shown and not console.is_terminal:
            print(row, flush=True)
        shown = row

    with status if console.is_terminal else nullcontext():
        yield observe


def _show(result: Benchmark) -> None:
    from rich.console import Console

    tables = Console(highlight=False, soft_wrap=True)
    tables.width = max(tables.width, 100)  # no number is ever cut
    print(f"images/s and memory, ours over the peers': medians of {result.rounds} rounds, in which they took turns")
    tables.print(_claims(result))
    print("\neach by itself")
    tables.print(_sides(result))
    print()
    for row in result.rows:
        for side in row.sides:
            if side.not_measured:
                print(f"not measured: {row.row}, {side.name}: {side.not_measured}")
    _about(result)


def _table(*titles: str) -> Table:
    from rich.table import Column, Table

    columns = [Column(title, justify="right", no_wrap=True) for title in titles]
    return Table(Column("", no_wrap=True, min_width=20), *columns, box=None, padding=(0, 1, 0, 0))


def _claims(result: Benchmark) -> Table:
    table = _table("ours", "theirs", "ratio", "range", "target, aim", "")
    for row in result.rows:
        if row.claims:
            table.add_row(f"[bold]{row.row}[/bold]")
        for claim in row.claims:
            table.add_row(*_claim(claim))
    return table


def _claim(claim: Claim) -> tuple[str, ...]:
    show = _bytes if claim.is_memory else _plain
    bounds = [_plain(value) for value in (claim.at_least, claim.aim) if value is not None]
    target = f"{'<= ' if claim.is_memory and bounds else ''}{', '.join(bounds)}"
    if claim.over is None:
        spread = f"{_short(claim.lowest)}-{_short(claim.highest)}"
        return (f"  {claim.quantity}", _plain(claim.median), "", "", spread, target, claim.verdict or "")
    return (
        f"  over {claim.over}{', memory' if claim.is_memory else ''}",
        show(claim.ours),
        show(claim.theirs),
        f"{claim.median:.2f}",
        "" if claim.is_memory else f"{claim.lowest:.2f}-{claim.highest:.2f}",
        target,
        claim.verdict or "",
    )


def _sides(result: Benchmark) -> Table:
    table = _table("images/s", "step ms", "99 % ms", "first s", "memory", "TFLOP/s", "of matrix rate")
    for row in result.rows:
        table.add_row(f"[bold]{row.row}[/bold]")
        for side in row.sides:
            table.add_row(f"  {side.name}", *_side(side, row.kind))
    return table


def _side(side: Side, kind: str) -> tuple[str, ...]:
    if side.not_measured is not None:
        return ("-",)
    computes = kind in ("training", "inference")
    return (
        _plain(side.speed) if kind != "start-up" else "",
        _milliseconds(side.step_seconds),
        _milliseconds(side.step_seconds_p99) if kind == "inference" else "",
        f"{side.first_step_seconds:.1f}" if computes and side.first_step_seconds is not None else "",
        _bytes(side.peak_memory) if computes else "",
        "" if side.flops_per_second is None else f"{side.flops_per_second / 1e12:.3g}",
        "" if side.share_of_matrix_rate is None else f"{100 * side.share_of_matrix_rate:.0f} % of {side.precision}",
    )


def _about(result: Benchmark) -> None:
    """Say what all this was measured with."""
    from resnets.durations import in_words

    machine = result.machine
    hardware = machine.hardware
    load = [row.load[0] for row in result.rows if row.load]
    print(
        f"{hardware.get('gpu', hardware['processor'])}, {hardware['cores']} cores, {hardware['threads']} threads, "
        f"{machine.allocator}{f', load {max(load):.1f}' if load else ''}"
    )
    cores = hardware["cores"]
    if load and isinstance(cores, int) and load[0] > 0.5 * cores:
        print("note: the machine was at work on something else at the start; ratios of an idle one are more reliable")
    if result.matrix_rates:
        rates = ", ".join(f"{name} {rate / 1e12:.3g}" for name, rate in result.matrix_rates.items())
        print(f"matrix rate, TFLOP/s: {rates}")
    for name, what in result.data.items():
        print(f"{name}: {what}")
    print(", ".join(f"{name} {version}" for name, version in machine.versions.items()))
    if result.left_out:
        print(f"left out by --quick: {', '.join(result.left_out)}")
    print(f"measured in {in_words(result.seconds)}")


def _plain(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _short(value: float) -> str:
    return f"{value / 1000:,.0f}k" if value >= 10_000 else _plain(value)


def _bytes(value: float | None) -> str:
    return "" if value is None else f"{value / 2**30:.2f} GiB"


def _milliseconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{1000 * seconds:,.{0 if seconds >= 1 else 1 if seconds >= 0.01 else 2}f}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
