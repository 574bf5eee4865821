"""A classifier cut in two computes what it did in one piece, and its batch norm is constant while the rest learns."""

from __future__ import annotations

import copy

import pytest
import torch
from small_detectors import INPUT, RECIPE, SPEC, detector, network, vgg
from torch import nn

from resnets.detection.backbones import make_backbone
from resnets.detection.faster_rcnn import FasterRCNN
from resnets.detection.frozen_batch_norm import FrozenNorm
from resnets.errors import UsageError
from resnets.networks import registry
from resnets.networks.comparison.vgg import VGG
from resnets.networks.resnet import ResNet
from resnets.specs import InputSpec, ResNetSpec


@pytest.mark.usefixtures("small_networks")
@pytest.mark.parametrize("make", [network, vgg])
def test_shared_then_per_region_is_the_classifier(make: object) -> None:
    """Of the whole image as one region the two parts give the vector that the classifier gave to its last layer."""
    whole = make().eval()  # type: ignore[operator]
    images = torch.rand(2, 3, 224, 224)
    backbone = make_backbone(copy.deepcopy(whole), frozen_stages=0, head_stride=2).eval()
    with torch.no_grad():
        maps = backbone.shared(images)
        assert maps.shape == (2, backbone.shared_channels, 14, 14)
        if isinstance(whole, VGG):
            expected = whole.classifier[:-1](torch.flatten(whole.features(images), 1))
            maps = nn.functional.max_pool2d(maps, 2)  # as RoI pooling to 7x7 does
        else:
            expected = whole.features(images).mean(dim=(2, 3))
        vectors = backbone.pooled(backbone.region_maps(maps))
    assert vectors.shape == (2, backbone.region_features)
    torch.testing.assert_close(vectors, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "resnet50_v1_5"])
def test_names_are_the_classifiers(name: str) -> None:
    """Each weight and statistic of a classifier has its name in the detector, but for the last layer's."""
    with torch.device("meta"):
        classifier = registry.create(name)
    names = {f"network.{key}" for key in classifier.state_dict() if not key.startswith("fc.")}
    with torch.device("meta"):
        backbone = make_backbone(classifier, frozen_stages=2, head_stride=2)
    assert set(backbone.state_dict()) == names


@pytest.mark.usefixtures("small_networks")
@pytest.mark.parametrize(("make", "size"), [(network, 4), (vgg, 7)])
def test_every_recipe_fits_both_backbones(make: object, size: int) -> None:
    """The size of a region's features is the recipe's for residual networks; VGG's fc6 takes 7x7 and no other."""
    made = FasterRCNN(make(), 2, RECIPE.with_changes(roi_size=4), INPUT)  # type: ignore[operator]
    vectors = made.describe(
        made.maps(torch.zeros(3, 64, 64, dtype=torch.uint8)), torch.tensor([[0.0, 0, 50, 40]]), (64, 64)
    )
    assert (made.roi_size, vectors.shape) == (size, (1, made.backbone.region_features))


@pytest.mark.usefixtures("small_networks")
@pytest.mark.parametrize("make", [network, vgg])
def test_the_layout_in_memory_changes_no_value(make: object) -> None:
    """Maps and gradients are the same channel by channel and channels-last, which lie differently in memory."""
    made = FasterRCNN(make(), 2, RECIPE, INPUT)  # type: ignore[operator]
    image = torch.randint(0, 256, (3, 96, 128), dtype=torch.uint8)
    found = []
    for precision, layout in (("fp32", torch.contiguous_format), ("bf16", torch.channels_last)):
        made.lay_out_for(torch.device("cpu"), precision)  # type: ignore[arg-type]
        made.zero_grad()
        maps = made.maps(image)
        maps.square().sum().backward()
        assert maps.is_contiguous(memory_format=layout)
        kept = [weight for weight in made.backbone.parameters() if weight.grad is not None]
        found.append([maps.detach(), *(weight.grad.clone() for weight in kept)])  # type: ignore[union-attr]
    assert len(found[0]) > 5
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3 * float(one.abs().max()))


def test_resnet101_shares_91_convolutions() -> None:
    """Appendix A: conv1 and those of conv2_x to conv4_x, without the shortcuts' projections."""
    with torch.device("meta"):
        backbone = make_backbone(registry.create("resnet101"), frozen_stages=0, head_stride=2)
    shared = [module for stage in backbone.shared_stages for part in stage for module in part.named_modules()]
    convolutions = [name for name, module in shared if isinstance(module, nn.Conv2d) and "downsample" not in name]
    assert len(convolutions) == 91
    assert backbone.shared_channels == 1024
    assert backbone.region_features == 2048


def test_vgg16_shares_13_convolutions() -> None:
    """All of its convolutions, of which two stages are frozen: "conv3_1 and up" of [32] are fine-tuned."""
    with torch.device("meta"):
        backbone = make_backbone(registry.create("vgg16"), frozen_stages=2, head_stride=2)
    shared = [module for stage in backbone.shared_stages for module in stage if isinstance(module, nn.Conv2d)]
    assert len(shared) == 13
    trained = [module.weight.requires_grad for module in shared]
    assert trained == [False] * 4 + [True] * 9  # "conv3_1 and up" of [32]
    assert backbone.region_features == 4096


def test_head_stride_is_a_choice() -> None:
    """With stride 1 conv5_1 keeps the size of a region's features, in both paths of its block."""
    for stride, side in ((2, 4), (1, 7)):
        backbone = make_backbone(network(), frozen_stages=0, head_stride=stride)
        last = backbone.network.get_submodule("layer4")
        assert last(torch.rand(1, 256, 7, 7)).shape[-1] == side


def test_batch_norm_is_constant_in_training() -> None:
    """A step in training mode moves no statistic, scale or offset, nor what is frozen, and moves the rest."""
    recipe = RECIPE.with_changes(frozen_stages=2)
    net = detector(recipe).train()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    assert not any(isinstance(module, nn.BatchNorm2d) for module in net.modules())
    norms = [name for name, module in net.named_modules() if isinstance(module, FrozenNorm)]
    assert len(norms) == 12  # stem, two of each block, and of the three projections
    optimizer = torch.optim.SGD([p for p in net.parameters() if p.requires_grad], lr=0.01, weight_decay=0.1)
    image = torch.randint(0, 255, (3, 96, 128), dtype=torch.uint8)
    boxes = torch.tensor([[10.0, 10, 50, 60]])
    net(image, boxes, torch.tensor([1]), torch.zeros(0, 4))[:4].sum().backward()
    optimizer.step()
    after = net.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    fixed = (*norms, "backbone.network.conv1", "backbone.network.layer1.")
    assert not [name for name in moved if name.startswith(fixed)]
    assert moved == {name for name in before if not name.startswith(fixed)}


def test_frozen_batch_norm_is_batch_norm_in_evaluation() -> None:
    """Applied within the convolution it gives the same numbers, and the same gradient of the weights."""
    plain = network().eval()
    frozen = copy.deepcopy(plain)
    backbone = make_backbone(frozen, frozen_stages=0, head_stride=2)
    image = torch.rand(1, 3, 64, 64)

    def shared(of: ResNet) -> torch.Tensor:
        x = of.maxpool(of.relu(of.bn1(of.conv1(image))))
        return of.layer3(of.layer2(of.layer1(x)))  # type: ignore[operator]

    expected, found = shared(plain), backbone.shared(image)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    expected.square().mean().backward()
    found.square().mean().backward()
    for name in ("conv1.weight", "layer3.0.conv1.weight", "layer3.0.downsample.0.weight"):
        torch.testing.assert_close(
            frozen.get_parameter(name).grad, plain.get_parameter(name).grad, rtol=1e-3, atol=1e-5
        )


def test_pixels_are_as_in_the_pre_training() -> None:
    """Scaled, ordered and normalised by the backbone's convention; Caffe's networks take BGR up to 255."""
    image = torch.tensor([[[255]], [[51]], [[0]]], dtype=torch.uint8).expand(3, 16, 16)
    seen: list[torch.Tensor] = []
    for pixels in (
        InputSpec(size=64, resize=64, mean=(0.5, 0.1, 0.0), std=(0.5, 0.1, 1.0)),
        InputSpec(size=64, resize=64, mean=(10.0, 1.0, 5.0), max_value=255, channel_order="BGR"),
    ):
        net = FasterRCNN(network(), 2, RECIPE, pixels)
        net.backbone.shared = lambda x: seen.append(x) or x  # type: ignore[method-assign,func-returns-value]
        net.maps(image)
    assert seen[0][0, :, 3, 4].tolist() == pytest.approx([1.0, 1.0, 0.0])
    assert seen[1][0, :, 3, 4].tolist() == pytest.approx([-10.0, 50.0, 250.0])


def test_networks_that_do_not_fit_are_refused() -> None:
    """A network of the CIFAR type has no maps of stride 16, and one of grey images does not take photos."""
    with pytest.raises(UsageError, match="CIFAR"):
        make_backbone(registry.create("resnet20"), frozen_stages=0, head_stride=2)
    grey = registry.build(SPEC.with_changes(in_channels=1))
    assert isinstance(grey.spec, ResNetSpec)
    with pytest.raises(UsageError, match="1 channels"):
        make_backbone(grey, frozen_stages=0, head_stride=2)
