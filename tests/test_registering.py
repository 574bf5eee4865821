"""What a module outside the package registers (`tests/registering.py`) works like what is part of it."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import resnets
from resnets.cli import run as command
from resnets.detection.recipes import DETECTION_RECIPES
from resnets.errors import UsageError, WeightsError
from resnets.networks import registry
from resnets.networks.registry import NETWORKS, spec_of
from resnets.weights import weights_file

QUICK: dict[str, Any] = {"iterations": 4, "device": "cpu", "precision": "fp32"}
HERE = Path(__file__).parent


pytestmark = pytest.mark.usefixtures("registering")


@pytest.fixture(scope="module")
def trained(registering: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of the registered network, with an option of its own."""
    out = tmp_path_factory.mktemp("runs") / "two-layers"
    resnets.train("two-layers", "digits", out=out, width=4, **QUICK)
    return out


def test_a_trained_network_is_rebuilt_from_its_weights_file(trained: Path, tmp_path: Path) -> None:
    """Name and options are in the header; the run resumes, and it is converted, saved for the Hub and continued."""
    model = resnets.load(trained)
    spec = spec_of(model.network)
    assert spec is not None and (spec.name, spec.num_classes, spec.in_channels) == ("two-layers", 10, 1)
    assert model.network[0].out_channels == 4  # type: ignore[index]
    error = resnets.evaluate(trained, "digits").top1_error
    assert resnets.train("two-layers", "digits", out=trained, width=4, resume=True, **QUICK).test_error == error
    resnets.convert(trained, tmp_path / "weights.safetensors")
    folder = resnets.save_pretrained(model, tmp_path / "hub")
    for path in (tmp_path / "weights.safetensors", folder):
        assert resnets.evaluate(path, "digits").top1_error == error
    again = {"weights": trained, "out": tmp_path / "again", "width": 4}
    assert resnets.train("two-layers", "digits", **again, **QUICK).network == "two-layers"
    with pytest.raises(WeightsError, match=r"two-layers \(width=4\)"):
        resnets.create("two-layers", width=8, in_channels=1, weights=trained)


def test_a_state_dict_of_a_registered_network_is_converted(trained: Path, tmp_path: Path) -> None:
    """Weights become a file of the registered network, and not one of torchvision's."""
    network = resnets.create("two-layers", num_classes=3)
    torch.save(network.state_dict(), tmp_path / "theirs.pth")
    done = resnets.convert(tmp_path / "theirs.pth", tmp_path / "ours.safetensors", network="two-layers")
    assert done.spec == network.spec
    with pytest.raises(WeightsError, match="two-layers"):
        resnets.convert(tmp_path / "theirs.pth", tmp_path / "ours.pth", network="two-layers")  # torchvision has none


def test_the_commands_know_it(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """list, info, predict and plan take the registered name, and errors suggest it."""
    image = tmp_path / "image.png"
    digit = resnets.load_data("digits").test.images[0]
    Image.fromarray(digit.squeeze()).save(image)
    for arguments in (
        ["list"],
        ["info", "two-layers", "--json"],
        ["predict", str(trained), str(image)],
        ["plan", "two-layers", "--data", "digits", "--device-kind", "h100"],
    ):
        assert command(arguments) == 0
        out = capsys.readouterr().out
        assert "two-layers" in out or str(image) in out
    assert command(["train", "twolayers", "--data", "digits"]) == 2
    assert "did you mean two-layers" in capsys.readouterr().err


def test_a_registered_recipe_and_data_source_work_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Trained on, tested on, planned, audited and listed; what is misspelt is answered with their names."""
    run = tmp_path / "run"
    for arguments, shown in (
        (["train", "two-layers", "--data", "noise:10", "--recipe", "short", "--out", str(run)], "recipe short"),
        (["evaluate", str(run), "--data", "noise:10"], "32 test images of noise"),
        (["plan", "resnet8", "--data", "noise", "--recipe", "short", "--device-kind", "h100"], "recipe short"),
        (["data", "check", "noise"], "noise"),
        (["list", "recipes"], "short"),
        (["list", "data"], "noise[:SIDE]"),
    ):
        assert command(arguments) == 0
        assert shown in capsys.readouterr().out
    assert json.loads((run / "run.json").read_text())["recipe"]["iterations"] == 4
    assert "short" in [recipe.name for recipe in resnets.list_recipes()]
    assert "noise" in [source.name for source in resnets.list_data()]
    for options in (["--data", "noize"], ["--data", "noise", "--recipe", "shrot"]):
        assert command(["train", "resnet8", *options]) == 2
        error = capsys.readouterr().err
        assert "did you mean noise" in error or "did you mean short" in error


def test_a_name_that_is_taken_is_refused() -> None:
    """Another module's too, and a recipe's that a detector's has."""
    short = resnets.find_recipe("short")
    for name in ("cifar", "short", "voc"):
        with pytest.raises(UsageError, match=f"{name!r} already"):
            resnets.register_recipe(short.with_changes(name=name))
    resnets.register_recipe(DETECTION_RECIPES.find("small").with_changes(name="smaller"))
    with pytest.raises(UsageError, match="'smaller' already"):
        resnets.register_recipe(short.with_changes(name="smaller"))
    for name in ("digits", "noise", "a:b"):
        with pytest.raises(UsageError, match=name):
            resnets.register_data(name, lambda: resnets.load_data("digits"))
    resnets.register_data("pair", lambda: (1, 2))  # type: ignore[arg-type, return-value]
    with pytest.raises(UsageError, match="tuple"):
        resnets.load_data("pair")
    with pytest.raises(UsageError, match="pair"):
        resnets.load_data("pair:3")


@pytest.mark.usefixtures("estimated")
def test_a_study_takes_networks_by_name(tmp_path: Path) -> None:
    """A registered network is neither plain nor residual: no sentence and no panel takes it for one."""
    names = ("two-layers", "resnet8", "plain8")
    found = resnets.study("digits", networks=names, budget=100, out=tmp_path / "study", precision="fp32", device="cpu")
    assert [(row.network, row.residual) for row in found.rows] == list(zip(names, (None, True, False), strict=True))
    planned = json.loads(found.file.read_text())["plan"]["networks"]
    assert [row["depth"] for row in planned] == [3, 8, 8]
    with pytest.raises(UsageError, match="several sizes"):
        resnets.study("digits", networks=["resnet8", "resnet18"], out=tmp_path / "other")
    with pytest.raises(UsageError, match="depths"):
        resnets.study("digits", networks=["resnet8"], depths=[8], out=tmp_path / "other")


def test_without_the_module_one_error_says_what_to_import(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where the registering module is not imported, the error names the option that imports it."""
    with NETWORKS.scoped():
        resnets.register_network("for-a-moment", lambda num_classes=10, in_channels=3: nn.Linear(1, num_classes))
        network = resnets.create("for-a-moment")
        weights_file.save(tmp_path / "w.safetensors", network)
    assert command(["evaluate", str(tmp_path / "w.safetensors"), "--data", "digits"]) == 1
    assert f"resnets --import {__name__}" in capsys.readouterr().err
    assert command(["--import", "not_there", "list"]) == 2


def test_what_cannot_be_registered_is_refused() -> None:
    """Taken and invalid names, and functions without the needed parameters, are errors."""

    def fixed(width: int = 3) -> nn.Module:
        return nn.Identity()

    for name in ("resnet20", "resnet21", "two-layers", "no name", ""):
        with pytest.raises(UsageError, match=name or "''"):
            resnets.register_network(name, fixed, num_classes=10)
    with pytest.raises(UsageError, match="num_classes"):
        resnets.register_network("fixed", fixed)
    with NETWORKS.scoped():
        resnets.register_network("fixed", fixed, num_classes=10)
        resnets.register_network("fixed", lambda: [], num_classes=5)  # the same module may replace its own
        for options, message in (
            ({"num_classes": 6}, "num_classes=5"),
            ({"width": 1}, "no option 'width'"),
            ({}, "list"),
        ):
            with pytest.raises(UsageError, match=message):
                resnets.create("fixed", **options)
        resnets.register_network("fixed", fixed, num_classes=10)
        with pytest.raises(UsageError, match="width .* list"):
            resnets.create("fixed", width=[1])
    assert "fixed" not in registry.names()


def test_options_may_be_numbers_of_numpy() -> None:
    """Of a registered network, and of those that the paper compares with: they become Python's."""

    def sized(num_classes: int = 10, width: int = 3) -> nn.Module:
        return nn.Linear(width, num_classes)

    with NETWORKS.scoped():
        resnets.register_network("sized", sized)
        assert resnets.create("sized", width=np.int64(5)).in_features == 5
    for name, option, value in (
        ("maxout", "fc_pieces", np.int64(2)),
        ("highway19", "gate_bias", np.float32(-1)),
        ("googlenet", "batch_norm", np.bool_(True)),
        ("resnet20", "bn_group", torch.tensor(4)),
    ):
        assert getattr(registry.declare(name, **{option: value}), option) == value.item()
        assert type(getattr(registry.declare(name, **{option: value}), option)) is type(value.item())


def test_a_network_that_is_registered_again_is_listed_as_it_is_now() -> None:
    """As by a cell of a notebook that is run again."""
    sizes = []
    with NETWORKS.scoped():
        for width in (3, 30):
            network = partial(nn.Conv2d, 3, width, 1)
            resnets.register_network("again", lambda num_classes=10, make=network: make(), num_classes=10)
            sizes += [one.parameters for one in resnets.list_networks() if one.name == "again"]
    assert sizes == [12, 120]


def test_a_network_of_ours_may_be_registered_under_another_name() -> None:
    """What code asks a network goes by its parts, not by its declaration: stages, dense scores, weights."""
    from resnets.networks.complexity import stages
    from resnets.networks.dense import Dense

    with NETWORKS.scoped(), torch.device("meta"):  # VGG-16 has half a gigabyte of weights
        for number, name in enumerate(("resnet8", "vgg16")):
            resnets.register_network(f"mine{number}", partial(resnets.create, name), num_classes=5)
            network = resnets.create(f"mine{number}")
            assert stages(network, 32 if number == 0 else 224) == stages(resnets.create(name, num_classes=5))
            Dense(network, 224)
