"""`resnets demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Option

from resnets.cli import options


def demo(
    out: Annotated[Path, Option("--out", "-o", help="Folder for the runs, the plot and the page.")] = Path("demo"),
    depths: Annotated[str, Option(help="Comma-separated depths, each 6n + 2.")] = "20,56",
    iterations: Annotated[int, Option(help="Iterations per network.")] = 150,
    seed: options.Seed = 0,
) -> None:
    """See degradation and its cure: plain and residual networks of 20 and 56 layers on real digits, offline."""
    import os

    from rich.console import Console

    from resnets.cli.display import ShortDisplay, print_grid
    from resnets.cli.lists import numbers
    from resnets.cli.output import resumable
    from resnets.depth_study import demo as study
    from resnets.depth_study import page
    from resnets.quantities import plural

    console = Console(highlight=False, soft_wrap=True)
    layers = numbers(depths, "depths", "20,56") or []
    networks, cores = plural(2 * len(set(layers)), "network"), plural(os.cpu_count() or 1, "core")
    print(f"{networks}, {plural(iterations, 'iteration')} each, on {cores}; output in {out}/")
    with resumable("the same command continues"):
        result = study.demo(
            out,
            depths=layers,
            iterations=iterations,
            seed=seed,
            observe=lambda name: ShortDisplay(name, console),
        )
    if result.done_before:
        print(f"trained before: {', '.join(result.done_before)} (delete {out}/ to start again)")
    print_grid(page.table(result.rows))
    for sentence in result.findings:
        print(sentence)
    print(f"The page, on which the networks read what you draw: {result.page}")
    print(f"The curves alone: {result.plot}")
