"""The numbers of Tables 1 to 5 and of section 4.1: ImageNet classification."""

from __future__ import annotations

from resnets.paper.published.number import lay_out

_FLOPS = ("FLOPs", "for one image of 224x224")
_TOP_1 = "ImageNet validation top-1 error, 10-crop"
_TOP_5 = "ImageNet validation top-5 error, 10-crop"

TABLE_1 = lay_out(
    "Table 1",
    columns={"18-layer": _FLOPS, "34-layer": _FLOPS, "50-layer": _FLOPS, "101-layer": _FLOPS, "152-layer": _FLOPS},
    rows={"FLOPs": (1.8e9, 3.6e9, 3.8e9, 7.6e9, 11.3e9)},
)

TABLE_2 = lay_out(
    "Table 2",
    columns={"plain": ("%", _TOP_1), "ResNet": ("%", _TOP_1)},
    rows={
        "18 layers": (27.94, 27.88),
        "34 layers": (28.54, 25.03),
    },
    notes={("18 layers", "ResNet"): "option A", ("34 layers", "ResNet"): "option A"},
)

# Plain-34 and ResNet-34 A are here a second time with their top-1 errors of Table 2, which are not repeated.
TABLE_3 = lay_out(
    "Table 3",
    columns={"top-1 err.": ("%", _TOP_1), "top-5 err.": ("%", _TOP_5)},
    rows={
        "VGG-16": (28.07, 9.33),
        "GoogLeNet": (None, 9.15),
        "PReLU-net": (24.27, 7.38),
        "plain-34": (None, 10.02),
        "ResNet-34 A": (None, 7.76),
        "ResNet-34 B": (24.52, 7.46),
        "ResNet-34 C": (24.19, 7.40),
        "ResNet-50": (22.85, 6.71),
        "ResNet-101": (21.75, 6.05),
        "ResNet-152": (21.43, 5.71),
    },
)

TABLE_4 = lay_out(
    "Table 4",
    columns={
        "top-1 err.": ("%", "ImageNet validation top-1 error, single model"),
        "top-5 err.": ("%", "ImageNet validation top-5 error, single model"),
    },
    rows={
        "VGG (ILSVRC'14)": (None, 8.43),
        "GoogLeNet (ILSVRC'14)": (None, 7.89),
        "VGG (v5)": (24.4, 7.1),
        "PReLU-net": (21.59, 5.71),
        "BN-inception": (21.99, 5.81),
        "ResNet-34 B": (21.84, 5.71),
        "ResNet-34 C": (21.53, 5.60),
        "ResNet-50": (20.74, 5.25),
        "ResNet-101": (19.87, 4.60),
        "ResNet-152": (19.38, 4.49),
    },
    notes={("VGG (ILSVRC'14)", "top-5 err."): "on the test set"},
    fewer_decimals={"VGG (v5)": 1},
)

TABLE_5 = lay_out(
    "Table 5",
    columns={"top-5 err. (test)": ("%", "ImageNet test top-5 error, ensemble")},
    rows={
        "VGG (ILSVRC'14)": (7.32,),
        "GoogLeNet (ILSVRC'14)": (6.66,),
        "VGG (v5)": (6.8,),
        "PReLU-net": (4.94,),
        "BN-inception": (4.82,),
        "ResNet (ILSVRC'15)": (3.57,),
    },
    fewer_decimals={"VGG (v5)": 1},
)

SECTION_4_1 = lay_out(
    "section 4.1",
    columns={"VGG-16": _FLOPS, "VGG-19": _FLOPS},
    rows={"FLOPs": (15.3e9, 19.6e9)},
)

ALL = (*TABLE_1, *TABLE_2, *TABLE_3, *TABLE_4, *TABLE_5, *SECTION_4_1)
