"""The paper's printed numbers: each stands once, they agree with the text and with each other, and import no torch."""

from __future__ import annotations

import subprocess
import sys

import pytest

from resnets.networks import catalog
from resnets.networks.complexity import measure, skeleton
from resnets.paper.published import ALL, TABLE_2, TABLE_6, Published, find, for_network

TOP_1 = "ImageNet validation top-1 error, 10-crop"


def test_each_place_of_the_paper_is_declared_once() -> None:
    places = [(number.table, number.row, number.column) for number in ALL]
    assert len(places) == len(set(places)) == 5 + 4 + 14 + 14 + 2 + 1


def test_it_needs_no_torch() -> None:
    code = "import sys, resnets.paper.published; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("name", "headline"),
    [
        ("plain18", f"27.94 % {TOP_1}, Table 2"),
        ("resnet18", f"27.88 % {TOP_1} (option A), Table 2"),
        ("plain34", f"28.54 % {TOP_1}, Table 2"),
        ("resnet34", f"24.52 % {TOP_1}, Table 3"),  # option B, our default as well
        ("resnet50", f"22.85 % {TOP_1}, Table 3"),
        ("resnet101", f"21.75 % {TOP_1}, Table 3"),
        ("resnet152", f"21.43 % {TOP_1}, Table 3"),
        ("vgg16", f"28.07 % {TOP_1}, Table 3"),
        ("resnet20", "8.75 % CIFAR-10 test error, Table 6"),
        ("resnet32", "7.51 % CIFAR-10 test error, Table 6"),
        ("resnet44", "7.17 % CIFAR-10 test error, Table 6"),
        ("resnet56", "6.97 % CIFAR-10 test error, Table 6"),
        ("resnet110", "6.43 % CIFAR-10 test error (best of 5 runs), Table 6"),
        ("resnet1202", "7.93 % CIFAR-10 test error, Table 6"),
        ("plain110", ">60 % CIFAR-10 test error (not drawn), Figure 6"),
    ],
)
def test_headline_figures(name: str, headline: str) -> None:
    assert str(for_network(name)) == headline


def test_only_networks_of_the_catalogue_have_a_figure_and_the_others_none() -> None:
    having = {name for name in catalog.NAMES if for_network(name)}
    assert len(having) == 15
    for name in ("plain20", "plain1202", "plain50", "vgg19", "resnet50_v1_5", "resnet26", "nonsense"):
        assert for_network(name) is None


def test_the_differences_are_those_that_the_text_names() -> None:
    error = {(number.row, number.column): number.value for number in TABLE_2}
    # "the 34-layer ResNet is better than the 18-layer ResNet (by 2.8%)"
    assert error["18 layers", "ResNet"] - error["34 layers", "ResNet"] == pytest.approx(2.8, abs=0.06)
    # "the 34-layer ResNet reduces the top-1 error by 3.5%"
    assert error["34 layers", "plain"] - error["34 layers", "ResNet"] == pytest.approx(3.5, abs=0.06)
    # the degradation: the deeper plain network is worse
    assert error["34 layers", "plain"] > error["18 layers", "plain"]


def test_on_imagenet_deeper_is_better() -> None:
    rows = ("ResNet-34 A", "ResNet-34 B", "ResNet-34 C", "ResNet-50", "ResNet-101", "ResNet-152")
    errors = [find("Table 3", row, "top-5 err.").value for row in rows]
    assert errors == sorted(errors, reverse=True)


def test_the_five_runs_of_110_layers() -> None:
    best, mean, std = (find("Table 6", "ResNet, 110 layers", column).value for column in ("error", "mean", "std"))
    assert (best, mean, std) == (6.43, 6.61, 0.16)
    assert mean - 2 * std < best < mean


@pytest.mark.parametrize("number", [number for number in TABLE_6 if number.column == "# params"], ids=lambda n: n.row)
def test_our_networks_have_the_parameters_of_table_6(number: Published) -> None:
    """To the digits printed: two decimals of a million below one million, one above."""
    depth = number.row.split()[1]
    parameters = measure(skeleton(catalog.spec(f"resnet{depth}"))).parameters
    assert round(parameters / 1e6, 2 if number.value < 1e6 else 1) * 1e6 == pytest.approx(number.value)


def test_a_place_that_is_not_declared_is_an_error() -> None:
    with pytest.raises(KeyError, match="Table 9"):
        find("Table 9", "baseline", "mAP")
