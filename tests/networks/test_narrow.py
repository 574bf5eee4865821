"""Images whose maps are too narrow for torch's bf16 on a CPU are computed in float32, by whatever uses a network."""

from __future__ import annotations

import copy
import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnets.detection.faster_rcnn import FasterRCNN
from resnets.detection.recipes import SMALL
from resnets.localisation.networks import PerClassRPN
from resnets.localisation.recipes import SMALL_RPN
from resnets.networks import registry
from resnets.networks.dense import Dense
from resnets.runtime.device import forward
from resnets.runtime.narrow import is_narrow
from resnets.specs import InputSpec, NetworkSpec, Precision


def narrow(network: str = "resnet18") -> NetworkSpec:
    """A network of the ImageNet type with few classes."""
    return registry.declare(network, num_classes=3)


@pytest.mark.parametrize(
    ("network", "height", "width", "expected"),
    [
        ("resnet18", 224, 224, False),
        ("resnet18", 33, 33, False),
        ("resnet18", 32, 32, False),  # maps of 2x2 are right
        ("resnet18", 33, 32, True),
        ("resnet50_v1_5", 900, 30, True),
        ("resnet18", 30, 900, False),
        ("resnet18", 16, 16, True),  # the weights' gradient is wrong
        ("bn_inception", 64, 32, True),
        ("resnet20", 32, 32, False),
        ("resnet20", 32, 4, True),
        ("vgg16", 900, 30, False),  # it has no such convolution
    ],
)
def test_what_is_narrow(network: str, height: int, width: int, expected: bool) -> None:
    """Two columns with three rows or more, or one column, at the last 3x3 convolution of stride 2."""
    assert is_narrow(registry.declare(network), height, width) == expected


@torch.inference_mode()
def test_scores_of_narrow_images_are_those_of_float32() -> None:
    """In a test by one view and in a dense one, to the bit; a wide image is computed in bf16."""
    network = registry.build(narrow()).eval()
    for module in (network, Dense(network, 32)):
        images = torch.rand(2, 3, 96, 32)
        assert torch.equal(forward(module, images, "bf16"), forward(module, images, "fp32"))
        wide = images.transpose(2, 3)
        assert not torch.equal(forward(module, wide, "bf16"), forward(module, wide, "fp32"))


def test_gradients_of_narrow_images_are_those_of_float32() -> None:
    """Of the first convolution of stride 2 and all others."""
    network = registry.build(narrow())
    images = torch.rand(4, 3, 48, 16)

    def gradients(precision: str) -> list[Tensor]:
        copied: nn.Module = copy.deepcopy(network)
        forward(copied, images, precision).square().sum().backward()  # type: ignore[arg-type]
        return [parameter.grad for parameter in copied.parameters() if parameter.grad is not None]

    for exact, mixed in zip(gradients("fp32"), gradients("bf16"), strict=True):
        assert torch.equal(exact, mixed)


@torch.inference_mode()
def test_detectors_and_localisers_see_narrow_images_in_float32() -> None:
    """Their networks run within an autocast of their own."""
    spec = InputSpec(size=64, resize=64, mean=(0.5, 0.5, 0.5))
    detector = FasterRCNN(registry.build(narrow()), 3, SMALL, spec).eval()
    localiser = PerClassRPN(registry.build(narrow()), 3, SMALL_RPN, spec).eval()
    image = torch.randint(0, 256, (3, 160, 20), dtype=torch.uint8)
    exact = detector.maps(image), localiser.maps(image[None].float())
    with torch.autocast("cpu", torch.bfloat16):
        mixed = detector.maps(image), localiser.maps(image[None].float())
    assert all(torch.equal(*pair) for pair in zip(exact, mixed, strict=True))


class Own(nn.Module):
    """A network of somebody else's: one convolution, by a module or a function, and the mean of its maps."""

    def __init__(self, *geometry: int, functional: bool = False) -> None:
        super().__init__()
        kernel, stride, padding = geometry
        self.conv = nn.Conv2d(3, 8, kernel, stride, padding, bias=False)
        self.functional = functional

    def forward(self, images: Tensor) -> Tensor:
        if self.functional:
            maps = F.conv2d(images, self.conv.weight, stride=self.conv.stride, padding=self.conv.padding)
        else:
            maps = self.conv(images)
        return maps.float().sum((2, 3))


@pytest.mark.parametrize(
    ("geometry", "columns", "narrow"),
    [
        ((3, 2, 1), 1, True),
        ((3, 2, 1), 2, True),
        ((3, 2, 1), 3, False),
        ((3, 3, 1), 3, True),
        ((4, 4, 0), 6, True),  # a patch, and columns that none takes
        ((3, 1, 1), 1, False),
    ],
)
@pytest.mark.parametrize("functional", [False, True])
def test_narrow_convolutions_of_any_module(
    geometry: tuple[int, int, int], columns: int, *, narrow: bool, functional: bool
) -> None:
    """A strided one of one output column has float32's output, rounded, and gradients; others are computed in bf16."""
    torch.manual_seed(0)
    network = Own(*geometry, functional=functional)
    images = torch.rand(2, 3, 8, columns)
    weight = network.conv.weight.detach().clone().requires_grad_()
    exact = F.conv2d(images, weight, stride=geometry[1], padding=geometry[2]).bfloat16().float().sum((2, 3))
    exact.square().sum().backward()
    scores = forward(network, images, "bf16")
    scores.square().sum().backward()
    assert torch.equal(scores, exact) == narrow
    assert weight.grad is not None and network.conv.weight.grad is not None
    assert torch.allclose(network.conv.weight.grad, weight.grad, rtol=1e-6) == narrow


def test_gradients_of_any_narrow_module_are_near_those_of_float32() -> None:
    """Of a stack of convolutions of stride 2 down to one pixel, where bf16 gave numbers without bounds."""
    torch.manual_seed(0)
    channels = (3, 16, 32, 128, 128)
    network = nn.Sequential(
        *(nn.Conv2d(before, after, 3, 2, 1) for before, after in itertools.pairwise(channels)), nn.Flatten()
    ).to(memory_format=torch.channels_last)
    images = torch.rand(8, 3, 16, 4)

    def gradients(precision: Precision) -> list[Tensor]:
        network.zero_grad()
        forward(network, images, precision).square().sum().backward()
        return [parameter.grad.clone() for parameter in network.parameters() if parameter.grad is not None]

    for exact, mixed in zip(gradients("fp32"), gradients("bf16"), strict=True):
        assert (exact - mixed).norm() < 0.05 * exact.norm()
