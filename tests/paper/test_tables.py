"""The tables say what paper.md says, line by line; what they declare exists, costs what is printed and can be built."""

from __future__ import annotations

import subprocess
import sys
from typing import get_args

import pytest

from resnets.detection.recipes import ALL_RECIPES, DETECTION_RECIPES
from resnets.errors import UsageError
from resnets.networks import catalog
from resnets.networks.complexity import measure, skeleton, stages
from resnets.paper import figures, published, tables
from resnets.paper.declarations import BUILT, PARTS, DetectionTest, Part, Row, Table
from resnets.paper.detection_data import DETECTION_DATA
from resnets.paper.detection_data import stages as data_of
from resnets.paper.published.detection import VOC_CLASSES, VOC_NAMES

# Written out from paper.md: every line of every table, with the numbers that a table repeats from another.
PRINTED = {
    "table1": """
18-layer | 1.8e+09
34-layer | 3.6e+09
50-layer | 3.8e+09
101-layer | 7.6e+09
152-layer | 1.13e+10
""",
    "table2": """
plain, 18 layers | 27.94
ResNet, 18 layers | 27.88
plain, 34 layers | 28.54
ResNet, 34 layers | 25.03
""",
    "table3": """
VGG-16 [41] | 28.07 9.33
GoogLeNet [44] | - 9.15
PReLU-net [13] | 24.27 7.38
plain-34 | 28.54 10.02
ResNet-34 A | 25.03 7.76
ResNet-34 B | 24.52 7.46
ResNet-34 C | 24.19 7.40
ResNet-50 | 22.85 6.71
ResNet-101 | 21.75 6.05
ResNet-152 | 21.43 5.71
""",
    "table4": """
VGG (ILSVRC'14) [41] | - 8.43
GoogLeNet (ILSVRC'14) [44] | - 7.89
VGG (v5) [41] | 24.4 7.1
PReLU-net [13] | 21.59 5.71
BN-inception [16] | 21.99 5.81
ResNet-34 B | 21.84 5.71
ResNet-34 C | 21.53 5.60
ResNet-50 | 20.74 5.25
ResNet-101 | 19.87 4.60
ResNet-152 | 19.38 4.49
""",
    "table5": """
VGG (ILSVRC'14) [41] | 7.32
GoogLeNet (ILSVRC'14) [44] | 6.66
VGG (v5) [41] | 6.8
PReLU-net [13] | 4.94
BN-inception [16] | 4.82
ResNet (ILSVRC'15) | 3.57
""",
    "table6": """
Maxout [10] | - - 9.38 - -
NIN [25] | - - 8.81 - -
DSN [24] | - - 8.22 - -
FitNet, 19 layers [35] | 19 2.5e+06 8.39 - -
Highway, 19 layers [42, 43] | 19 2.3e+06 7.54 7.72 0.16
Highway, 32 layers [42, 43] | 32 1.25e+06 8.80 - -
ResNet, 20 layers | 20 270000 8.75 - -
ResNet, 32 layers | 32 460000 7.51 - -
ResNet, 44 layers | 44 660000 7.17 - -
ResNet, 56 layers | 56 850000 6.97 - -
ResNet, 110 layers | 110 1.7e+06 6.43 6.61 0.16
ResNet, 1202 layers | 1202 1.94e+07 7.93 - -
""",
    "table7": """
VGG-16, 07+12 | 73.2
VGG-16, 07++12 | 70.4
ResNet-101, 07+12 | 76.4
ResNet-101, 07++12 | 73.8
""",
    "table8": """
VGG-16 | 41.5 21.2
ResNet-101 | 48.4 27.2
""",
    "table9": """
baseline, VGG-16 | 41.5 21.2
baseline, ResNet-101 | 48.4 27.2
+ box refinement | 49.9 29.9
+ context | 51.1 30.0
+ context, trainval | 53.3 32.2
+ multi-scale testing | 53.8 32.5
+ multi-scale testing, trainval | 55.7 34.9
ensemble, trainval | 59.0 37.4
""",
    "table10": """
baseline, VGG-16, 07+12 | \
73.2 76.5 79.0 70.9 65.5 52.1 83.1 84.7 86.4 52.0 81.9 \
65.7 84.8 84.6 77.5 76.7 38.8 73.6 73.9 83.0 72.6
baseline, ResNet-101, 07+12 | \
76.4 79.8 80.7 76.2 68.3 55.9 85.1 85.3 89.8 56.7 87.8 \
69.4 88.3 88.9 80.9 78.4 41.7 78.6 79.8 85.3 72.0
baseline+++, ResNet-101, COCO+07+12 | \
85.6 90.0 89.6 87.8 80.8 76.1 89.9 89.9 89.6 75.5 90.0 \
80.7 89.6 90.3 89.1 88.7 65.4 88.1 85.6 89.0 86.8
""",
    "table11": """
baseline, VGG-16, 07++12 | \
70.4 84.9 79.8 74.3 53.9 49.8 77.5 75.9 88.5 45.6 77.1 \
55.3 86.9 81.7 80.9 79.6 40.1 72.6 60.9 81.2 61.5
baseline, ResNet-101, 07++12 | \
73.8 86.5 81.6 77.2 58.0 51.0 78.6 76.6 93.2 48.6 80.4 \
59.0 92.1 85.3 84.8 80.7 48.1 77.3 66.5 84.7 65.6
baseline+++, ResNet-101, COCO+07++12 | \
83.8 92.1 88.4 84.8 75.9 71.4 86.3 87.8 94.2 66.8 89.4 \
69.2 93.9 91.9 90.9 89.6 67.9 88.2 76.8 90.3 80.0
""",
    "table12": """
GoogLeNet (ILSVRC'14) [44] | - 43.9
our single model (ILSVRC'15) | 60.5 58.8
our ensemble (ILSVRC'15) | 63.6 62.1
""",
    "table13": """
VGG's, VGG-16, 1-crop [41] | 33.1 - -
RPN, ResNet-101, 1-crop | 13.3 - -
RPN, ResNet-101, dense | 11.7 - -
RPN, ResNet-101, dense, classified by ResNet-101 | - 4.60 14.4
RPN+RCNN, ResNet-101, dense, classified by ResNet-101 | - - 10.6
RPN+RCNN, ensemble, dense, classified by an ensemble | - - 8.9
""",
    "table14": """
OverFeat (ILSVRC'13) [40] | 30.0 29.9
GoogLeNet (ILSVRC'14) [44] | - 26.7
VGG (ILSVRC'14) [41] | 26.9 25.3
ours (ILSVRC'15) | 8.9 9.0
""",
}

TABLES = list(tables.TABLES.values())
ROWS = [pytest.param(table, row, id=f"{table.name}-{row.slug}") for table in TABLES for row in table.rows]
OURS = [row for table in TABLES for row in table.rows if not row.cited]


def _line(table: Table, row: Row) -> str:
    """A row as it is written out above."""
    columns = [column.name for column in table.columns if column.measure != "layers"]
    numbers = (row.published[name].printed if name in row.published else "-" for name in columns)
    return f"{row.label} {row.reference}".strip() + " | " + " ".join(numbers)


# ---------------------------------------------------------------- what is printed


def test_there_are_fourteen() -> None:
    assert list(tables.TABLES) == list(PRINTED) == [f"table{number}" for number in range(1, 15)]


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_each_line_is_the_papers(table: Table) -> None:
    assert [_line(table, row) for row in table.rows] == PRINTED[table.name].strip().splitlines()


@pytest.mark.parametrize(("table", "row"), ROWS)
def test_each_row_has_published_numbers_or_says_why_none(table: Table, row: Row) -> None:
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
        assert table.kind == "complexity" or (row.data and row.protocol)
        assert row.tested_on or table.kind == "complexity"
        assert row.recipe or row.needs or table.kind == "complexity"


def test_every_number_stands_in_a_table_or_a_figure() -> None:
    outside = {"section 4.1": "the multiply-adds of VGG-16 and VGG-19, which the text sets beside Table 1"}
    used = {number.place for table in TABLES for row in table.rows for number in row.published.values()}
    used |= {
        number.place for figure in figures.FIGURES.values() for curve in figure.curves for number in curve.published
    }
    unused = {number.table for number in published.ALL if number.place not in used}
    assert unused == set(outside)


def test_rows_are_found_by_label_and_by_slug() -> None:
    for table in TABLES:
        assert len({row.slug for row in table.rows}) == len(table.rows)
        for row in table.rows:
            assert table.row(row.label) is table.row(row.slug) is row
    assert tables.find("table6").row("resnet-110-layers").seeds == 5
    with pytest.raises(UsageError, match=r"table6 has no row 'resnet-110' \(did you mean resnet-110-layers"):
        tables.find("table6").row("resnet-110")
    with pytest.raises(UsageError, match=r"unknown table 'table15' \(did you mean .*; known: table1, "):
        tables.find("table15")


def test_it_needs_no_torch() -> None:
    code = "import sys, resnets.paper.tables, resnets.paper.figures; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# ---------------------------------------------------------------- what the paper says about them


def test_the_class_means_are_the_printed_map() -> None:
    """Tables 10 and 11: the mean over 20 classes, to the digit."""
    assert len(VOC_CLASSES) == 20
    for name in ("table10", "table11"):
        for row in tables.find(name).rows:
            mean = sum(row.published[label].value for label in VOC_CLASSES) / 20
            assert mean == pytest.approx(row.published["mAP"].value, abs=0.051), row.label


def test_the_gains_are_those_that_the_text_names() -> None:
    vgg, resnet = tables.find("table8").rows
    assert resnet.published["mAP@.5"].value - vgg.published["mAP@.5"].value == pytest.approx(6.9)
    gain = resnet.published["mAP@[.5, .95]"].value - vgg.published["mAP@[.5, .95]"].value
    assert gain == pytest.approx(6.0)
    assert round(100 * gain / vgg.published["mAP@[.5, .95]"].value) == 28
    theirs, ours = (
        tables.find("table14").row(slug).published["test"].value for slug in ("vgg-ilsvrc-14", "ours-ilsvrc-15")
    )
    assert round(100 * (theirs - ours) / theirs) == 64
    single = tables.find("table4").row("ResNet-152").published["top-5 err."].value
    earlier = [row.published["top-5 err. (test)"].value for row in tables.find("table5").rows if row.cited]
    assert single < min(earlier)


# ---------------------------------------------------------------- what they declare exists


@pytest.mark.parametrize(
    ("network", "options"),
    sorted({(row.network, tuple(row.options.items())) for table in TABLES for row in table.rows if row.network}),
    ids=str,
)
def test_each_network_can_be_built(network: str, options: tuple[tuple[str, str], ...]) -> None:
    spec = catalog.spec(network, **dict(options))  # type: ignore[arg-type]
    assert skeleton(spec).spec == spec


def test_trainings_name_a_recipe_and_the_shortcut_option() -> None:
    """So that rows and curves that share a run have equal trainings."""
    trainings = [row.training for row in OURS if row.training]
    assert trainings
    for training in trainings:
        assert ALL_RECIPES[training.recipe].name == training.recipe
        assert (training.shortcut is None) != training.network.startswith("resnet")
    assert all((row.shortcut is None) != (row.network or "").startswith("resnet") for row in OURS)


def test_what_is_missing_is_named() -> None:
    """Every part is needed by a row; all is ready but for localisation, ImageNet DET, and ensembles without names."""
    assert {part for row in OURS for part in row.needs} == set(get_args(Part)) == set(PARTS)
    assert {table.name for table in TABLES if any(row.availability == "ready" for row in table.rows)} == {
        *(f"table{number}" for number in (1, 2, 3, 4, 6, 7, 8, 9, 10, 11))
    }
    for row in OURS:
        assert set(row.missing) == set(row.needs) - BUILT


def test_detectors_name_their_recipe_data_and_test() -> None:
    """With global context it is a training of its own; what is tested with and without refinements is one training."""
    for name in ("table7", "table8", "table9", "table10", "table11"):
        for row in tables.find(name).rows:
            if row.network is None:
                continue
            assert row.training is not None and row.detection_test is not None and row.availability == "ready"
            recipe = DETECTION_RECIPES[row.training.recipe]
            assert recipe.global_context == ("global-context" in row.needs)
            assert data_of(row.training.data)[0] in DETECTION_DATA
            assert row.detection_test.multi_scale == (row.protocol == "multi-scale")
    table = tables.find("table9")
    plain, refined = table.row("baseline, ResNet-101"), table.row("+ box refinement")
    assert plain.training == refined.training == tables.find("table8").row("ResNet-101").training
    assert (plain.detection_test, refined.detection_test) == (
        DetectionTest(protocol="coco"),
        DetectionTest(protocol="coco", box_refinement=True),
    )
    assert tables.find("table7").rows[0].training == tables.find("table10").rows[0].training
    assert {row.slug for row in tables.find("table12").rows if row.availability == "ready"} == set()


def test_the_classes_of_voc_are_those_of_its_files() -> None:
    from resnets.detection.voc import CLASSES

    assert tuple(VOC_NAMES[name] for name in VOC_CLASSES) == CLASSES


@pytest.mark.parametrize("row", tables.find("table6").rows[6:], ids=lambda row: row.slug)
def test_our_networks_have_the_depth_and_the_parameters_of_table_6(row: Row) -> None:
    """To the digits printed: two decimals of a million below one million, one above."""
    network = skeleton(catalog.spec(row.network or "", **row.options))
    depth, parameters = row.published["# layers"].value, row.published["# params"].value
    count = sum(weight.numel() for weight in network.parameters())
    assert network.spec.depth == depth
    assert abs(count - parameters) <= row.tolerances["# params"].value
    assert round(count / 1e6, 2 if parameters < 1e6 else 1) * 1e6 == pytest.approx(parameters)


@pytest.mark.parametrize("row", tables.find("table1").rows, ids=lambda row: row.slug)
def test_our_networks_have_the_layers_and_the_cost_of_table_1(row: Row) -> None:
    network = skeleton(catalog.spec(row.network or "", **row.options))
    assert f"{network.spec.depth}-layer" == row.label
    assert abs(measure(network).macs - row.published["FLOPs"].value) <= row.tolerances["FLOPs"].value
    convolutions = list(row.text.items())[:-1]
    assert [
        (f"{stage.name}, {stage.output_size[0]}x{stage.output_size[1]}", stage.layers) for stage in stages(network)
    ][: len(convolutions)] == convolutions
    assert row.text["1x1"] == "average pool, 1000-d fc, softmax"
    assert stages(network)[-1].layers == "average pool; 1000-d fc"


@pytest.mark.parametrize("table", [tables.find("table4"), tables.find("table5")], ids=lambda table: table.name)
def test_dense_tests_list_what_becomes_of_the_mean_image(table: Table) -> None:
    """The tables of fully convolutional tests say what is subtracted from images larger than the mean image."""
    assert any(row.protocol == "dense-multi-scale" for row in table.rows)
    assert any("mean image" in choice.open and choice.ours and choice.why for choice in table.choices)


def test_seeds() -> None:
    """Only ResNet-110 of Table 6 is said to have been run several times, five; its mean is what ours is set beside."""
    several = [(row.label, row.seeds, row.compared) for row in OURS if row.seeds > 1]
    assert several == [("ResNet, 110 layers", 5, ("# layers", "# params", "mean"))]


def test_tolerances() -> None:
    """From the deviation that the paper gives, 0.16: of two single runs, and of one beside a mean of five."""
    table = tables.find("table6")
    assert table.row("resnet-20-layers").tolerances["error"].value == pytest.approx(2 * 0.16 * 2**0.5, abs=0.005)
    assert table.row("resnet-110-layers").tolerances["mean"].value == pytest.approx(2 * 0.16 * 1.2**0.5, abs=0.005)
    assert tables.find("table3").row("ResNet-50").tolerances["top-1 err."].value == 0.5
    assert tables.find("table3").row("ResNet-50").tolerances["top-5 err."].value == 0.25
