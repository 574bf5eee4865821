"""Tables 7 to 12 (section 4.3, appendices A and B): detection on PASCAL VOC, COCO and ImageNet.

The detector is Faster R-CNN on a network of the catalogue, started from its ImageNet weights.
"""

from __future__ import annotations

from resnets.paper.declarations import Column, Data, Part, Row, Table
from resnets.paper.published import Published, find, find_row
from resnets.paper.published.detection import VOC_CLASSES
from resnets.paper.tables.cited import cited

_REFINED: tuple[Part, ...] = ("detection", "box-refinement")
_IN_CONTEXT: tuple[Part, ...] = (*_REFINED, "global-context")
_MULTI_SCALE: tuple[Part, ...] = (*_IN_CONTEXT, "multi-scale-detection")
_SERVER = "a server scores this set"


def _recipe(network: str | None, data: Data, needs: tuple[Part, ...]) -> str | None:
    """Return the recipe's name; what is fine-tuned on VOC after COCO has VOC's."""
    if network is None:
        return None
    if data == "imagenet-det":
        return "det"
    return ("voc" if "voc" in data else "coco") + ("-context" if "global-context" in needs else "")


def _detector(
    label: str,
    network: str | None,
    data: Data,
    tested_on: str,
    published: dict[str, Published],
    needs: tuple[Part, ...] = ("detection",),
    note: str = "",
    compared: tuple[str, ...] | None = None,
) -> Row:
    return Row(
        label=label,
        network=network,
        shortcut="B" if network == "resnet101" else None,
        recipe=_recipe(network, data, needs),
        data=data,
        tested_on=tested_on,
        protocol="multi-scale" if "multi-scale-detection" in needs else "single-scale",
        needs=needs,
        published=published,
        compared=tuple(published) if compared is None else compared,
        note=note,
    )


# ---------------------------------------------------------------- Tables 7 and 8: the baselines


def _voc(label: str, network: str, data: Data, tested_on: str, row: str, column: str) -> Row:
    note = _SERVER if tested_on == "voc12 test" else ""
    return _detector(label, network, data, tested_on, {"mAP": find("Table 7", row, column)}, note=note)


TABLE_7 = Table(
    name="table7",
    title="Detection on PASCAL VOC 2007 and 2012",
    section="4.3",
    kind="detection",
    layout="grid",
    columns=(Column(name="mAP", measure="mAP"),),
    rows=(
        _voc("VGG-16, 07+12", "vgg16", "voc07+12", "voc07 test", "VGG-16", "07+12"),
        _voc("VGG-16, 07++12", "vgg16", "voc07++12", "voc12 test", "VGG-16", "07++12"),
        _voc("ResNet-101, 07+12", "resnet101", "voc07+12", "voc07 test", "ResNet-101", "07+12"),
        _voc("ResNet-101, 07++12", "resnet101", "voc07++12", "voc12 test", "ResNet-101", "07++12"),
    ),
    shows="in the same detector ResNet-101 is more than 3 points better than VGG-16",
)

_COCO = (Column(name="mAP@.5", measure="mAP@.5"), Column(name="mAP@[.5, .95]", measure="mAP@[.5, .95]"))

TABLE_8 = Table(
    name="table8",
    title="Detection on COCO",
    section="4.3",
    kind="detection",
    columns=_COCO,
    rows=(
        _detector("VGG-16", "vgg16", "coco", "coco val", find_row("Table 8", "VGG-16")),
        _detector("ResNet-101", "resnet101", "coco", "coco val", find_row("Table 8", "ResNet-101")),
    ),
    shows="6.0 points of mAP@[.5, .95] more with ResNet-101, 28 % relative",
)


# ---------------------------------------------------------------- Table 9: improvements on COCO


def _trained_on_train(label: str, needs: tuple[Part, ...]) -> Row:
    numbers = find_row("Table 9", label)
    published = {column.name: numbers[f"{column.name}, val"] for column in _COCO}
    return _detector(label, "resnet101", "coco", "coco val", published, needs)


def _trained_on_trainval(label: str, network: str | None, needs: tuple[Part, ...], note: str = _SERVER) -> Row:
    numbers = find_row("Table 9", label)
    published = {column.name: numbers[f"{column.name}, test-dev"] for column in _COCO}
    return _detector(f"{label}, trainval", network, "coco-trainval", "coco test-dev", published, needs, note)


TABLE_9 = Table(
    name="table9",
    title="What improves detection on COCO; each row adds to the one before",
    section="appendix B",
    kind="detection",
    layout="grid",
    columns=_COCO,
    rows=(
        _detector("baseline, VGG-16", "vgg16", "coco", "coco val", find_row("Table 8", "VGG-16")),
        _detector("baseline, ResNet-101", "resnet101", "coco", "coco val", find_row("Table 8", "ResNet-101")),
        _trained_on_train("+ box refinement", _REFINED),
        _trained_on_train("+ context", _IN_CONTEXT),
        _trained_on_trainval("+ context", "resnet101", _IN_CONTEXT),
        _trained_on_train("+ multi-scale testing", _MULTI_SCALE),
        _trained_on_trainval("+ multi-scale testing", "resnet101", _MULTI_SCALE),
        _trained_on_trainval("ensemble", None, _MULTI_SCALE, f"three networks, which are not named; {_SERVER}"),
    ),
    shows="refinement, context and several scales add up; an ensemble of three won COCO 2015 detection",
)


# ---------------------------------------------------------------- Tables 10 and 11: VOC class by class

_CLASSES = (Column(name="mAP", measure="mAP"), *(Column(name=name, measure="AP") for name in VOC_CLASSES))


def _baseline(table: str, network: str, backbone: str, data: Data, tested_on: str) -> Row:
    column = data.removeprefix("voc")
    published = {"mAP": find("Table 7", backbone, column), **find_row(table, f"baseline, {backbone}, {column}")}
    note = _SERVER if tested_on == "voc12 test" else ""
    return _detector(f"baseline, {backbone}, {column}", network, data, tested_on, published, note=note)


def _baseline_plus(table: str, label: str, data: Data, tested_on: str) -> Row:
    note = "the COCO model of 55.7 mAP@.5 (Table 9), fine-tuned on VOC"
    return _detector(label, "resnet101", data, tested_on, find_row(table, label), _MULTI_SCALE, note)


TABLE_10 = Table(
    name="table10",
    title="Detection on PASCAL VOC 2007, class by class",
    section="appendix B",
    kind="detection",
    columns=_CLASSES,
    rows=(
        _baseline("Table 10", "vgg16", "VGG-16", "voc07+12", "voc07 test"),
        _baseline("Table 10", "resnet101", "ResNet-101", "voc07+12", "voc07 test"),
        _baseline_plus("Table 10", "baseline+++, ResNet-101, COCO+07+12", "coco+voc07+12", "voc07 test"),
    ),
    shows="85.6 mAP with COCO's data and all three improvements",
)

TABLE_11 = Table(
    name="table11",
    title="Detection on PASCAL VOC 2012, class by class",
    section="appendix B",
    kind="detection",
    columns=_CLASSES,
    rows=(
        _baseline("Table 11", "vgg16", "VGG-16", "voc07++12", "voc12 test"),
        _baseline("Table 11", "resnet101", "ResNet-101", "voc07++12", "voc12 test"),
        _baseline_plus("Table 11", "baseline+++, ResNet-101, COCO+07++12", "coco+voc07++12", "voc12 test"),
    ),
    shows="83.8 mAP, 10 points above the best before",
)


# ---------------------------------------------------------------- Table 12: ImageNet DET


def _det(label: str, network: str | None, note: str) -> Row:
    published, tested_on = find_row("Table 12", label), "imagenet-det val2"
    return _detector(label, network, "imagenet-det", tested_on, published, _MULTI_SCALE, note, compared=("val2",))


TABLE_12 = Table(
    name="table12",
    title="Detection on ImageNet's 200 classes",
    section="appendix B",
    kind="detection",
    columns=(
        Column(name="val2", measure="mAP@.5"),
        Column(name="test", measure="mAP@.5 by a server"),
    ),
    rows=(
        cited("Table 12", "GoogLeNet (ILSVRC'14)", "[44]"),
        _det("our single model (ILSVRC'15)", "resnet101", "by the algorithm of Table 9; a server scores the test set"),
        _det("our ensemble (ILSVRC'15)", None, "three networks, which are not named; a server scores the test set"),
    ),
    shows="the single model and the ensemble that won ILSVRC 2015 detection, 8.5 points ahead of the second",
)

TABLES = (TABLE_7, TABLE_8, TABLE_9, TABLE_10, TABLE_11, TABLE_12)
