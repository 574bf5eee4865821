"""Splits from annotation files: sizes compared with the images, boxes repaired, classes numbered."""

from __future__ import annotations

import collections
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resnets.data.class_names import look_alike
from resnets.data.headers import ImageHeader, read_headers
from resnets.detection import coco, voc
from resnets.detection.annotations import AnnotatedImage, DetectionSplits, Repair, digest
from resnets.detection.fields import unit_note
from resnets.detection.mask_checks import MaskChecks
from resnets.detection.masks import Mask
from resnets.detection.repairs import repair_boxes, repair_masks, repair_size
from resnets.errors import DataError, NoMasksError, UsageError, nearest


@dataclass(frozen=True, eq=False)
class Image:
    """One image as its annotation has it: classes by name, boxes as they are written but from 0 and continuous."""

    path: Path
    where: Path  # the annotation file
    id: int | str
    size: tuple[int, int]  # the image's own
    names: tuple[str, ...]
    boxes: NDArray[np.float64]
    difficult: NDArray[np.bool_]
    crowd: NDArray[np.bool_]
    areas: NDArray[np.float64]  # NaN where it is not written
    masks: tuple[Mask, ...] | None  # None where they are not requested, or there are no annotations
    excluded: tuple[str, ...] = ()  # classes that do not count in the image


@dataclass(frozen=True, eq=False)
class Images:
    """One set of images; `categories` are COCO's or ILSVRC's classes, by their ids."""

    where: Path
    images: tuple[Image, ...]
    repairs: tuple[Repair, ...]
    notes: tuple[str, ...]  # what is taken for granted, and what looks wrong
    categories: dict[int, str] | None = None
    annotated: bool = True


def voc_images(folder: voc.Folder, name: str, *, needed: bool, masks: bool) -> Images:
    """Return a set of images in VOC's layout. A set that is not `needed` to train on may have no annotations at all.

    Raises: DataError, if an image or its annotation is missing or damaged; NoMasksError, if there are no masks at all.
    """
    ids = folder.image_ids(name, masks=masks)
    paths = folder.images(ids)
    missing = [image_id for image_id in ids if not folder.has_annotation(image_id)]
    unannotated = len(missing) == len(ids) and not needed
    if missing and not unannotated:
        raise DataError(
            f"{folder.path / 'Annotations'}: {len(missing):,} of {len(ids):,} annotations of the set {name} are "
            f"missing; the first is {missing[0]}.xml"
        )
    if masks and not unannotated and not folder.has_masks():
        raise NoMasksError(f"{folder.path}: no folder SegmentationObject, which has the masks")
    headers = list(read_headers(paths))
    records, images, repairs = [], [], []
    for image_id, path, header in zip(ids, paths, headers, strict=True):
        size = header.width, header.height
        if unannotated:
            record = voc.Record(path, size, (), np.zeros((0, 4)), np.zeros(0, np.bool_))
        else:
            record = voc.read(folder.annotation(image_id))
        records.append(record)
        names, boxes = record.names, record.boxes
        repairs += repair_size(record.path, record.size, size, boxes)
        crowd, areas, own = np.zeros(len(names), np.bool_), np.full(len(names), math.nan), None
        if masks and not unannotated:
            own = tuple(voc.read_masks(folder.segmentation(image_id), len(names), size))
            areas[:] = [mask.area for mask in own]
        images.append(Image(path, record.path, image_id, size, names, boxes, record.difficult, crowd, areas, own))
    where = folder.image_set(name, masks=masks)
    notes = (
        *unit_note(where, np.concatenate([record.corners for record in records])),
        *voc.unmarked_note(where, records),
        *(folder.fewer_note(name, len(ids)) if masks else ()),
        *turned_note(where, headers),
    )
    return Images(folder.path / "Annotations", tuple(images), tuple(repairs), notes, annotated=not unannotated)


def coco_images(folder: coco.Folder, name: str, *, needed: bool, masks: bool) -> Images:
    """Return a set of images in COCO's layout. A set that is not `needed` to train on may have no annotations at all.

    Raises: DataError, if an image is missing, or the annotations are damaged; NoMasksError, if none has a mask.
    """
    instances = coco.read(folder.instances(name))
    if needed and not instances.annotated:
        raise DataError(f"{instances.path}: no list 'annotations' of objects, which training needs")
    if masks and instances.without_masks():
        raise NoMasksError(f"{instances.path}: no annotation has a segmentation, which masks are made of")
    files, categories = coco.names(instances)
    paths = folder.images(name, files)
    headers = list(read_headers(paths))
    sizes = {entry["id"]: (at.width, at.height) for entry, at in zip(instances.images, headers, strict=True)}
    checks = MaskChecks(sizes, instances.path.stat().st_size)
    images, repairs, written = [], [], []
    for entry, path in zip(instances.images, paths, strict=True):
        size = sizes[entry["id"]]
        objects = instances.annotations[entry["id"]]
        boxes = np.asarray([annotation.box for annotation in objects], np.float64).reshape(-1, 4)
        written.append(boxes.copy())
        boxes[:, 2:] += boxes[:, :2]
        areas = [math.nan if annotation.area is None else annotation.area for annotation in objects]
        where = instances.path / path.name  # which of its images
        repairs += repair_size(where, coco.size_of(entry), size, boxes)
        images.append(
            Image(
                path=path,
                where=where,
                id=entry["id"],
                size=size,
                names=tuple(categories[annotation.category] for annotation in objects),
                boxes=boxes,
                difficult=np.zeros(len(objects), np.bool_),
                crowd=np.asarray([annotation.crowd for annotation in objects], np.bool_),
                areas=np.asarray(areas, np.float64),
                masks=coco.masks(instances.path, objects, size, checks) if masks and instances.annotated else None,
            )
        )
    notes = (
        *unit_note(instances.path, np.concatenate([np.zeros((0, 4)), *written])),
        *instances.notes,
        *checks.notes(instances.path),
        *turned_note(instances.path, headers),
    )
    return Images(instances.path, tuple(images), tuple(repairs), notes, categories, annotated=instances.annotated)


def turned_note(where: Path | str, headers: Sequence[ImageHeader]) -> list[str]:
    """Return a note, if some of a set's images are turned upright: their boxes may be of the image as it is stored."""
    count = sum(header.orientation != 1 for header in headers)
    return (
        [
            f"{where}: {count:,} of {len(headers):,} images are turned upright as their EXIF orientation says; boxes "
            "must be of the upright image"
        ]
        if count
        else []
    )


def assemble(
    name: str,
    train: Sequence[Images],
    validation: Sequence[Images],
    test: Sequence[Images],
    *,
    classes: Sequence[str] | None,
    protocol: str,
) -> DetectionSplits:
    """Return the splits made of sets of images, each the union of some.

    Raises: DataError, if the sets' classes do not agree, or a test image is trained on too (unless all are, as in a
        check that a detector can learn its images by heart); UsageError, for an unknown class.
    """
    sets = list(dict.fromkeys((*train, *validation, *test)))
    ids, names = _classes(train, sets) if classes is None else _chosen(classes, sets)
    _apart(train, [*validation, *test])
    repairs = [repair for part in sets for repair in part.repairs]
    left_out = collections.Counter(c for part in sets for image in part.images for c in image.names if c not in names)
    for other, count in sorted(left_out.items()):
        repairs.append(
            Repair(sets[0].where, f"{count:,} objects of class {other!r}, which was not requested; left out")
        )
    made = {part: _annotated(part.images, names, repairs) for part in sets}
    parts = [tuple(itertools.chain.from_iterable(made[part] for part in split)) for split in (train, validation, test)]
    return DetectionSplits(
        name=name,
        classes=names,
        train=parts[0],
        validation=parts[1] or None,
        test=parts[2],
        category_ids=ids,
        protocol=protocol,
        test_annotated=all(part.annotated for part in test),
        left_out=tuple(sorted(left_out)),
        repairs=tuple(repairs),
        notes=tuple(note for part in sets for note in part.notes),
        digest=digest(names, parts),
    )


def _annotated(images: Sequence[Image], classes: Sequence[str], repairs: list[Repair]) -> list[AnnotatedImage]:
    numbers = {name: number for number, name in enumerate(classes)}
    made = []
    for image in images:
        boxes, kept, found = repair_boxes(image.where, image.names, image.boxes, image.size)
        repairs += found
        if image.masks is not None:
            covering, found = repair_masks(image.where, image.names, image.masks, boxes, kept)
            kept &= covering
            repairs += found
        kept &= np.asarray([name in numbers for name in image.names], np.bool_)
        boxes = boxes[kept]
        areas = np.where(np.isnan(image.areas[kept]), (boxes[:, 2:] - boxes[:, :2]).prod(axis=1), image.areas[kept])
        made.append(
            AnnotatedImage(
                path=image.path,
                id=image.id,
                size=image.size,
                boxes=boxes,
                labels=np.asarray([numbers[n] for n, keep in zip(image.names, kept, strict=True) if keep], np.int64),
                difficult=image.difficult[kept],
                crowd=image.crowd[kept],
                areas=areas.astype(np.float32),
                masks=None
                if image.masks is None
                else tuple(mask for mask, keep in zip(image.masks, kept, strict=True) if keep),
                excluded=tuple(numbers[name] for name in image.excluded if name in numbers),
            )
        )
    return made


def _classes(train: Sequence[Images], sets: Sequence[Images]) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Return the classes of sets, where none were requested, and their ids."""
    first = sets[0]
    if first.categories is not None:
        for other in sets[1:]:
            if other.categories != first.categories:
                raise DataError(f"{other.where}: its categories are not those of {first.where}")
        return tuple(first.categories), tuple(first.categories.values())
    found = {name for part in sets for image in part.images for name in image.names}
    if not found:
        raise DataError(f"{first.where}: there is no object in any image")
    names = voc.CLASSES if found <= set(voc.CLASSES) else tuple(sorted(found))
    trained = {name for part in train for image in part.images for name in image.names}
    if names is not voc.CLASSES and (untrained := sorted(found - trained)):
        image = next(i for part in sets for i in part.images if untrained[0] in i.names)
        raise DataError(
            f"{image.where}: class {untrained[0]!r} is in no training image"
            f"{look_alike(untrained[0], trained) or nearest(untrained[0], trained)}; "
            "name the classes that count, if it is none of them"
        )
    return tuple(range(1, len(names) + 1)), names


def _chosen(classes: Sequence[str], sets: Sequence[Images]) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Return the requested classes, and their ids."""
    categories = sets[0].categories or {}
    found = {name for part in sets for image in part.images for name in image.names} | set(categories.values())
    for name in classes:
        if name not in found and (hint := look_alike(name, found) or nearest(name, found - set(classes))):
            raise UsageError(f"there are no objects of class {name!r}{hint}")
    if not found & set(classes):
        raise UsageError(
            f"there are no objects of the classes {', '.join(classes)}; there are {', '.join(sorted(found))}"
        )
    ids = {name: number for number, name in categories.items()}
    free = itertools.count(max(ids.values(), default=0) + 1)
    return tuple(ids[name] if name in ids else next(free) for name in classes), tuple(classes)


def _apart(train: Sequence[Images], others: Sequence[Images]) -> None:
    trained = {image.path for part in train for image in part.images}
    for part in others:
        common = [image.path for image in part.images if image.path in trained]
        if common and part not in train:
            raise DataError(
                f"{part.where}: {len(common):,} of {len(part.images):,} images that are tested on are trained on too; "
                f"the first is {common[0].name}"
            )
