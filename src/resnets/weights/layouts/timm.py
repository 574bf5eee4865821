"""timm's weights: torchvision's names in residual networks, its own head in VGG, and a configuration file."""

from __future__ import annotations

import math
import re
from typing import Any, get_args

from resnets.errors import WeightsError
from resnets.specs import InputSpec, Interpolation, NetworkSpec
from resnets.weights.layouts.layout import IMAGENET_MEAN, IMAGENET_STD, About, Layout, Tensors, imagenet_input

_HEAD = {"pre_logits.fc1": "classifier.0", "pre_logits.fc2": "classifier.3", "head.fc": "classifier.6"}


def _recognises(tensors: Tensors, about: About) -> bool:
    return "pre_logits.fc1.weight" in tensors or ("pretrained_cfg" in about and "layer1.0.conv1.weight" in tensors)


def _rename(tensors: Tensors) -> Tensors:
    renamed = {}
    for key, tensor in tensors.items():
        if match := re.fullmatch(r"(pre_logits\.fc1|pre_logits\.fc2|head\.fc)\.(weight|bias)", key):
            key = f"{_HEAD[match[1]]}.{match[2]}"
            tensor = tensor.flatten(1) if tensor.dim() == 4 else tensor  # its hidden layers are convolutions
        renamed[key] = tensor
    return renamed


def _input_spec(spec: NetworkSpec, about: About) -> InputSpec:
    config = about.get("pretrained_cfg")
    return imagenet_input() if config is None else input_spec_of(config)


def input_spec_of(config: dict[str, Any]) -> InputSpec:
    """Return the input that a `pretrained_cfg` declares, of the size that timm tests with.

    Raises: WeightsError, if it is not understood.
    """
    try:
        channels, size, _ = config.get("test_input_size") or config.get("input_size") or (3, 224, 224)
        crop = config.get("test_crop_pct") or config.get("crop_pct") or 0.875
        interpolation: Any = config.get("interpolation") or "bilinear"
        if interpolation not in get_args(Interpolation):
            raise ValueError(f"interpolation {interpolation!r}")
        mode = config.get("crop_mode") or "center"
        if mode != "center" or crop > 1:
            raise ValueError(f"crop_mode {mode!r}, crop_pct {crop}: only centre crops of the whole image are known")
        mean = config.get("mean") or IMAGENET_MEAN
        std = config.get("std") or IMAGENET_STD
        return InputSpec(
            size=int(size),
            resize=math.floor(size / crop),
            channels=int(channels),
            mean=tuple(map(float, mean)),
            std=tuple(map(float, std)),
            interpolation=interpolation,
        )
    except (TypeError, ValueError, ZeroDivisionError) as error:
        raise WeightsError(f"timm's pretrained_cfg is not understood ({error})") from None


def config_of(input_spec: InputSpec, num_classes: int) -> dict[str, Any] | None:
    """Return the `pretrained_cfg` that declares this input, or None where timm has no words for it."""
    plain = input_spec.max_value == 1 and input_spec.channel_order == "RGB" and input_spec.mean_image is None
    plain = plain and input_spec.contrast is None and input_spec.whitening is None
    if not plain or input_spec.channels != 3:
        return None
    crop = input_spec.size / input_spec.resize
    if math.floor(input_spec.size / crop) < input_spec.resize:  # as timm computes it, and rounding may cost a pixel
        crop = math.nextafter(crop, 0)
    return {
        "input_size": [3, input_spec.size, input_spec.size],
        "interpolation": input_spec.interpolation,
        "crop_pct": crop,
        "crop_mode": "center",
        "mean": list(input_spec.mean or (0.0, 0.0, 0.0)),
        "std": list(input_spec.std or (1.0, 1.0, 1.0)),
        "num_classes": num_classes,
    }


LAYOUT = Layout(name="timm", recognises=_recognises, rename=_rename, input_spec=_input_spec)
