"""`resnets predict`."""

from __future__ import annotations

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
    from resnets.cli.display import print_answers
    from resnets.inference.model import Prediction, load

    def named(prediction: Prediction) -> list[dict[str, Any]]:
        pairs = zip(prediction.classes, prediction.probabilities, strict=True)
        return [{"name": name, "probability": probability} for name, probability in pairs]

    def text(prediction: Prediction) -> str:
        return ", ".join(f"{one['name']} {100 * one['probability']:.1f} %" for one in named(prediction))

    predictions = load(weights, device=device).predict_many(images, top=top, precision=precision)
    if not print_answers(zip(images, predictions, strict=True), "classes", named, None if json else text):
        raise Exit(1)
