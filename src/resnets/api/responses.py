"""`responses`: how strongly the layers of trained networks respond, network by network. Paper: Figure 7."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch

from resnets import storage
from resnets.data.datasets import DataSplits
from resnets.data.load import Data, load_data
from resnets.data.streams import some_of
from resnets.errors import UsageError, WeightsError
from resnets.evaluation.members import comparable_digest, fitting
from resnets.evaluation.responses import layer_deviations, statistics_group
from resnets.inference.model import Model, load
from resnets.report.measured import Response
from resnets.report.responses import LayerResponses
from resnets.runtime.device import keep_freed_memory
from resnets.runtime.launch import require_alone
from resnets.runtime.provenance import provenance
from resnets.training.run import RunFolder

PROTOCOL = (
    "standard deviation of each layer's output after batch norm and before ReLU or the addition, for the images of the "
    "test split, each once as it is. std: over all images, channels and positions at once; median: of the median "
    "image, over its channels and positions; both with batch norm's running statistics. batch std, batch median: the "
    "same with the statistics of mini-batches of at most bn_group images (128 where the network has no bn_group)"
)
"""What is measured, with what the paper leaves open."""


def responses(
    runs: str | Path | Model | Iterable[str | Path | Model],
    data: Data,
    *,
    images: int | None = None,
    device: str = "auto",
    batch_size: int = 256,
    workers: int = 2,
) -> tuple[LayerResponses, ...]:
    """Measure how strongly the layers of trained networks respond to the test images of a data set.

    `runs` are folders of runs, weights files or loaded models, `images` how many test images serve (evenly spaced over
    the split; None: all). A response is the standard deviation of a layer's output after batch norm and before ReLU or
    the addition. What the paper leaves open: `std` is taken over all images, channels and positions at once; batch
    norm works with its running statistics; the images are those of the test split, each once as it is. Of an
    undertrained deep network a few images can dominate it, so each layer has three more numbers: `median`, over the
    images, of the standard deviation of one image's response; and `batch_std` and `batch_median`, the same two with
    batch norm working with the statistics of mini-batches of the network's `bn_group` images (128 where it has none),
    evenly spaced over the test images. No number depends on `batch_size`.

    Raises: UsageError, DataError, WeightsError, as `evaluate`; UsageError too for a network without batch norm.
    Paper: section 4.2, Figure 7.
    """
    require_alone("responses")
    for name, value, least in (("images", images, 1), ("batch_size", batch_size, 1), ("workers", workers, 0)):
        if value is not None and value < least:
            raise UsageError(f"{name} is {value}; it must be {least} or more")
    several = [runs] if isinstance(runs, str | Path | Model) else list(runs)
    if not several:
        raise UsageError("no runs are named; name the folder of a run, or several")
    models = [run if isinstance(run, Model) else load(run, device=device) for run in several]
    splits = load_data(data)
    splits = dataclasses.replace(splits, test=some_of(splits.test, images))
    return tuple(_responses(model, splits, batch_size=batch_size, workers=workers) for model in models)


def _responses(model: Model, splits: DataSplits, *, batch_size: int, workers: int) -> LayerResponses:
    test = fitting(model, splits).test
    if model.device.type == "cpu":
        keep_freed_memory()
    found = layer_deviations(
        model.network, test, model.convention, device=model.device, batch_size=batch_size, workers=workers
    )
    for layer, deviations in found.items():
        if not all(map(math.isfinite, dataclasses.astuple(deviations))):
            raise WeightsError(f"{model.path}: layer {layer} does not give finite numbers for images of {splits.name}")
    spec = getattr(model.network, "spec", None)
    of_run = model.path.name == "weights.safetensors"
    return LayerResponses(
        network=type(model.network).__name__ if spec is None else spec.name,
        source=str(model.path.parent if of_run else model.path),
        data=splits.name,
        digest=comparable_digest(model, splits),
        images=len(test),  # type: ignore[arg-type]
        device=str(model.device),
        bn_group=statistics_group(model.network),
        layers=tuple(Response(layer, **dataclasses.asdict(deviations)) for layer, deviations in found.items()),
        result=RunFolder(model.path.parent).result() if of_run else None,
    )


def write_json(found: Sequence[LayerResponses], path: Path) -> None:
    """Write the responses to a file that `resnets report` reads: each network's, with the result of its run.

    Raises: RunError, if it cannot be written.
    """
    content = {
        "kind": "responses",
        "protocol": PROTOCOL,
        "networks": [
            {
                "network": one.network,
                "source": one.source,
                "data": one.data,
                "digest": one.digest,
                "images": one.images,
                "bn_group": one.bn_group,
                "responses": [dataclasses.asdict(response) for response in one.layers],
                "result": one.result,
            }
            for one in found
        ],
        "provenance": provenance(torch.device(found[0].device)),
    }
    storage.write_json(path, content)
