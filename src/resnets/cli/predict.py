"""`resnets predict`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

from typer import Argument, Exit, Option


def predict(
    weights: Annotated[Path, Argument(help="A run's folder or a .safetensors file.", show_default=False)],
    images: Annotated[list[Path], Argument(help="Image files of any size.", show_default=False)],
    top: Annotated[int, Option(help="How many classes to show.", min=1)] = 5,
    device: Annotated[str, Option(help="auto, cpu, cuda, cuda:1 ...")] = "auto",
    precision: Annotated[str, Option(help="fp32, bf16 or auto (bf16 where it is native).")] = "fp32",
    json: Annotated[bool, Option("--json", help="Print a JSON list instead.")] = False,
) -> None:
    """Name what is on images: the most probable classes with their probabilities.

    A file that is no image is reported on standard error (and in the JSON list, as its "error"), the others are still
    done, and the exit code is 1.
    """
    from json import dumps

    from resnets.errors import DataError
    from resnets.inference.model import load

    model = load(weights, device=device)
    predictions = model.predict_many(images, top=top, precision=precision)
    failed = 0
    opening = "["
    for image, prediction in zip(images, predictions, strict=True):
        if isinstance(prediction, DataError):
            print(f"resnets: error: {prediction}", file=sys.stderr)
            failed += 1
            entry: dict[str, Any] = {"image": str(image), "error": str(prediction)}
        else:
            pairs = list(zip(prediction.classes, prediction.probabilities, strict=True))
            entry = {"image": str(image), "classes": [{"name": n, "probability": p} for n, p in pairs]}
            if not json:
                print(f"{image}: " + ", ".join(f"{name} {100 * p:.1f} %" for name, p in pairs))
        if json:  # one at a time: there may be very many
            print(opening + dumps(entry), end="")
            opening = ", "
    if json:
        print("]")
    if failed:
        raise Exit(1)
