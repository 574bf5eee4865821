"""`resnets predict`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from typer import Argument, Exit, Option


def predict(
    weights: Annotated[Path, Argument(help="A run's folder or a .safetensors file.", show_default=False)],
    images: Annotated[list[Path], Argument(help="Image files of any size.", show_default=False)],
    top: Annotated[int, Option(help="How many classes to show.", min=1)] = 5,
    device: Annotated[str, Option(help="auto, cpu, cuda, cuda:1 ...")] = "auto",
    json: Annotated[bool, Option("--json", help="Print a JSON list instead.")] = False,
) -> None:
    """Name what is on images: the most probable classes with their probabilities.

    A file that is no image is reported on standard error, the others are still done, and the exit code is 1.
    """
    from json import dumps

    from resnets.api import models
    from resnets.errors import DataError

    model = models.load(weights, device=device)
    done, failed = [], 0
    for image in images:
        try:
            prediction = model.predict(image, top=top)
        except DataError as error:
            print(f"resnets: error: {error}", file=sys.stderr)
            failed += 1
            continue
        pairs = list(zip(prediction.classes, prediction.probabilities, strict=True))
        done.append({"image": str(image), "classes": [{"name": n, "probability": p} for n, p in pairs]})
        if not json:
            print(f"{image}: " + ", ".join(f"{name} {100 * p:.1f} %" for name, p in pairs))
    if json:
        print(dumps(done))
    if failed:
        raise Exit(1)
