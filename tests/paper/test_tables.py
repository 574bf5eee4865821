"""The tables say what paper.md says, line by line; what they declare exists, costs what is printed and can be built."""

from __future__ import annotations

import subprocess
import sys
from typing import get_args

import pytest

from resnets.detection.recipes import DETECTION_RECIPES
from resnets.localisation.recipes import all_recipes
from resnets.networks import registry
from resnets.networks.complexity import measure, skeleton, stages
from resnets.paper import figures, published, tables
from resnets.paper.declarations import DetectionTest, Part, Row, Table
from resnets.paper.detection_data import DETECTION_DATA
from resnets.paper.detection_data import stages as data_of
from resnets.paper.published.detection import VOC_CLASSES, VOC_NAMES
from resnets.specs import Shortcut

# Of each table as it is printed: its rows, its numbers (with those that it repeats from another), and their sum.
PRINTED = {
    "table1": (5, 5, 28.1e9),
    "table2": (4, 4, 109.39),
    "table3": (10, 19, 297.62),
    "table4": (10, 18, 231.93),
    "table5": (6, 6, 34.11),
    "table6": (12, 34, 29_391_644.55),
    "table7": (4, 4, 293.8),
    "table8": (2, 4, 138.3),
    "table9": (8, 16, 658.0),
    "table10": (3, 63, 4939.9),
    "table11": (3, 63, 4787.6),
    "table12": (3, 5, 288.9),
    "table13": (6, 7, 96.6),
    "table14": (4, 7, 156.7),
}

TABLES = list(tables.TABLES.values())
ROWS = [pytest.param(table, row, id=f"{table.name}-{row.slug}") for table in TABLES for row in table.rows]
OURS = [row for table in TABLES for row in table.rows if not row.cited]


# ---------------------------------------------------------------- what is printed


def test_there_are_fourteen() -> None:
    """In the paper's order."""
    assert list(tables.TABLES) == list(PRINTED) == [f"table{number}" for number in range(1, 15)]


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_rows_and_numbers_are_as_many_as_printed_with_their_sum(table: Table) -> None:
    """A digit, number or row that was changed, lost or added is noticed; the numbers themselves are written once."""
    columns = {column.name for column in table.columns if column.measure != "layers"}
    numbers = [row.published[name].value for row in table.rows for name in columns & row.published.keys()]
    rows, count, total = PRINTED[table.name]
    assert (len(table.rows), len(numbers)) == (rows, count)
    assert sum(numbers) == pytest.approx(total, rel=1e-10)


def options_of(row: Row) -> dict[str, Shortcut]:
    """The options of a row's network."""
    return {} if row.shortcut is None else {"shortcut": row.shortcut}


def row_of(table: str, name: str) -> Row:
    """A row by its label or slug."""
    return next(row for row in tables.TABLES[table].rows if name in (row.label, row.slug))


@pytest.mark.parametrize(("table", "row"), ROWS)
def test_each_row_has_published_numbers_or_says_why_none(table: Table, row: Row) -> None:
    """Of a column of its table, in that column's unit."""
    columns = {column.name: column for column in table.columns}
    assert row.published or row.reason
    assert set(row.published) | set(row.text) <= set(columns)
    for name, number in row.published.items():
        assert number is published.find(*number.place)
        assert number.unit == columns[name].unit


@pytest.mark.parametrize(("table", "row"), ROWS)
def test_a_row_is_cited_or_can_be_compared(table: Table, row: Row) -> None:
    """What is cited is not measured; what is ours says what is compared, how it is tested, and what is missing."""
    assert set(row.tolerances) <= set(row.compared) <= set(row.published)
    assert set(row.needs) <= set(get_args(Part))
    assert all(tolerance.value > 0 and tolerance.reason for tolerance in row.tolerances.values())
    if row.cited:
        assert not row.compared and not row.needs and row.availability == "cited" and row.training is None
    else:
        assert row.compared
        assert row.network or row.note, "an ensemble says of what"
        assert not (row.network and row.members)
        assert table.kind == "complexity" or (row.data and row.protocol)
        assert row.tested_on or table.kind == "complexity"
        assert row.recipe or not row.network or table.kind == "complexity"


def test_every_number_stands_in_a_table_or_a_figure() -> None:
    """No published number is left over, but for two of the text."""
    outside = {"section 4.1": "the multiply-adds of VGG-16 and VGG-19, which the text compares with Table 1"}
    used = {number.place for table in TABLES for row in table.rows for number in row.published.values()}
    used |= {
        number.place for figure in figures.FIGURES.values() for curve in figure.curves for number in curve.published
    }
    unused = {number.table for number in published.ALL if number.place not in used}
    assert unused == set(outside)


def test_the_rows_of_a_table_have_slugs_of_their_own() -> None:
    """No two rows of a table have one slug."""
    for table in TABLES:
        assert len({row.slug for row in table.rows}) == len(table.rows)


def test_it_needs_no_torch() -> None:
    """Tables, figures and published numbers are read without it, which takes seconds to import."""
    code = "import sys, resnets.paper.tables, resnets.paper.figures; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# ---------------------------------------------------------------- what the paper says about them


def test_the_class_means_are_the_printed_map() -> None:
    """Tables 10 and 11: the mean over 20 classes, to the digit."""
    assert len(VOC_CLASSES) == 20
    for name in ("table10", "table11"):
        for row in tables.TABLES[name].rows:
            mean = sum(row.published[label].value for label in VOC_CLASSES) / 20
            assert mean == pytest.approx(row.published["mAP"].value, abs=0.051), row.label


def test_the_gains_are_those_that_the_text_names() -> None:
    """Of detection, 6.9 and 6.0 points or 28 %; of localisation, 64 %; and a single model beats all ensembles."""
    vgg, resnet = tables.TABLES["table8"].rows
    assert resnet.published["mAP@.5"].value - vgg.published["mAP@.5"].value == pytest.approx(6.9)
    gain = resnet.published["mAP@[.5, .95]"].value - vgg.published["mAP@[.5, .95]"].value
    assert gain == pytest.approx(6.0)
    assert round(100 * gain / vgg.published["mAP@[.5, .95]"].value) == 28
    theirs, ours = (row_of("table14", slug).published["test"].value for slug in ("vgg-ilsvrc-14", "ours-ilsvrc-15"))
    assert round(100 * (theirs - ours) / theirs) == 64
    single = row_of("table4", "ResNet-152").published["top-5 err."].value
    earlier = [row.published["top-5 err. (test)"].value for row in tables.TABLES["table5"].rows[:-1]]
    assert single < min(earlier)


# ---------------------------------------------------------------- what they declare exists


@pytest.mark.parametrize(
    ("network", "options"),
    sorted({(row.network, tuple(options_of(row).items())) for table in TABLES for row in table.rows if row.network}),
    ids=str,
)
def test_each_network_can_be_built(network: str, options: tuple[tuple[str, str], ...]) -> None:
    """Each row's network and options are declared by the registry."""
    spec = registry.declare(network, **dict(options))  # type: ignore[arg-type]
    assert skeleton(spec).spec == spec


def test_trainings_name_a_recipe_and_the_shortcut_option() -> None:
    """So that rows and curves that share a run have equal trainings."""
    trainings = [training for row in OURS for training in row.trainings]
    assert trainings
    for training in trainings:
        assert all_recipes()[training.recipe].name == training.recipe
        assert (training.shortcut is None) != training.network.startswith("resnet")
    assert all((row.shortcut is None) != (row.network or "").startswith("resnet") for row in OURS)


def test_earlier_networks_are_trained_and_tested_as_by_their_authors() -> None:
    """Each row of Tables 3 and 4 is a network with its authors' recipe; of Table 5 one ensemble has known members."""
    earlier = {
        (table, row.label): (row.network or row.members, row.recipe, row.protocol)
        for table in ("table3", "table4", "table5")
        for row in tables.TABLES[table].rows
        if row.reference and not row.cited
    }
    vggs, prelu_net = "dense-multi-scale at 256, 384, 512", "dense-multi-scale at 256, 384, 480"
    assert earlier == {
        ("table3", "VGG-16"): ("vgg16", "authors-vgg", "ten-crop"),
        ("table3", "GoogLeNet"): ("googlenet", "authors-googlenet", "ten-crop"),
        ("table3", "PReLU-net"): ("prelu_net_c", "authors-prelu-net", "ten-crop"),
        ("table4", "VGG (ILSVRC'14)"): ("vgg16", "authors-vgg", vggs),
        ("table4", "GoogLeNet (ILSVRC'14)"): ("googlenet", "authors-googlenet", "144-crop"),
        ("table4", "VGG (v5)"): ("vgg19", "authors-vgg", vggs),
        ("table4", "PReLU-net"): ("prelu_net_c", "authors-prelu-net", prelu_net),
        ("table4", "BN-inception"): ("bn_inception", "authors-bn-inception", "144-crop"),
        ("table5", "VGG (v5)"): (("vgg16", "vgg19"), "authors-vgg", vggs),
    }
    assert not any(row.cited for table in ("table3", "table4") for row in tables.TABLES[table].rows)


def test_all_is_ready_but_ensembles_without_names() -> None:
    """Each table of ours has a row that can be run, and every part is one that a row needs."""
    assert {part for row in OURS for part in row.needs} == set(get_args(Part))
    assert {table.name for table in TABLES if any(row.availability == "ready" for row in table.rows)} == {
        *(f"table{number}" for number in range(1, 14))
    }
    assert all(row.availability == ("ready" if row.network or row.members else "ensemble") for row in OURS)


def test_detectors_name_their_recipe_data_and_test() -> None:
    """With global context it is a training of its own; what is tested with and without refinements is one training."""
    for name in ("table7", "table8", "table9", "table10", "table11", "table12"):
        for row in tables.TABLES[name].rows:
            if row.network is None or row.cited:
                continue
            assert row.training is not None and row.detection_test is not None and row.availability == "ready"
            recipe = DETECTION_RECIPES.find(row.training.recipe)
            assert recipe.global_context == ("global-context" in row.needs)
            assert data_of(row.training.data)[0] in DETECTION_DATA
            assert row.detection_test.multi_scale == (row.protocol == "multi-scale")
    plain, refined = row_of("table9", "baseline, ResNet-101"), row_of("table9", "+ box refinement")
    assert plain.training == refined.training == row_of("table8", "ResNet-101").training
    assert (plain.detection_test, refined.detection_test) == (
        DetectionTest(protocol="coco"),
        DetectionTest(protocol="coco", box_refinement=True),
    )
    assert tables.TABLES["table7"].rows[0].training == tables.TABLES["table10"].rows[0].training
    (det,) = (row for row in tables.TABLES["table12"].rows if row.availability == "ready")
    assert det.detection_test == DetectionTest(protocol="ilsvrc", box_refinement=True, multi_scale=True)
    assert det.compared == ("val2",)


def test_the_classes_of_voc_are_those_of_its_files() -> None:
    """The tables' class names stand for those in VOC's files, in order."""
    from resnets.detection.voc import CLASSES

    assert tuple(VOC_NAMES[name] for name in VOC_CLASSES) == CLASSES


@pytest.mark.parametrize("row", tables.TABLES["table6"].rows[6:], ids=lambda row: row.slug)
def test_our_networks_have_the_depth_and_the_parameters_of_table_6(row: Row) -> None:
    """To the digits printed: two decimals of a million below one million, one above."""
    network = skeleton(registry.declare(row.network or "", **options_of(row)))
    depth, parameters = row.published["# layers"].value, row.published["# params"].value
    count = sum(weight.numel() for weight in network.parameters())
    assert network.spec.depth == depth
    assert abs(count - parameters) <= row.tolerances["# params"].value
    assert round(count / 1e6, 2 if parameters < 1e6 else 1) * 1e6 == pytest.approx(parameters)


@pytest.mark.parametrize("row", [row_of("table6", f"Highway, {depth} layers") for depth in (19, 32)])
def test_highway_networks_have_the_depth_and_the_parameters_of_table_6(row: Row) -> None:
    """Within half a unit of the last digit printed."""
    network = skeleton(registry.declare(row.network or ""))
    assert network.spec.depth == row.published["# layers"].value
    count = sum(weight.numel() for weight in network.parameters())
    assert abs(count - row.published["# params"].value) <= row.tolerances["# params"].value


@pytest.mark.parametrize("row", tables.TABLES["table1"].rows, ids=lambda row: row.slug)
def test_our_networks_have_the_layers_and_the_cost_of_table_1(row: Row) -> None:
    """Our stages print as Table 1's cells, and cost what it says."""
    network = skeleton(registry.declare(row.network or "", **options_of(row)))
    assert f"{network.spec.depth}-layer" == row.label
    assert abs(measure(network).macs - row.published["FLOPs"].value) <= row.tolerances["FLOPs"].value
    convolutions = list(row.text.items())[:-1]
    assert [
        (f"{stage.name}, {stage.output_size[0]}x{stage.output_size[1]}", stage.layers) for stage in stages(network)
    ][: len(convolutions)] == convolutions
    assert row.text["1x1"] == "average pool, 1000-d fc, softmax"
    assert stages(network)[-1].layers == "average pool; 1000-d fc"


@pytest.mark.parametrize("table", [tables.TABLES["table4"], tables.TABLES["table5"]], ids=lambda table: table.name)
def test_dense_tests_list_what_becomes_of_the_mean_image(table: Table) -> None:
    """The tables of fully convolutional tests say what is subtracted from images larger than the mean image."""
    assert any(row.protocol == "dense-multi-scale" for row in table.rows)
    assert any("mean image" in choice.open and choice.ours and choice.why for choice in table.choices)


def test_seeds() -> None:
    """Two networks of Table 6 were run several times, five; their means are compared with ours."""
    several = [(row.label, row.seeds, row.compared) for row in OURS if row.seeds > 1]
    compared = ("# layers", "# params", "mean")
    assert several == [("Highway, 19 layers", 5, compared), ("ResNet, 110 layers", 5, compared)]


def test_parameters_are_judged_by_the_digits_that_are_printed() -> None:
    """Half a unit of the last one: 0.27M and 1.25M have two decimals, 1.7M and 19.4M one."""
    rows = {row.network: row for row in tables.TABLES["table6"].rows if "# params" in row.tolerances}
    found = {name: rows[name].tolerances["# params"].value for name in ("resnet20", "highway32", "resnet110")}
    assert found == {"resnet20": 5_000, "highway32": 5_000, "resnet110": 50_000}


def test_tolerances() -> None:
    """From the deviation that the paper gives, 0.16: of two single runs, and of one next to a mean of five."""
    assert row_of("table6", "resnet-20-layers").tolerances["error"].value == pytest.approx(2 * 0.16 * 2**0.5, abs=0.005)
    assert row_of("table6", "resnet-110-layers").tolerances["mean"].value == pytest.approx(
        2 * 0.16 * 1.2**0.5, abs=0.005
    )
    assert row_of("table3", "ResNet-50").tolerances["top-1 err."].value == 0.5
    assert row_of("table3", "ResNet-50").tolerances["top-5 err."].value == 0.25
