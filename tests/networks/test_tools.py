"""The field's tools work on the networks: torch.fx, torchvision's feature extractor, torch.export, maps by index."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import torchvision
from other_projects import trained
from torch import Tensor, nn
from torch.export import Dim, export
from torch.fx import symbolic_trace
from torchvision.models.feature_extraction import create_feature_extractor

from resnets.errors import UsageError
from resnets.networks import registry
from resnets.networks.comparison.vgg import VGG
from resnets.networks.complexity import skeleton
from resnets.networks.dense import Dense
from resnets.networks.fused import fusing
from resnets.networks.resnet import ResNet
from resnets.specs import FunctionSpec, NetworkSpec, PReLUNetSpec, VGGSpec


class NarrowVGG(VGGSpec, frozen=True, kw_only=True):
    widths = (4, 4, 4, 4, 4)
    hidden = 32


def imagenet(name: str, **parts: Any) -> NetworkSpec:
    """Return an ImageNet-type network of one block per stage."""
    return registry.declare(name, num_classes=5).with_changes(blocks=(1, 1, 1, 1), **parts)


# One of each kind.
SPECS: dict[str, NetworkSpec] = {
    "CIFAR, option A": registry.declare("resnet8"),
    "CIFAR, option B": registry.declare("resnet8", shortcut="B"),
    "CIFAR, option C": registry.declare("resnet8", shortcut="C"),
    "CIFAR, plain": registry.declare("plain8"),
    "CIFAR, three layers": registry.declare("resnet20", residual_layers=3),
    "batch norm in groups": registry.declare("resnet8", bn_group=2),
    "basic": imagenet("resnet18"),
    "basic, of other projects": imagenet("resnet18", shortcut="A", zeros="around", pool="ceil"),
    "basic, plain": imagenet("plain18"),
    "bottleneck, stride on the 1x1": imagenet("resnet50"),
    "bottleneck, stride on the 3x3": imagenet("resnet50_v1_5"),
    "bottleneck, plain": imagenet("plain50"),
    "VGG": NarrowVGG(name="vgg", depth=8, convolutions=(1, 1, 1, 1, 1), num_classes=5),
}
every_network = pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS.keys())


def create(spec: NetworkSpec) -> ResNet | VGG:
    """Return a network in evaluation mode, whose batch norms have statistics that are not the initial ones."""
    network = registry.build(spec)
    network.load_state_dict(trained(network))
    return network.eval()


def images(count: int, size: int = 64) -> Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(count))


@every_network
@torch.no_grad()
def test_symbolic_trace_gives_the_same_function(spec: NetworkSpec) -> None:
    """Its logits are the network's to the bit, on any number and size of images."""
    network = create(spec)
    graph = symbolic_trace(network)
    for x in (images(2), images(1, 80)):
        assert torch.equal(graph(x), network(x))


@pytest.mark.parametrize("bn_group", [None, 2])
def test_a_network_traced_while_training_trains_alike(bn_group: int | None) -> None:
    """Each batch norm is one node: logits, gradients and statistics are the network's, groups included."""
    network = create(registry.declare("resnet8", bn_group=bn_group)).train()
    counterpart = copy.deepcopy(network)
    with fusing(network, torch.device("cpu")):
        graph = symbolic_trace(network)
    for each in (graph, counterpart):
        each(images(5, 32)).square().mean().backward()
    expected = dict(counterpart.named_parameters())
    assert all(torch.equal(own.grad, expected[name].grad) for name, own in network.named_parameters())  # type: ignore[arg-type]
    assert all(torch.equal(own, other) for own, other in zip(network.buffers(), counterpart.buffers(), strict=True))


@every_network
@torch.no_grad()
def test_the_exported_program_gives_the_same_logits(spec: NetworkSpec) -> None:
    """Exported once from a batch of 2 with a dynamic batch dimension, for other batches as well."""
    network = create(spec)
    program = export(network, (images(2),), dynamic_shapes=({0: Dim("batch")},)).module()
    for count in (1, 2, 5):
        assert torch.equal(program(images(count)), network(images(count)))


@pytest.mark.parametrize(("name", "size"), [("CIFAR, option A", 32), ("VGG", 224)])
@torch.no_grad()
def test_a_fully_convolutional_network_is_traced_and_exported(name: str, size: int) -> None:
    """The dense form too is traced and exported to the same logits."""
    network = Dense(create(SPECS[name]), size).eval()
    x = images(2, size + 32)
    assert torch.equal(symbolic_trace(network)(x), network(x))
    program = export(network, (x,), dynamic_shapes=({0: Dim("batch")},)).module()
    assert torch.equal(program(x[:1]), network(x[:1]))


@every_network
@torch.no_grad()
def test_features_by_index_are_the_nodes_of_torchvisions_extractor(spec: NetworkSpec) -> None:
    """Index 0 is conv1 before any pooling, i is `layer{i}`; of a VGG, stages before their pooling and the last maps."""
    network = create(spec)
    if isinstance(network, VGG):
        nodes = [f"features.{index}" for index in (1, 4, 7, 10, 13, 14)]
    else:
        nodes = ["relu", *network.stages]
    found = network.features(images(2), out_indices=range(len(nodes)))
    expected = create_feature_extractor(network, nodes)(images(2))
    assert all(torch.equal(own, expected[node]) for own, node in zip(found, nodes, strict=True))
    assert torch.equal(found[-1], network.features(images(2)))


@torch.no_grad()
def test_the_extractor_takes_the_nodes_that_torchvisions_network_has() -> None:
    """The same `return_nodes` give the same maps, in the middle of a block too."""
    network = create(registry.declare("resnet18", num_classes=5))
    peer = torchvision.models.resnet18(num_classes=5).eval()
    peer.load_state_dict(network.state_dict())
    nodes = {"layer1": "c2", "layer2.0.bn1": "inside", "layer4": "c5"}
    found, expected = (create_feature_extractor(each, nodes)(images(2)) for each in (network, peer))
    assert list(found) == list(expected) == list(nodes.values())
    for name in found:
        torch.testing.assert_close(found[name], expected[name])


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "vgg16"])
def test_the_numbers_of_the_stages_are_timms(name: str) -> None:
    """Channels and stride of each index are those of `features_only`."""
    timm = pytest.importorskip("timm")
    options = {"out_indices": tuple(range(6))} if name == "vgg16" else {}
    with torch.device("meta"):
        info = timm.create_model(name, features_only=True, **options).feature_info
    network = skeleton(registry.declare(name)).to("meta")
    found = network.features(torch.empty(1, 3, 224, 224, device="meta"), out_indices=range(len(info.channels())))
    assert [x.shape[1] for x in found] == info.channels()
    assert [224 // x.shape[2] for x in found] == info.reduction()


@torch.no_grad()
def test_indices_keep_their_order_and_later_stages_do_not_run() -> None:
    """Maps come in the order of the indices, and nothing after the last one is computed."""
    network = create(registry.declare("resnet8"))
    network.get_submodule("layer3").register_forward_pre_hook(lambda *_: pytest.fail("layer3 ran"))
    third, first = network.features(images(2, 32), out_indices=[2, 0])
    assert third.shape == (2, 32, 16, 16) and first.shape == (2, 16, 32, 32)


@pytest.mark.parametrize("indices", [(4,), (0, -1), ()])
@pytest.mark.parametrize(("name", "valid"), [("CIFAR, option A", "0 to 3"), ("VGG", "0 to 5")])
def test_a_wrong_index_names_the_valid_range(name: str, valid: str, indices: tuple[int, ...]) -> None:
    """An index outside the range, a negative one or none is an error with the range."""
    features = create(SPECS[name]).features
    wrong = (6,) if indices == (4,) and name == "VGG" else indices
    with pytest.raises(UsageError) as error:
        features(images(1), out_indices=wrong)
    assert str(wrong) in str(error.value) and valid in str(error.value)


@torch.no_grad()
def test_indices_of_other_kinds() -> None:
    """A tensor and a generator are whole numbers as well; one number alone is refused in a line."""
    network = create(registry.declare("resnet8"))
    for indices in (torch.tensor([0, 1]), (number for number in (0, 1))):
        assert [x.shape[1] for x in network.features(images(1, 32), out_indices=indices)] == [16, 16]
    with pytest.raises(UsageError, match="out_indices is 2; it must be whole numbers"):
        network.features(images(1, 32), out_indices=2)


# Of each kind of network a cheap declaration, the side of an image, and channels and side of each stage's maps.
STAGES: dict[str, tuple[NetworkSpec, int, list[tuple[int, int]]]] = {
    "cifar": (registry.declare("resnet8"), 32, [(16, 32), (16, 32), (32, 16), (64, 8)]),
    "imagenet": (imagenet("resnet50"), 64, [(64, 32), (256, 16), (512, 8), (1024, 4), (2048, 2)]),
    "vgg": (SPECS["VGG"], 32, [(4, 32), (4, 16), (4, 8), (4, 4), (4, 2), (4, 1)]),
    "maxout": (registry.declare("maxout"), 32, [(96, 33), (192, 15), (192, 9), (192, 5)]),
    "nin": (registry.declare("nin"), 32, [(96, 32), (192, 16), (192, 8)]),
    "dsn": (registry.declare("dsn"), 32, [(96, 32), (192, 16), (192, 8)]),
    "fitnet": (registry.declare("fitnet19"), 32, [(48, 32), (80, 16), (128, 8)]),
    "highway": (registry.declare("highway32"), 32, [(24, 32), (48, 16), (96, 8)]),
    "googlenet": (registry.declare("googlenet"), 64, [(64, 32), (192, 16), (480, 8), (832, 4), (1024, 2)]),
    "bn-inception": (registry.declare("bn_inception"), 64, [(64, 32), (192, 16), (320, 8), (576, 4), (1024, 2)]),
    "prelu-net": (
        PReLUNetSpec(name="prelu_net_a", depth=7, convolutions=1, widths=(4, 5, 6), num_classes=3),
        64,
        [(96, 32), (4, 16), (5, 8), (6, 4)],
    ),
}


def test_stages_of_every_kind_are_listed() -> None:
    """The next test leaves out no kind of network that the project has."""
    assert STAGES.keys() == {family.name for family in registry.NETWORKS if family.spec is not FunctionSpec}


@pytest.mark.parametrize("kind", STAGES)
@torch.no_grad()
def test_every_kind_of_network_gives_the_maps_of_its_stages(kind: str) -> None:
    """In the order requested, the last ones as `features` gives them alone; an index too large names the range."""
    spec, side, expected = STAGES[kind]
    network, x = create(spec), images(1, side)
    found = network.features(x, out_indices=range(len(expected))[::-1])
    assert [(maps.shape[1], maps.shape[2]) for maps in found[::-1]] == expected
    assert torch.equal(found[0], network.features(x))
    assert torch.equal(network.features(x, out_indices=[1])[0], found[-2])
    with pytest.raises(UsageError, match=rf"\({len(expected)},\).* 0 to {len(expected) - 1}$"):
        network.features(x, out_indices=(len(expected),))


def test_a_vggs_convolutions_remain_a_sequence() -> None:
    """The convolutions of a VGG remain a sequence that can be sliced, and without the last pooling give conv5_x."""
    network = create(SPECS["VGG"])
    assert isinstance(network, VGG)
    assert isinstance(network.features, nn.Sequential)
    assert torch.equal(network.features[:-1](images(1)), network.features(images(1), out_indices=(4,))[0])
