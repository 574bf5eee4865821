"""The image sets that a detection data set is made of: those that are named, or the usual ones of its folder."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from resnets.detection import coco, ilsvrc, voc
from resnets.detection.annotations import DetectionSplits
from resnets.detection.assemble import Images, assemble, coco_images, voc_images
from resnets.errors import DataError, NoMasksError, UsageError

Classes = Sequence[str] | None

MIXTURES = {
    "07": "07trainval/07test",
    "12": "12train/12val",
    "07+12": "07trainval+12trainval/07test",
    "07++12": "07trainval+07test+12trainval/12test",
}
"""VOC's training sets by the names that papers give them; the paper trains on the last two (Table 7)."""


@dataclass(frozen=True)
class Sets:
    """The names of the image sets that make each split."""

    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]


def parse_sets(text: str) -> Sets:
    """Return the sets of each split that a text such as `train+val/test` names; without a test set, () for it.

    Raises: UsageError, if a name is missing or there are more than three splits.
    """
    parts = [tuple(part.strip() for part in split.split("+")) for split in text.split("/")]
    if len(parts) > 3 or any(not name for part in parts for name in part):
        raise UsageError(f"image sets {text!r}: they must be TRAIN, TRAIN/TEST or TRAIN/VALIDATION/TEST, joined by +")
    for part in parts:
        if len(set(part)) < len(part):
            raise UsageError(f"image sets {text!r}: a set is named twice")
    return Sets(parts[0], parts[1] if len(parts) == 3 else (), parts[-1] if len(parts) > 1 else ())


def load_voc(path: Path, chosen: str | None, classes: Classes = None, masks: bool = False) -> DetectionSplits:
    """Return the data of a VOCdevkit, or of one folder in VOC's layout. Raises: UsageError, DataError."""
    if (path / "VOCdevkit").is_dir():
        path /= "VOCdevkit"
    years = {f.name[-2:]: voc.Folder(f) for f in sorted(path.glob("VOC20[0-9][0-9]")) if (f / "Annotations").is_dir()}
    alone = voc.Folder(path) if (path / "Annotations").is_dir() else None
    if not years and alone is None:
        raise DataError(f"{path}: neither folders VOC20YY nor Annotations/, ImageSets/Main/ and JPEGImages/ are there")
    if alone is not None:
        sets = _voc_sets(chosen, alone)
        named = {name: (alone, name) for name in (*sets.train, *sets.validation, *sets.test)}
    else:
        sets = _devkit_sets(chosen, years)
        named = {name: _of_year(path, years, name) for name in (*sets.train, *sets.validation, *sets.test)}

    def read(name: str, needed: bool) -> Images:
        folder, own = named[name]
        return voc_images(folder, own, needed=needed, masks=masks)

    protocol = "voc07" if all(_is_2007(named[name][0].path) for name in sets.test) else "voc"
    return _assembled(
        path.resolve().name if alone is not None else f"VOC {'+'.join(sets.train)}", sets, read, classes, protocol
    )


def _is_2007(path: Path) -> bool:
    """Return whether a folder is VOC 2007: by its name or, of a link, by that of the folder itself."""
    return "VOC2007" in (Path(os.path.abspath(path)).name, path.resolve().name)


def _assembled(
    name: str, sets: Sets, read: Callable[[str, bool], Images], classes: Classes, protocol: str
) -> DetectionSplits:
    """Return the splits of sets, each of which is read once, and is needed where it is trained or validated on."""
    needed, splits = {*sets.train, *sets.validation}, (sets.train, sets.validation, sets.test)
    made = {one: read(one, one in needed) for one in dict.fromkeys(one for split in splits for one in split)}
    return assemble(name, *([made[one] for one in split] for split in splits), classes=classes, protocol=protocol)


def _voc_sets(chosen: str | None, folder: voc.Folder) -> Sets:
    known = folder.sets()
    if chosen is not None:
        sets = parse_sets(chosen)
        return sets if sets.test else Sets(sets.train, (), (_first(folder, known, "test", "val"),))
    train, test = _first(folder, known, "train", "trainval"), _first(folder, known, "test", "val")
    return Sets((train,), ("val",) if train == "train" and test == "test" and "val" in known else (), (test,))


def _first(folder: voc.Folder, known: Sequence[str], *candidates: str) -> str:
    for name in candidates:
        if name in known:
            return name
    there = f"there are {', '.join(known)}" if known else "there are none"
    raise DataError(
        f"{folder.path}: no image set ImageSets/Main/{candidates[0]}.txt; {there}; name them: voc:PATH@TRAIN/TEST"
    )


def _devkit_sets(chosen: str | None, years: dict[str, voc.Folder]) -> Sets:
    if chosen is None:
        training = [f"{year}trainval" for year, folder in years.items() if "trainval" in folder.sets()]
        if "07" in years and "test" in years["07"].sets() and training:
            chosen = f"{'+'.join(training)}/07test"
        elif "12" in years and {"train", "val"} <= set(years["12"].sets()):
            chosen = MIXTURES["12"]
        else:
            there = ", ".join(f"{year}{name}" for year, folder in years.items() for name in folder.sets())
            raise DataError(f"the devkit has the image sets {there or '(none)'}; name them: voc:PATH@TRAIN/TEST")
    mixture, slash, tested = chosen.partition("/")
    if mixture in MIXTURES:
        usual_train, _, usual_test = MIXTURES[mixture].partition("/")
        chosen = f"{usual_train}/{tested if slash else usual_test}"
    sets = parse_sets(chosen)
    if not sets.test:
        raise UsageError(
            f"image sets {chosen!r}: name what is tested on too: {chosen}/07test; known by name: {', '.join(MIXTURES)}"
        )
    return sets


def _of_year(path: Path, years: dict[str, voc.Folder], name: str) -> tuple[voc.Folder, str]:
    match = re.fullmatch(r"(?:VOC)?(?:20)?(\d\d)(\w+)", name)
    if match is None:
        raise UsageError(f"image set {name!r} must be a year and a set of it, such as 07test or 12trainval")
    if match[1] not in years:
        raise DataError(f"{path}: no folder VOC20{match[1]} for image set {name}")
    return years[match[1]], match[2]


def load_coco(path: Path, chosen: str | None, classes: Classes = None, masks: bool = False) -> DetectionSplits:
    """Return the data of a folder in COCO's layout. Raises: UsageError, DataError."""
    folder = coco.Folder(path)
    if chosen is None:
        usual = folder.usual_sets()
        if usual is None:
            raise DataError(
                f"{path}: no annotations/instances_train*.json with an instances_val*.json next to it; there are "
                f"{', '.join(folder.sets()) or 'none'}; name them: coco:PATH@TRAIN/TEST"
            )
        sets = Sets((usual[0],), () if usual[1] is None else (usual[1],), (usual[2],))
    else:
        sets = parse_sets(chosen)
        if not sets.test:
            raise UsageError(f"image sets {chosen!r}: name what is tested on too, such as {chosen}/val2017")

    def read(name: str, needed: bool) -> Images:
        return coco_images(folder, name, needed=needed, masks=masks)

    return _assembled(path.resolve().name, sets, read, classes, "coco")


def load_ilsvrc(path: Path, chosen: str | None, classes: Classes = None, masks: bool = False) -> DetectionSplits:
    """Return the data of a folder with ILSVRC's detection data. Raises: UsageError, DataError."""
    if masks:
        raise NoMasksError(f"{path}: ILSVRC's detection data has no masks")
    folder = ilsvrc.Folder(path)
    sets = parse_sets(chosen or ilsvrc.DEFAULT_SETS)
    if not sets.test:
        raise UsageError(f"image sets {chosen!r}: name what is tested on too, such as {chosen}/val2")

    def read(name: str, needed: bool) -> Images:
        return ilsvrc.images(folder, name, needed=needed)

    return _assembled(f"ILSVRC {'+'.join(sets.train)}", sets, read, classes, "ilsvrc")
