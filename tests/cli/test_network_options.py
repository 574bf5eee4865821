"""`--network-option NAME=VALUE`: options of networks on the command line, recorded in the run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import resnets
from resnets.cli.network_options import read_options
from resnets.errors import UsageError
from resnets.networks.registry import declare

Command = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize(
    ("network", "texts", "expected"),
    [
        ("nin", ["pool2=avg"], {"pool2": "avg"}),
        ("maxout", ["fc_pieces=2", "num_classes=7"], {"fc_pieces": 2, "num_classes": 7}),
        ("highway19", ["stem_std=1", "gate_bias=-3"], {"stem_std": "1", "gate_bias": -3.0}),
        ("googlenet", ["lrn=false", "pool4_kernel=2", "auxiliary=True"], {"lrn": False, "pool4_kernel": 2}),
        ("bn_inception", ["variant=caffe"], {"variant": "caffe"}),
        ("resnet20", ["shortcut=B", "residual_layers=3"], {"shortcut": "B", "residual_layers": 3}),
        ("vgg16", ["initialization=he_fan_out"], {"initialization": "he_fan_out"}),
    ],
)
def test_values_are_of_the_options_kind(network: str, texts: list[str], expected: dict[str, Any]) -> None:
    """A number, a name or True or False, as the network's declaration has it."""
    spec = declare(network, **read_options(network, texts, {}))
    assert {name: getattr(spec, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("network", "texts", "wrong"),
    [
        ("nin", ["pool2"], "'pool2'; it must be NAME=VALUE"),
        ("nin", ["pool=avg"], "no option 'pool' .did you mean pool2.*; it has in_channels, num_classes, pool2"),
        ("nin", ["pool2=min"], "pool2 is 'min'; it must be max or avg"),
        ("nin", ["pool2=avg", "pool2=max"], "pool2 is given twice, as avg and as max"),
        ("maxout", ["fc_pieces=2.5"], "fc_pieces is 2.5"),
        ("googlenet", ["lrn=2"], "lrn is 2; it must be True or False"),
        ("resnet20", ["bn_group=0"], "bn_group is 0; it must be 1 or more"),
        ("resnet20", ["shortcut=B"], "shortcut is given twice, as A and as B"),
        ("resnet21", ["shortcut=B"], "no network 'resnet21'"),
    ],
)
def test_impossible_options(network: str, texts: list[str], wrong: str) -> None:
    """Each is one line that names the option and what there is."""
    given = {"shortcut": "A"} if network == "resnet20" else {}
    with pytest.raises(UsageError, match=wrong):
        declare(network, **read_options(network, texts, given))


@pytest.mark.usefixtures("registering")
def test_a_run_keeps_them(tmp_path: Path, command: Command) -> None:
    """`train` records them, what reads the run has them, and another value is another run."""
    run = tmp_path / "run"
    training = ["train", "two-layers", "--data", "noise", "--recipe", "short", "--workers", "0", "--out", str(run)]
    assert command(*training, "--network-option", "width=3")[0] == 0
    assert resnets.load(run).network.spec.options == {"width": 3}  # type: ignore[union-attr]
    code, _, err = command(*training, "--network-option", "width=4", "--resume")
    assert code != 0 and "network.spec.options.width is 3, and 4 is requested" in err


def test_info_shows_them(command: Command) -> None:
    """The network of the options, in its words."""
    code, out, _ = command("info", "fitnet19", "--network-option", "fc_pieces=2")
    assert code == 0 and "fitnet19 (fc_pieces=2)" in out and "2,548,602" in out
