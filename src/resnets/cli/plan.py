"""`resnets plan`."""

from __future__ import annotations

from typing import Annotated

import msgspec
from typer import Argument, Option

from resnets.data.sources import SOURCES
from resnets.training.recipes import RECIPES


def plan(
    network: Annotated[str, Argument(help="A network's name, such as resnet20 (`resnets list` shows all).")],
    data: Annotated[
        str,
        Option(
            "--data",
            "-d",
            help=f"{SOURCES.help()} What is named without a path need not be there, imagenet neither.",
            show_default=False,
        ),
    ],
    recipe: Annotated[str | None, Option(help=RECIPES.help(), show_default="the one for the data")] = None,
    iterations: Annotated[int | None, Option(help="Length; the recipe's milestones move in proportion.")] = None,
    epochs: Annotated[float | None, Option(help="Length in passes over the training images instead.")] = None,
    batch_size: Annotated[
        int | None, Option(help="Images an iteration, on all devices together.", show_default="the recipe's")
    ] = None,
    size: Annotated[int | None, Option(help="Side of the crops of photos, in pixels.", show_default="224")] = None,
    accumulate: Annotated[int, Option(help="Parts of a mini-batch, one after the other, to fit in memory.")] = 1,
    devices: Annotated[int, Option(help="How many train together.")] = 1,
    device_kind: Annotated[
        str | None,
        Option(help="h200, h100, a100, rtx4090, v100, t4 ...: an estimate.", show_default="this machine, measured"),
    ] = None,
    json: Annotated[bool, Option("--json", help="Print one JSON object instead.")] = False,
) -> None:
    """Say what a training will take before it is begun: hours, memory, loader cores, storage; half a minute's work.

    It measures a few steps of what `resnets train` would do here, or estimates those of a known device.
    """
    from json import dumps

    from resnets.durations import in_words
    from resnets.planning import plan as planning

    found = planning.plan(
        network,
        data,
        recipe=recipe,
        iterations=iterations,
        epochs=epochs,
        batch_size=batch_size,
        size=size,
        accumulate=accumulate,
        devices=devices,
        device_kind=device_kind,
    )
    if json:
        print(dumps(msgspec.to_builtins(found)))
        return
    each = " each" if found.devices > 1 else ""
    on = f"{found.devices} {found.device}" if found.devices > 1 else found.device
    epochs_of_it = found.iterations * found.batch_size / found.training_images
    short = "" if found.memory_bytes <= found.available_bytes else " are there: TOO LITTLE"
    parts = (
        f"training {in_words(found.training_seconds)}, tests {in_words(found.testing_seconds)}, "
        f"checkpoints and log {in_words(found.saving_seconds)}"
    )
    print(
        f"{found.network} on {found.data} ({found.training_images:,} images, {found.classes} classes), "
        f"recipe {found.recipe}: {found.iterations:,} iterations of {found.batch_size} ({epochs_of_it:.1f} epochs), "
        f"{found.precision} on {on}" + (", ESTIMATED" if found.estimate else "")
    )
    for title, value in (
        ("time", f"{in_words(3600 * found.hours)} ({parts})"),
        ("training speed", f"{found.images_per_second:,.0f} images/s, {1000 * found.step_seconds:,.4g} ms a step"),
        ("memory", f"{_gib(found.memory_bytes)} GiB{each}, of {_gib(found.available_bytes)} GiB{short}"),
        ("largest batch", f"{found.largest_batch:,} images{each}" if found.largest_batch else "not even one image"),
        ("loader cores", f"{found.loader_cores:,.0f}" if found.loader_cores >= 10 else f"{found.loader_cores:.2g}"),
        ("reading", f"{found.read_bytes_per_second / 1e6:,.4g} MB/s"),
        ("disk", f"{found.disk_bytes / 1e6:,.4g} MB"),
    ):
        print(f"  {title:<15} {value}")
    print("This rests on:")
    for assumption in found.assumptions:
        print(f"- {assumption}")


def _gib(count: int) -> str:
    return f"{count / 2**30:,.1f}"
