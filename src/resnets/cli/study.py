"""`resnets study`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Option

from resnets.data.sources import SOURCES
from resnets.training.recipes import RECIPES


def study(
    data: Annotated[str, Option("--data", "-d", help=SOURCES.help(), show_default=False)],
    budget: Annotated[
        str | None, Option(help="Time for everything: 90s, 30m, 2h.", show_default="30m, for digits 2m")
    ] = None,
    depths: Annotated[
        str | None,
        Option(help="Layers, such as 20,32,44.", show_default="20,56,110; for photos 18,34,50 if the budget allows"),
    ] = None,
    networks: Annotated[
        str | None, Option(help="Networks' names instead, such as resnet20,mine.", show_default=False)
    ] = None,
    kinds: Annotated[str, Option(help="plain, residual, or both with a comma between.")] = "plain,residual",
    recipe: Annotated[
        str | None, Option(help=RECIPES.help(without="finetune"), show_default="the one for the data")
    ] = None,
    seed: Annotated[int, Option(help="Of the held-out images, the initial weights and the order.")] = 0,
    out: Annotated[Path | None, Option("--out", "-o", help="The study's folder.", show_default="studies/DATA")] = None,
    resume: Annotated[bool, Option("--resume", help="Go on with the study in the folder, by its plan.")] = False,
    device: Annotated[str, Option(help="auto, cpu, cuda, cuda:1 ...")] = "auto",
    precision: Annotated[str, Option(help="auto, bf16 (autocast) or fp32.")] = "auto",
    workers: Annotated[int, Option(help="Processes that read image files.")] = 2,
) -> None:
    """Ask your own data the paper's question: how deep is worth it, and do shortcuts help?

    Plain and residual networks of several depths get the same number of iterations, as many as fit in the budget, and
    are compared on held-out training images. It ends with a recommendation and its reasons.
    """
    from rich.console import Console

    from resnets.cli.display import ShortDisplay, errors_table
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
            workers=workers,
            observe=lambda name: ShortDisplay(name, console),
            tell=print,
        )
    if found.done_before:
        print(f"done before, and not trained again: {', '.join(found.done_before)}")
    console.print(errors_table(*found.table))
    advice = found.recommendation
    console.print(advice.headline, style="bold", markup=False)
    for sentence in (*advice.reasons, *([found.test] if found.test else []), *found.degradation):
        print(f"- {sentence}")
    print("What to beware of:")
    for sentence in advice.cautions:
        print(f"- {sentence}")
    seconds = sum(row.seconds for row in found.rows)
    slower = ", since the machine was slower than when it was measured" if seconds > found.plan.budget else ""
    print(f"{in_words(seconds)} of training, in a budget of {in_words(found.plan.budget)}{slower}")
    if advice.network is not None:
        run = found.file.parent / "runs" / advice.network
        print(f"To use it:    resnets predict {run} IMAGE ...")
        chosen = f" --recipe {recipe}" if recipe else ""
        whole = "(all training images, the whole recipe)"
        print(f"To train on:  resnets train {advice.network} --data {data}{chosen}  {whole}")
    print(f"The curves: {found.plot} and {found.page}; every number: {found.file}")
