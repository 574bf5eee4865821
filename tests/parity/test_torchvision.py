"""torchvision's networks and ours are the same functions: its weights load unchanged and give the same logits."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from other_projects import trained
from PIL import Image
from torch import nn
from torchvision.transforms import FiveCrop
from torchvision.transforms._presets import ImageClassification

from resnets.data.decoding import resize_shorter_side, single_view
from resnets.evaluation.multi_view import five_crops
from resnets.networks import registry
from resnets.networks.complexity import measure, skeleton
from resnets.specs import InputSpec
from resnets.weights.layouts import timm

# Ours, torchvision's: its bottlenecks have stride 2 on the 3x3, which is v1.5.
RESNETS = {
    "resnet18": "resnet18",
    "resnet34": "resnet34",
    "resnet50_v1_5": "resnet50",
    "resnet101_v1_5": "resnet101",
    "resnet152_v1_5": "resnet152",
}
VGGS = {"vgg16": "vgg16", "vgg19": "vgg19"}
SIZES = dict.fromkeys(RESNETS, 64) | {"vgg16": 32}  # VGG-19 differs from VGG-16 in names alone


def theirs(name: str) -> nn.Module:
    """Return torchvision's network without memory for its weights."""
    with torch.device("meta"):
        return torchvision.models.get_model(name, weights=None)


def check(ours: str, theirs_name: str, size: int) -> None:
    peer, network = theirs(theirs_name), skeleton(registry.declare(ours))
    state = trained(peer)
    assert list(network.state_dict()) == list(state)
    network.load_state_dict(state, strict=True, assign=True)
    peer.load_state_dict(network.state_dict(), strict=True, assign=True)  # and back
    images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        logits, expected = network.eval()(images), peer.eval()(images)
    assert expected.std() > 1e-3
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-5 * expected.abs().max().item())


@pytest.mark.parametrize(("ours", "size"), SIZES.items())
def test_weights_load_both_ways_and_agree(ours: str, size: int) -> None:
    """Weights load from and into torchvision's networks, and the logits agree."""
    check(ours, (RESNETS | VGGS)[ours], size)


@pytest.mark.parametrize(("ours", "peer"), (RESNETS | VGGS).items())
def test_parameters_and_multiply_adds_are_those_that_torchvision_publishes(ours: str, peer: str) -> None:
    """Its GFLOPS are multiply-adds too, printed to three decimals; and the names and shapes of the weights agree."""
    published = torchvision.models.get_model_weights(peer)["IMAGENET1K_V1"].meta
    network = skeleton(registry.declare(ours))
    cost = measure(network)
    shapes, expected = ({name: one.shape for name, one in net.state_dict().items()} for net in (network, theirs(peer)))
    assert shapes == expected
    assert cost.parameters == published["num_params"]
    assert cost.macs / 1e9 == pytest.approx(published["_ops"], abs=1.5e-3)


def test_the_papers_own_stride_loads_their_weights_too_but_is_another_function() -> None:
    """resnet50 has the same names and shapes as torchvision's and another place of the stride."""
    peer, network = theirs("resnet50"), skeleton(registry.declare("resnet50"))
    state = trained(peer)
    peer.load_state_dict(state, strict=True, assign=True)
    network.load_state_dict(state, strict=True, assign=True)
    images = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        assert not torch.allclose(network.eval()(images), peer.eval()(images), rtol=1e-2)


def test_imported_weights_see_the_pixels_of_their_own_transforms(tmp_path: Path) -> None:
    """torchvision's preset, timm's evaluation transform and the ten crops give the same pixels, at 200 random sizes."""
    draw = random.Random(0)
    at = {"size": 24, "resize": 27}
    preset = ImageClassification(crop_size=24, resize_size=27, mean=(0, 0, 0), std=(1, 1, 1))
    timm_data = pytest.importorskip("timm.data")
    config = timm.config_of(InputSpec(**at, interpolation="bicubic"), 10)
    assert config is not None
    bicubic = timm.input_spec_of(config)
    evaluation = timm_data.create_transform(
        input_size=24, crop_pct=config["crop_pct"], interpolation="bicubic", mean=(0, 0, 0), std=(1, 1, 1)
    )
    ten = FiveCrop(24)
    for number in range(200):
        size = draw.randint(20, 90), draw.randint(20, 90)
        noise = np.random.default_rng(number).integers(0, 256, (size[1], size[0], 3), np.uint8)
        image = Image.fromarray(noise)
        image.save(tmp_path / "image.png")

        def seen(transformed: torch.Tensor) -> np.ndarray:  # type: ignore[type-arg]
            return (transformed * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()

        assert np.array_equal(single_view(tmp_path / "image.png", InputSpec(**at)), seen(preset(image))), size
        assert np.array_equal(single_view(tmp_path / "image.png", bicubic), seen(evaluation(image))), size
        resized = resize_shorter_side(image, 27)
        crops = [np.asarray(crop) for crop in five_crops(resized, 24)]
        assert all(np.array_equal(a, np.asarray(b)) for a, b in zip(crops, ten(resized), strict=True)), size
