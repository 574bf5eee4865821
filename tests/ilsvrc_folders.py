"""A small data set in the layouts of ILSVRC's detection data, written for a test."""

from __future__ import annotations

from pathlib import Path

from synthetic_boxes import annotation, write_image

DOG, PERSON = "n02084071", "n00007846"
OBJECTS = {
    "v1": [(DOG, 0, 0, 9, 9), (PERSON, 20, 30, 99, 79)],
    "v2": [(DOG, 0, 0, 9, 9), (PERSON, 0, 0, 49, 49)],
    "v3": [(PERSON, 5, 5, 14, 24)],
    "v4": [(DOG, 10, 10, 19, 19), (DOG, 10, 13, 19, 22)],
    "ILSVRC2013_train/n02084071/n02084071_1": [(DOG, 1, 1, 50, 50)],
    "ILSVRC2013_train/n02084071/n02084071_2": [(DOG, 2, 2, 50, 50)],
    "ILSVRC2014_train_0000/ILSVRC2014_train_00000007": [(DOG, 3, 3, 50, 50), (PERSON, 60, 3, 90, 50)],
}
TRAIN = [name for name in OBJECTS if "/" in name]
"""Images of dogs; the last is in the list of persons too."""

NUMBERS = {"v1": 1, "v2": 2, "v3": 3, "v4": 4}


def write_det(root: Path, *, released: int = 2015, images: bool = True) -> Path:
    """Write the data set as it was released in a year, and return the folder.

    val1 has v3 and v1, val2 v4; persons are blacklisted in v2; v3 and the test image t1 have no objects' file in 2014.
    """
    later = released == 2015
    data = {split: f"ILSVRC/Data/DET/{split}" if later else f"ILSVRC2013_DET_{split}" for split in ("val", "test")}
    data["train"] = "ILSVRC/Data/DET/train" if later else "ILSVRC2014_DET_train"
    for name, objects in OBJECTS.items():
        split = "train" if "/" in name else "val"
        at = root / data[split].replace("Data", "Annotations").replace("_DET_", "_DET_bbox_") / f"{name}.xml"
        at.parent.mkdir(parents=True, exist_ok=True)
        at.write_text(annotation(objects))
        if images:
            write_image(root / data[split] / f"{name}.JPEG")
    if images:
        write_image(root / data["test"] / "t1.JPEG")
    devkit = root / ("ILSVRC/devkit" if later else "ILSVRC2014_devkit")
    lists = root / "ILSVRC/ImageSets/DET" if later else devkit / "data/det_lists"
    (devkit / "data").mkdir(parents=True)
    lists.mkdir(parents=True)
    (devkit / "data" / "ILSVRC2014_det_validation_blacklist.txt").write_text(f"2 {PERSON}\n")
    for name, content in {
        "val": "".join(f"{name} {number}\n" for name, number in NUMBERS.items()),
        "val1": "v3 1\nv1 2\n",
        "val2": "v4 1\n",
        "test": "t1 1\n",
    }.items():
        (lists / f"{name}.txt").write_text(content)
    for number in range(1, 201):
        positive = {58: TRAIN, 124: TRAIN[2:]}.get(number, [])  # dog, person
        if later:
            rest = "extra/none -1\n" + "".join(f"{name} 0\n" for name in TRAIN if name not in positive)
            (lists / f"train_{number}.txt").write_text("".join(f"{name} 1\n" for name in positive) + rest)
        else:  # by the names of folders that some copies lack
            (lists / f"train_pos_{number}.txt").write_text(
                "".join(f"{name.removeprefix('ILSVRC2013_train/')}\n" for name in positive)
            )
    return root
