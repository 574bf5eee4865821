"""akamaster/pytorch_resnet_cifar10: option A with its zeros half before, half after the identity channels."""

from __future__ import annotations

import re

from resnets.specs import InputSpec, NetworkSpec
from resnets.weights.layouts.layout import IMAGENET_MEAN, IMAGENET_STD, About, Layout, Tensors, is_cifar_type


def _recognises(tensors: Tensors, about: About) -> bool:
    return "linear.weight" in tensors and "layer1.0.conv1.weight" in tensors and is_cifar_type(tensors)


def _rename(tensors: Tensors) -> Tensors:
    def ours(key: str) -> str:
        return re.sub(r"^linear\.", "fc.", key).replace(".shortcut.", ".downsample.")  # its option B projects

    return {ours(key): tensor for key, tensor in tensors.items()}


def _input_spec(spec: NetworkSpec, about: About) -> InputSpec:
    """Its trainer normalises CIFAR-10 by ImageNet's mean and standard deviation."""
    return InputSpec(size=32, resize=32, mean=IMAGENET_MEAN, std=IMAGENET_STD)


LAYOUT = Layout(
    name="akamaster",
    recognises=_recognises,
    rename=_rename,
    input_spec=_input_spec,
    zeros="around",
    unprojected=True,
)
