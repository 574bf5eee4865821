"""Masks keep their places: from polygons, run lengths and indices to targets, pasted pixels and COCO's score."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from synthetic_boxes import instances, write_coco, write_image, write_voc
from torchvision.ops import roi_align

from resnets.detection.coco_score import score_files
from resnets.detection.mask_head import grids, paste, targets
from resnets.detection.masks import Mask
from resnets.detection.pixels import make_sample
from resnets.detection.sources import load_detection_data
from resnets.errors import DataError
from resnets.specs import DetectionRecipe

pytest.importorskip("pycocotools", reason="the extra `detection` is not installed")

POLYGON = [[10, 20, 40, 20, 40, 60, 10, 60]]


def ellipse(size: tuple[int, int], box: tuple[float, float, float, float]) -> NDArray[np.bool_]:
    """Return the pixels (H, W) of an ellipse within a box."""
    y, x = np.mgrid[: size[0], : size[1]] + 0.5
    x1, y1, x2, y2 = box
    inside: NDArray[np.bool_] = ((2 * x - x1 - x2) / (x2 - x1)) ** 2 + ((2 * y - y1 - y2) / (y2 - y1)) ** 2 <= 1
    return inside


def iou(first: NDArray[Any], second: NDArray[Any]) -> float:
    return float(np.logical_and(first, second).sum() / np.logical_or(first, second).sum())


@pytest.mark.parametrize("size", [(61, 47), (33, 128)])
def test_a_mask_in_run_lengths_is_the_same_mask(size: tuple[int, int]) -> None:
    """Compressed, as a list of counts or in JSON, run lengths give the pixels, the area and the box again."""
    pixels = ellipse(size, (3, 5, 31, 30))
    mask = Mask.of_pixels(pixels)
    assert np.array_equal(mask.decode(), pixels)
    assert mask.area == pixels.sum()
    assert mask.box == (3, 5, 31, 30)
    assert Mask.of_segmentation(json.loads(json.dumps(mask.rle())), size) == mask
    flat = np.concatenate(([0], pixels.ravel(order="F"), [1 - pixels[-1, -1]]))
    ends = np.flatnonzero(np.diff(flat)) if not pixels[0, 0] else np.concatenate(([0], np.flatnonzero(np.diff(flat))))
    counts = np.diff(ends, prepend=0).tolist()
    assert Mask.of_segmentation({"size": list(size), "counts": counts}, size) == mask


@pytest.mark.parametrize("box", [(5, 7, 31, 39), (4.3, 6.8, 30.6, 38.5), (-6.5, -3.25, 20.5, 70)])
def test_a_pasted_mask_is_where_it_was_cut(box: tuple[float, float, float, float]) -> None:
    """A filled mask covers the pixels whose centres are in its box, and an ellipse cut to 28 x 28 is drawn again."""
    size = (61, 47)
    y, x = np.mgrid[: size[0], : size[1]] + 0.5
    filled = (x >= box[0]) & (x < box[2]) & (y >= box[1]) & (y < box[3])
    assert np.array_equal(paste(torch.ones(14, 14), box, size), filled)
    pixels = ellipse(size, box)
    cut = roi_align(
        torch.from_numpy(pixels).float()[None, None], [torch.tensor([box], dtype=torch.float32)], 28, aligned=True
    )[0, 0]
    assert iou(paste(cut, box, size), pixels) > 0.95


def test_the_targets_of_regions_are_the_masks_cut_to_them() -> None:
    """Regions around, within and across an object have the shares that its pixels have of their cells."""
    size, box = (90, 120), np.array([[21.5, 12, 80, 71.25]], np.float32)
    pixels = ellipse(size, tuple(box[0]))
    regions = torch.tensor([[21.5, 12, 80, 71.25], [30, 20, 70, 50], [10, 0, 60, 60], [40, 30, 120, 90]])
    matched = torch.zeros(len(regions), dtype=torch.long)
    made = targets(grids([Mask.of_pixels(pixels)], box), torch.from_numpy(box), matched, regions, 14)
    cut = roi_align(torch.from_numpy(pixels).float()[None, None], [regions], 14, aligned=True)[:, 0]
    assert (made - cut).abs().max() < 0.2  # a cell on the border
    assert (made - cut).abs().mean() < 0.01


def test_masks_are_mirrored_with_their_boxes(tmp_path: Path) -> None:
    """Of a mirrored and resized image the targets of mirrored regions are the mirrored targets."""
    write_image(tmp_path / "JPEGImages" / "a.jpg", (121, 93))
    write_voc(tmp_path, {"train": {"a": [("dog", 11, 21, 60, 70)]}}, images=False, size=(121, 93))
    index = np.zeros((93, 121), np.uint8)
    index[20:70, 10:60] = np.tri(50, dtype=np.uint8)
    (tmp_path / "SegmentationObject").mkdir()
    Image.fromarray(index).save(tmp_path / "SegmentationObject" / "a.png")
    (annotated,) = load_detection_data(f"voc:{tmp_path}@train/train", masks=True).train
    assert annotated.masks is not None and np.array_equal(annotated.masks[0].decode(), index)
    assert annotated.areas.tolist() == [index.sum()]
    recipe = DetectionRecipe(
        name="x",
        source="tests",
        iterations=1,
        batch_size=1,
        lr=0.1,
        momentum=0.9,
        weight_decay=0,
        shorter_side=60,
        longest_side=99,
        masks=True,
    )
    image = Image.open(annotated.path).convert("RGB")
    plain, mirrored = (make_sample(annotated, image, recipe, mirrored=flip) for flip in (False, True))
    width = plain.image.shape[2]
    region = torch.tensor([[8.0, 15, 40, 50]])
    other = torch.tensor([[width - 40.0, 15, width - 8, 50]])
    number = torch.zeros(1, dtype=torch.long)
    expected = targets(plain.masks, plain.boxes, number, region, 14).flip(2)
    torch.testing.assert_close(targets(mirrored.masks, mirrored.boxes, number, other, 14), expected, atol=1e-4, rtol=0)
    assert 0.3 < expected.mean() < 0.7


def coco_source(root: Path, segmentation: Any, box: tuple[int, ...] = (10, 20, 30, 40)) -> str:
    """Write a data set of one image, of 100 x 80 pixels, with one object."""
    entry = {"image_id": 1, "category_id": 1, "bbox": list(box), "segmentation": segmentation}
    write_coco(root, {"train": instances([1], [entry], {1: "dog"})})
    return f"coco:{root}@train/train"


def test_polygons_and_run_lengths_are_read(tmp_path: Path) -> None:
    """They are the same mask; without `masks` none is read, whatever it holds, and the digest differs with it."""
    expected = np.zeros((80, 100))
    expected[20:60, 10:40] = 1
    rle = Mask.of_pixels(expected)
    counts = {"size": [80, 100], "counts": [820, *[40, 40] * 29, 40, 4_780 + 4_820 - 4_820 + 40]}
    counts["counts"][-1] = 8_000 - sum(counts["counts"][:-1])
    for number, segmentation in enumerate((POLYGON, rle.rle(), counts)):
        splits = load_detection_data(coco_source(tmp_path / str(number), segmentation), masks=True)
        assert splits.train[0].masks == (rle,)
    source = coco_source(tmp_path / "other", "none")
    plain = load_detection_data(source)
    assert plain.train[0].masks is None
    assert plain.digest != splits.digest


def test_an_object_whose_mask_has_no_pixel_is_left_out(tmp_path: Path) -> None:
    """COCO has polygons too thin for a pixel: the object is listed among the repairs, and the others are trained on."""
    source = coco_source(tmp_path, [[10.2, 20.2, 10.3, 20.2, 10.3, 20.3]])
    path = tmp_path / "annotations" / "instances_train.json"
    content = json.loads(path.read_text())
    content["annotations"].append(content["annotations"][0] | {"id": 2, "segmentation": POLYGON})
    path.write_text(json.dumps(content))
    splits = load_detection_data(source, masks=True)
    assert len(splits.train[0].labels) == len(splits.train[0].masks or ()) == 1
    assert len(splits.repairs) == 1


def test_two_points_next_to_polygons_are_left_out(tmp_path: Path) -> None:
    """They cover no pixel, wherever they come: the mask is that of the polygons, and scored as such, with a note."""
    plain = load_detection_data(coco_source(tmp_path / "plain", POLYGON), masks=True)
    (tmp_path / "none.json").write_text("[]")
    for number, segmentation in enumerate(([[12, 3, 90, 70], *POLYGON], [*POLYGON, [12, 3, 90, 70]])):
        root = tmp_path / str(number)
        splits = load_detection_data(coco_source(root, segmentation), masks=True)
        assert splits.train[0].masks == plain.train[0].masks
        assert any("1 polygons of two points" in note for note in splits.notes)
        scored = score_files(root / "annotations" / "instances_train.json", tmp_path / "none.json", "segm")
        assert scored.numbers["AP"] == 0 and any("1 polygons of two points" in note for note in scored.notes)


@pytest.mark.parametrize(
    ("segmentation", "offending"),
    [
        (None, "segmentation"),
        ([], "segmentation"),
        ([[]], "segmentation"),
        ({"size": [100, 80], "counts": [8_000]}, "80 x 100"),
        ({"size": [80, 100], "counts": [7_999]}, "100 x 80"),
        ([[60, 5, 90, 5, 90, 15]], "5 90 15"),
        ([[10, 10, 20, 20]], "annotation 1 of image 1.*10, 10, 20, 20"),
    ],
    ids=["missing", "empty", "empty polygon", "of another size", "too short", "elsewhere", "two points"],
)
def test_faults_of_coco_s_masks_are_one_line(tmp_path: Path, segmentation: Any, offending: str) -> None:
    """A mask that is missing, empty, of another size or elsewhere than its box is an error that names it."""
    with pytest.raises(DataError, match=offending) as raised:
        load_detection_data(coco_source(tmp_path, segmentation), masks=True)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("made", "offending"),
    [
        (None, "SegmentationObject"),
        (Image.new("RGB", (100, 80)), "RGB"),
        (Image.new("P", (80, 100)), "80 x 100"),
        (Image.new("L", (100, 80), 3), "index 3"),
    ],
    ids=["missing", "not of indices", "of another size", "an index without object"],
)
def test_faults_of_voc_s_masks_are_one_line(tmp_path: Path, made: Image.Image | None, offending: str) -> None:
    """A file of indices that is missing or does not fit the annotation is an error that names it."""
    write_voc(tmp_path, {"train": {"a": [("dog", 11, 21, 40, 60)]}})
    (tmp_path / "SegmentationObject").mkdir()
    if made is not None:
        made.save(tmp_path / "SegmentationObject" / "a.png")
    with pytest.raises(DataError, match=offending):
        load_detection_data(f"voc:{tmp_path}@train/train", masks=True)


def test_voc_s_images_with_masks_are_a_set_of_their_own(tmp_path: Path) -> None:
    """With masks, ImageSets/Segmentation names the images where it is there, and a note says so; boxes are of all."""
    objects = [("dog", 11, 21, 40, 60), ("cat", 61, 1, 80, 20)]
    write_voc(tmp_path, {"train": {"a": objects, "b": objects}})
    (tmp_path / "ImageSets" / "Segmentation").mkdir()
    (tmp_path / "ImageSets" / "Segmentation" / "train.txt").write_text("b\n")
    (tmp_path / "SegmentationObject").mkdir()
    index = np.zeros((80, 100), np.uint8)
    index[20:60, 10:40], index[0:20, 60:80], index[19, 60:80] = 1, 2, 255
    Image.fromarray(index).save(tmp_path / "SegmentationObject" / "b.png")
    source = f"voc:{tmp_path}@train/train"
    whole, masked = load_detection_data(source), load_detection_data(source, masks=True)
    assert [image.id for image in whole.train] == ["a", "b"] and whole.notes == ()
    assert len(masked.notes) == 1 and "1 images with masks" in masked.notes[0] and "the 2 of" in masked.notes[0]
    (image,) = masked.train
    assert image.id == "b" and image.masks is not None
    assert [mask.area for mask in image.masks] == [1_200, 380]  # without the border
