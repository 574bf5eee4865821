"""`resnets explain`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from typer import Exit, Option

from resnets.cli import options


def explain(
    weights: options.Trained,
    images: options.Images,
    class_name: Annotated[
        str | None, Option("--class", help="Class to show the evidence for.", show_default="the most probable one")
    ] = None,
    out: Annotated[
        Path | None, Option("--out", "-o", help="Folder for one PNG of each image, with the map over it.")
    ] = None,
    top: Annotated[int, Option(help="Number of classes to show.", min=1)] = 5,
    device: options.Device = "auto",
    json: options.Json = False,
) -> None:
    """Show where in images the evidence for a class is: class activation maps, next to the most probable classes.

    A map is of the single centre view that the network is given, also where testing uses several views. With --out,
    it is drawn over that part of the image, and the rest is dim.
    """
    from resnets.cli.answers import classes_in_words, classes_of, counted, print_answers
    from resnets.files import require_results_folder
    from resnets.inference.explain import Explainer, Explanation
    from resnets.inference.images import find_images
    from resnets.inference.model import load

    Found = tuple[Explanation, Path | None]

    def fields(found: Found) -> dict[str, Any]:
        one, drawn = found
        return {
            "classes": classes_of(one.prediction),
            "class": one.class_name,
            "probability": one.probability,
            "region": one.region,
            "peak": one.peak,
            "picture": None if drawn is None else str(drawn),
        }

    def text(found: Found) -> str:
        one, drawn = found
        shown = classes_in_words(one.prediction)
        if one.class_name not in one.prediction.classes:
            shown += f", ..., {one.class_name} {100 * one.probability:.1f} %"
        if not one.map.any():
            return f"{shown}; no evidence for {one.class_name}{_to(drawn)}"
        at, (width, height) = "{}, {}".format(*one.peak), one.size
        return f"{shown}; evidence for {one.class_name} strongest at {at} of {width} x {height}{_to(drawn)}"

    require_results_folder(out)
    explainer = Explainer(load(weights, device=device))
    if class_name is not None:
        explainer.index(class_name)  # an unknown one is refused before anything is read
    files = find_images(images)
    found = explainer.explanations(files, class_name=class_name, top=top, out=out)
    if not print_answers(counted(found, "images", files, printed=True), fields, None if json else text):
        raise Exit(1)


def _to(drawn: Path | None) -> str:
    return "" if drawn is None else f": {drawn}"
