"""`resnets export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from resnets.cli import options


def export(
    weights: options.Trained,
    out: Annotated[Path, Argument(help="A .onnx or .pt2 file, or for OpenVINO a folder.", show_default=False)],
    format: Annotated[str | None, Option(help="onnx, pt2 or openvino.", show_default="by the name of OUT")] = None,
    normalize: Annotated[
        bool, Option("--normalize", help="Include the normalisation: the file then takes pixels (uint8).")
    ] = False,
    images: Annotated[
        list[str] | None,
        Option(help="Images to verify on, as for predict; may be repeated.", show_default="random pixels"),
    ] = None,
    tolerance: Annotated[
        float, Option(help="Largest accepted difference of a logit, over the largest logit.", min=0)
    ] = 1e-4,
    json: options.Json = False,
) -> None:
    """Export a trained network to ONNX, torch.export or OpenVINO, verified by the runtime that will run it.

    The file takes any number of images. Its logits are compared with the network's own in batches of 1, 2 and 5; where
    they differ nothing is written and the exit code is 1. Classes and input are in the file's metadata; next to an ONNX
    file is an example that needs only onnxruntime, Pillow and NumPy.
    """
    import msgspec

    from resnets.errors import printable
    from resnets.exporting.export import export as exporting
    from resnets.files import to_json
    from resnets.quantities import plural

    done = exporting(weights, out, format=format, normalize=normalize, images=images, tolerance=tolerance)
    if json:
        print(to_json(msgspec.to_builtins(done, enc_hook=str)))
        return
    print(f"{weights} -> {done.path} ({done.format})")
    print(f"network  {done.network}, {plural(done.classes, 'class')}")
    print(f"input    {done.takes}")
    found = f"largest difference {done.difference:.2g} of the largest logit"
    print(f"verified by {done.runtime} on {done.verified_on}: {found}")
    if done.example is not None:
        print(printable(f"example  python {done.example} photo.jpg"))
