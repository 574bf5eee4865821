"""The numbers of Tables 13 and 14: localisation on ImageNet."""

from __future__ import annotations

from resnets.paper.published.number import lay_out

# The 4.6 % of the classification network is Table 4's, which is not repeated.
TABLE_13 = lay_out(
    "Table 13",
    columns={
        "LOC error on GT class": ("%", "ImageNet validation localisation error, true class given"),
        "top-5 LOC error": ("%", "ImageNet validation top-5 localisation error, predicted classes"),
    },
    rows={
        "VGG's, VGG-16, 1-crop": (33.1, None),
        "RPN, ResNet-101, 1-crop": (13.3, None),
        "RPN, ResNet-101, dense": (11.7, None),
        "RPN, ResNet-101, dense, classified by ResNet-101": (None, 14.4),
        "RPN+RCNN, ResNet-101, dense, classified by ResNet-101": (None, 10.6),
        "RPN+RCNN, ensemble, dense, classified by an ensemble": (None, 8.9),
    },
    decimals=1,
)

# Our 8.9 % on the validation images is Table 13's, which is not repeated.
TABLE_14 = lay_out(
    "Table 14",
    columns={
        "val": ("%", "ImageNet validation top-5 localisation error"),
        "test": ("%", "ImageNet test top-5 localisation error"),
    },
    rows={
        "OverFeat (ILSVRC'13)": (30.0, 29.9),
        "GoogLeNet (ILSVRC'14)": (None, 26.7),
        "VGG (ILSVRC'14)": (26.9, 25.3),
        "ours (ILSVRC'15)": (None, 9.0),
    },
    decimals=1,
)

ALL = (*TABLE_13, *TABLE_14)
