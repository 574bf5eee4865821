"""`evaluate`: the exact error of trained weights on a test set."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from resnets.api.data import Data, load_data
from resnets.api.models import Model, load
from resnets.data.datasets import DataSplits, ImageArrays, ImageFiles
from resnets.data.folder import in_memory
from resnets.errors import DataError, UsageError
from resnets.evaluation.protocols import single_view
from resnets.networks.execution import choose_precision


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Errors in percent, of the single view of each test image.

    `confusion[i][j]` counts the images of class i taken for class j.
    """

    network: str
    data: str
    samples: int
    top1_error: float
    top5_error: float
    loss: float
    class_errors: dict[str, float | None]
    confusion: list[list[int]]


def evaluate(
    path: str | Path | Model,
    data: Data,
    *,
    network: nn.Module | None = None,
    device: str = "auto",
    precision: str = "fp32",
    batch_size: int = 256,
    workers: int = 2,
) -> Evaluation:
    """Test a run's folder, a weights file or a loaded model on the test split of a data set.

    `network` is needed only for the weights of a module of your own.

    Raises: UsageError, DataError, WeightsError; also where the classes or the images are not those of the training.
    """
    if batch_size < 1:
        raise UsageError(f"batch_size is {batch_size}; it must be 1 or more")
    if workers < 0:
        raise UsageError(f"workers is {workers}; it must be 0 or more")
    model = path if isinstance(path, Model) else load(path, network=network, device=device)
    splits = _fitting(model, load_data(data))
    counts = single_view(
        model.network,
        splits.test,
        model.convention,
        classes=len(splits.classes),
        device=model.device,
        precision=choose_precision(precision, model.device),
        batch_size=batch_size,
        workers=workers,
    )
    spec = getattr(model.network, "spec", None)
    return Evaluation(
        network=spec.name if spec is not None else type(model.network).__name__,
        data=splits.name,
        samples=counts.samples,
        top1_error=counts.top1_error,
        top5_error=counts.top5_error,
        loss=counts.loss,
        class_errors=dict(zip(splits.classes, counts.class_errors, strict=True)),
        confusion=counts.confusion.tolist(),
    )


def _fitting(model: Model, splits: DataSplits) -> DataSplits:
    """Return the splits as the model reads them, or raise DataError where they are not of its kind."""
    if model.classes is not None and splits.classes != model.classes:
        if len(splits.classes) != len(model.classes):
            what = f"{len(splits.classes)} classes, and the weights know {len(model.classes)}"
        else:
            pairs = zip(splits.classes, model.classes, strict=True)
            here, there = next(pair for pair in pairs if pair[0] != pair[1])
            what = f"class {here!r} where the weights have {there!r}"
        raise DataError(f"{splits.name} is not what {model.path} was trained on: it has {what}")
    convention = model.convention
    if convention is None:
        if not isinstance(splits.test, ImageArrays | ImageFiles):
            return splits
        raise DataError(f"{model.path} does not tell how its input is normalised; pass a dataset that does it")
    if isinstance(splits.test, ImageFiles) and convention.resize == convention.size:  # a network for small images
        return in_memory(dataclasses.replace(splits, train=splits.test), convention.size, convention.channels)
    if isinstance(splits.test, ImageArrays):
        _, height, width, channels = splits.test.images.shape
        if (height, width, channels) != (convention.size, convention.size, convention.channels):
            raise DataError(
                f"{splits.name} has images of {height} x {width} x {channels}, and {model.path} "
                f"takes {convention.size} x {convention.size} x {convention.channels}"
            )
    return splits
