"""The paper's printed numbers: each is declared once, and they agree with the text and with each other."""

from __future__ import annotations

from collections import Counter

import pytest

from resnets.networks import registry
from resnets.paper.published import ALL, TABLE_2, find, find_row, for_network

TOP_1 = "ImageNet validation top-1 error, 10-crop"


def test_each_place_of_the_paper_is_declared_once() -> None:
    """No place has two numbers, and each table as many new ones as printed."""
    places = [number.place for number in ALL]
    assert len(places) == len(set(places))
    # numbers that are printed again in Tables 1 to 14, and in the text
    printed = Counter(number.table for number in ALL if number.source == "printed")
    assert [printed[f"Table {number}"] for number in range(1, 15)] == [5, 4, 17, 18, 6, 34, 4, 4, 12, 61, 61, 5, 6, 6]
    assert (printed["section 4.1"], printed["section 4.2"], printed["Figure 6"]) == (2, 1, 1)


def test_what_was_read_off_a_figure_says_where_and_how_precisely() -> None:
    """A digitised number has its iteration or layer and its precision, a printed one neither."""
    for number in ALL:
        assert (number.source == "digitised") == (number.precision is not None) == (number.at is not None)
        assert number.source == "printed" or number.table.startswith("Figure")
        assert number.until is None or (number.at is not None and number.at < number.until)


@pytest.mark.parametrize(
    ("place", "printed"),
    [
        (("Table 6", "ResNet, 56 layers", "error"), "6.97"),
        (("Table 6", "Highway, 32 layers", "error"), "8.80"),
        (("Table 4", "VGG (v5)", "top-1 err."), "24.4"),
        (("Table 4", "ResNet-101", "top-5 err."), "4.60"),
        (("Table 9", "+ context", "mAP@[.5, .95], val"), "30.0"),
        (("Figure 6", "plain-110", "error"), ">60"),
        (("section 4.2", "ResNet-1202", "training"), "<0.1"),
    ],
)
def test_a_number_has_the_digits_that_are_printed(place: tuple[str, str, str], printed: str) -> None:
    """Trailing zeros and bounds are kept."""
    assert find(*place).printed == printed


def test_a_whole_row() -> None:
    """A row is found with all its columns; an unknown row is an error with its table."""
    row = find_row("Table 6", "ResNet, 110 layers")
    assert {column: number.value for column, number in row.items()} == {
        "# layers": 110,
        "# params": 1.7e6,
        "error": 6.43,
        "mean": 6.61,
        "std": 0.16,
    }
    with pytest.raises(KeyError, match="Table 6"):
        find_row("Table 6", "ResNet, 164 layers")


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
    """The number of a network is its best published error, with test, option and table."""
    assert str(for_network(name)) == headline


def test_only_networks_of_the_catalogue_have_a_figure_and_the_others_none() -> None:
    """22 networks have a published error; other depths, v1.5 and unknown names none."""
    having = {name for name in registry.names() if for_network(name)}
    assert len(having) == 22
    for name in ("plain20", "plain1202", "plain50", "vgg19", "resnet50_v1_5", "resnet26", "nonsense"):
        assert for_network(name) is None


def test_the_differences_are_those_that_the_text_names() -> None:
    """The gains that section 4.1 names follow from Table 2."""
    error = {(number.row, number.column): number.value for number in TABLE_2}
    # "the 34-layer ResNet is better than the 18-layer ResNet (by 2.8%)"
    assert error["18 layers", "ResNet"] - error["34 layers", "ResNet"] == pytest.approx(2.8, abs=0.06)
    # "the 34-layer ResNet reduces the top-1 error by 3.5%"
    assert error["34 layers", "plain"] - error["34 layers", "ResNet"] == pytest.approx(3.5, abs=0.06)
    # the degradation: the deeper plain network is worse
    assert error["34 layers", "plain"] > error["18 layers", "plain"]


def test_on_imagenet_deeper_is_better() -> None:
    """Table 3's top-5 errors fall from row to row."""
    rows = ("ResNet-34 A", "ResNet-34 B", "ResNet-34 C", "ResNet-50", "ResNet-101", "ResNet-152")
    errors = [find("Table 3", row, "top-5 err.").value for row in rows]
    assert errors == sorted(errors, reverse=True)


def test_the_five_runs_of_110_layers() -> None:
    """Best, mean and deviation of Table 6 are consistent."""
    best, mean, std = (find("Table 6", "ResNet, 110 layers", column).value for column in ("error", "mean", "std"))
    assert (best, mean, std) == (6.43, 6.61, 0.16)
    assert mean - 2 * std < best < mean


def test_a_place_that_is_not_declared_is_an_error() -> None:
    """A wrong column or position is a KeyError with the place."""
    with pytest.raises(KeyError, match="Table 9"):
        find("Table 9", "baseline", "mAP")
    with pytest.raises(KeyError, match="at 1"):
        find("Figure 7", "plain-20", "sorted", at=1)
