"""`resnets predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from typer import Argument, Exit, Option

from resnets.cli import options


def predict(
    weights: Annotated[Path, Argument(help="Run folder or .safetensors file.", show_default=False)],
    images: options.Images,
    top: Annotated[int, Option(help="Number of classes to show.", min=1)] = 5,
    device: options.Device = "auto",
    precision: options.Precision = "fp32",
    json: options.Json = False,
) -> None:
    """Classify images: the most probable classes with their probabilities.

    A file that is not an image is reported on standard error (and as "error" in the JSON), the others are processed,
    and the exit code is 1.
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
