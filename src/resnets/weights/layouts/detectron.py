"""detectron2's backbone pickles: the authors' networks as Caffe2 names them, and torchvision's as detectron2 does.

In the former batch norm is reduced to a factor and an offset (`res2_0_branch2a_bn_s`, `_bn_b`).
"""

from __future__ import annotations

import re

import torch

from resnets.weights.layouts.caffe import authors_input, fold, norm_of, place
from resnets.weights.layouts.layout import About, Layout, Tensors, imagenet_input

_EPS = 1e-5  # what batch norm adds to the variance


def _recognises_caffe2(tensors: Tensors, about: About) -> bool:
    return "res2_0_branch2a_w" in tensors


def _rename_caffe2(tensors: Tensors) -> Tensors:
    renamed, biases = {}, {}
    for key, tensor in tensors.items():
        conv, norm, part = _place(key)
        match part:
            case "w":
                renamed[f"{conv}.weight"] = tensor
            case "b" if conv == "fc":
                renamed["fc.bias"] = tensor
            case "b":
                biases[norm_of(conv)] = tensor
            case "bn_s":
                renamed[f"{norm}.weight"] = tensor
                renamed[f"{norm}.running_mean"] = torch.zeros_like(tensor)
                renamed[f"{norm}.running_var"] = torch.full_like(tensor, 1 - _EPS)
            case "bn_b":
                renamed[f"{norm}.bias"] = tensor
            case _:
                renamed[key] = tensor
    return fold(renamed, biases)


def _place(key: str) -> tuple[str, str, str]:
    """Return the convolution's and the batch norm's name here, and which part of them a blob is; '' if unknown."""
    if match := re.fullmatch(r"res([2-5])_([0-9]+)_branch(1|2[abc])_(w|b|bn_s|bn_b)", key):
        block, conv, norm = place(match[1], "a", match[2], match[3])
        return f"{block}.{conv}", f"{block}.{norm}", match[4]
    if match := re.fullmatch(r"(?:conv1|res_conv1)_(w|b|bn_s|bn_b)", key):
        return "conv1", "bn1", match[1]
    if match := re.fullmatch(r"(?:fc[0-9]+|pred)_(w|b)", key):
        return "fc", "", match[1]
    return "", "", ""


CAFFE2 = Layout(
    name="detectron2 (the authors' networks)",
    recognises=_recognises_caffe2,
    rename=_rename_caffe2,
    input_spec=authors_input,
    stride="1x1",
    pool="ceil",
)


def _recognises_torchvision(tensors: Tensors, about: About) -> bool:
    return "stem.conv1.weight" in tensors and "res2.0.conv1.weight" in tensors


def _rename_torchvision(tensors: Tensors) -> Tensors:
    def ours(key: str) -> str:
        key = re.sub(r"^stem\.", "", key)
        key = re.sub(r"^res([2-5])\.", lambda match: f"layer{int(match[1]) - 1}.", key)
        key = key.replace("shortcut.norm.", "downsample.1.").replace("shortcut.", "downsample.0.")
        return re.sub(r"conv([1-3])\.norm\.", r"bn\1.", key)

    return {ours(key): tensor for key, tensor in tensors.items()}


TORCHVISION = Layout(
    name="detectron2 (torchvision's networks)",
    recognises=_recognises_torchvision,
    rename=_rename_torchvision,
    input_spec=lambda spec, about: imagenet_input(),
)
