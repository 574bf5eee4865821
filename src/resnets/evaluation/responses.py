"""Layer responses of a trained network. Paper: section 4.2, "Analysis of Layer Responses", Figure 7."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from resnets.data.load import Data
from resnets.data.splits import DataSplits, Split
from resnets.errors import UsageError, WeightsError, public, require_at_least
from resnets.evaluation.members import data_for, fitting, load_all
from resnets.inference.engine import BATCH_ON_CPU
from resnets.inference.model import Model
from resnets.networks.modes import hooked, in_mode
from resnets.networks.registry import name_of, spec_of
from resnets.records import base
from resnets.records.evaluations import LayerResponses, Response, Responses
from resnets.records.runs import ClassifierResult, result_next_to
from resnets.runtime.device import forward, keep_freed_memory
from resnets.runtime.launch import require_alone
from resnets.runtime.provenance import provenance
from resnets.specs import InputSpec

PROTOCOL = (
    "standard deviation of each layer's output after batch norm and before ReLU or the addition, for the images of the "
    "test split, each once as it is. std: over all images, channels and positions at once; median: of the median "
    "image, over its channels and positions; both with batch norm's running statistics. batch std, batch median: the "
    "same with the statistics of mini-batches of at most bn_group images (128 where the network has no bn_group)"
)
"""What is measured, with what the paper leaves open."""

MINI_BATCH = 128
"""Images that share batch statistics where a network has no `bn_group`: the paper's mini-batch on CIFAR-10."""


@dataclass
class _Moments:
    """Mean and variance of each image's response, in double precision; of each image there are equally many values."""

    means: list[float] = field(default_factory=list)  # small tensors would fragment the memory for large ones
    variances: list[float] = field(default_factory=list)

    def add(self, _module: nn.Module, _inputs: object, output: Tensor) -> None:
        """Add a layer's output for some images, as a hook. Shape: (N, C, H, W)"""
        values = output.detach().double()
        mean = values.mean((1, 2, 3), keepdim=True)  # (N, 1, 1, 1)
        self.means += mean.flatten().tolist()
        self.variances += (values - mean).square_().mean((1, 2, 3)).tolist()  # a third of var_mean's time on a CPU

    @property
    def std(self) -> float:
        """Over all images at once."""
        variances = torch.tensor(self.variances, dtype=torch.float64)
        means = torch.tensor(self.means, dtype=torch.float64)
        return math.sqrt(float(variances.mean() + means.var(correction=0)))

    @property
    def median(self) -> float:
        """Of the median image."""
        return statistics.median(map(math.sqrt, self.variances))


def responding_layers(network: nn.Module) -> dict[str, nn.Module]:
    """Return the layers of Figure 7 by their names, in order, each with the batch norm that follows it.

    These are the first convolution (3x3, and 7x7 in an ImageNet-type network) and every other 3x3 convolution: 6n + 1
    in a CIFAR-type network, as on the axis of the figure. Projections and the 1x1 layers of bottlenecks are none.

    Raises: UsageError, if there are none.
    """
    found: dict[str, nn.Module] = {}
    modules = dict(network.named_modules())
    for name, module in modules.items():
        parent, _, own = name.rpartition(".")
        norm = modules.get(f"{parent}.bn{own[4:]}".lstrip("."))
        if not (own.startswith("conv") and isinstance(module, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)):
            continue
        if module.kernel_size == (3, 3) or not found:
            found[name] = norm
    if not found:
        raise UsageError(
            f"{type(network).__name__} has no convolutions conv1, conv2, ... with batch norms bn1, bn2, ... after "
            f"them, so there are no responses to measure"
        )
    return found


def statistics_group(network: nn.Module) -> int:
    """Return how many images at most share batch statistics: the network's `bn_group`, or 128 where it has none."""
    norm = next(iter(responding_layers(network).values()))
    return getattr(norm, "group", None) or MINI_BATCH


@torch.inference_mode()
def layer_responses(
    network: nn.Module,
    split: Split,
    input_spec: InputSpec | None,
    *,
    device: torch.device,
    batch_size: int = 256,
    workers: int = 0,
) -> tuple[Response, ...]:
    """Return how strongly each layer responds to a split, in order, as `responses` describes it.

    The mini-batches of the batch statistics do not depend on `batch_size`: they are as few as hold at most
    `statistics_group` images each, of one size but for one image. The network is left as it was.

    Raises: UsageError, if the network has no such layers.
    Paper: section 4.2, Figure 7.
    """
    norms = responding_layers(network)
    group = statistics_group(network)
    at_once = min(batch_size, BATCH_ON_CPU) if device.type == "cpu" else batch_size
    batches = split.test_batches(input_spec, batch_size=batch_size, workers=workers)
    with in_mode(network, training=False):
        running = _moments(network, norms, (part for images, _ in batches for part in images.split(at_once)), device)
        mini_batches = _mini_batches(split, input_spec, group, batch_size=batch_size, workers=workers)
        with _batch_statistics(network):
            batch = _moments(network, norms, mini_batches, device)
    return tuple(
        Response(name, running[name].std, running[name].median, batch[name].std, batch[name].median) for name in norms
    )


def _moments(
    network: nn.Module, norms: Mapping[str, nn.Module], batches: Iterable[Tensor], device: torch.device
) -> dict[str, _Moments]:
    """Return the moments of the outputs of some batch norms, by name."""
    found = {name: _Moments() for name in norms}
    # of a module in evaluation mode a hook is given the output before anything is added to it or cut off in place
    with hooked((norm, found[name].add) for name, norm in norms.items()):
        for images in batches:
            forward(network, images.to(device), "fp32")
    return found


@contextlib.contextmanager
def _batch_statistics(network: nn.Module) -> Iterator[None]:
    """Let batch norm normalise each mini-batch by its own statistics in evaluation mode.

    Without running statistics that is what torch does. They are put back afterwards, so nothing can have moved them.
    """
    kept = [(norm, norm.running_mean, norm.running_var) for norm in network.modules() if isinstance(norm, _BatchNorm)]
    try:
        for norm, _, _ in kept:
            norm.running_mean = norm.running_var = None
        yield
    finally:
        for norm, mean, var in kept:
            norm.running_mean, norm.running_var = mean, var


def _mini_batches(
    split: Split, input_spec: InputSpec | None, group: int, *, batch_size: int, workers: int
) -> Iterator[Tensor]:
    """Yield a split in as few mini-batches as hold at most `group` images, of one size but for one image.

    Each is evenly spaced over the split, so that none is of one class where the images are sorted by class. A stream
    keeps its order.
    """
    count = len(split)
    number = math.ceil(count / group)
    samples = [np.arange(first, count, number) for first in range(number)]
    if split.random_access:
        split = split.select(np.concatenate(samples))
    read = (images for images, _ in split.test_batches(input_spec, batch_size=batch_size, workers=workers))
    left = next(read)
    for mini_batch in samples:
        while len(left) < len(mini_batch):
            left = torch.cat([left, next(read)])
        yield left[: len(mini_batch)]
        left = left[len(mini_batch) :]


@public
def responses(
    runs: str | Path | Model | Iterable[str | Path | Model],
    data: Data | None = None,
    *,
    images: int | None = None,
    device: str = "auto",
    batch_size: int = 256,
    workers: int = 2,
) -> tuple[LayerResponses, ...]:
    """Measure the layer responses of trained networks to the test images of a data set.

    A response is the standard deviation of a layer's output after batch norm, before ReLU or the addition. The paper
    leaves open over what: `std` is over all images, channels and positions together, with batch norm's running
    statistics, each test image once, not augmented. A few images can dominate it in an undertrained deep network, so
    each layer has three more numbers: `median`, over the images, of the standard deviation of one image's response;
    and `batch_std` and `batch_median`, the same two with batch norm's statistics of mini-batches of the network's
    `bn_group` images (128 if it has none), evenly spaced over the test images.

    Args:
        runs: run folders, weights files or loaded models.
        data: a source (`cifar10`, `folder:PATH` ...) or splits, as in `train`; None is the source of the runs.
        images: number of test images, evenly spaced over the split; None is all.
        device: `auto` is the first GPU, else the CPU.
        batch_size: images per batch; no number depends on it.
        workers: data-loading processes.

    Raises: UsageError, DataError, WeightsError, as `evaluate`; UsageError also for a network without batch norm.
    Paper: section 4.2, Figure 7.
    """
    require_alone("responses")
    require_at_least(1, images=images, batch_size=batch_size)
    require_at_least(0, workers=workers)
    models = load_all(runs, device)
    splits = data_for(models, data)
    splits = dataclasses.replace(splits, test=splits.test.subsample(images))
    return tuple(_responses(model, splits, batch_size=batch_size, workers=workers) for model in models)


def _responses(model: Model, splits: DataSplits, *, batch_size: int, workers: int) -> LayerResponses:
    test = fitting(model, splits).test
    if model.device.type == "cpu":
        keep_freed_memory()
    found = layer_responses(
        model.network, test, model.input_spec, device=model.device, batch_size=batch_size, workers=workers
    )
    for one in found:
        if not all(map(math.isfinite, msgspec.structs.astuple(one)[1:])):
            raise WeightsError(
                f"{model.path}: layer {one.layer} does not give finite numbers for images of {splits.name}"
            )
    return LayerResponses(
        network=name_of(model.network),
        source=model.source,
        data=splits.name,
        digest=splits.digest,
        images=len(test),
        device=str(model.device),
        bn_group=statistics_group(model.network),
        layers=found,
        result=result_next_to(model.path, ClassifierResult, spec_of(model.network)),
    )


def write_json(found: Sequence[LayerResponses], path: Path) -> None:
    """Write the responses to a file that `resnets report` reads: each network's, with the result of its run.

    Raises: RunError, if it cannot be written.
    """
    where = provenance(torch.device(found[0].device))
    base.write(path, Responses(protocol=PROTOCOL, networks=tuple(found), provenance=where))
