"""Tables 13 and 14 (appendix C): localisation on ImageNet, by networks started from its classifiers."""

from __future__ import annotations

from resnets.paper.declarations import Column, Part, Protocol, Row, Table
from resnets.paper.published import Published, find, find_row
from resnets.paper.tables.cited import cited
from resnets.specs import Setting

_NEEDS: tuple[Part, ...] = ("localisation",)
_CLASSIFIER = find("Table 4", "ResNet-101", "top-5 err.")


def _localiser(
    label: str,
    protocol: Protocol,
    recipe: str | None,
    *,
    network: str | None = "resnet101",
    classifier: Published | None = None,
    rpn: Setting | None = None,
    note: str = "",
) -> Row:
    published = find_row("Table 13", label)
    return Row(
        label=label,
        network=network,
        shortcut="B" if network == "resnet101" else None,
        recipe=recipe,
        teacher=rpn,
        data="imagenet-loc",
        protocol=protocol,
        tested_on="imagenet val",
        needs=_NEEDS,
        published=published if classifier is None else {"top-5 err. of the classifier": classifier, **published},
        compared=tuple(published),
        note=note,
    )


TABLE_13 = Table(
    name="table13",
    title="Localisation on ImageNet, step by step",
    section="appendix C",
    kind="localisation",
    columns=(
        Column(name="LOC error on GT class", measure="localisation error"),
        Column(name="top-5 err. of the classifier", measure="top-5 error"),
        Column(name="top-5 LOC error", measure="top-5 localisation error"),
    ),
    rows=(
        cited(
            "Table 13",
            "VGG's, VGG-16, 1-crop",
            "[41]",
            network="vgg16",
            tested_on="imagenet val",
            note="VGG's own method of localisation",
        ),
        _localiser("RPN, ResNet-101, 1-crop", "center-crop", "imagenet-rpn"),
        _localiser("RPN, ResNet-101, dense", "dense-multi-scale", "imagenet-rpn"),
        _localiser(
            "RPN, ResNet-101, dense, classified by ResNet-101",
            "dense-multi-scale",
            "imagenet-rpn",
            classifier=_CLASSIFIER,
        ),
        _localiser(
            "RPN+RCNN, ResNet-101, dense, classified by ResNet-101",
            "dense-multi-scale",
            "imagenet-rcnn",
            rpn=Setting(network="resnet101", shortcut="B", recipe="imagenet-rpn", data="imagenet-loc"),
        ),
        _localiser(
            "RPN+RCNN, ensemble, dense, classified by an ensemble",
            "dense-multi-scale",
            None,
            network=None,
            note="the networks of the ensembles are not named",
        ),
    ),
    shows="a deeper network, dense testing, a second stage and ensembles each help",
)


TABLE_14 = Table(
    name="table14",
    title="Localisation on ImageNet, entries of the competition",
    section="appendix C",
    kind="localisation",
    columns=(
        Column(name="val", measure="top-5 localisation error"),
        Column(name="test", measure="top-5 localisation error"),
    ),
    rows=(
        cited("Table 14", "OverFeat (ILSVRC'13)", "[40]"),
        cited("Table 14", "GoogLeNet (ILSVRC'14)", "[44]"),
        cited("Table 14", "VGG (ILSVRC'14)", "[41]"),
        Row(
            label="ours (ILSVRC'15)",
            data="imagenet-loc",
            protocol="dense-multi-scale",
            tested_on="imagenet val and test",
            needs=_NEEDS,
            published={
                "val": find("Table 13", "RPN+RCNN, ensemble, dense, classified by an ensemble", "top-5 LOC error"),
                **find_row("Table 14", "ours (ILSVRC'15)"),
            },
            compared=("val", "test"),
            note="the ensemble of Table 13; a server scores the test set",
        ),
    ),
    shows="64 % less error than the entry that won the year before",
)

TABLES = (TABLE_13, TABLE_14)
