"""`resnets demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Option

from resnets.cli import options


def demo(
    out: Annotated[Path, Option("--out", "-o", help="Folder for the runs, the plot and the page.")] = Path("demo"),
    iterations: Annotated[int, Option(help="Iterations per network.")] = 200,
    seed: options.Seed = 0,
) -> None:
    """See degradation and its cure: plain and residual networks of 20, 56 and 110 layers on real digits, offline."""
    import os

    from rich.console import Console

    from resnets.cli.display import ShortDisplay, print_table
    from resnets.cli.resuming import resumable
    from resnets.depth_study import demo as study
    from resnets.depth_study import page
    from resnets.quantities import plural

    console = Console(highlight=False, soft_wrap=True)
    print(
        f"Six networks, {plural(iterations, 'iteration')} each, on {plural(os.cpu_count() or 1, 'core')}; "
        f"output in {out}/"
    )
    with resumable("the same command continues"):
        result = study.demo(out, iterations=iterations, seed=seed, observe=lambda name: ShortDisplay(name, console))
    if result.done_before:
        print(f"trained before: {', '.join(result.done_before)} (delete {out}/ to start again)")
    titles, rows = page.table(result.rows)
    print_table(titles, rows)
    for sentence in result.findings:
        print(sentence)
    print(f"The curves: {result.plot} and {result.page}")
