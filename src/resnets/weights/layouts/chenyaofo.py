"""chenyaofo/pytorch-cifar-models: our names, option B, for CIFAR-10 and CIFAR-100."""

from __future__ import annotations

from resnets.specs import InputSpec, NetworkSpec
from resnets.weights.layouts.layout import About, Layout, Tensors, is_cifar_type, unchanged

_CIFAR10 = InputSpec(size=32, resize=32, mean=(0.4914, 0.4822, 0.4465), std=(0.2023, 0.1994, 0.201))
_CIFAR100 = InputSpec(size=32, resize=32, mean=(0.507, 0.4865, 0.4409), std=(0.2673, 0.2564, 0.2761))


def _recognises(tensors: Tensors, about: About) -> bool:
    return "fc.weight" in tensors and "layer2.0.downsample.0.weight" in tensors and is_cifar_type(tensors)


def _input_spec(spec: NetworkSpec, about: About) -> InputSpec:
    """The mean and std of its own configuration files, which are not quite the data sets' own."""
    return _CIFAR100 if spec.num_classes == 100 else _CIFAR10


LAYOUT = Layout(name="chenyaofo", recognises=_recognises, rename=unchanged, input_spec=_input_spec)
