"""`evaluate`: the exact error of trained weights on a test set."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from torch import nn

from resnets.api.data import Data, load_data
from resnets.api.models import Model, load
from resnets.data.datasets import DataSplits, ImageArrays, ImageFiles, Images, without_ids
from resnets.data.pipeline import single_pass
from resnets.errors import DataError, UsageError
from resnets.evaluation.protocols import Agreement, single_view, single_view_by_engine
from resnets.networks.execution import Precision, choose_precision, keep_freed_memory
from resnets.networks.inference import PREPARATION_SECONDS, Engine, optimize
from resnets.training.distributed import World, joined


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Errors in percent, of the single view of each test image.

    `confusion[i][j]` counts the images of class i taken for class j. `agreement` compares an engine with float32; it is
    None where the network itself was run in float32.
    """

    network: str
    data: str
    samples: int
    top1_error: float
    top5_error: float
    loss: float
    class_errors: dict[str, float | None]
    confusion: list[list[int]]
    agreement: Agreement | None = None


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

    `network` is needed only for the weights of a module of your own. In `bf16`, and for a model that was optimised, an
    engine is run, and `agreement` tells how far it agrees with float32.

    Where torchrun started several processes, each tests its share of the images, and all return the same.

    Raises: UsageError, DataError, WeightsError; also where the classes or the images are not those of the training.
    """
    if batch_size < 1:
        raise UsageError(f"batch_size is {batch_size}; it must be 1 or more")
    if workers < 0:
        raise UsageError(f"workers is {workers}; it must be 0 or more")
    with joined(device) as world:
        model = path if isinstance(path, Model) else load(path, network=network, device=world.device)
        return _evaluate(model, data, precision, batch_size, workers, world)


def _evaluate(model: Model, data: Data, precision: str, batch_size: int, workers: int, world: World) -> Evaluation:
    multiply = choose_precision(precision, model.device)
    if model.engine is not None and precision != "fp32" and multiply != model.engine.precision:
        raise UsageError(f"precision is {precision!r}, and this model's engine runs in {model.engine.precision}")
    splits = fitting(model, load_data(data))
    if model.device.type == "cpu":
        keep_freed_memory()
    test, classes = world.share.of_split(splits.test), len(splits.classes)
    agreement = None
    if model.engine is None and multiply == "fp32":
        counts = single_view(
            model.network,
            test,
            model.convention,
            classes=classes,
            device=model.device,
            precision="fp32",
            batch_size=batch_size,
            workers=workers,
        )
    else:
        counts, agreement = single_view_by_engine(
            model.engine or _engine(model, splits.test, multiply, batch_size),
            model.network,
            test,
            model.convention,
            classes=classes,
            batch_size=batch_size,
            workers=workers,
        )
        agreement = world.tell(lambda: agreement)  # on images of the first process's share
    counts = world.total(counts)
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
        agreement=agreement,
    )


def _engine(model: Model, test: Images, precision: Precision, batch_size: int) -> Engine:
    """Return the fastest engine, or where the test is short the one that needs no preparation."""
    images, _ = next(iter(single_pass(test, model.convention, batch_size=1)))
    _, channels, height, width = images.shape
    make = partial(
        optimize,
        model.network,
        shape=(channels, height, width),
        batch_size=batch_size,
        device=model.device,
        precision=precision,
    )
    engine = make(engine="eager")
    batches = len(test) / engine.batch_size  # type: ignore[arg-type]
    return engine if batches * engine.seconds < PREPARATION_SECONDS else make(engine="auto")


def fitting(model: Model, splits: DataSplits) -> DataSplits:
    """Return the splits as the model reads them.

    Raises: DataError, where they are not of the kind that it was trained on.
    """
    if model.classes is not None and without_ids(splits.classes) != without_ids(model.classes):
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
    if isinstance(splits.test, ImageArrays):
        _, height, width, channels = splits.test.images.shape
        if (height, width, channels) != (convention.size, convention.size, convention.channels):
            raise DataError(
                f"{splits.name} has images of {height} x {width} x {channels}, and {model.path} "
                f"takes {convention.size} x {convention.size} x {convention.channels}"
            )
    return splits
