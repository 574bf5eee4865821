"""Options that several commands share, and the groups in which the help of a training shows its options."""

from __future__ import annotations

import inspect
import re
import shlex
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

from typer import Argument, Option
from typer.core import TyperCommand, TyperGroup

from resnets.data.sources import SOURCES
from resnets.detection.sources import DETECTION_SOURCES
from resnets.errors import ImageError, ResnetsError, UsageError
from resnets.localisation.sources import LOCALISATION_SOURCES
from resnets.training.recipes import RECIPES

BY_RECIPE = "the recipe's"
BY_IMAGES = "of your own images: by their number"
WEIGHTS = "run folder, weights file (.pth too), a name of `resnets list weights`, timm:NAME or hf:OWNER/NAME"

Network = Annotated[str, Argument(help="Name of a network, such as resnet20 (`resnets list` shows all).")]
Data = Annotated[str, Option("--data", "-d", help=SOURCES.help(), show_default=False)]
DataOfRun = Annotated[str | None, Option("--data", "-d", help=SOURCES.help(), show_default="the run's")]
Recipe = Annotated[str | None, Option(help=RECIPES.help(), show_default="by the data and the start")]
Teacher = Annotated[
    str | None,
    Option(help=f"Learn from a trained network too: a {WEIGHTS}.", show_default="labels only"),
]
Decode = Annotated[
    str | None,
    Option(help="exact, or reduced: large JPEGs at 1/2, 1/4 or 1/8, never below a crop.", show_default=BY_RECIPE),
]
DecodeAgain = Annotated[
    str | None, Option(help="exact, or reduced: large JPEGs at 1/2, 1/4 or 1/8.", show_default="as in training")
]
Size = Annotated[int | None, Option(help="Training crop size in pixels.", show_default="224")]
Iterations = Annotated[
    int | None, Option(help="Training length; the recipe's milestones scale with it.", show_default=BY_RECIPE)
]
Epochs = Annotated[float | None, Option(help="Training length in epochs instead.", show_default=BY_IMAGES)]
BatchSize = Annotated[int | None, Option(help="Images per iteration, over all devices.", show_default=BY_RECIPE)]
LearningRate = Annotated[float | None, Option(help="Initial learning rate.", show_default=BY_RECIPE)]
Momentum = Annotated[float | None, Option(help="Momentum of SGD.", show_default=BY_RECIPE)]
WeightDecay = Annotated[float | None, Option(help="Weight decay (L2 penalty).", show_default=BY_RECIPE)]
Accumulate = Annotated[int, Option(help="Gradient-accumulation steps per iteration.")]
Resume = Annotated[bool, Option("--resume", help="Continue the run in the folder; start it if there is none.")]
SaveEvery = Annotated[
    int | None, Option(help="Iterations between checkpoints.", show_default="one every 30 seconds or more")
]
Seed = Annotated[int, Option(help="Random seed for initialisation, data order and augmentation.")]
Device = Annotated[str, Option(help="auto, cpu, cuda, cuda:1 ...")]
Together = Annotated[
    int | None,
    Option(
        help="Networks for small images that are trained at once on each device.",
        show_default="10 on a GPU, 1 on a CPU",
    ),
]
TrainingPrecision = Annotated[str, Option("--precision", help="auto, bf16 (autocast) or fp32.")]
Precision = Annotated[str, Option(help="fp32, bf16 or auto (bf16 on devices with native support).")]
Workers = Annotated[int, Option(help="Data-loading processes.")]
TestBatchSize = Annotated[int, Option("--batch-size", help="Images per batch; the result does not depend on it.")]
Trained = Annotated[str, Argument(help=f"A {WEIGHTS}.", show_default=False)]
Weights = Annotated[
    list[Path],
    Argument(
        help="Run folders, weights files, names of `resnets list weights`, timm:NAME or hf:OWNER/NAME; several are an "
        "ensemble.",
        show_default=False,
    ),
]
Runs = Annotated[
    list[Path],
    Argument(help="Run folders, weights files or names of `resnets list weights`, side by side.", show_default=False),
]
Images = Annotated[
    list[str],
    Argument(
        help="Image files of any size, folders, patterns, webdataset:FOLDER or webdataset:TAR, or - (stdin).",
        show_default=False,
    ),
]
ImagesOrData = Annotated[
    list[str] | None,
    Argument(
        help="Image files of any size, folders, patterns, URLs, webdataset:FOLDER or webdataset:TAR, or - (stdin).",
        show_default=False,
    ),
]
ImageSource = Annotated[
    str | None,
    Option(
        "--data",
        "-d",
        help="Images by a data source instead: folder:PATH, folder:URL, webdataset:FOLDER or TAR.",
        show_default=False,
    ),
]
PartImages = Annotated[int, Option(help="Images of a file in the folder; those of a tar file are one.", min=1)]
Json = Annotated[bool, Option("--json", help="Print JSON instead.")]
Modules = Annotated[
    list[str] | None,
    Option(
        "--import",
        metavar="MODULE",
        help="Import a module first, such as one that registers networks; may be repeated.",
        show_default=False,
    ),
]


def images_of(images: list[str] | None, data: str | None) -> list[str]:
    """Return the names of images, given as arguments or as a data source. Raises: UsageError, if both or none are."""
    if images and data:
        raise UsageError("images and --data SOURCE are both given; one of them is enough")
    if not images and not data:
        raise UsageError("no images are named: they come after the weights (RUN IMAGE ...), or as --data SOURCE")
    if data is not None and not data.startswith(("folder:", "webdataset:")):
        raise UsageError(
            f"--data {data}: images come from folder:PATH, folder:URL, webdataset:FOLDER or webdataset:TAR"
        )
    return images or [str(data)]


GROUPS = {
    "Data": ("data", "classes", "split", "size", "decode"),
    "Length": ("iterations", "epochs", "evaluate_every", "save_every"),
    "Optimiser": (
        *("batch_size", "accumulate", "lr", "momentum", "weight_decay", "label_smoothing", "class_weights"),
        *("teacher", "temperature", "teacher_weight", "ema", "bn_images", "seed", "seeds"),
    ),
    "Network": (
        *("weights", "in_channels", "shortcut", "stride", "residual_layers", "initialization", "network_option"),
        *("frozen_stages", "anchors", "regions", "roi_pooling", "roi_size", "context"),
        *("rpn", "anchors_per_image", "proposals", "box_weight"),
    ),
    "Machine": ("device", "precision", "workers"),
    "Cluster": ("cluster", "partition", "at_once", "job_time"),
}
"""The panels of the help of `resnets train`, `detect train` and `locate train`."""


class _FlagsWithoutType:
    """The help shows no type of options that take no value."""

    def get_params(self, ctx: Any) -> list[Any]:
        parameters: list[Any] = super().get_params(ctx)  # type: ignore[misc]
        for parameter in parameters:
            if getattr(parameter, "is_flag", False):
                parameter.metavar = ""
        return parameters


class Group(_FlagsWithoutType, TyperGroup):
    """A group of commands."""


class Command(_FlagsWithoutType, TyperCommand):
    """A command whose help fills its lines: a line break in a paragraph is a space."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.help = re.sub(r"(?<!\n)\n(?!\n)", " ", inspect.cleandoc(self.help or ""))

    def invoke(self, ctx: Any) -> Any:
        """Run the command; the error of an image of its data ends with the command that finds all such images."""
        try:
            return super().invoke(ctx)
        except ImageError as error:
            data = _source(ctx.params)
            name = data.partition(":")[0]
            if name in SOURCES:
                check = f"data check {shlex.quote(data)}"
            elif name in DETECTION_SOURCES:
                check = f"detect check {shlex.quote(data)} --images"
            elif name in LOCALISATION_SOURCES:
                check = f"locate check {shlex.quote(data)} --images"
            else:
                raise
            raise ImageError(f"{error}; `resnets {check}` lists all such files") from error


def _source(parameters: dict[str, Any]) -> str:
    """Return the source of a command's data: its --data or, where that is left out, that of its runs; "" for none."""
    data = parameters.get("data")
    runs = parameters.get("runs") or parameters.get("targets") or parameters.get("weights")
    if data is None and runs and "data" in parameters and "images" not in parameters:
        from resnets.records.runs import source_of_runs

        with suppress(ResnetsError):
            data = source_of_runs(map(Path, runs if isinstance(runs, list) else [runs]))
    return data if isinstance(data, str) else ""


class TrainingCommand(Command):
    """A command whose help shows its options in GROUPS."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        panels = {name: panel for panel, names in GROUPS.items() for name in names}
        order = list(panels)
        for parameter in self.params:
            if parameter.param_type_name == "option":
                parameter.rich_help_panel = panels.get(parameter.name or "")  # type: ignore[attr-defined]
        self.params.sort(key=lambda parameter: order.index(parameter.name) if parameter.name in order else -1)
