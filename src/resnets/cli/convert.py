"""`resnets convert`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import msgspec
from typer import Argument, Option

from resnets.cli import options


def convert(
    source: Annotated[
        str,
        Argument(
            metavar="FILE",
            help="A .pth, .pt, .th, .safetensors, .npz, .h5 or .pkl file, a run folder, or `torchvision`.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path, Argument(help="A .safetensors file, a .pth file or a folder for the Hub.", show_default=False)
    ],
    network: Annotated[
        str | None,
        Option("--network", "-n", help="Name of the network in resnets.", show_default="found by names and shapes"),
    ] = None,
    to: Annotated[
        str | None, Option(help="safetensors, torchvision or hub.", show_default="from the name of OUT")
    ] = None,
    classes: Annotated[
        Path | None, Option(help="A file of class names, one per line.", show_default="the known ones")
    ] = None,
    mean: Annotated[
        Path | None, Option(help="A mean image or mean pixel (.npy or .npz).", show_default="the project's")
    ] = None,
    input: Annotated[
        str | None, Option(help="Changes of the input, as JSON: '{\"resize\": 232}'.", show_default="the project's")
    ] = None,
    ema: Annotated[bool, Option("--ema", help="Take a checkpoint's averaged weights, if it has both.")] = False,
    json: options.Json = False,
) -> None:
    """Convert weights between resnets, torchvision, timm, Caffe and the Hub.

    Recognised layouts: torchvision (GoogLeNet too), timm, akamaster, chenyaofo, detectron2's backbones, the authors'
    Caffe, Caffe's GoogLeNet and NIN, and Cadene's BN-Inception. No code in a file is run. Keys that do not fit are
    listed.
    """
    from json import JSONDecodeError, loads

    from resnets.errors import UsageError, WeightsError, printable
    from resnets.files import to_json
    from resnets.weights import convert as converting

    try:
        changes = None if input is None else loads(input)
    except JSONDecodeError as error:
        raise UsageError(f"--input is not JSON ({error})") from None
    if changes is not None and not isinstance(changes, dict):
        raise UsageError('--input must be a JSON object, such as {"resize": 232}')
    try:
        done = converting.convert(
            source, out, network=network, to=to, classes=classes, mean=mean, input=changes, ema=ema
        )
    except WeightsError as error:
        for line in error.details:
            print(printable(line), file=sys.stderr)
        raise
    if json:
        print(to_json(msgspec.to_builtins(done, enc_hook=str)))
        return
    names = "no class names"
    if done.classes is not None:
        names = ", ".join(done.classes if len(done.classes) < 3 else (*done.classes[:2], "..."))
    print(f"{source} ({done.layout}) -> {done.out}")
    print(f"network  {done.spec.in_words()}")
    print(printable(f"classes  {done.spec.num_classes}: {names}"))
    if done.input_spec is not None:
        print(f"input    {done.input_spec.in_words()}")
    for note in done.notes:
        print(printable(f"note     {note}"))
