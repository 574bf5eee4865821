"""Tables 1 to 5 (section 4.1): the networks for ImageNet, what they cost, and their errors."""

from __future__ import annotations

from functools import partial

from resnets.paper.declarations import Choice, Column, Protocol, Row, Table
from resnets.paper.published import Published, find, find_row
from resnets.paper.tables.cited import AUTHORS, READINGS, TESTS_OF_EARLIER, cited
from resnets.paper.tolerances import IMAGENET_TOP_1, IMAGENET_TOP_5, of_macs
from resnets.specs import Shortcut

TOP_1 = Column(name="top-1 err.", measure="top-1 error")
TOP_5 = Column(name="top-5 err.", measure="top-5 error")
_TOLERANCES = {"top-1 err.": IMAGENET_TOP_1, "top-5 err.": IMAGENET_TOP_5}


# ---------------------------------------------------------------- Table 1


def _architecture(
    label: str, network: str, conv2: str, conv3: str, conv4: str, conv5: str, shortcut: Shortcut | None = None
) -> Row:
    flops = find("Table 1", "FLOPs", label)
    return Row(
        label=label,
        network=network,
        shortcut=shortcut,
        published={"FLOPs": flops},
        compared=("FLOPs",),
        tolerances={"FLOPs": of_macs(flops)},
        text={
            "conv1, 112x112": "7x7, 64, stride 2",
            "conv2_x, 56x56": f"3x3 max pool, stride 2; {conv2}",
            "conv3_x, 28x28": conv3,
            "conv4_x, 14x14": conv4,
            "conv5_x, 7x7": conv5,
            "1x1": "average pool, 1000-d fc, softmax",
        },
    )


TABLE_1 = Table(
    name="table1",
    title="Networks for ImageNet: their layers and multiply-adds",
    section="4.1",
    kind="complexity",
    layout="columns",
    columns=(
        *(
            Column(name=stage, measure="layers", unit="")
            for stage in ("conv1, 112x112", "conv2_x, 56x56", "conv3_x, 28x28", "conv4_x, 14x14", "conv5_x, 7x7", "1x1")
        ),
        Column(name="FLOPs", measure="macs", unit="FLOPs"),
    ),
    rows=(
        _architecture(
            "18-layer",
            "resnet18",
            "[3x3, 64; 3x3, 64] x 2",
            "[3x3, 128; 3x3, 128] x 2",
            "[3x3, 256; 3x3, 256] x 2",
            "[3x3, 512; 3x3, 512] x 2",
            shortcut="A",
        ),
        _architecture(
            "34-layer",
            "resnet34",
            "[3x3, 64; 3x3, 64] x 3",
            "[3x3, 128; 3x3, 128] x 4",
            "[3x3, 256; 3x3, 256] x 6",
            "[3x3, 512; 3x3, 512] x 3",
            shortcut="A",
        ),
        _architecture(
            "50-layer",
            "resnet50",
            "[1x1, 64; 3x3, 64; 1x1, 256] x 3",
            "[1x1, 128; 3x3, 128; 1x1, 512] x 4",
            "[1x1, 256; 3x3, 256; 1x1, 1024] x 6",
            "[1x1, 512; 3x3, 512; 1x1, 2048] x 3",
            shortcut="B",
        ),
        _architecture(
            "101-layer",
            "resnet101",
            "[1x1, 64; 3x3, 64; 1x1, 256] x 3",
            "[1x1, 128; 3x3, 128; 1x1, 512] x 4",
            "[1x1, 256; 3x3, 256; 1x1, 1024] x 23",
            "[1x1, 512; 3x3, 512; 1x1, 2048] x 3",
            shortcut="B",
        ),
        _architecture(
            "152-layer",
            "resnet152",
            "[1x1, 64; 3x3, 64; 1x1, 256] x 3",
            "[1x1, 128; 3x3, 128; 1x1, 512] x 8",
            "[1x1, 256; 3x3, 256; 1x1, 1024] x 36",
            "[1x1, 512; 3x3, 512; 1x1, 2048] x 3",
            shortcut="B",
        ),
    ),
    shows="152 layers cost less than the 15.3 and 19.6 billion multiply-adds of VGG-16 and VGG-19 (section 4.1)",
)


# ---------------------------------------------------------------- Tables 2 and 3: ten crops

_TEN_CROPS = (
    Choice(
        open="from which size of image the ten crops are taken",
        ours="224x224 out of a shorter side of 256, corners and centre of the whole image, not of its central square",
        why="the authors' page of released models says 256, and the figures there are the paper's",
    ),
    Choice(
        open="what is averaged over the crops",
        ours="the softmax, with equal weights",
        why="so AlexNet [21], which the paper names for this test",
    ),
)


_cited = partial(cited, "Table 5", tested_on="imagenet test")


def _trained(
    label: str,
    network: str,
    shortcut: Shortcut | None,
    published: dict[str, Published],
    protocol: Protocol = "ten-crop",
    recipe: str = "imagenet",
    reference: str = "",
    note: str = "",
    tested_on: str = "imagenet val",
) -> Row:
    compared = tuple(column for column in _TOLERANCES if column in published)
    return Row(
        label=label,
        network=network,
        shortcut=shortcut,
        recipe=recipe,
        reference=reference,
        note=note,
        data="imagenet",
        protocol=protocol,
        tested_on=tested_on,
        published=published,
        compared=compared,
        tolerances={column: _TOLERANCES[column] for column in compared},
    )


def _depth(label: str, network: str, row: str, column: str, shortcut: Shortcut | None = None) -> Row:
    return _trained(label, network, shortcut, {"top-1 err.": find("Table 2", row, column)})


TABLE_2 = Table(
    name="table2",
    title="Plain and residual networks of 18 and 34 layers on ImageNet",
    section="4.1",
    kind="classification",
    layout="grid",
    columns=(TOP_1,),
    rows=(
        _depth("plain, 18 layers", "plain18", "18 layers", "plain"),
        _depth("ResNet, 18 layers", "resnet18", "18 layers", "ResNet", shortcut="A"),
        _depth("plain, 34 layers", "plain34", "34 layers", "plain"),
        _depth("ResNet, 34 layers", "resnet34", "34 layers", "ResNet", shortcut="A"),
    ),
    shows="34 plain layers do worse than 18; with shortcuts, which cost no parameters, they do 2.8 points better",
    choices=_TEN_CROPS,
)


def _earlier(
    table: str, label: str, network: str, protocol: Protocol, note: str = "", tested_on: str = "imagenet val"
) -> Row:
    """Return the row of a network of other authors: trained and tested as they did."""
    recipe, reference = AUTHORS[network]
    return _trained(
        label,
        network,
        None,
        find_row(table, label),
        protocol,
        recipe=recipe,
        reference=reference,
        note=note,
        tested_on=tested_on,
    )


def _crops(label: str, network: str, shortcut: Shortcut | None = None, top_1: Published | None = None) -> Row:
    published = find_row("Table 3", label) | ({} if top_1 is None else {"top-1 err.": top_1})
    return _trained(label, network, shortcut, published)


TABLE_3 = Table(
    name="table3",
    title="Ten-crop errors on ImageNet: shortcut options A, B and C, and 34 to 152 layers",
    section="4.1",
    kind="classification",
    columns=(TOP_1, TOP_5),
    rows=(
        _earlier(
            "Table 3", "VGG-16", "vgg16", "ten-crop", note="published: this paper's authors' test of VGG's weights"
        ),
        _earlier("Table 3", "GoogLeNet", "googlenet", "ten-crop"),
        _earlier("Table 3", "PReLU-net", "prelu_net_c", "ten-crop"),
        _crops("plain-34", "plain34", top_1=find("Table 2", "34 layers", "plain")),
        _crops("ResNet-34 A", "resnet34", shortcut="A", top_1=find("Table 2", "34 layers", "ResNet")),
        _crops("ResNet-34 B", "resnet34", shortcut="B"),
        _crops("ResNet-34 C", "resnet34", shortcut="C"),
        _crops("ResNet-50", "resnet50", shortcut="B"),
        _crops("ResNet-101", "resnet101", shortcut="B"),
        _crops("ResNet-152", "resnet152", shortcut="B"),
    ),
    shows="all three options beat the plain network, C slightly better than B, B than A; deeper is better up to 152",
    choices=(*_TEN_CROPS, *READINGS),
)


# ---------------------------------------------------------------- Tables 4 and 5: several scales, ensembles

_DENSE = (
    Choice(
        open="at which positions a fully convolutional ResNet is read",
        ours="a 7x7 average pooling window moved over the last maps by one position at a time, then the classifier",
        why="so VGG [41] and [13], which the paper names; the authors' released networks pool 7x7 windows, and a "
        "224x224 image has just one",
    ),
    Choice(
        open="which scores are averaged",
        ours="the class scores over the positions, then their softmax over scales and mirror images, all equally",
        why="so VGG [41]: its class score map is averaged, and of scales and mirror images the class posteriors",
    ),
    Choice(
        open="whether mirror images are tested too",
        ours="they are; `--no-flips` leaves them out",
        why="VGG [41], which the paper names for this test, has them",
    ),
    Choice(
        open="what is subtracted from an image that is larger than the mean image",
        ours="the mean image, resized to the size of the image (bilinear)",
        why="an image of 224x224 is then normalised as in training; the code of Faster R-CNN [32] resizes it too",
    ),
)
_VGGS: Protocol = "dense-multi-scale at 256, 384, 512"
_ENSEMBLE = Choice(
    open="how the members of an ensemble are combined",
    ours="the mean of their class probabilities, with equal weights",
    why="so VGG [41]",
)


def _scales(label: str, network: str, shortcut: Shortcut | None = None) -> Row:
    return _trained(label, network, shortcut, find_row("Table 4", label), "dense-multi-scale")


TABLE_4 = Table(
    name="table4",
    title="Single models on ImageNet, tested at several scales",
    section="4.1",
    kind="classification",
    columns=(TOP_1, TOP_5),
    rows=(
        _earlier(
            "Table 4", "VGG (ILSVRC'14)", "vgg16", _VGGS, tested_on="imagenet test", note="which VGG is not published"
        ),
        _earlier("Table 4", "GoogLeNet (ILSVRC'14)", "googlenet", "144-crop"),
        _earlier("Table 4", "VGG (v5)", "vgg19", _VGGS, note="its authors also average over 150 crops"),
        _earlier("Table 4", "PReLU-net", "prelu_net_c", "dense-multi-scale at 256, 384, 480"),
        _earlier("Table 4", "BN-inception", "bn_inception", "144-crop"),
        _scales("ResNet-34 B", "resnet34", shortcut="B"),
        _scales("ResNet-34 C", "resnet34", shortcut="C"),
        _scales("ResNet-50", "resnet50", shortcut="B"),
        _scales("ResNet-101", "resnet101", shortcut="B"),
        _scales("ResNet-152", "resnet152", shortcut="B"),
    ),
    shows="a single ResNet-152 beats all earlier ensembles of Table 5",
    choices=(*_DENSE, *READINGS, *TESTS_OF_EARLIER),
)

TABLE_5 = Table(
    name="table5",
    title="Ensembles on ImageNet's test set",
    section="4.1",
    kind="ensemble",
    columns=(Column(name="top-5 err. (test)", measure="top-5 error"),),
    rows=(
        _cited("VGG (ILSVRC'14)", "[41]", note="seven networks, two of them of a kind that is not here (1x1 layers)"),
        _cited("GoogLeNet (ILSVRC'14)", "[44]", note="seven networks, one of them a wider one that is not published"),
        Row(
            label="VGG (v5)",
            reference="[41]",
            members=("vgg16", "vgg19"),
            recipe="authors-vgg",
            data="imagenet",
            protocol=_VGGS,
            tested_on="imagenet test",
            published=find_row("Table 5", "VGG (v5)"),
            compared=("top-5 err. (test)",),
            note="VGG-16 and VGG-19",
        ),
        _cited("PReLU-net", "[13]", note="six networks, one of them model C, the others not named"),
        _cited("BN-inception", "[16]", note="six networks that differ in ways that are not published"),
        Row(
            label="ResNet (ILSVRC'15)",
            data="imagenet",
            protocol="dense-multi-scale",
            tested_on="imagenet test",
            published=find_row("Table 5", "ResNet (ILSVRC'15)"),
            compared=("top-5 err. (test)",),
            note="six models of different depths, two of them of 152 layers, the others not named; "
            "ImageNet's server scores the test set",
        ),
    ),
    shows="the ensemble that won ILSVRC 2015",
    choices=(*_DENSE, *TESTS_OF_EARLIER, _ENSEMBLE),
)

TABLES = (TABLE_1, TABLE_2, TABLE_3, TABLE_4, TABLE_5)
