"""A page of each kind, from stored records and from networks that are barely trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import torch
from starlette.testclient import TestClient
from torch import Tensor, nn

import resnets
from resnets.data.arrays import ImageArrays
from resnets.data.splits import DataSplits
from resnets.depth_study import page
from resnets.inference.model import Model
from resnets.records import base
from resnets.records.analyses import Ablation, Gradients, Landscape
from resnets.records.counts import wilson
from resnets.records.studies import DepthRow
from resnets.report import ablation, gradients, landscape
from resnets.report.single_page import PageText
from resnets.serving.app import make_app
from resnets.serving.limits import Limits
from resnets.specs import InputSpec

RESULTS = Path(__file__).parents[2] / "results"


def _study(folder: Path) -> Path:
    rows = [
        DepthRow(
            network=f"{kind}{depth}",
            depth=depth,
            residual=kind == "resnet",
            training_error=end,
            training_images=50_000,
            test_error=end + 6,
            seconds=60.0 + depth,
            curve=tuple((step * 500, end + 60 / step, end + 6 + 50 / step) for step in range(1, 13)),
        )
        for kind, ends in (("plain", (6.0, 8.0, 19.0)), ("resnet", (5.0, 3.5, 4.0)))
        for depth, end in zip((20, 56, 110), ends, strict=True)
    ]
    text = PageText(
        title="How deep is worth it on a_data_set_with_a_very_long_name_without_any_space_in_it?",
        headline="Take ResNet-56: 10.5 % validation error, and deeper networks are no better.",
        sentences=["ResNet-110 is within chance of it (0.9 points), and takes twice as long.", "A second sentence."],
        cautions=["One seed: errors also vary with the seed."],
        note="10 % of the training images were held out",
    )
    intervals = {row.network: wilson(row.curve[-1][2], 5000) for row in rows}
    cells = page.table(rows)
    return page.write(rows, text, cells, folder, name="study", curve_on="validation", intervals=intervals).page


class Noisy(nn.Module):
    """An untrained network whose answers differ from image to image."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, classes, 3)

    def forward(self, x: Tensor) -> Tensor:
        return 300 * self.conv(x).mean((2, 3))


def _noisy_model(classes: int) -> Model:
    torch.manual_seed(0)
    names = tuple(f"a_class_with_a_very_long_name_without_spaces_{number}" for number in range(classes))
    return Model(Path("noise"), Noisy(classes).eval(), names, InputSpec(size=8, resize=8), torch.device("cpu"))


def _mistakes(folder: Path, classes: int) -> Path:
    """Return the page of an untrained network on noise, with names that are long and have no spaces."""
    images = np.random.default_rng(0).integers(0, 256, (600, 8, 8, 3), np.uint8)
    split = ImageArrays(images, np.arange(600, dtype=np.int64) % classes)
    model = _noisy_model(classes)
    name = "a_data_set_with_a_very_long_name_without_any_space_in_it"
    assert model.classes is not None
    resnets.evaluate(model, DataSplits(name, split, split, tuple(model.classes), digest="none"), mistakes=folder)
    return folder / "mistakes.html"


def _served(folder: Path) -> Path:
    path = folder / "serve.html"
    app = make_app(_noisy_model(40), name="a_model_with_a_very_long_name_without_any_space", limits=Limits())
    with TestClient(app) as client:
        path.write_text(client.get("/").text)
    return path


def _report(folder: Path) -> Path:
    made = resnets.write_report(RESULTS, out=folder).page
    assert made is not None
    return made


def _compared(folder: Path) -> Path:
    names = ("plain20", "plain32", "resnet20", "resnet32")
    return resnets.compare([RESULTS / "cifar10" / f"{name}-fast-seed0.json" for name in names], out=folder).page


MAKERS: Mapping[str, Callable[[Path], Path]] = {
    "report": _report,
    "demo": lambda folder: resnets.demo(folder, depths=(8,), iterations=2).page,
    "study": _study,
    "compare": _compared,
    "gradients": lambda folder: (
        gradients.write(base.read(RESULTS / "why" / "gradients-training.json", Gradients), folder).page
    ),
    "landscape": lambda folder: (
        landscape.write(base.read(RESULTS / "why" / "landscape-20.json", Landscape), folder).page
    ),
    "ablate": lambda folder: ablation.write(base.read(RESULTS / "why" / "ablation.json", Ablation), folder).page,
    "serve": _served,
    "mistakes-10": partial(_mistakes, classes=10),
    "mistakes-40": partial(_mistakes, classes=40),
    "mistakes-300": partial(_mistakes, classes=300),
}
"""What writes each kind of page into a folder, and returns its file."""
