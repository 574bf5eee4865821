"""`resnets train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from resnets.data.sources import SOURCES
from resnets.training.recipes import RECIPES


def train(
    network: Annotated[str, Argument(help="A network's name, such as resnet20 (`resnets list` shows all).")],
    data: Annotated[str, Option("--data", "-d", help=SOURCES.help(), show_default=False)],
    recipe: Annotated[str | None, Option(help=RECIPES.help(), show_default="the one for the data")] = None,
    weights: Annotated[
        Path | None,
        Option(help="A run's folder or a weights file to begin with, the last layer new.", show_default="from scratch"),
    ] = None,
    out: Annotated[Path | None, Option("--out", "-o", help="The run's folder.", show_default="runs/NET-DATA")] = None,
    resume: Annotated[
        bool, Option("--resume", help="Continue the run in the folder; start it where there is none.")
    ] = False,
    iterations: Annotated[int | None, Option(help="Length; the recipe's milestones move in proportion.")] = None,
    epochs: Annotated[float | None, Option(help="Length in passes over the training images instead.")] = None,
    batch_size: Annotated[int | None, Option(help="Images an iteration.", show_default="the recipe's")] = None,
    lr: Annotated[float | None, Option(help="Learning rate at the start.", show_default="the recipe's")] = None,
    momentum: Annotated[float | None, Option(show_default="the recipe's")] = None,
    weight_decay: Annotated[float | None, Option(show_default="the recipe's")] = None,
    size: Annotated[int | None, Option(help="Side of the crops of photos, in pixels.", show_default="224")] = None,
    bn_images: Annotated[
        int | None,
        Option(
            help="Training images over which batch norm's statistics are computed anew at the end.",
            show_default="the recipe's",
        ),
    ] = None,
    ema: Annotated[
        float | None,
        Option(help="Test and save a moving average of the weights, of this decay.", show_default="the recipe's"),
    ] = None,
    evaluate_every: Annotated[
        int | None, Option(help="Iterations between tests; there is one at the end.", show_default="the recipe's")
    ] = None,
    accumulate: Annotated[int, Option(help="Parts of a mini-batch, one after the other, to fit in memory.")] = 1,
    seed: Annotated[int, Option(help="Of the initial weights, the order and the augmentation.")] = 0,
    split: Annotated[
        str, Option(help="all, or training images to validate on: 45k5k (5,000 of CIFAR's), 10% (of any data).")
    ] = "all",
    shortcut: Annotated[
        str | None, Option(help="A, B or C (section 4.1).", show_default="A for CIFAR-type networks, else B")
    ] = None,
    stride: Annotated[
        str | None, Option(help="1x1 or 3x3: where a bottleneck has stride 2.", show_default="1x1, the authors'")
    ] = None,
    residual_layers: Annotated[int | None, Option(help="3x3 layers that a shortcut spans.", show_default="2")] = None,
    initialization: Annotated[str | None, Option(help="he_fan_in or he_fan_out.", show_default="he_fan_in")] = None,
    device: Annotated[str, Option(help="auto, cpu, cuda, cuda:1 ...")] = "auto",
    precision: Annotated[str, Option(help="auto, bf16 (autocast) or fp32.")] = "auto",
    workers: Annotated[int, Option(help="Processes that read image files.")] = 2,
    save_every: Annotated[
        int | None, Option(help="Iterations between checkpoints.", show_default="one every 30 seconds or more")
    ] = None,
) -> None:
    """Train a network. `resnets train resnet20 --data cifar10` is the paper's section 4.2.

    SIGINT (Ctrl-C) and SIGTERM save everything and exit; the same command with --resume goes on.
    `torchrun --nproc-per-node N -m resnets train ...` shares each mini-batch among N processes.
    """
    settings = {name: value for name, value in locals().items() if name not in ("network", "data", "out", "resume")}
    from resnets.cli.display import Display
    from resnets.cli.resuming import resumable
    from resnets.durations import in_words
    from resnets.training import train as training

    with resumable():
        result = training.train(network, data, out=out, resume=resume, observers=[Display()], **settings)
    if result.already_finished:
        print(f"{result.folder} is finished; nothing was to do")
    validation = "" if result.validation_error is None else f"validation error {result.validation_error:.2f} %, "
    print(
        f"{result.network}: test error {result.test_error:.2f} %, {validation}"
        f"training error {result.training_error:.2f} %, "
        f"after {result.iterations:,} iterations in {in_words(result.seconds)} "
        f"({result.images_per_second:,.0f} images/s)\n{result.folder}/ holds the weights, the log and result.json"
    )
