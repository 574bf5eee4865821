"""`resnets demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Option


def demo(
    out: Annotated[Path, Option("--out", "-o", help="Where the runs, the plot and the page go.")] = Path("demo"),
    iterations: Annotated[int, Option(help="Of each of the six networks.")] = 200,
    seed: Annotated[int, Option(help="Of the initial weights, the order and the augmentation.")] = 0,
) -> None:
    """See degradation and its cure: plain and residual networks of 20, 56 and 110 layers on real digits, offline."""
    import os

    from rich.console import Console

    from resnets.cli.display import ShortDisplay, errors_table
    from resnets.cli.resuming import resumable
    from resnets.depth_study import demo as study
    from resnets.depth_study import page

    console = Console(highlight=False, soft_wrap=True)
    print(f"Six networks, {iterations} iterations each, on {os.cpu_count()} cores; everything is in {out}/")
    with resumable("the same command continues"):
        result = study.demo(out, iterations=iterations, seed=seed, observe=lambda name: ShortDisplay(name, console))
    if result.done_before:
        print(f"done before, and not trained again: {', '.join(result.done_before)} (remove {out}/ to begin anew)")
    console.print(errors_table(*page.table(result.rows)))
    for sentence in result.findings:
        print(sentence)
    print(f"The curves: {result.plot} and {result.page}")
