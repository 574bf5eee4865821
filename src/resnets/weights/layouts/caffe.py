"""The authors' released networks: Caffe's layers `res2a_branch2a`, `bn2a_branch2a`, `scale2a_branch2a`, `fc1000`.

Caffe's batch norm is two layers: BatchNorm (mean, variance, and a factor that both are divided by) and Scale. Blobs
come from HDF5 as Caffe writes it (`data/LAYER/0`), or from a NumPy archive of `LAYER/0`, `LAYER/1` ...
"""

from __future__ import annotations

import re

import torch

from resnets.specs import InputSpec, NetworkSpec
from resnets.weights.layouts.layout import About, Layout, Tensors, blobs_of

AUTHORS_MEAN = (103.062623801, 115.902882574, 123.151630838)
"""B, G and R of the authors' mean image, averaged over its pixels."""

_BLOB = r"(?:data[/.])?([A-Za-z0-9_]+)[/.]([0-9]+)"
_BLOCK = r"([2-5])([a-z])([0-9]*)_branch(1|2[abc])"  # as in 4b22_branch2a


def authors_input(spec: NetworkSpec, about: About) -> InputSpec:
    """Return what the released networks expect; their mean image itself is a file of its own."""
    return InputSpec(size=224, resize=256, mean=AUTHORS_MEAN, max_value=255, channel_order="BGR")


def _recognises(tensors: Tensors, about: About) -> bool:
    return ("res2a_branch2a", 0) in blobs_of(tensors, _BLOB)


def place(stage: str, letter: str, number: str, branch: str) -> tuple[str, str, str]:
    """Return the block's name here, and its convolution's and batch norm's, of Caffe's `4b22_branch2a`."""
    index = int(number) if number else ord(letter) - ord("a")
    block = f"layer{int(stage) - 1}.{index}"
    if branch == "1":
        return block, "downsample.0", "downsample.1"
    position = "abc".index(branch[1]) + 1
    return block, f"conv{position}", f"bn{position}"


def _target(layer: str) -> tuple[str, str] | None:
    """Return what a layer is (conv, bn, scale or fc) and its name here, or None."""
    if layer == "conv1":
        return "conv", "conv1"
    if layer in ("bn_conv1", "scale_conv1"):
        return layer.partition("_")[0], "bn1"
    if re.fullmatch(r"fc[0-9]+", layer):
        return "fc", "fc"
    if match := re.fullmatch(rf"(res|bn|scale){_BLOCK}", layer):
        block, conv, norm = place(*match.groups()[1:])
        return ("conv", f"{block}.{conv}") if match[1] == "res" else (match[1], f"{block}.{norm}")
    return None


def _rename(tensors: Tensors) -> Tensors:
    blobs, renamed, biases = blobs_of(tensors, _BLOB), {}, {}
    for (layer, number), blob in blobs.items():
        kind, name = _target(layer) or ("", "")
        match kind, number:
            case "conv", 0:
                renamed[f"{name}.weight"] = blob
            case "conv", 1:  # ResNet-50's conv1 has one, which batch norm takes away again
                biases[norm_of(name)] = blob.flatten()
            case "bn", 0 | 1:
                factor = blobs.get((layer, 2), torch.ones(1)).flatten()[0]
                statistic = blob.flatten() * (0 if factor == 0 else 1 / factor)
                renamed[f"{name}.{'running_var' if number else 'running_mean'}"] = statistic
            case "bn", 2:
                pass
            case ("scale", 0 | 1) | ("fc", 1):
                renamed[f"{name}.{'bias' if number else 'weight'}"] = blob.flatten()
            case "fc", 0:
                renamed["fc.weight"] = blob.reshape(blob.shape[-2:])  # old blobs are (1, 1, 1000, 2048)
            case _:
                renamed[f"{layer}/{number}"] = blob
    return fold(renamed, biases)


def norm_of(conv: str) -> str:
    """Return the name of the batch norm that follows a convolution."""
    return conv.replace("downsample.0", "downsample.1").replace("conv", "bn")


def fold(tensors: Tensors, biases: Tensors) -> Tensors:
    """Move the convolutions' biases into the mean that their batch norm subtracts: the same function."""
    for norm, bias in biases.items():
        key = f"{norm}.running_mean"
        if key in tensors and tensors[key].shape == bias.shape:
            tensors[key] = tensors[key] - bias
        else:
            tensors[f"{norm} (the bias of its convolution)"] = bias
    return tensors


LAYOUT = Layout(
    name="the authors' Caffe",
    recognises=_recognises,
    rename=_rename,
    input_spec=authors_input,
    stride="1x1",
    pool="ceil",
)
