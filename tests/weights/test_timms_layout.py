"""timm's layout: torchvision's names but in VGG's head, and an input that a configuration declares."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
import torch.nn.functional as F
from other_projects import noise

from resnets.errors import WeightsError
from resnets.networks import registry
from resnets.networks.complexity import skeleton
from resnets.specs import InputSpec
from resnets.weights.import_weights import declare, import_weights
from resnets.weights.layouts import recognise, timm
from resnets.weights.layouts import torchvision as torchvision_layout
from resnets.weights.layouts.layout import imagenet_input
from resnets.weights.weights_file import require_same_keys

CONFIG = {
    "input_size": [3, 224, 224],
    "test_input_size": [3, 288, 288],
    "crop_pct": 0.95,
    "test_crop_pct": 1.0,
    "interpolation": "bicubic",
    "mean": [0.5, 0.4, 0.3],
    "std": [0.2, 0.2, 0.1],
}


@pytest.mark.parametrize("where", ["header", "folder"])
def test_timms_configuration_gives_the_input(tmp_path: Path, where: str) -> None:
    """In the file's header or in config.json, it gives size, mean, deviation and interpolation."""
    path, network = tmp_path / "model.safetensors", registry.create("resnet18")
    if where == "header":
        safetensors.torch.save_file(network.state_dict(), path, {"pretrained_cfg": json.dumps(CONFIG)})
    else:
        safetensors.torch.save_file(network.state_dict(), path)
        (tmp_path / "config.json").write_text(json.dumps({"architecture": "resnet18", "pretrained_cfg": CONFIG}))
    found = import_weights(path)
    assert found.layout == "timm" and found.weights.spec == network.spec
    assert found.weights.input_spec == InputSpec(
        size=288, resize=288, mean=(0.5, 0.4, 0.3), std=(0.2, 0.2, 0.1), interpolation="bicubic"
    )


@pytest.mark.parametrize("name", ["resnetaa18", "resnetblur18"])
def test_networks_of_equal_names_and_shapes_are_refused_by_what_config_json_says(tmp_path: Path, name: str) -> None:
    """timm's networks with anti-aliasing have resnet18's tensors; naming a network does not overrule it."""
    network = registry.create("resnet18")
    safetensors.torch.save_file(network.state_dict(), tmp_path / "model.safetensors")
    said = {"architecture": f"{name}.a1_in1k", "pretrained_cfg": CONFIG}
    (tmp_path / "config.json").write_text(json.dumps(said))
    for named in (None, "resnet18"):
        with pytest.raises(WeightsError, match=name):
            import_weights(tmp_path / "model.safetensors", named)
    for same in ("resnet18", "tv_resnet18", "resnet18.a1_in1k"):
        (tmp_path / "config.json").write_text(json.dumps(said | {"architecture": same}))
        assert import_weights(tmp_path / "model.safetensors").weights.spec == network.spec


def test_config_json_decides_the_stride_and_that_shortcuts_project(tmp_path: Path) -> None:
    """timm's resnet50 is v1.5 and its resnet18 has projections, whatever network is named."""
    with torch.device("meta"):
        shapes = skeleton(registry.declare("resnet50")).state_dict()
    for name, architecture, tensors in (
        ("resnet50", "resnet50", {key: torch.zeros(tensor.shape) for key, tensor in shapes.items()}),
        ("resnet18", "resnet18", registry.create("resnet18", shortcut="A").state_dict()),
        ("plain18", "resnet18", registry.create("plain18").state_dict()),
    ):
        safetensors.torch.save_file(tensors, tmp_path / "model.safetensors")
        said = {"architecture": architecture, "pretrained_cfg": CONFIG}
        (tmp_path / "config.json").write_text(json.dumps(said))
        with pytest.raises(WeightsError, match=name):
            import_weights(tmp_path / "model.safetensors", name)


@pytest.mark.parametrize(
    ("says", "message"),
    [
        ({"arch": "resnetaa18"}, "resnetaa18"),
        ({"args": argparse.Namespace(model="resnetblur18")}, "resnetblur18"),
        (
            {"args": argparse.Namespace(replace_stride_with_dilation=[False, True, True])},
            "replace_stride_with_dilation",
        ),
        ({"arch": "resnet18", "args": {"model_kwargs": {"output_stride": 8}}}, "output_stride=8"),
        ({"args": argparse.Namespace(model="resnet18", gp="max")}, "gp='max'"),
        ({"arch": "resnet18", "args": argparse.Namespace(replace_stride_with_dilation=None, gp="avg")}, None),
    ],
)
def test_a_checkpoint_that_says_another_function_is_refused(
    tmp_path: Path, says: dict[str, Any], message: str | None
) -> None:
    """By its `arch`, or by the arguments that its trainer stored: the network, dilation, pooling."""
    network = registry.create("resnet18")
    torch.save({"state_dict": network.state_dict(), **says}, tmp_path / "checkpoint.pth")
    if message is None:
        assert import_weights(tmp_path / "checkpoint.pth").weights.spec == network.spec
        return
    with pytest.raises(WeightsError, match=message):
        import_weights(tmp_path / "checkpoint.pth")
    if says.keys() == {"arch"}:  # any text, of anyone's trainer
        assert import_weights(tmp_path / "checkpoint.pth", "resnet18").weights.spec == network.spec


def test_timms_crop_share_gives_the_size_to_resize_to() -> None:
    """Every size survives the way to timm's share and back; an unknown interpolation is refused."""
    config = {key: value for key, value in CONFIG.items() if not key.startswith("test_")}
    assert timm.input_spec_of(config).resize == 235  # 224 / 0.95, rounded down as timm does
    assert timm.input_spec_of({}) == imagenet_input()
    for size, resize in ((224, 232), (224, 256), (64, 72), *((32, resize) for resize in range(32, 99))):
        declared = timm.config_of(InputSpec(size=size, resize=resize, mean=(0.5,) * 3), 10)
        assert declared is not None and timm.input_spec_of(declared).resize == resize
    for other in ({"crop_mode": "squash"}, {"crop_pct": 1.1}):
        with pytest.raises(WeightsError, match="pretrained_cfg"):
            timm.input_spec_of(other)
    with pytest.raises(WeightsError, match="'random'"):
        timm.input_spec_of({"interpolation": "random"})


def test_timms_networks_have_the_names_that_we_know() -> None:
    """Of the package itself, without memory: VGG's hidden layers are convolutions there."""
    package = pytest.importorskip("timm")
    for ours, theirs in torchvision_layout.NAMES.items():
        if theirs == "googlenet":
            assert not package.is_model(theirs)
            continue
        with torch.device("meta"):
            tensors = package.create_model(theirs).state_dict()
        layout = recognise(tensors, {"pretrained_cfg": CONFIG})
        assert layout is timm.LAYOUT
        renamed = layout.rename(tensors)
        spec = declare(renamed, layout)
        assert spec == registry.declare(ours)
        require_same_keys(skeleton(spec), renamed)


def test_timms_convolution_in_a_head_is_our_fully_connected_layer() -> None:
    """The 7x7 convolution over 7x7 maps is the same linear function."""
    kernel, maps = noise((4, 2, 7, 7)), noise((2, 2, 7, 7)).flip(0)
    renamed = timm.LAYOUT.rename({"pre_logits.fc1.weight": kernel})
    torch.testing.assert_close(
        F.linear(maps.flatten(1), renamed["classifier.0.weight"]), F.conv2d(maps, kernel).flatten(1)
    )
