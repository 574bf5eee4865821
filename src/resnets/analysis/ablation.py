"""Trained networks without one of their blocks: does the rest still work?

As in "Residual Networks Behave Like Ensembles of Relatively Shallow Networks" (Veit, Wilber, Belongie, 2016).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from torch import Tensor, nn

from resnets.data.load import Data
from resnets.data.splits import DataSplits
from resnets.errors import UsageError, nearest, public
from resnets.evaluation.evaluate import evaluate
from resnets.evaluation.members import data_for, load_all
from resnets.files import require_results_folder
from resnets.inference.model import Model
from resnets.networks.blocks import Block
from resnets.networks.registry import name_of
from resnets.networks.resnet import ResNet
from resnets.quantities import plural
from resnets.records.analyses import Ablation, NetworkAblation, Removed
from resnets.report import ablation as reporting
from resnets.runtime.launch import require_alone
from resnets.runtime.provenance import provenance

PROTOCOL = (
    "test error of a trained network without one unit, the rest as it is, not trained again. Of a residual network a "
    "unit is a block: F(x) is left out, and its shortcut and the last ReLU stay. Of a plain network it is a layer with "
    "its batch norm and ReLU, but for layers that change the size or the number of the maps, which cannot be left out"
)
"""What is measured."""


@public
def ablate(
    runs: str | Path | Model | Iterable[str | Path | Model],
    data: Data | None = None,
    *,
    drop: str | Sequence[str] = "all",
    device: str = "auto",
    batch_size: int = 256,
    workers: int = 2,
    out: str | Path | None = None,
    notify: Callable[[str], None] | None = None,
) -> Ablation:
    """Test trained networks without one of their blocks, or of a plain network one of its layers, one at a time.

    Args:
        runs: run folders, weights files or loaded models.
        data: a source (`cifar10`, `folder:PATH` ...) or splits, as in `train`; None is the source of the runs.
        drop: `all`, or blocks such as `layer2.3`, each of which is removed alone.
        device: `auto` is the first GPU, else the CPU.
        batch_size: images per batch; no number depends on it.
        workers: data-loading processes.
        out: folder for ablation.json, ablation.png and ablation.html.
        notify: is called with a sentence before each network.

    Raises: UsageError, DataError, WeightsError, as `evaluate`; UsageError also for a block that a network does not
        have, and for other networks than residual and plain ones.
    """
    require_alone("ablate")
    require_results_folder(out)
    models = load_all(runs, device)
    names = [drop] if isinstance(drop, str) else list(drop)
    chosen = [_chosen(model.network, names) for model in models]
    splits, found, chance = data_for(models, data), [], 0.0
    for model, units in zip(models, chosen, strict=True):
        if notify is not None:
            notify(f"{name_of(model.network)}: {plural(len(units), 'test')}")
        network, chance = _ablated(dataclasses.replace(model, engine=None), units, splits, batch_size, workers)
        found.append(network)
    record = Ablation(
        protocol=PROTOCOL,
        data=splits.name,
        digest=splits.digest,
        images=len(splits.test),
        chance=chance,
        networks=tuple(found),
        provenance=provenance(models[0].device),
    )
    if out is not None:
        reporting.write(record, Path(out))
    return record


def _ablated(
    model: Model, units: Sequence[str], splits: DataSplits, batch_size: int, workers: int
) -> tuple[NetworkAblation, float]:
    """Return the tests of a network, and the error of always naming the most frequent class."""
    network = model.network
    assert isinstance(network, ResNet)
    whole = evaluate(model, splits, batch_size=batch_size, workers=workers)
    removed = []
    for unit in units:
        with without(network, unit):
            tested = evaluate(model, splits, batch_size=batch_size, workers=workers)
        removed.append(
            Removed(
                unit=unit,
                is_projection=_changes_shape(network, unit),
                error=tested.top1_error,
                interval=tested.top1_interval,
            )
        )
    residual = network.spec.residual
    found = NetworkAblation(
        network=name_of(network),
        source=model.source,
        unit="block" if residual else "layer",
        error=whole.top1_error,
        interval=whole.top1_interval,
        removed=tuple(removed),
        kept=() if residual else tuple(name for name in _layers(network) if not _fits(network.get_submodule(name))),
    )
    return found, 100 * (1 - max(map(sum, whole.confusion or [[]])) / whole.samples)


# ---------------------------------------------------------------- what can be removed


def removable(network: nn.Module) -> list[str]:
    """Return the units that can be removed: blocks of a residual network, layers of a plain one, in their order.

    Raises: UsageError, if it is no such network.
    """
    if not isinstance(network, ResNet):
        raise UsageError(f"{name_of(network)} has no blocks to remove; residual networks and plain ones have")
    if network.spec.residual:
        return _blocks(network)
    return [name for name in _layers(network) if _fits(network.get_submodule(name))]


def _blocks(network: ResNet) -> list[str]:
    return [f"{stage}.{name}" for stage in network.stages for name, _ in network.get_submodule(stage).named_children()]


def _layers(network: ResNet) -> list[str]:
    """Return the convolutions of the blocks of a network."""
    return [
        f"{name}.conv{number}"
        for name, block in zip(_blocks(network), network.blocks(), strict=True)
        for number in range(1, block.depth + 1)
    ]


def _fits(conv: nn.Module) -> bool:
    """Return whether a convolution keeps the size and the number of its maps."""
    assert isinstance(conv, nn.Conv2d)
    return conv.stride == (1, 1) and conv.in_channels == conv.out_channels


def _changes_shape(network: ResNet, unit: str) -> bool:
    block = network.get_submodule(unit)
    if not isinstance(block, Block) or block.downsample is None:
        return False
    convolutions = [module for module in block.downsample.modules() if isinstance(module, nn.Conv2d)]
    return not convolutions or not all(map(_fits, convolutions))  # option C projects where nothing changes, too


def _chosen(network: nn.Module, names: Sequence[str]) -> list[str]:
    """Return the units of these names; a block of a plain network stands for its layers."""
    every = removable(network)
    if list(names) == ["all"]:
        return every
    found = []
    for name in names:
        units = [unit for unit in every if unit == name or unit.startswith(f"{name}.conv")]
        if not units:
            what = "block" if "conv" not in every[0] else "layer that can be removed"
            raise UsageError(
                f"{name_of(network)} has no {what} {name!r}{nearest(name, every)}; it has {every[0]} to {every[-1]}"
            )
        found += units
    return found


@contextmanager
def without(network: nn.Module, unit: str) -> Iterator[None]:
    """Remove a unit of `removable` within the block."""
    module = network.get_submodule(unit)
    changed: dict[str, nn.Module] = {unit: _Shortcut(module)} if isinstance(module, Block) else {}
    if not changed:
        block, _, conv = unit.rpartition(".")
        changed = {unit: nn.Identity(), f"{block}.bn{conv.removeprefix('conv')}": nn.Identity()}
    before = {name: network.get_submodule(name) for name in changed}
    try:
        for name, other in changed.items():
            network.set_submodule(name, other)
        yield
    finally:
        for name, own in before.items():
            network.set_submodule(name, own)


class _Shortcut(nn.Module):
    """A block without F(x): its shortcut, and the ReLU that follows the addition.

    Shape: (N, C, H, W) -> (N, C', H / stride, W / stride)
    """

    def __init__(self, block: Block) -> None:
        super().__init__()
        self.downsample = block.downsample

    def forward(self, x: Tensor) -> Tensor:
        return (x if self.downsample is None else self.downsample(x)).relu()
