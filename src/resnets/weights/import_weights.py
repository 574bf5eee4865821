"""Weights of other projects into ours, and ours into torchvision's layout."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import torch

from resnets.data.cifar import CIFAR10, CIFAR100
from resnets.errors import WeightsError
from resnets.files import write_durably
from resnets.networks.catalog import spec
from resnets.networks.complexity import skeleton
from resnets.specs import NetworkSpec
from resnets.weights.layouts import LAYOUTS, recognise, torchvision
from resnets.weights.layouts.layout import Tensors
from resnets.weights.readers import read_foreign
from resnets.weights.shapes import declare
from resnets.weights.weights_file import Weights, require_same_keys


@dataclass(frozen=True)
class Imported:
    """Another project's weights under our names, and whose layout they had."""

    weights: Weights
    layout: str


def import_weights(path: Path, network: str | None = None) -> Imported:
    """Read a file of another project's weights; the layout is known by the names.

    `network` is our name of the network, where names and shapes do not tell it.

    Raises: WeightsError, as `read_foreign`, if the layout is not known, or listing the keys that do not fit.
    """
    tensors, about = read_foreign(path)
    layout = recognise(tensors, about)
    if layout is None:
        some = ", ".join(list(tensors)[:4])
        known = ", ".join(layout.name for layout in LAYOUTS)
        raise WeightsError(
            f"{path}: the names of its {len(tensors)} tensors ({some}, ...) are of none of the known layouts: {known}",
            tuple(f"{key} {tuple(tensor.shape)}" for key, tensor in tensors.items()),
        )
    renamed = layout.rename(tensors)
    try:
        declared = declare(renamed, layout, network)
        require_same_keys(skeleton(declared), renamed)
    except WeightsError as error:
        raise WeightsError(f"{path} ({layout.name}): {error}", error.details) from None
    return Imported(Weights(path, renamed, declared, None, layout.convention(declared, about)), layout.name)


def fetch_weights(name: str, version: str | None = None) -> Imported:
    """Return the weights that torchvision publishes for a network, from its cache or the network.

    Raises: WeightsError, as `torchvision.fetch`.
    """
    tensors, convention = torchvision.fetch(name, version)
    return Imported(Weights(Path("torchvision"), tensors, spec(name), None, convention), "torchvision")


def write_torchvision(path: Path, weights: Weights) -> str:
    """Write a state_dict that torchvision's network loads with `strict=True`; return that network's name.

    Raises: WeightsError, if torchvision has no network that is the same function.
    """
    if weights.spec is None:
        raise WeightsError(f"{weights.path}: these weights do not say which network they are for")
    name = torchvision.counterpart(weights.spec)
    content = io.BytesIO()
    torch.save(_with_counters(weights.tensors, weights), content)
    write_durably(path, content.getvalue())
    return name


def _with_counters(tensors: Tensors, weights: Weights) -> Tensors:
    """Return the tensors with batch norm's counters, which files of Caffe lack, in torchvision's order."""
    assert weights.spec is not None
    return {key: tensors.get(key, torch.tensor(0)) for key in skeleton(weights.spec).state_dict()}


def known_classes(layout: str, spec: NetworkSpec) -> tuple[str, ...] | None:
    """Return the classes that a project's weights have, where their number leaves no doubt."""
    if layout in ("akamaster", "chenyaofo"):
        return {10: CIFAR10.classes, 100: CIFAR100.classes}.get(spec.num_classes)
    if layout != "resnets" and spec.type == "imagenet" and spec.num_classes == 1000:
        from torchvision.models import ResNet18_Weights

        return tuple(ResNet18_Weights.DEFAULT.meta["categories"])
    return None
