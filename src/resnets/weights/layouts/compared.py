"""Weights of networks that the paper compares with, as torchvision, Caffe and Cadene have them."""

from __future__ import annotations

import re

from resnets.specs import InputSpec, NetworkSpec
from resnets.weights.layouts import torchvision
from resnets.weights.layouts.layout import About, Layout, Named, Tensors, blobs_of, unchanged

_BRANCHES = {
    "1x1": "branch1",
    "3x3_reduce": "branch2.0",
    "3x3": "branch2.1",
    "5x5_reduce": "branch3.0",
    "5x5": "branch3.1",
    "double_3x3_reduce": "branch3.0",
    "double_3x3_1": "branch3.1",
    "double_3x3_2": "branch3.2",
    "pool_proj": "branch4.1",
}
"""The layers of an inception module in Caffe -> here."""

_STEM = {"conv1/7x7_s2": "conv1", "conv2/3x3_reduce": "conv2", "conv2/3x3": "conv3"}
_CLASSIFIERS = {
    "loss1/conv": "aux1.conv.conv",
    "loss1/fc": "aux1.fc1",
    "loss1/classifier": "aux1.fc2",
    "loss2/conv": "aux2.conv.conv",
    "loss2/fc": "aux2.fc1",
    "loss2/classifier": "aux2.fc2",
    "loss3/classifier": "fc",
}
_NIN = ("conv1", "cccp1", "cccp2", "conv2", "cccp3", "cccp4", "conv3", "cccp5", "cccp6")


def _bgr(*mean: float) -> InputSpec:
    return InputSpec(size=224, resize=256, mean=mean, max_value=255, channel_order="BGR")


# ---------------------------------------------------------------- torchvision


def _torchvisions(tensors: Tensors) -> Named:
    return "googlenet", {**torchvision.OPTIONS["googlenet"], "auxiliary": "aux1.fc2.weight" in tensors}


def _torchvisions_input(spec: NetworkSpec, about: About) -> InputSpec:
    """Return what its weights expect, 2 x - 1: `transform_input` makes it of the input of other networks."""
    half = (0.5, 0.5, 0.5)
    return InputSpec(size=224, resize=256, mean=half, std=half)


TORCHVISION = Layout(
    name="torchvision's GoogLeNet",
    recognises=lambda tensors, about: "inception3a.branch1.bn.weight" in tensors,
    rename=unchanged,
    input_spec=_torchvisions_input,
    network=_torchvisions,
)


# ---------------------------------------------------------------- Caffe's blobs


_BLOB = r"(?:data[/.])?(.+)[/.]([01])"  # whose layer may have slashes in its name


def _from_blobs(tensors: Tensors, names: dict[str, str]) -> Tensors:
    renamed = {}
    for (layer, number), blob in blobs_of(tensors, _BLOB).items():
        if layer not in names:
            renamed[f"{layer}/{number}"] = blob
        elif number:
            renamed[f"{names[layer]}.bias"] = blob.flatten()
        else:  # old blobs of fully connected layers are (1, 1, outputs, inputs)
            is_fc = re.search(r"fc\d?$", names[layer]) is not None
            renamed[f"{names[layer]}.weight"] = blob.reshape(blob.shape[-2:]) if is_fc else blob
    return renamed


def _of_modules(pattern: str, modules: str, layers: tuple[str, ...]) -> dict[str, str]:
    return {
        pattern.format(module, layer): f"inception{module}.{_BRANCHES[layer]}"
        for module in modules.split()
        for layer in layers
    }


def _caffes_googlenet() -> dict[str, str]:
    layers = ("1x1", "3x3_reduce", "3x3", "5x5_reduce", "5x5", "pool_proj")
    units = _STEM | _of_modules("inception_{}/{}", "3a 3b 4a 4b 4c 4d 4e 5a 5b", layers)
    return {layer: f"{unit}.conv" for layer, unit in units.items()} | _CLASSIFIERS


CAFFE_GOOGLENET = Layout(
    name="Caffe's GoogLeNet",
    recognises=lambda tensors, about: ("inception_3a/1x1", 0) in blobs_of(tensors, _BLOB),
    rename=lambda tensors: _from_blobs(tensors, _caffes_googlenet()),
    input_spec=lambda spec, about: _bgr(104.0, 117.0, 123.0),
    network=lambda tensors: ("googlenet", {"auxiliary": "aux1.fc2.weight" in tensors}),
)

CAFFE_NIN = Layout(
    name="Caffe's NIN",
    recognises=lambda tensors, about: ("cccp6", 0) in blobs_of(tensors, _BLOB),
    rename=lambda tensors: _from_blobs(tensors, {name: name for name in _NIN}),
    input_spec=lambda spec, about: None,  # its images were whitened by a matrix that is not published
    network=lambda tensors: ("nin", {"pool2": "avg"}),
)


# ---------------------------------------------------------------- Cadene


def _cadenes() -> dict[str, str]:
    layers = ("1x1", "3x3_reduce", "3x3", "double_3x3_reduce", "double_3x3_1", "double_3x3_2", "pool_proj")
    stem = {name.replace("/", "_"): unit for name, unit in _STEM.items()}
    return stem | _of_modules("inception_{}_{}", "3a 3b 3c 4a 4b 4c 4d 4e 5a 5b", layers)


def _rename_cadenes(tensors: Tensors) -> Tensors:
    units, renamed = _cadenes(), {}
    for key, tensor in tensors.items():
        layer, _, field = key.rpartition(".")
        if layer == "last_linear":
            renamed[f"fc.{field}"] = tensor
        elif layer in units:
            renamed[f"{units[layer]}.conv.{field}"] = tensor
        elif (norm := layer.removesuffix("_bn")) != layer and norm in units:
            renamed[f"{units[norm]}.bn.{field}"] = tensor if tensor.dim() == 0 else tensor.flatten()
        else:
            renamed[key] = tensor
    return renamed


CADENE = Layout(
    name="Cadene's BN-Inception",
    recognises=lambda tensors, about: "inception_3a_double_3x3_1.weight" in tensors,
    rename=_rename_cadenes,
    input_spec=lambda spec, about: _bgr(104.0, 117.0, 128.0),
    network=lambda tensors: ("bn_inception", {"variant": "caffe"}),
)
