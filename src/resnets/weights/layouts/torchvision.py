"""torchvision's weights: our names, bottlenecks with stride 2 on the 3x3; read, fetched and written."""

from __future__ import annotations

import contextlib
import http.client
import sys
from pathlib import Path
from typing import Any

from resnets.errors import WeightsError
from resnets.networks import registry
from resnets.specs import InputSpec, NetworkSpec, first_difference
from resnets.weights.layouts.layout import About, Layout, Tensors, imagenet_input, unchanged

NAMES = {
    "resnet18": "resnet18",
    "resnet34": "resnet34",
    "resnet50_v1_5": "resnet50",
    "resnet101_v1_5": "resnet101",
    "resnet152_v1_5": "resnet152",
    "vgg16": "vgg16",
    "vgg19": "vgg19",
    "googlenet": "googlenet",
}
"""Our names of the networks that torchvision has -> its own."""

OPTIONS: dict[str, dict[str, Any]] = {
    "googlenet": {"batch_norm": True, "branch3_kernel": 3, "pool4_kernel": 2, "lrn": False}
}
"""Options of ours that give torchvision's network, where it is not the authors'."""


def _recognises(tensors: Tensors, about: About) -> bool:
    return ("fc.weight" in tensors and "layer1.0.conv1.weight" in tensors) or "classifier.6.weight" in tensors


def _input_spec(spec: NetworkSpec, about: About) -> InputSpec | None:
    """Return the input of the entry that the file's name says, else of the first version of the weights."""
    if spec.type == "cifar":
        return None
    for entry in _entries(spec.name):
        if _file(entry) == about.get("file"):
            return _input(entry)
    return imagenet_input()


def _is_published(about: About) -> bool:
    """Return whether a file is one that torchvision publishes, by its name, which has a hash that was verified."""
    return any(_file(entry) == about.get("file") for name in NAMES for entry in _entries(name))


def assumed(name: str, file: str) -> str | None:
    """Return what is assumed of the input of a file with another name than torchvision's; None where nothing is."""
    entries = _entries(name)
    if not entries or any(_file(entry) == file for entry in entries):
        return None
    first, *others = (f"{entry.name} ({_input(entry).size} of {_input(entry).resize} pixels)" for entry in entries)
    known = f"; there is {', '.join(others)} too" if others else ""
    return (
        f"by the file's name these are not torchvision's own weights: the input is taken to be that of {first}{known}"
    )


LAYOUT = Layout(
    name="torchvision", recognises=_recognises, rename=unchanged, input_spec=_input_spec, is_known=_is_published
)


def _entries(name: str) -> list[Any]:
    if name not in NAMES:
        return []
    import torchvision

    return list(torchvision.models.get_model_weights(NAMES[name]))


def _file(entry: Any) -> str:
    name: str = entry.url.rpartition("/")[2]
    return name


def _input(entry: Any) -> InputSpec:
    transforms = entry.transforms()
    return InputSpec(
        size=transforms.crop_size[0],
        resize=transforms.resize_size[0],
        mean=tuple(transforms.mean),
        std=tuple(transforms.std),
        interpolation=transforms.interpolation.value,
    )


def fetch(name: str, version: str | None = None) -> tuple[Path, Tensors]:
    """Return the file of torchvision's weights for a network, in its cache or fetched into it, and them.

    `version` is torchvision's name of an entry, by default the first, `IMAGENET1K_V1`.

    Raises: WeightsError, if torchvision has no such network or version, or it cannot be fetched.
    """
    if name not in NAMES:
        v1_5 = f"{name}_v1_5"
        right = f"{v1_5}, whose stride 2 is on the 3x3" if v1_5 in NAMES else ", ".join(NAMES)
        raise WeightsError(f"torchvision publishes no weights of {name}; it does of {right}")
    entries = {entry.name: entry for entry in _entries(name)}
    entry = entries.get(version or next(iter(entries)))
    if entry is None:
        raise WeightsError(f"torchvision publishes no {version!r} of {name}; it has {', '.join(entries)}")
    import torch

    file = _file(entry)
    cached = Path(torch.hub.get_dir()) / "checkpoints" / file
    try:
        with contextlib.redirect_stdout(sys.stderr):  # that it downloads is no result
            tensors = entry.get_state_dict(progress=True, check_hash=True)
    except (OSError, RuntimeError, http.client.HTTPException) as error:
        why = getattr(error, "reason", None) or error
        raise WeightsError(
            f"torchvision's {file} could not be fetched ({why}); on a machine without network, put that file "
            f"into {cached.parent}/"
        ) from None
    return cached, tensors


def counterpart(spec: NetworkSpec) -> str:
    """Return torchvision's name of the very same function.

    Raises: WeightsError, if torchvision has no such network.
    """
    if spec.name in NAMES:
        like = registry.declare(spec.name, num_classes=spec.num_classes, **OPTIONS.get(spec.name, {}))
        if different := first_difference(like, spec):
            field, theirs, ours = different
            raise WeightsError(f"torchvision's {NAMES[spec.name]} has {field} {theirs}, and this network {ours}")
        return NAMES[spec.name]
    v1_5 = f"{spec.name}_v1_5"
    why = (
        f"its {NAMES[v1_5]} has stride 2 on the 3x3, and {spec.name} on the first 1x1: the names fit, the function not"
        if v1_5 in NAMES
        else f"it has {', '.join(NAMES.values())}"
    )
    raise WeightsError(f"torchvision has no {spec.name} ({why}); a .safetensors file holds it under the same names")
