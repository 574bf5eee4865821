"""Weights of other projects as ours, by their names and shapes, and ours in torchvision's layout."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from resnets.data.cifar import CIFAR10, CIFAR100
from resnets.errors import WeightsError, warn
from resnets.files import write_durably
from resnets.networks import registry
from resnets.networks.complexity import skeleton
from resnets.specs import InputSpec, NetworkSpec, ResNetSpec, Shortcut
from resnets.specs.networks import IMAGENET_STAGES, VGG_STAGES
from resnets.weights.layouts import LAYOUTS, recognise, timm, torchvision
from resnets.weights.layouts.layout import About, Layout, Tensors, is_cifar_type
from resnets.weights.readers import read_foreign
from resnets.weights.weights_file import Weights, last_layer, require_same_keys


@dataclass(frozen=True)
class Imported:
    """Another project's weights under our names, and whose layout they had."""

    weights: Weights
    layout: str
    notes: tuple[str, ...] = ()  # which of several weights were taken, and what is assumed of their network

    def noted(self) -> Weights:
        """Return the weights, with a warning for each note."""
        for note in self.notes:
            warn(f"{self.weights.name}: {note}")
        return self.weights


def import_weights(path: Path, network: str | None = None, *, averaged: bool = False) -> Imported:
    """Read a file of another project's weights; the layout is known by the names.

    `network` is our name of the network, where names and shapes leave it open; a note says where a bottleneck's stride
    2 is taken to be, if nothing in the file says it. The layout of a registered network is its own. `averaged` takes
    the moving average of a checkpoint that has one.

    Raises: WeightsError, as `read_foreign`, if the layout is not known, the file says that the weights are of a network
        with another function, or listing the keys that do not fit.
    """
    tensors, about = read_foreign(path, averaged=averaged)
    notes = about.get("notes", ())
    if network is not None and network in registry.NETWORKS:
        return Imported(_of_registered(path, tensors, network), network, notes)
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
        declared = declare(renamed, layout, network, about)
        require_same_keys(skeleton(declared), renamed)
        if layout in (timm.LAYOUT, torchvision.LAYOUT):
            _require_function(declared, about, named=network is not None)
    except WeightsError as error:
        raise WeightsError(f"{path} ({layout.name}): {error}", error.details) from None
    if not layout.is_known(about) and isinstance(declared, ResNetSpec):
        notes = (*notes, *_assumed_stride(declared, named=network is not None))
    return Imported(Weights(path, renamed, declared, None, _input(layout, declared, about)), layout.name, notes)


def _input(layout: Layout, declared: NetworkSpec, about: About) -> InputSpec | None:
    """Return the input that a project's weights expect, None where the network takes images of other channels."""
    found = layout.input_spec(declared, about)
    if found is None or found.channels != declared.in_channels:
        return None
    return found if all(len(one) == found.channels for one in (found.mean, found.std) if one is not None) else None


def _assumed_stride(declared: ResNetSpec, *, named: bool) -> list[str]:
    """Return where stride 2 of a bottleneck is taken to be, but for a name that says it and no other project's."""
    if declared.stride is None or (named and declared.stride == "3x3"):
        return []
    name = declared.name.removesuffix("_v1_5")
    if named:
        return [
            f"{name} has stride 2 on the first 1x1 of a bottleneck; what torchvision and timm call {name} has it on "
            f"the 3x3, and is named {name}_v1_5 here"
        ]
    return [
        f"stride 2 is taken to be on the 3x3 of a bottleneck, as in torchvision's {name}; the network that has it on "
        f"the first 1x1 is named {name}"
    ]


def _require_function(declared: NetworkSpec, about: About, *, named: bool) -> None:
    """Raise WeightsError where a file says that its weights are of another function than names and shapes suggest."""
    if options := about.get("options"):
        listed = ", ".join(f"{name}={value!r}" for name, value in options.items())
        raise WeightsError(f"the file says that its network has {listed[:200]}, and {declared.name} has not")
    said, by_config = str(about.get("architecture") or "").lower(), "pretrained_cfg" in about
    if not said or (named and not by_config):
        return
    same = {declared.name} - {*torchvision.NAMES.values()}
    if (name := torchvision.NAMES.get(declared.name)) is not None and getattr(declared, "shortcut", None) != "A":
        same |= {name, f"tv_{name}", f"gluon_{name}_v1b", f"ssl_{name}", f"swsl_{name}"}
    if said.partition(".")[0] not in same:
        raise WeightsError(
            f"{'config.json' if by_config else 'the file'} says that the network is {said[:60]!r}; the tensors have "
            f"the names and shapes of {declared.in_words()}, "
            + ("which is another function" if by_config else f"which --network {declared.name} says that it is")
        )


def _of_registered(path: Path, tensors: Tensors, network: str) -> Weights:
    last = last_layer(skeleton(registry.declare(network)))
    declared = registry.declare(network, num_classes=_size(tensors, f"{last}.weight", axis=0))
    try:
        require_same_keys(skeleton(declared), tensors)
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}", error.details) from None
    return Weights(path, tensors, declared, None, None)


def fetch_weights(name: str, version: str | None = None) -> Imported:
    """Return the weights that torchvision publishes for a network, from its cache or the network.

    Raises: WeightsError, as `torchvision.fetch`.
    """
    path, tensors = torchvision.fetch(name, version)
    about: About = {"file": path.name}
    layout = recognise(tensors, about) or torchvision.LAYOUT
    declared = declare(tensors, layout, name, about)
    return Imported(Weights(path, tensors, declared, None, _input(layout, declared, about)), "torchvision")


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
    if spec.in_channels != 3:
        return None
    if layout in ("akamaster", "chenyaofo"):
        return {10: CIFAR10.classes, 100: CIFAR100.classes}.get(spec.num_classes)
    if layout != "resnets" and spec.type == "imagenet" and spec.num_classes == 1000:
        from torchvision.models import ResNet18_Weights

        return tuple(ResNet18_Weights.DEFAULT.meta["categories"])
    return None


# ---------------------------------------------------------------- names and shapes


def declare(tensors: Tensors, layout: Layout, name: str | None = None, about: About | None = None) -> NetworkSpec:
    """Return the declaration of the network that tensors under our names are of.

    `name` is needed where they leave it open: without projections a residual network with option A and its plain
    counterpart have the same weights, if the project does not say which it has. It also decides the place of the
    stride, unless the file is known to be of the project; `about` is what that says besides its tensors.

    Raises: WeightsError, if the weights are of no network here or the name contradicts them; UsageError, for a name
    that there is not.
    """
    if layout.network is not None:
        return _declare_its_own(tensors, *layout.network(tensors), name)
    found = name or _name(tensors, layout)
    classes = _size(tensors, "fc.weight", "classifier.6.weight", axis=0)
    channels = _size(tensors, "conv1.weight", "features.0.weight", axis=1) or 3
    declared = registry.declare(found, num_classes=classes, in_channels=channels)
    if not isinstance(declared, ResNetSpec):
        return declared
    if declared.stride not in (None, layout.stride) and layout.is_known(about or {}):
        right = f"{found.removesuffix('_v1_5')}{'_v1_5' if layout.stride == '3x3' else ''}"
        raise WeightsError(
            f"{found} has stride 2 on the {declared.stride} of a bottleneck, and in {layout.name}'s layout it is on "
            f"the {layout.stride}: that network's name is {right}"
        )
    if not declared.residual and layout.unprojected:
        raise WeightsError(f"{found} is a plain network, and those of {layout.name}'s layout are residual")
    if declared.residual:
        declared = declared.with_changes(shortcut=_shortcut(tensors, declared.type == "cifar") or "A")
    if declared.block == "basic" and (layers := _numbers(tensors, r"layer1\.0\.conv([0-9]+)\.weight")) not in (0, 2):
        rebuilt = ResNetSpec.named(found, num_classes=classes, in_channels=channels, residual_layers=layers)
        declared = rebuilt.with_changes(shortcut=declared.shortcut)
    zeros = layout.zeros if declared.shortcut == "A" else "after"
    return declared.with_changes(zeros=zeros, pool=layout.pool)


def _declare_its_own(tensors: Tensors, own: str, options: dict[str, Any], name: str | None) -> NetworkSpec:
    """Return the declaration of a layout's only network. Raises: WeightsError, if `name` is of another one."""
    if name not in (None, own):
        raise WeightsError(f"these are weights of {own}, not of {name}")
    standard = skeleton(registry.declare(own, **options))
    (first, *_), last = standard.state_dict(), last_layer(standard)
    return registry.declare(
        own,
        num_classes=_size(tensors, f"{last}.weight", axis=0),
        in_channels=_size(tensors, first, axis=1),
        **options,
    )


def _name(tensors: Tensors, layout: Layout) -> str:
    if "features.0.weight" in tensors:
        convolutions = sum(re.fullmatch(r"features\.[0-9]+\.weight", key) is not None for key in tensors)
        for depth, per_stage in VGG_STAGES.items():
            if sum(per_stage) == convolutions:
                return f"vgg{depth}"
        raise WeightsError(
            f"a VGG of {convolutions} convolutions, and the paper's have 13 and 16; it has no counterpart here"
        )
    cifar = is_cifar_type(tensors)
    stages = 3 if cifar else 4
    blocks = tuple(_numbers(tensors, rf"layer{stage}\.([0-9]+)\.conv1\.weight", 1) for stage in range(1, stages + 1))
    layers = _numbers(tensors, r"layer1\.0\.conv([0-9]+)\.weight")
    first = tensors["layer1.0.conv1.weight"]
    bottleneck = first.dim() == 4 and first.shape[2] == 1
    residual = layout.unprojected or _shortcut(tensors, cifar) is not None
    if cifar and not bottleneck:
        if len(set(blocks)) != 1 or not blocks[0]:
            raise WeightsError(f"stages of {blocks} blocks; a network for small images has three equal ones here")
        depth = 2 + sum(blocks) * layers
        if not residual:
            raise _ambiguous(depth)
        return f"resnet{depth}{'_cifar' if depth in IMAGENET_STAGES else ''}"
    for depth, (block, counts) in IMAGENET_STAGES.items():
        per_block = 1 if block == "bottleneck" else layers
        if (block == "bottleneck") == bottleneck and tuple(count * per_block for count in blocks) == counts:
            suffix = "_v1_5" if bottleneck and layout.stride == "3x3" else ""
            if not residual:
                raise _ambiguous(depth, suffix)
            return f"resnet{depth}{suffix}"
    kind = "bottleneck" if bottleneck else "basic"
    raise WeightsError(f"stages of {', '.join(map(str, blocks))} {kind} blocks, which no network here has")


def _ambiguous(depth: int, suffix: str = "") -> WeightsError:
    return WeightsError(
        f"these weights may be of a residual network with option A or of a plain one; name it: `resnets convert "
        f"--network resnet{depth}{suffix}` or `--network plain{depth}{suffix}`"
    )


def _shortcut(tensors: Tensors, cifar: bool) -> Shortcut | None:
    """Return B where only shortcuts between stages project, C where all do, None where none does."""
    if "layer1.1.downsample.0.weight" in tensors or (cifar and "layer1.0.downsample.0.weight" in tensors):
        return "C"
    return "B" if any(".downsample." in key for key in tensors) else None


def _numbers(tensors: Tensors, pattern: str, start: int = 0) -> int:
    """Return the largest number that names have at a place, `start` added; 0 if there is none."""
    numbers = [int(match[1]) + start for key in tensors if (match := re.fullmatch(pattern, key))]
    return max(numbers, default=0)


def _size(tensors: Tensors, *keys: str, axis: int) -> int | None:
    sizes = [tensors[key].shape[axis] for key in keys if key in tensors and tensors[key].dim() > axis]
    return sizes[0] if sizes else None
