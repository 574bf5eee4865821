"""`resnets plan`."""

from __future__ import annotations

from typing import Annotated

import msgspec
from typer import Option

from resnets.cli import options
from resnets.cli.network_options import NetworkOptions, read_options
from resnets.data.sources import SOURCES


def plan(
    network: options.Network,
    data: Annotated[
        str,
        Option(
            "--data",
            "-d",
            help=f"{SOURCES.help()} imagenet and sources without a path need not be on this machine.",
            show_default=False,
        ),
    ],
    recipe: options.Recipe = None,
    weights: Annotated[
        str | None,
        Option(help="Plan a training that starts from them, which fine-tunes; not read.", show_default="from scratch"),
    ] = None,
    iterations: options.Iterations = None,
    epochs: options.Epochs = None,
    batch_size: options.BatchSize = None,
    size: options.Size = None,
    accumulate: options.Accumulate = 1,
    devices: Annotated[int, Option(help="Number of devices.")] = 1,
    together: Annotated[int, Option(help="Trainings like it at once, of a network for small images.")] = 1,
    device_kind: Annotated[
        str | None,
        Option(help="h200, h100, a100, rtx4090, v100, t4 ...: an estimate.", show_default="this machine, measured"),
    ] = None,
    network_option: NetworkOptions = None,
    json: options.Json = False,
) -> None:
    """Estimate time, memory and disk before training; takes about half a minute.

    Measures a few steps of what `resnets train` would do here, or estimates those of a known device.
    """
    settings = dict(locals())  # each option is a setting of the same name, but for two
    del settings["network_option"], settings["json"]
    from resnets.durations import in_words, of_a_step
    from resnets.files import to_json
    from resnets.planning import plan as planning
    from resnets.quantities import megabytes, plural, rate, training_length

    found = planning.plan(**read_options(network, network_option, settings))
    if json:
        print(to_json(msgspec.to_builtins(found)))
        return
    each = " each" if found.devices > 1 else ""
    on = f"{found.devices} {found.device}" if found.devices > 1 else found.device
    on += f", {found.together} at once" if found.together > 1 else ""
    length = training_length(found.iterations, found.batch_size, found.training_images)
    short = "" if found.memory_bytes <= found.available_bytes else ": NOT ENOUGH"
    parts = (
        f"training {in_words(found.training_seconds)}, tests {in_words(found.testing_seconds)}, "
        f"checkpoints and log {in_words(found.saving_seconds)}"
    )
    print(
        f"{found.network} on {found.data} ({plural(found.training_images, 'image')}, "
        f"{plural(found.classes, 'class')}), recipe {found.recipe}: {length}, "
        f"{found.precision} on {on}" + (", ESTIMATED" if found.estimate else "")
    )
    for title, value in (
        ("time", f"{in_words(3600 * found.hours)} ({parts})"),
        ("training speed", f"{rate(found.images_per_second)} images/s, {of_a_step(found.step_seconds)} per step"),
        ("test speed", f"{rate(found.test_images_per_second)} images/s"),
        ("memory", f"{_gib(found.memory_bytes)} GiB{each}, of {_gib(found.available_bytes)} GiB{short}"),
        (
            "largest batch",
            f"{plural(found.largest_batch, 'image')}{each}" if found.largest_batch else "not even one image",
        ),
        ("loader cores", f"{found.loader_cores:,.0f}" if found.loader_cores >= 10 else f"{found.loader_cores:.2g}"),
        ("reading", f"{megabytes(found.read_bytes_per_second)}/s"),
        ("disk", megabytes(found.disk_bytes)),
    ):
        print(f"  {title:<15} {value}")
    print("Based on:")
    for assumption in found.assumptions:
        print(f"- {assumption}")


def _gib(count: int) -> str:
    return f"{count / 2**30:,.1f}"
