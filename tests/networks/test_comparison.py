"""Networks that the paper compares with: counts, structures, gates, maxout, pyramids, auxiliary outputs."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn
from torchvision.models.feature_extraction import create_feature_extractor

from resnets.errors import UsageError
from resnets.networks import registry
from resnets.networks.comparison.bn_inception import BNInception
from resnets.networks.comparison.dsn import DSN
from resnets.networks.comparison.fitnet import FitNet
from resnets.networks.comparison.googlenet import GoogLeNet, pooled
from resnets.networks.comparison.highway import Highway, HighwayNetwork
from resnets.networks.comparison.maxout import Maxout, MaxoutConv2d, MaxoutLinear, UnscaledDropout
from resnets.networks.comparison.nin import NIN
from resnets.networks.comparison.prelu_net import PReLUNet, pyramid
from resnets.networks.complexity import measure, skeleton, stages
from resnets.networks.dense import Dense
from resnets.specs import FunctionSpec, GoogLeNetSpec, HighwaySpec, PReLUNetSpec, first_difference

TORCHVISIONS = {"batch_norm": True, "branch3_kernel": 3, "pool4_kernel": 2, "lrn": False}
SMALL = ("maxout", "nin", "dsn", "fitnet19", "highway19", "highway32")
NAMES = (*SMALL, "googlenet", "bn_inception", "prelu_net_a", "prelu_net_b", "prelu_net_c")


def create(name: str, **options: Any) -> nn.Module:
    torch.manual_seed(0)
    return registry.create(name, **options)


def images(count: int, size: int = 32) -> Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(1))


COUNTS = [
    ("maxout", {}, 16_247_830, 732_290_696),
    ("maxout", {"fc_pieces": 2}, 9_046_330, 725_090_696),
    ("nin", {}, 966_986, 222_486_528),
    ("dsn", {}, 3_547_496, 222_486_528),
    ("dsn", {"auxiliary": False}, 966_986, 222_486_528),
    ("fitnet19", {}, 2_742_102, 381_941_128),
    ("fitnet19", {"fc_pieces": 2}, 2_548_602, 381_749_128),
    ("highway19", {}, 2_256_838, 330_826_728),
    ("highway19", {"head": "fc500"}, 2_312_438, 330_075_528),
    ("highway32", {}, 1_251_798, 179_995_624),
    ("googlenet", {}, 13_378_280, 1_582_671_872),
    ("googlenet", {"auxiliary": False}, 6_998_552, 1_582_671_872),
    ("googlenet", {"auxiliary": False, "separable_stem": True}, 6_991_856, 1_498_677_248),
    ("googlenet", {"auxiliary": False, **TORCHVISIONS}, 6_624_904, 1_498_376_192),
    ("bn_inception", {}, 11_188_288, 1_934_857_216),
    ("bn_inception", {"variant": "caffe"}, 11_295_240, 2_032_600_064),
    ("prelu_net_a", {}, 178_032_072, 19_058_106_368),
    ("prelu_net_b", {}, 183_343_048, 23_219_904_512),
    ("prelu_net_c", {}, 330_623_944, 53_463_130_112),
]


@pytest.mark.parametrize(("name", "options", "parameters", "macs"), COUNTS)
def test_counts(name: str, options: dict[str, Any], parameters: int, macs: int) -> None:
    """Parameters and multiply-adds of each network and variant are those of its authors' layers."""
    cost = measure(skeleton(registry.declare(name, **options)))
    assert (cost.parameters, cost.macs) == (parameters, macs)


@pytest.mark.parametrize("name", NAMES)
def test_rows_hold_every_layer(name: str) -> None:
    """The rows of `info` together have the network's multiply-adds, and name depth layers on the longest path."""
    network = skeleton(registry.declare(name))
    assert sum(row.macs for row in stages(network)) == measure(network).macs


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("size", [32, 8])
def test_small_networks_learn_from_each_parameter(name: str, size: int) -> None:
    """On images of 32 and of 8 pixels there are finite scores, in training of each output, and gradients everywhere."""
    network = create(name, num_classes=7).train()
    outputs = network(images(2, size))
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    assert [tuple(one.shape) for one in outputs] == [(2, 7)] * (4 if name == "dsn" else 1)
    sum((one.square() + one).sum() for one in outputs).backward()
    for key, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), key
        assert size < 32 or parameter.grad.any(), key  # of FitNet 1e-22, which is more than nothing
    assert network.eval()(images(1, size)).shape == (1, 7)


@pytest.mark.parametrize(("name", "outputs"), [("googlenet", 3), ("bn_inception", 1)])
def test_inception_networks_learn_from_each_parameter(name: str, outputs: int) -> None:
    """Training gives the scores and those of the auxiliary classifiers; each parameter has a gradient."""
    network = create(name, num_classes=3).train()
    found = network(images(2, 96))
    found = found if isinstance(found, tuple) else (found,)
    assert [tuple(one.shape) for one in found] == [(2, 3)] * outputs
    sum(one.square().sum() for one in found).backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in network.parameters())


@pytest.mark.parametrize(("name", "size"), [("dsn", 32), ("googlenet", 64)])
def test_auxiliary_classifiers_are_for_training(name: str, size: int) -> None:
    """Without them the scores are the same in evaluation mode, and training returns the scores alone."""
    whole, bare = create(name).eval(), registry.create(name, auxiliary=False).eval()
    missing = bare.load_state_dict(whole.state_dict(), strict=False).missing_keys
    assert not missing
    assert torch.equal(whole(images(2, size)), bare(images(2, size)))
    assert isinstance(bare.train()(images(2, size)), Tensor)


@pytest.mark.parametrize(("name", "options"), [*((name, {}) for name in SMALL), ("highway19", {"head": "fc500"})])
def test_small_networks_say_the_smallest_image_that_they_take(name: str, options: dict[str, Any]) -> None:
    """One of that side has scores; of one pixel less there are no maps left."""
    network = registry.build(spec := registry.declare(name, **options)).eval()
    assert network(torch.rand(1, 3, spec.least_size, spec.least_size)).shape == (1, 10)
    with pytest.raises(RuntimeError):
        network(torch.rand(1, 3, spec.least_size - 1, spec.least_size - 1))


def test_companions_reach_inner_layers() -> None:
    """The gradient of a DSN's third convolution is another one with the companions' scores in the loss."""

    def gradient(outputs: slice) -> Tensor:
        network = create("dsn").train()
        assert isinstance(network, DSN)
        torch.manual_seed(2)
        sum(one.square().sum() for one in network(images(2))[outputs]).backward()
        assert network.conv3.weight.grad is not None
        return network.conv3.weight.grad

    assert not torch.allclose(gradient(slice(1)), gradient(slice(4)))


def test_companions_start_as_in_their_authors_log() -> None:
    """Caffe logs the bounds of their uniform weights; biases are 0."""
    network = create("dsn")
    assert isinstance(network, DSN)
    bounds = [layer.fc.weight.abs().max().item() for layer in network.companions]  # type: ignore[union-attr, operator]
    assert bounds == pytest.approx([0.00123526, 0.00247053, 0.00494106], rel=1e-3)
    assert not any(layer.fc.bias.any() for layer in network.companions)  # type: ignore[union-attr, operator]


# ---------------------------------------------------------------- maxout


def test_a_maxout_unit_is_the_maximum_of_separate_convolutions() -> None:
    """Of any number of pieces; with a second piece of zeros it is ReLU, with the negated one the absolute value."""
    torch.manual_seed(0)
    x = torch.randn(2, 3, 9, 9)
    for pieces in (2, 3):
        layer = MaxoutConv2d(3, 4, 3, padding=1, pieces=pieces)
        each = [
            F.conv2d(x, layer.conv.weight[piece::pieces], layer.conv.bias[piece::pieces], padding=1)  # type: ignore[index]
            for piece in range(pieces)
        ]
        torch.testing.assert_close(layer(x), torch.stack(each).amax(0))
    flat, fc = torch.randn(5, 6), MaxoutLinear(6, 4, 2)
    one = F.linear(flat, fc.linear.weight[::2], fc.linear.bias[::2])
    for sign, expected in ((0, one.relu()), (-1, one.abs())):
        with torch.no_grad():
            fc.linear.weight[1::2] = sign * fc.linear.weight[::2]
            fc.linear.bias[1::2] = sign * fc.linear.bias[::2]
        torch.testing.assert_close(fc(flat), expected)


def test_maxouts_pooling_covers_the_maps() -> None:
    """Maps are 33, 15 and 9 wide before pooling and 16, 7 and 5 after it: the last windows are cut short."""
    layers = measure(skeleton(registry.declare("maxout"))).layers
    sides = [layer.output_shape[1] for layer in layers if len(layer.output_shape) == 3 and layer.name != "fit"]
    assert sides == [33, 16, 15, 7, 9, 5]


def test_unscaled_dropout_keeps_values_as_they_are() -> None:
    """In training a number is 0 or itself, and in evaluation mode nothing changes."""
    torch.manual_seed(0)
    layer, x = UnscaledDropout(0.2), torch.rand(10_000) + 1
    kept = layer.train()(x)
    assert torch.isclose(kept, x).logical_or(kept == 0).all()
    assert (kept == 0).float().mean().item() == pytest.approx(0.2, abs=0.02)
    assert torch.equal(layer.eval()(x), x)


@pytest.mark.parametrize("name", ["nin", "dsn"])
def test_nins_dropout_is_that_of_its_authors(name: str) -> None:
    """In training a number is 0 or itself, in evaluation mode its half; in Caffe's port twice itself, and itself."""
    torch.manual_seed(0)
    x, network = torch.rand(1_000) + 1, create(name)
    for layer in (network.drop1, network.drop2):
        kept = layer.train()(x)  # type: ignore[union-attr, operator]
        assert torch.equal(kept[kept != 0], x[kept != 0]) and 400 < (kept == 0).sum() < 600
        assert torch.equal(layer.eval()(x), x / 2)  # type: ignore[union-attr, operator]
    port = create("nin", pool2="avg").drop2
    kept = port.train()(x)  # type: ignore[union-attr, operator]
    assert torch.equal(kept[kept != 0], 2 * x[kept != 0])
    assert torch.equal(port.eval()(x), x)  # type: ignore[union-attr, operator]


@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        ("nin", {"pool1": (96, 16, 16), "pool2": (192, 8, 8), "cccp6": (10, 8, 8)}),
        ("fitnet19", {"pool1": (48, 16, 16), "pool2": (80, 8, 8), "pool3": (128, 1, 1)}),
        ("highway19", {"pool1": (32, 16, 16), "pool2": (80, 8, 8), "head.0": (100, 8, 8)}),
        ("googlenet", {"maxpool1": (64, 56, 56), "maxpool2": (192, 28, 28), "maxpool3": (480, 14, 14)}),
        ("prelu_net_c", {"conv1": (96, 112, 112), "conv2_x.0": (96, 56, 56), "conv4_x.12": (896, 14, 14)}),
    ],
)
def test_maps_have_the_authors_sizes(name: str, shapes: dict[str, tuple[int, ...]]) -> None:
    """Of each pooling and of the last maps."""
    found = {layer.name: layer.output_shape for layer in measure(skeleton(registry.declare(name))).layers}
    assert {key: found[key] for key in shapes} == shapes


def test_nins_scores_are_not_negative() -> None:
    """ReLU follows the last layer too; DSN has no such ReLU."""
    nin, dsn = create("nin").eval(), create("dsn").eval()
    assert isinstance(nin, NIN) and (nin(images(2)) >= 0).all()
    assert (dsn(images(2)) < 0).any()


# ---------------------------------------------------------------- highway


@pytest.mark.parametrize("kernel", [1, 3])
def test_a_highway_layer_carries_or_transforms(kernel: int) -> None:
    """A closed gate gives the input bit for bit, an open one the transformation."""
    torch.manual_seed(0)
    layer, x = Highway(5, kernel), torch.randn(2, 5, 6, 6)
    with torch.no_grad():
        layer.gate.weight.zero_()
        layer.gate.bias.fill_(-1e4)  # type: ignore[union-attr]
        assert torch.equal(layer(x), x)
        layer.gate.bias.fill_(1e4)  # type: ignore[union-attr]
        assert torch.equal(layer(x), layer.transform(x).relu())


def test_gates_are_nearly_closed_at_the_start() -> None:
    """Biases of gates are -2 and others 0, so 12 % of the transformation passes; weights are He's, but the fc's."""
    network = create("highway19").eval()
    assert isinstance(network, HighwayNetwork)
    gates = [module for module in network.modules() if isinstance(module, Highway)]
    assert len(gates) == 14
    for layer in gates:
        assert (layer.gate.bias == -2).all() and not layer.transform.bias.any()  # type: ignore[union-attr]
        assert layer.gate.weight.std().item() == pytest.approx(math.sqrt(2 / layer.gate.weight[0].numel()), rel=0.1)
    x = network.stage1[:2](0.1 * images(4))  # type: ignore[index]
    assert torch.sigmoid(gates[0].gate(x)).mean().item() == pytest.approx(0.12, abs=0.01)
    assert network.fc.weight.std().item() == pytest.approx(0.05, rel=0.1)
    slip = create("highway19", stem_std="1")
    assert slip.stage1[0].weight.std().item() == pytest.approx(1, rel=0.1)  # type: ignore[index, union-attr]


def test_a_stage_of_closed_gates_is_its_first_convolution() -> None:
    """Bit for bit."""
    network = create("highway32", gate_bias=-1e4).eval()
    assert isinstance(network, HighwayNetwork)
    for module in network.modules():
        if isinstance(module, Highway):
            nn.init.zeros_(module.gate.weight)
    x = images(1)
    assert torch.equal(network.stage1(x), network.stage1[:2](x))  # type: ignore[index]


# ---------------------------------------------------------------- inception


def test_googlenets_variant_is_torchvisions() -> None:
    """The same weights and running statistics give equal logits, and the names of all tensors are the same."""
    theirs = torchvision.models.googlenet(weights=None, aux_logits=True, init_weights=False, num_classes=11)
    generator = torch.Generator().manual_seed(3)
    for name, tensor in theirs.state_dict().items():
        if "running" in name:
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
    ours = create("googlenet", num_classes=11, **TORCHVISIONS)
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    ours.load_state_dict(theirs.state_dict())
    x = images(2, 96)
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x), rtol=0, atol=1e-6)


def test_widths_of_the_inception_modules() -> None:
    """Channels after each module, as the authors' tables sum them."""
    expected = {
        ("googlenet", ""): [256, 480, 512, 512, 512, 528, 832, 832, 1024],
        ("bn_inception", "google"): [256, 320, 576, 576, 576, 576, 576, 1024, 1024, 1024],
        ("bn_inception", "caffe"): [256, 320, 576, 576, 576, 608, 608, 1056, 1024, 1024],
    }
    for (name, variant), widths in expected.items():
        network = create(name, **({"variant": variant} if variant else {})).eval()
        x, found = torch.zeros(1, 192, 8, 8), []
        for key, module in network.named_children():
            if key == "maxpool3" or key == "maxpool4" or key.startswith("inception"):
                x = module(x)
                found += [x.shape[1]] if key.startswith("inception") else []
        assert sorted(found) == sorted(widths) and found[0] == 256


def test_googlenets_auxiliary_classifiers_see_4x4_maps() -> None:
    """14x14 maps are averaged over windows of 5x5, three apart."""
    x = torch.rand(1, 2, 14, 14, generator=torch.Generator().manual_seed(0))
    found = pooled(x)
    assert found.shape == (1, 2, 4, 4)
    torch.testing.assert_close(found[0, 0, 1, 3], x[0, 0, 3:8, 9:14].mean())


def test_googlenets_response_normalisation_is_caffes() -> None:
    """Over 5 channels: x (1 + 1e-4 / 5 times their squares) ^ -0.75."""
    network, x = create("googlenet"), 100 * torch.rand(1, 8, 2, 2, generator=torch.Generator().manual_seed(4))
    for layer in (network.lrn1, network.lrn2):
        for channel in (0, 3, 7):
            squares = x[:, max(0, channel - 2) : channel + 3].square().sum(1)
            expected = x[:, channel] * (1 + 1e-4 / 5 * squares) ** -0.75
            torch.testing.assert_close(layer(x)[:, channel], expected)  # type: ignore[union-attr, operator]


@pytest.mark.parametrize(("variant", "at_the_corner"), [("google", 1.0), ("caffe", 4 / 9)])
def test_bn_inceptions_average_pools_at_the_edge(variant: str, at_the_corner: float) -> None:
    """The authors' mean is of the pixels that there are, Caffe's of the padding too."""
    network = create("bn_inception", variant=variant)
    pools = [module for module in network.modules() if isinstance(module, nn.AvgPool2d) and module.kernel_size == 3]
    assert len(pools) == 7
    assert all(pool(torch.ones(1, 1, 4, 4))[0, 0, 0, 0].item() == pytest.approx(at_the_corner) for pool in pools)


# ---------------------------------------------------------------- PReLU


def narrow_prelu_net(**changes: Any) -> PReLUNet:
    torch.manual_seed(0)
    spec = PReLUNetSpec(name="prelu_net_a", depth=7, convolutions=1, widths=(4, 5, 6), num_classes=3)
    return PReLUNet(spec.with_changes(**changes)).eval()


def test_prelus_with_slopes_of_zero_are_relus() -> None:
    """A PReLU-net then computes what it does with ReLUs; slopes start at 0.25."""
    network = narrow_prelu_net()
    slopes = [module for module in network.modules() if isinstance(module, nn.PReLU)]
    assert all((module.weight == 0.25).all() for module in slopes)
    for module in slopes:
        nn.init.zeros_(module.weight)
    x = images(1, 64)
    expected = network(x)
    for parent in [network, network.conv2_x, network.conv3_x, network.conv4_x]:
        for name, module in list(parent.named_children()):
            if isinstance(module, nn.PReLU):
                setattr(parent, name, nn.ReLU())
    assert torch.equal(network(x), expected)


def test_the_pyramid_has_the_windows_of_spp_net() -> None:
    """On 14x14 maps bins are ceil(14 / n) wide and floor(14 / n) apart; on any size there are 63 of each channel."""
    maps = torch.rand(1, 2, 14, 14, generator=torch.Generator().manual_seed(0))
    bins = []
    for level in (7, 3, 2, 1):
        side, stride = math.ceil(14 / level), 14 // level
        tiles = [
            maps[0, :, i * stride : i * stride + side, j * stride : j * stride + side].amax((1, 2))
            for i in range(level)
            for j in range(level)
        ]
        bins.append(torch.stack(tiles, 1).flatten())
    assert torch.equal(pyramid(maps)[0], torch.cat(bins))
    assert pyramid(torch.rand(2, 5, 4, 9)).shape == (2, 5 * 63)


def test_a_dense_prelu_net_is_read_at_every_window() -> None:
    """On 224 pixels there is one window, with the network's own score; on more the scores of all are averaged."""
    network = narrow_prelu_net()
    dense = Dense(network, 224)
    with torch.no_grad():
        x = images(1, 224)
        torch.testing.assert_close(dense(x), network(x))
        larger = torch.randn(1, 3, 224, 256, generator=torch.Generator().manual_seed(5))
        maps = network.features(larger)  # 14 x 16
        each = []
        for left in range(3):
            flat = network.prelu2(network.fc1(pyramid(maps[..., left : left + 14])))
            each.append(network.fc(network.prelu3(network.fc2(flat))))
        torch.testing.assert_close(dense(larger), torch.stack(each).mean(0))
    with pytest.raises(UsageError, match="192"):
        Dense(network, 192)


@pytest.mark.parametrize("name", ["googlenet", "bn_inception"])
def test_dense_inception_networks_have_one_window_on_a_crop(name: str) -> None:
    """Then the dense scores are the network's own, for sizes that halve evenly and others; larger images have more."""
    network = create(name, num_classes=3).eval()
    assert isinstance(network, GoogLeNet | BNInception)
    assert network.dense_window(224) == 7
    with torch.no_grad():
        for size in (64, 109):
            x = images(1, size)
            assert network.features(x).shape[2] == network.dense_window(size)
            torch.testing.assert_close(Dense(network, size)(x), network(x), rtol=1e-4, atol=1e-5)
        assert Dense(network, 64)(images(1, 97)).shape == (1, 3)


# ---------------------------------------------------------------- declarations and tools


@pytest.mark.parametrize(
    "name", ["maxout", "nin", "dsn", "fitnet19", "highway32", "googlenet", "bn_inception", "prelu_net_a"]
)
def test_networks_are_traced_and_exported(name: str) -> None:
    """torch.fx, torchvision's feature extractor and torch.export give the network's own scores, in evaluation mode."""
    network = narrow_prelu_net() if name == "prelu_net_a" else create(name, num_classes=3).eval()
    x = images(2, 32 if name in SMALL else 64)
    expected = network(x)
    assert torch.equal(torch.fx.symbolic_trace(network)(x), expected)
    last = "avgpool" if name in ("nin", "dsn") else "fc"
    extracted = create_feature_extractor(network, {last: "scores"}, suppress_diff_warning=True)(x)["scores"]
    assert torch.equal(extracted.flatten(1), expected)
    exported = torch.export.export(network, (x,)).module()
    torch.testing.assert_close(exported(x), expected)


def test_a_prelu_net_is_traced_for_images_of_any_size() -> None:
    """Its graph gives the network's own scores for images of another size."""
    network = narrow_prelu_net()
    traced, x = torch.fx.symbolic_trace(network), images(1, 96)
    assert torch.equal(traced(x), network(x))


@pytest.mark.parametrize(
    ("name", "option", "value", "valid"),
    [
        ("nin", "pool2", "sum", "max or avg"),
        ("maxout", "fc_pieces", 0, "1 or more"),
        ("highway19", "head", "fc", "gap or fc500"),
        ("googlenet", "branch3_kernel", 7, "3 or 5"),
        ("googlenet", "lrn", "yes", "True or False"),
        ("highway32", "gate_bias", "low", "a number"),
        ("prelu_net_c", "num_classes", 0, "1 or more"),
    ],
)
def test_impossible_options_are_refused(name: str, option: str, value: Any, valid: str) -> None:
    """With the option and the values that there are."""
    with pytest.raises(UsageError, match=option) as caught:
        registry.declare(name, **{option: value})
    assert valid in str(caught.value)


def test_declarations_say_what_is_different() -> None:
    """In words, and as the first difference of what they compute; what only training has is none."""
    googlenet = registry.declare("googlenet", **TORCHVISIONS)
    assert isinstance(googlenet, GoogLeNetSpec)
    assert "lrn=False" in googlenet.in_words() and registry.declare("googlenet").in_words() == "googlenet"
    assert first_difference(googlenet, registry.declare("googlenet")) == ("batch_norm", True, False)
    without = registry.declare("dsn", auxiliary=False)
    assert first_difference(without, registry.declare("dsn")) is None
    assert first_difference(registry.declare("maxout"), registry.declare("fitnet19")) == ("name", "maxout", "fitnet19")
    one, other = registry.declare("highway19"), registry.declare("highway32")
    assert isinstance(one, HighwaySpec) and first_difference(one, other) is not None


@pytest.mark.parametrize("name", ["resnet50", "vgg16", *NAMES, "ours"])
def test_every_field_counts_unless_its_class_says_otherwise(name: str) -> None:
    """A network with another value of a field is another one; what a class leaves out are fields of it."""
    ours = FunctionSpec(name="ours", module="m", input_size=32, num_classes=3)
    spec = ours if name == "ours" else registry.declare(name)
    left_out = spec.of_training | spec.without_effect
    assert left_out <= spec.fields().keys()
    for field in spec.fields():
        found = first_difference(spec, msgspec.structs.replace(spec, **{field: "another"}))
        assert (found is None) == (field in left_out), field


def test_starts_of_the_authors() -> None:
    """NIN, DSN: N(0, 0.05^2); GoogLeNet: Caffe's xavier, biases 0.2 but in classifiers; PReLU-net: by its fan-out."""
    for name in ("nin", "dsn"):
        network = create(name)
        convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
        assert len(convolutions) == 9
        for layer in convolutions:
            assert layer.weight.std().item() == pytest.approx(0.05, rel=0.1) and not layer.bias.any()  # type: ignore[union-attr]
    for key, parameter in create("googlenet", num_classes=20).named_parameters():
        if key.endswith("bias"):
            assert (parameter == (0.0 if key in ("fc.bias", "aux1.fc2.bias", "aux2.fc2.bias") else 0.2)).all(), key
        else:
            assert parameter.abs().max().item() == pytest.approx(math.sqrt(3 / parameter[0].numel()), rel=0.1), key
    network = narrow_prelu_net()
    assert network.conv1.weight.std().item() == pytest.approx(math.sqrt(2 / (1.0625 * 49 * 96)), rel=0.05)
    assert [round(layer.weight.std().item(), 4) for layer in (network.fc1, network.fc2)] == [0.01, 0.01]
    assert network.fc.weight.std().item() == pytest.approx(0.001, rel=0.05)


def test_names_and_classes() -> None:
    """Each name gives a network of its class, with the authors' weights at the start: uniform in maxout networks."""
    for name, kind in (("maxout", Maxout), ("fitnet19", FitNet)):
        network = create(name)
        assert isinstance(network, kind)
        for key, parameter in network.named_parameters():
            if key.endswith("bias"):
                assert not parameter.any()
            else:
                assert parameter.abs().max().item() == pytest.approx(0.005, rel=0.2)
