"""`resnets study`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Option

from resnets.cli import options
from resnets.errors import printable
from resnets.training.recipes import RECIPES


def study(
    data: options.Data,
    budget: Annotated[str | None, Option(help="Total time: 90s, 30m, 2h.", show_default="30m, for digits 2m")] = None,
    depths: Annotated[
        str | None,
        Option(
            help="Comma-separated depths, such as 20,32,44.",
            show_default="20,56,110; for large images 18,34,50 if the budget allows",
        ),
    ] = None,
    networks: Annotated[
        str | None, Option(help="Comma-separated networks instead, such as resnet20,mine.", show_default=False)
    ] = None,
    kinds: Annotated[str, Option(help="plain, residual or both, comma-separated.")] = "plain,residual",
    recipe: Annotated[
        str | None, Option(help=RECIPES.help(without="finetune"), show_default="the one for the data")
    ] = None,
    seed: Annotated[int, Option(help="Random seed for the held-out images, initialisation and data order.")] = 0,
    out: Annotated[Path | None, Option("--out", "-o", help="Study folder.", show_default="studies/DATA")] = None,
    resume: Annotated[bool, Option("--resume", help="Continue the study in the folder, by its plan.")] = False,
    device: options.Device = "auto",
    precision: options.TrainingPrecision = "auto",
    together: options.Together = None,
    workers: options.Workers = 2,
) -> None:
    """Find on your data how deep a network should be, and whether shortcuts help: the paper's question.

    Trains plain and residual networks of several depths for the same number of iterations, as many as fit in the
    budget, compares them on held-out training images, and recommends one, with reasons.
    """
    from rich.console import Console

    from resnets.cli.display import ShortDisplay, print_table
    from resnets.cli.lists import names, numbers
    from resnets.cli.resuming import resumable
    from resnets.depth_study import study as studying
    from resnets.durations import in_words

    layers = numbers(depths, "numbers of layers", "20,56,110")
    console = Console(highlight=False, soft_wrap=True)
    with resumable():
        found = studying.study(
            data,
            depths=layers,
            kinds=names(kinds) or (),
            networks=names(networks),
            budget=budget,
            recipe=recipe,
            seed=seed,
            out=out,
            resume=resume,
            device=device,
            precision=precision,
            together=together,
            workers=workers,
            observe=lambda name: ShortDisplay(name, console),
            notify=print,
        )
    if found.done_before:
        print(f"trained before: {', '.join(found.done_before)}")
    titles, rows = found.table
    print_table(titles, rows)
    advice = found.recommendation
    console.print(advice.headline, style="bold", markup=False)
    for sentence in (*advice.reasons, *([found.test] if found.test else []), *found.degradation):
        print(printable(f"- {sentence}"))
    print("Cautions:")
    for sentence in advice.cautions:
        print(printable(f"- {sentence}"))
    seconds = sum(row.seconds for row in found.rows)
    slower = "; the machine was slower than when measured" if seconds > found.plan.budget else ""
    print(f"{in_words(seconds)} of training; budget {in_words(found.plan.budget)}{slower}")
    if advice.network is not None:
        run = found.file.parent / "runs" / advice.network
        print(f"To use it:    resnets predict {run} IMAGE ...")
        chosen = f" --recipe {recipe}" if recipe else ""
        whole = "(all training images, the full recipe)"
        print(f"To train it:  resnets train {advice.network} --data {data}{chosen}  {whole}")
    print(f"The curves: {found.plot} and {found.page}; every number: {found.file}")
