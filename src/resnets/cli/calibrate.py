"""`resnets calibrate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
from typer import Option

from resnets.cli import options


def calibrate(
    weights: options.Trained,
    data: options.DataOfRun = None,
    out: Annotated[
        Path | None,
        Option("--out", "-o", help="Another weights file (.safetensors) to write.", show_default="the same file"),
    ] = None,
    device: options.Device = "auto",
    batch_size: options.TestBatchSize = 256,
    workers: options.Workers = 2,
    json: options.Json = False,
) -> None:
    """Calibrate probabilities by one temperature, fitted on validation images; no class changes.

    Validation images are the data's own, or those that the run held out (--split 10%); never the test images, on which
    the calibration error is measured before and after. The temperature is stored in the weights, for all that use them.
    """
    from resnets.evaluation.calibrate import calibrate as fit
    from resnets.files import to_json
    from resnets.quantities import plural

    found = fit(weights, data, out=out, device=device, batch_size=batch_size, workers=workers)
    if json:
        print(to_json(msgspec.to_builtins(found)))
        return
    print(f"temperature {found.temperature:.3f}, fitted on {plural(found.validation_images, 'validation image')}")
    print(f"on {plural(found.test_images, 'test image')} of {found.data}, before and after:")
    print(f"  expected calibration error  {found.ece_before:.2f} % -> {found.ece_after:.2f} %")
    print(f"  negative log-likelihood     {found.nll_before:.4f} -> {found.nll_after:.4f}")
    print(f"{out or weights} holds the calibrated weights")
