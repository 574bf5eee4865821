"""The numbers of Tables 7 to 12: detection on PASCAL VOC, COCO and ImageNet."""

from __future__ import annotations

from resnets.paper.published.number import lay_out

VOC_CLASSES = (
    *("aero", "bike", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("table", "dog", "horse", "mbike", "person", "plant", "sheep", "sofa", "train", "tv"),
)
"""The columns of Tables 10 and 11; the paper's header spells "areo"."""

VOC_NAMES = {
    **{name: name for name in VOC_CLASSES},
    **{"aero": "aeroplane", "bike": "bicycle", "table": "diningtable", "mbike": "motorbike"},
    **{"plant": "pottedplant", "tv": "tvmonitor"},
}
"""The columns' classes as VOC's files name them."""

TABLE_7 = lay_out(
    "Table 7",
    columns={"07+12": ("%", "mAP on VOC 2007 test"), "07++12": ("%", "mAP on VOC 2012 test")},
    rows={
        "VGG-16": (73.2, 70.4),
        "ResNet-101": (76.4, 73.8),
    },
    decimals=1,
)

TABLE_8 = lay_out(
    "Table 8",
    columns={"mAP@.5": ("%", "mAP@.5 on COCO val"), "mAP@[.5, .95]": ("%", "mAP@[.5, .95] on COCO val")},
    rows={
        "VGG-16": (41.5, 21.2),
        "ResNet-101": (48.4, 27.2),
    },
    decimals=1,
)

# The two baselines are here a second time with their numbers of Table 8, which are not repeated.
TABLE_9 = lay_out(
    "Table 9",
    columns={
        "mAP@.5, val": ("%", "mAP@.5 on COCO val"),
        "mAP@[.5, .95], val": ("%", "mAP@[.5, .95] on COCO val"),
        "mAP@.5, test-dev": ("%", "mAP@.5 on COCO test-dev"),
        "mAP@[.5, .95], test-dev": ("%", "mAP@[.5, .95] on COCO test-dev"),
    },
    rows={
        "+ box refinement": (49.9, 29.9, None, None),
        "+ context": (51.1, 30.0, 53.3, 32.2),
        "+ multi-scale testing": (53.8, 32.5, 55.7, 34.9),
        "ensemble": (None, None, 59.0, 37.4),
    },
    decimals=1,
)


def _columns(test_set: str) -> dict[str, tuple[str, str]]:
    classes = {name: ("%", f"AP of {name} on {test_set}") for name in VOC_CLASSES}
    return {"mAP": ("%", f"mAP on {test_set}"), **classes}


# fmt: off
# The baselines' mAP is that of Table 7, which is not repeated.
TABLE_10 = lay_out(
    "Table 10",
    columns=_columns("VOC 2007 test"),
    rows={
        # mAP, aero, bike, bird, boat, bottle, bus, car, cat, chair, cow,
        #      table, dog, horse, mbike, person, plant, sheep, sofa, train, tv
        "baseline, VGG-16, 07+12": (
            None, 76.5, 79.0, 70.9, 65.5, 52.1, 83.1, 84.7, 86.4, 52.0, 81.9,
                  65.7, 84.8, 84.6, 77.5, 76.7, 38.8, 73.6, 73.9, 83.0, 72.6,
        ),
        "baseline, ResNet-101, 07+12": (
            None, 79.8, 80.7, 76.2, 68.3, 55.9, 85.1, 85.3, 89.8, 56.7, 87.8,
                  69.4, 88.3, 88.9, 80.9, 78.4, 41.7, 78.6, 79.8, 85.3, 72.0,
        ),
        "baseline+++, ResNet-101, COCO+07+12": (
            85.6, 90.0, 89.6, 87.8, 80.8, 76.1, 89.9, 89.9, 89.6, 75.5, 90.0,
                  80.7, 89.6, 90.3, 89.1, 88.7, 65.4, 88.1, 85.6, 89.0, 86.8,
        ),
    },
    decimals=1,
)

TABLE_11 = lay_out(
    "Table 11",
    columns=_columns("VOC 2012 test"),
    rows={
        # mAP, aero, bike, bird, boat, bottle, bus, car, cat, chair, cow,
        #      table, dog, horse, mbike, person, plant, sheep, sofa, train, tv
        "baseline, VGG-16, 07++12": (
            None, 84.9, 79.8, 74.3, 53.9, 49.8, 77.5, 75.9, 88.5, 45.6, 77.1,
                  55.3, 86.9, 81.7, 80.9, 79.6, 40.1, 72.6, 60.9, 81.2, 61.5,
        ),
        "baseline, ResNet-101, 07++12": (
            None, 86.5, 81.6, 77.2, 58.0, 51.0, 78.6, 76.6, 93.2, 48.6, 80.4,
                  59.0, 92.1, 85.3, 84.8, 80.7, 48.1, 77.3, 66.5, 84.7, 65.6,
        ),
        "baseline+++, ResNet-101, COCO+07++12": (
            83.8, 92.1, 88.4, 84.8, 75.9, 71.4, 86.3, 87.8, 94.2, 66.8, 89.4,
                  69.2, 93.9, 91.9, 90.9, 89.6, 67.9, 88.2, 76.8, 90.3, 80.0,
        ),
    },
    decimals=1,
)
# fmt: on

TABLE_12 = lay_out(
    "Table 12",
    columns={"val2": ("%", "mAP@.5 on ImageNet DET val2"), "test": ("%", "mAP@.5 on ImageNet DET test")},
    rows={
        "GoogLeNet (ILSVRC'14)": (None, 43.9),
        "our single model (ILSVRC'15)": (60.5, 58.8),
        "our ensemble (ILSVRC'15)": (63.6, 62.1),
    },
    decimals=1,
)

ALL = (*TABLE_7, *TABLE_8, *TABLE_9, *TABLE_10, *TABLE_11, *TABLE_12)
