"""ImageNet 2012, or a part of it, in the three layouts it comes in; its classes are the sorted WordNet ids.

Paper: section 4.1 [36].
"""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import os
import re
import struct
import tarfile
import zlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import IO, Any

import numpy as np

from resnets.data.class_names import WNID
from resnets.data.folder import Complain, Listing, class_folders, files_of, images_in, refuse
from resnets.data.formats import SUFFIXES
from resnets.data.image_files import ImageFiles
from resnets.data.passed_over import PassedOver
from resnets.data.splits import DataSplits
from resnets.errors import DataError, first_line
from resnets.files import read_bytes, reading

ALL = "385e0240499426c022b773be1ae4da780f057b89c9694c7f47199f62746b6edd"  # SHA-256 of the 1000 sorted ids, as lines
INSIDE = (".", "ILSVRC/Data/CLS-LOC", "Data/CLS-LOC")  # where train/ and val/ lie; the latter as on Kaggle
TRUTH = "ILSVRC2012_validation_ground_truth.txt"
DEVKIT = "ILSVRC2012_devkit_t12"
SOLUTION = "LOC_val_solution.csv"
MOST_BYTES = 50_000_000  # of a file of the devkit, and of what one of its parts holds
COMPRESSED = 15  # kind of a part of a MAT-file


def load(path: Path) -> DataSplits:
    """Return ImageNet's images, or those of a part of its classes: trained on `train`, tested on `val`.

    `val` has a folder for each class, or its images are in one folder next to the devkit's ground truth, Kaggle's
    LOC_val_solution.csv or its Annotations. A class is named by its WordNet id and, where torchvision knows it (of all
    1000, and of Imagenette's ten), its readable name.

    Raises: DataError, as of a folder; also where a class is no WordNet id, there are 1000 others than ILSVRC 2012's,
        or an image of a flat `val` has no label.
    """
    return dataclasses.replace(list_files(path, refuse).splits(), published=True)


def list_files(path: Path, complain: Complain) -> Listing:
    """Return what `load` does; what it would refuse is complained of, and left out.

    Raises: DataError, if a split is missing or nothing can be listed.
    """
    base = next((path / inside for inside in INSIDE if (path / inside / "train").is_dir()), path)
    train_root, test_root = _roots(base)
    passed: list[PassedOver] = []
    try:
        wnids = class_folders(train_root, passed)
        if not wnids:
            raise DataError(f"{train_root}: no classes; each is a subfolder named by its WordNet id, as n01440764")
        for wnid in wnids:
            if not WNID.fullmatch(wnid):
                complain(f"{train_root / wnid}: not a WordNet id, such as n01440764; folder:PATH takes any names")
        if len(wnids) == 1000 and hashlib.sha256("\n".join(wnids).encode()).hexdigest() != ALL:
            complain(f"{train_root}: 1000 classes, but not those of ILSVRC 2012")
        train = files_of(train_root, wnids, complain, passed)
        if folders := class_folders(test_root, passed):
            for unknown in sorted(set(folders) - set(wnids)):
                complain(f"{test_root}: class {unknown!r} is not in {train_root}")
            test = files_of(test_root, wnids, complain, passed)
        else:
            test = _flat(test_root, wnids, _truth(path, base), complain, passed)
    except OSError as error:
        raise DataError(f"{error.filename}: failed to read ({error.strerror or error})") from None
    return Listing(path.resolve().name, readable(wnids), train, test, tuple(passed))


def _roots(path: Path) -> tuple[Path, Path]:
    """Return the folders train and val of a data set. Raises: DataError, if one is missing."""
    if not path.is_dir():
        raise DataError(f"imagenet: no folder {path}")
    for name in ("train", "val"):
        if not (path / name).is_dir():
            raise DataError(f"{path}: no folder {name}/; images go to train/WNID/* and val/WNID/*")
    return path / "train", path / "val"


def readable(wnids: tuple[str, ...]) -> tuple[str, ...]:
    """Return each id with its name, `n01440764 tench`, where torchvision has it, else the ids alone."""
    from torchvision.datasets import Imagenette
    from torchvision.models import ResNet18_Weights

    names = {wnid: words[0] for wnid, words in getattr(Imagenette, "_WNID_TO_CLASS", {}).items()}
    if len(wnids) == 1000:
        names = dict(zip(wnids, ResNet18_Weights.IMAGENET1K_V1.meta["categories"], strict=True))
    return tuple(f"{wnid} {names[wnid]}" for wnid in wnids) if set(wnids) <= set(names) else wnids


def folders_around(images: Path) -> list[Path]:
    """Return the three folders around that of train/ and val/, the nearest first: as on Kaggle, they may have lists.

    They are those of the path as it is written, and then, where it leads through links, those of the folder itself.
    """
    places = Path(os.path.abspath(images)), images.resolve()
    return list(dict.fromkeys(folder for place in places for folder in place.parents[:3]))


def _flat(
    root: Path, wnids: tuple[str, ...], truth: dict[str, str], complain: Complain, passed: list[PassedOver]
) -> ImageFiles:
    """Return the images that lie in one folder, in the order of their names, labelled by the ground truth."""
    label_of = {wnid: label for label, wnid in enumerate(wnids)}
    paths, labels = [], []
    for path in images_in(root, complain, passed):
        if (wnid := truth.get(path.stem)) is None:
            complain(f"{path}: no ground truth has its class")
        elif wnid in label_of:
            paths.append(path)
            labels.append(label_of[wnid])
        else:
            passed.append(PassedOver(f"images of classes that {root.parent.name}/train does not have", str(path)))
    if not paths:
        complain(f"{root}: no images ({', '.join(SUFFIXES)})")
    missing = sorted(set(range(len(wnids))) - set(labels)) if paths else ()
    for label in missing:
        complain(f"{root}: class {wnids[label]!r} has no images")
    return ImageFiles(tuple(paths), np.asarray(labels, np.int64))


def _truth(path: Path, base: Path) -> dict[str, str]:
    """Return the WordNet id of each validation image by its name without suffix.

    Raises: DataError, if there is no ground truth or it cannot be read.
    """
    for folder in (path, *folders_around(base)):
        if (solution := folder / SOLUTION).is_file():
            with open(solution, newline="", encoding="utf-8-sig") as file:
                return _solution(file, solution)
        if (annotations := folder / "Annotations" / "CLS-LOC" / "val").is_dir():
            return dict(_annotated(annotations))
        for inside in (".", "data", "devkit/data", f"{DEVKIT}/data"):
            if (folder / inside / TRUTH).is_file():
                meta, truth = folder / inside / "meta.mat", folder / inside / TRUTH
                return _devkit(_content(meta), _content(truth), str(folder / inside))
        if (archive := folder / f"{DEVKIT}.tar.gz").is_file():
            return _packed_devkit(archive)
    raise DataError(
        f"{base / 'val'}: images without folders of classes, and no ground truth next to them; put {DEVKIT}/ (or its "
        f".tar.gz) or {SOLUTION} into {path}"
    )


def _solution(file: IO[str], where: Path) -> dict[str, str]:
    try:
        return {row["ImageId"]: row["PredictionString"].split(maxsplit=1)[0] for row in csv.DictReader(file)}
    except (KeyError, AttributeError, IndexError, ValueError, csv.Error) as error:
        why = f"{type(error).__name__}: {error}"
        raise DataError(f"{where}: not Kaggle's table of ImageId and PredictionString ({why})") from None


def _annotated(folder: Path) -> Iterator[tuple[str, str]]:
    for file in sorted(folder.glob("*.xml")):
        name = re.search(r"<name>\s*(n\d{8})\s*</name>", _content(file).decode(errors="replace"))
        if name is None:
            raise DataError(f"{file}: names no WordNet id")
        yield file.stem, name[1]


def _packed_devkit(archive: Path) -> dict[str, str]:
    try:
        with tarfile.open(archive) as content:
            meta, truth = (content.extractfile(f"{DEVKIT}/data/{name}") for name in ("meta.mat", TRUTH))
            assert meta is not None and truth is not None
            return _devkit(meta.read(MOST_BYTES), truth.read(MOST_BYTES), str(archive))
    except DataError:
        raise
    except Exception as error:  # a damaged file raises nearly anything
        raise DataError(f"{archive}: not the devkit ({first_line(error)})") from None


def _content(file: Path) -> bytes:
    with reading(file, DataError):
        return read_bytes(file, MOST_BYTES)


def _require_expansion(meta: bytes) -> None:
    """Check what the compressed parts of a MAT-file hold. Raises: ValueError, if that is much more than the devkit."""
    order, at = ("<" if meta[126:128] == b"IM" else ">"), 128
    while at + 8 <= len(meta):
        kind, size = struct.unpack_from(f"{order}II", meta, at)
        if kind == COMPRESSED:
            unpacker = zlib.decompressobj()
            unpacker.decompress(meta[at + 8 : at + 8 + size], MOST_BYTES)
            if unpacker.unconsumed_tail:
                raise ValueError(f"a part of more than {MOST_BYTES:,} bytes")
        at += 8 + size


def _devkit(meta: bytes, truth: bytes, where: str) -> dict[str, str]:
    """Return the ids by the devkit's own numbers of classes, which are not in the order of the ids."""
    from scipy.io import loadmat  # type: ignore[import-untyped]

    try:
        _require_expansion(meta)
        synsets: Any = loadmat(BytesIO(meta), squeeze_me=True)["synsets"]
        wnid_of = {int(row["ILSVRC2012_ID"]): str(row["WNID"]) for row in synsets if int(row["num_children"]) == 0}
        numbers = [int(line) for line in truth.split()]
        ids = [wnid_of[number] for number in numbers]
    except Exception as error:  # a damaged file raises nearly anything
        raise DataError(f"{where}: failed to read the devkit ({type(error).__name__}: {error})") from error
    return {f"ILSVRC2012_val_{number:08}": wnid for number, wnid in enumerate(ids, 1)}
