"""Loss surfaces of trained networks in a plane of two random directions, normalised filter by filter.

As in "Visualizing the Loss Landscape of Neural Nets" (Li, Xu, Taylor, Studer, Goldstein, 2018).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnets.data.load import Data
from resnets.data.loading import Batch
from resnets.errors import UsageError, public, require_at_least
from resnets.evaluation.members import class_order, data_for, fitting, load_all
from resnets.files import require_results_folder
from resnets.inference.engine import BATCH_ON_CPU
from resnets.inference.model import Model
from resnets.networks.modes import in_mode
from resnets.networks.registry import name_of
from resnets.records.analyses import Landscape, Surface, in_six_digits
from resnets.report import landscape as reporting
from resnets.runtime.device import forward, keep_freed_memory
from resnets.runtime.launch import require_alone
from resnets.runtime.provenance import provenance

PROTOCOL = (
    "mean cross-entropy of training images, without augmentation, label smoothing or weight decay, at the trained "
    "weights plus a step along each of two random directions. A direction is Gaussian, and each of its filters (each "
    "row of the last layer) has the norm of the network's; it is 0 for batch norm's parameters and for biases. Batch "
    "norm normalises by the stored running statistics, which do not move. All as Li et al. (2018)"
)
"""What is measured."""


@public
def landscape(
    runs: str | Path | Model | Iterable[str | Path | Model],
    data: Data | None = None,
    *,
    points: int = 25,
    extent: float = 1.0,
    images: int = 1000,
    seed: int = 0,
    device: str = "auto",
    out: str | Path | None = None,
    notify: Callable[[str], None] | None = None,
) -> Landscape:
    """Evaluate the loss of trained networks on a grid around their weights, along two filter-normalised directions.

    Args:
        runs: run folders, weights files or loaded models, which are shown side by side.
        data: a source (`cifar10`, `folder:PATH` ...) or splits, as in `train`; None is the source of the runs.
        points: on each side of the grid, an odd number: the trained weights are in the middle.
        extent: half the grid's side; at 1 a filter has moved by its own norm.
        images: training images, evenly spaced, that the loss is of.
        seed: of the directions.
        device: `auto` is the first GPU, else the CPU.
        out: folder for landscape.json, landscape.png and landscape.html.
        notify: is called with a sentence before each network.

    Raises: UsageError, DataError, WeightsError, as `evaluate`.
    """
    require_alone("landscape")
    require_results_folder(out)
    if points < 3 or points % 2 == 0:
        raise UsageError(f"points is {points}; it must be odd and 3 or more: the trained weights are in the middle")
    require_at_least(1, images=images)
    if not (math.isfinite(extent) and extent > 0):
        raise UsageError(f"extent is {extent}; it must be a positive number")
    models = load_all(runs, device)
    keep_freed_memory()
    splits = data_for(models, data)
    steps = [extent * (2 * index / (points - 1) - 1) for index in range(points)]
    surfaces = []
    for model in models:
        if notify is not None:
            notify(f"{name_of(model.network)}: {points} x {points} points")
        split = fitting(model, splits).train.subsample(images)
        order = class_order(model, splits)
        batches = [
            (part.to(model.device), (theirs if order is None else torch.tensor(order)[theirs]).to(model.device))
            for some, labels in split.test_batches(model.input_spec, batch_size=256)
            for part, theirs in zip(some.split(BATCH_ON_CPU), labels.split(BATCH_ON_CPU), strict=True)
        ]
        surfaces.append(_surface(model, batches, steps, seed))
    record = Landscape(
        protocol=PROTOCOL,
        data=splits.name,
        digest=splits.digest,
        classes=len(splits.classes),
        images=min(images, len(splits.train)),
        seed=seed,
        steps=tuple(steps),
        surfaces=tuple(surfaces),
        provenance=provenance(models[0].device),
    )
    if out is not None:
        reporting.write(record, Path(out))
    return record


def direction(network: nn.Module, generator: torch.Generator) -> dict[str, Tensor]:
    """Return a random direction in the space of a network's weights, each filter of the norm of the network's.

    It leaves out batch norm's parameters and biases, which stay as they are.
    """
    found = {}
    for name, weight in network.named_parameters():
        if weight.ndim <= 1:
            continue
        drawn = torch.randn(weight.shape, generator=generator)
        norms = [filters.flatten(1).norm(dim=1) for filters in (weight.detach().cpu(), drawn)]
        scale = (norms[0] / (norms[1] + 1e-10)).view(-1, *[1] * (weight.ndim - 1))
        found[name] = (drawn * scale).to(weight)
    return found


@torch.inference_mode()
def _surface(model: Model, batches: Sequence[Batch], steps: Sequence[float], seed: int) -> Surface:
    """Evaluate a network on the grid; its weights are as before afterwards."""
    network = model.network
    generator = torch.Generator().manual_seed(seed)
    first, second = direction(network, generator), direction(network, generator)
    weights = {name: parameter for name, parameter in network.named_parameters() if name in first}
    centre = {name: parameter.clone() for name, parameter in weights.items()}
    losses, errors = [], []
    try:
        with in_mode(network, training=False):
            for up in steps:
                row = []
                for along in steps:
                    for name, parameter in weights.items():
                        torch.add(centre[name], first[name], alpha=along, out=parameter)
                        parameter.add_(second[name], alpha=up)
                    row.append(_loss(network, batches))
                losses.append(tuple(in_six_digits(loss) for loss, _ in row))
                errors.append(tuple(error for _, error in row))
    finally:
        for name, parameter in weights.items():
            parameter.copy_(centre[name])
    return Surface(network=name_of(network), source=model.source, losses=tuple(losses), errors=tuple(errors))


def _loss(network: nn.Module, batches: Sequence[Batch]) -> tuple[float, float]:
    """Return the mean loss of the images, and the error in percent."""
    loss, wrong, count = 0.0, 0, 0
    for images, labels in batches:
        logits = forward(network, images, "fp32")
        loss += float(F.cross_entropy(logits, labels, reduction="sum"))
        wrong += int((logits.argmax(1) != labels).sum())
        count += len(labels)
    return loss / count, round(100 * wrong / count, 4)
