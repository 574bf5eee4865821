"""`resnets detect predict`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

from typer import Argument, Exit, Option


def predict(
    weights: Annotated[Path, Argument(help="A detector's run folder or .safetensors file.", show_default=False)],
    images: Annotated[list[Path], Argument(help="Image files of any size.", show_default=False)],
    out: Annotated[
        Path | None, Option("--out", "-o", help="Write the images with boxes, and detections.json, into this folder.")
    ] = None,
    threshold: Annotated[float, Option(help="The least score of an object, from 0 to 1.")] = 0.5,
    box_refinement: Annotated[bool, Option("--box-refinement", help="Iterated regression and box voting.")] = False,
    multi_scale: Annotated[bool, Option("--multi-scale", help="Features of two of five scales.")] = False,
    device: Annotated[str, Option(help="auto, cpu, cuda, cuda:1 ...")] = "auto",
    precision: Annotated[str, Option(help="fp32, bf16 or auto (bf16 where it is native).")] = "fp32",
    json: Annotated[bool, Option("--json", help="Print a JSON list instead.")] = False,
) -> None:
    """Find objects on images: their classes, scores and boxes.

    A box is x1, y1, x2, y2 in pixels. A file that is no image is reported on standard error (and in the JSON list, as
    its "error"), the others are still done, and the exit code is 1.
    """
    import dataclasses
    from json import dumps

    from resnets.detection.predict import detect
    from resnets.errors import DataError

    failed = 0
    opening = "["
    for image, objects in detect(
        weights,
        images,
        threshold=threshold,
        out=out,
        box_refinement=box_refinement,
        multi_scale=multi_scale,
        device=device,
        precision=precision,
    ):
        if isinstance(objects, DataError):
            print(f"resnets: error: {objects}", file=sys.stderr)
            failed += 1
            entry: dict[str, Any] = {"image": str(image), "error": str(objects)}
        else:
            entry = {"image": str(image), "objects": [dataclasses.asdict(found) for found in objects]}
            if not json:
                print(f"{image}: {len(objects)} object{'' if len(objects) == 1 else 's'}")
                for found in objects:
                    print(f"  {found.name} {found.score:.2f}  {' '.join(f'{side:.1f}' for side in found.box)}")
        if json:  # one at a time: there may be very many
            print(opening + dumps(entry), end="")
            opening = ", "
    if json:
        print("]")
    elif out is not None:
        print(f"{out}/ holds the images with their boxes, and detections.json")
    if failed:
        raise Exit(1)
