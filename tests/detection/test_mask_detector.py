"""A detector of masks learns two images by heart, is tested, drawn and scored in files, and resumes to the last bit."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_detectors
import torch
from observing import Crash, CrashAt
from PIL import Image
from small_detectors import CLASSES, RECIPE, TinyDetector, halves, train
from synthetic_boxes import instances, write_coco, write_voc

import resnets
from resnets.data.decoding import decode
from resnets.detection.annotations import DetectionSplits
from resnets.detection.detector import Detector
from resnets.detection.evaluate import evaluate_detector
from resnets.detection.faster_rcnn import FasterRCNN
from resnets.detection.fine_tuning import fine_tuned
from resnets.detection.predict import detect_image
from resnets.detection.refinements import Refinements
from resnets.detection.score import score_detections
from resnets.errors import DataError, UsageError
from resnets.records.runs import DetectorResult
from resnets.training.run_folder import RunFolder
from resnets.weights.tensor_file import read_tensors

pytest.importorskip("pycocotools", reason="the extra `detection` is not installed")

pytestmark = pytest.mark.usefixtures("small_networks")

MASKS = RECIPE.with_changes(masks=True, roi_pooling="align", roi_size=8, frozen_stages=4, flip=False, lr=0.02)


@pytest.fixture(scope="module")
def learnt(tiny_detector: TinyDetector, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TinyDetector]:
    """A run of a few iterations from the detector of boxes that knows these two images."""
    folder = tmp_path_factory.mktemp("masks")
    images = halves(tiny_detector.data.train)
    data = dataclasses.replace(tiny_detector.data, train=images, test=images, protocol="coco")
    with small_detectors.small_networks():
        with pytest.warns(UserWarning, match="masks|other settings") as warned:
            train(tiny_detector.run, folder / "run", data, MASKS.with_changes(iterations=240, milestones=(200,)))
        assert any("masks" in str(one.message) for one in warned)
        yield TinyDetector(folder / "run", data)


def evaluated(path: Any, data: DetectionSplits, **options: Any) -> resnets.DetectionEvaluation:
    return evaluate_detector(path, data, workers=0, device="cpu", **options)


def test_it_learns_the_masks_of_two_images_by_heart(learnt: TinyDetector) -> None:
    """The AP of masks at IoU 0.75 is near 1, and the log has the loss of masks, the last one."""
    result = RunFolder(learnt.run).result(DetectorResult)
    assert result is not None and result.scores.masks is not None and result.scores.numbers is not None
    assert result.scores.masks.numbers["AP75"] > 0.95
    assert list(result.curve[-1].losses) == [
        "proposal_loss",
        "proposal_box_loss",
        "class_loss",
        "box_loss",
        "mask_loss",
    ]
    assert result.curve[-1].losses["mask_loss"] < 0.2


def test_files_score_as_the_detections_do(learnt: TinyDetector, tmp_path: Path) -> None:
    """COCO's result files of boxes and of masks have the scores of the evaluation, which are those of the run."""
    run, data = learnt
    found = evaluated(run, data, out=tmp_path)
    recorded = RunFolder(run).result(DetectorResult)
    assert recorded is not None and found.scores == recorded.scores and found.scores.masks is not None
    truth = {
        "images": [{"id": one.id, "width": one.size[0], "height": one.size[1]} for one in data.test],
        "categories": [{"id": number, "name": name} for number, name in enumerate(data.classes, 1)],
        "annotations": [
            {
                "id": 100 * int(one.id) + number,
                "image_id": one.id,
                "category_id": int(one.labels[number]) + 1,
                "bbox": [*one.boxes[number, :2].tolist(), *(one.boxes[number, 2:] - one.boxes[number, :2]).tolist()],
                "area": float(one.areas[number]),
                "iscrowd": 0,
                "segmentation": mask.rle(),
            }
            for one in data.test
            for number, mask in enumerate(one.masks or ())
        ],
    }
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    for name, kind, numbers in (
        ("detections", "bbox", found.scores.numbers),
        ("segmentations", "segm", found.scores.masks.numbers),
    ):
        file = tmp_path / f"{name}_test_results.json"
        scored = score_detections(tmp_path / "truth.json", file, "coco", iou_type=kind)
        assert scored.numbers == pytest.approx(numbers)  # type: ignore[union-attr]


def test_boxes_by_voc_s_protocol_and_masks_by_coco_s(learnt: TinyDetector, tmp_path: Path) -> None:
    """Of a refined ensemble too; VOC's files of boxes are next to COCO's file of masks."""
    run, data = learnt
    found = evaluated([run, run], data, protocol="voc", box_refinement=True, out=tmp_path)
    assert found.scores.numbers is None and found.scores.masks is not None
    assert len(found.scores.masks.numbers) == 12
    names = {path.name for path in tmp_path.iterdir()}
    assert {"segmentations_test_results.json", "comp4_det_test_red.txt"} <= names


def test_masks_are_of_the_mean_of_an_ensemble_and_of_the_recipe_s_scale(learnt: TinyDetector) -> None:
    """Two equal members draw what one does, also if one has coarser masks; a pyramid's masks are within its boxes."""
    network = resnets.load_detector(learnt.run, device="cpu").network
    coarse = copy.deepcopy(network)
    coarse.roi_size = 6
    image = decode(learnt.data.test[0].path)
    alone, both, mixed, scales = (
        detect_image(networks, image, refinements, device=small_detectors.CPU)
        for networks, refinements in (
            ([network], None),
            ([network, network], None),
            ([network, coarse], None),
            ([network], Refinements(pyramid=(96, 160))),
        )
    )
    assert alone.masks and both.masks and scales.masks and len(scales.masks) == len(scales.boxes)
    assert all(mask.size == (image.height, image.width) for mask in scales.masks)
    for several, least in ((both, 0.95), (mixed, 0.8)):
        assert several.masks is not None
        first, other = alone.masks[0].decode(), several.masks[0].decode()
        assert (first & other).sum() / (first | other).sum() > least
    for mask, (x1, y1, x2, y2) in zip(scales.masks, scales.boxes, strict=True):
        left, top, right, bottom = mask.box
        assert left >= x1 - 0.5 and top >= y1 - 0.5 and right <= x2 + 0.5 and bottom <= y2 + 0.5


def test_an_image_is_drawn_with_tinted_masks(learnt: TinyDetector, tmp_path: Path) -> None:
    """Each object comes with its mask, which is near the drawn one, tinted in the picture and in detections.json."""
    image = learnt.data.test[0]
    ((_, found),) = resnets.detect(learnt.run, image.path, out=tmp_path, device="cpu")
    assert not isinstance(found, DataError) and len(found) == len(image.labels)
    drawn = np.asarray(Image.open(tmp_path / f"{image.path.stem}.jpg")).astype(int)
    pixels = np.asarray(Image.open(image.path)).astype(int)
    for one in found:
        assert one.mask is not None
        overlaps = [(mask.decode() & one.mask.decode()).sum() / mask.area for mask in image.masks or ()]
        assert max(overlaps) > 0.8
        assert np.abs(drawn - pixels)[one.mask.decode() != 0].mean() > 20
    (entry,) = json.loads((tmp_path / "detections.json").read_text())
    assert entry["objects"][0]["mask"] == found[0].mask.rle()  # type: ignore[union-attr]


def test_masks_resume_to_the_last_bit(learnt: TinyDetector, tmp_path: Path) -> None:
    """A run that died and was resumed has the weights of one that never stopped."""
    recipe = MASKS.with_changes(iterations=4, batch_size=2, flip=True)
    train(learnt.run, tmp_path / "whole", learnt.data, recipe, save_every=2)
    with pytest.raises(Crash):
        train(learnt.run, tmp_path / "died", learnt.data, recipe, save_every=2, observers=[CrashAt(3)])
    torch.manual_seed(7)
    train(learnt.run, tmp_path / "died", learnt.data, recipe, save_every=2, resume=True)
    whole, died = (read_tensors(tmp_path / run / "weights.safetensors")[0] for run in ("whole", "died"))
    assert [name for name in whole if not torch.equal(whole[name], died[name])] == []


def test_fine_tuning_keeps_masks_of_the_same_classes(learnt: TinyDetector) -> None:
    """In another order of the classes too; with other classes the last layer of the masks is new, the first is kept."""
    other = resnets.load_detector(learnt.run, device="cpu")
    before = other.network.regions.mask_predictor.state_dict()
    kept = fine_tuned(other, "resnet10", ("green", "red"), MASKS).regions.mask_predictor.state_dict()
    assert torch.equal(kept["mask_fcn_logits.weight"], before["mask_fcn_logits.weight"].flip(0))
    with pytest.warns(UserWarning, match="blue"):
        changed = fine_tuned(other, "resnet10", ("red", "blue"), MASKS).regions.mask_predictor.state_dict()
    assert torch.equal(changed["conv5_mask.weight"], before["conv5_mask.weight"])
    assert not torch.equal(changed["mask_fcn_logits.weight"], before["mask_fcn_logits.weight"])
    assert (
        fine_tuned(other, "resnet10", ("red", "green"), MASKS.with_changes(masks=False)).regions.mask_predictor is None
    )


def test_data_with_boxes_alone_is_scored_by_boxes(tmp_path: Path) -> None:
    """A note says so, of VOC's folder and of COCO's file; where some objects have masks the others still need them."""
    network = small_detectors.detector(MASKS).eval()
    detector = Detector(tmp_path / "weights.safetensors", network, CLASSES, torch.device("cpu"))
    objects = [{"image_id": 1, "category_id": n, "bbox": [10, 10, 30, 30], "segmentation": []} for n in (1, 2)]
    content = instances([1], objects, dict(enumerate(CLASSES, 1)))
    write_coco(tmp_path / "coco", {"train": content})
    write_voc(tmp_path / "voc", {"train": {"a": [(name, 1, 1, 40, 40) for name in CLASSES]}})
    for source in ("coco", "voc"):
        with pytest.warns(UserWarning, match="no masks; boxes alone"):
            found = evaluate_detector(detector, f"{source}:{tmp_path / source}@train/train", workers=0, device="cpu")
        assert found.scores.mean_ap is not None and found.scores.masks is None
    objects[0]["segmentation"] = [[10, 10, 40, 10, 40, 40]]
    write_coco(tmp_path / "some", {"train": content | {"annotations": instances([1], objects, {})["annotations"]}})
    with pytest.raises(DataError, match="annotation 2 of image 1 has no segmentation"):
        evaluate_detector(detector, f"coco:{tmp_path / 'some'}@train/train", workers=0, device="cpu")


def test_what_has_no_masks_is_refused(learnt: TinyDetector, tiny_detector: TinyDetector, tmp_path: Path) -> None:
    """Data without masks to learn, a network without conv5_x, and an ensemble of which one member has none."""
    with pytest.raises(DataError, match="rectangles"):
        train(learnt.run, tmp_path / "run", tiny_detector.data, MASKS)
    with pytest.raises(UsageError, match="vgg8"):
        FasterRCNN(small_detectors.vgg(), 2, MASKS, small_detectors.INPUT)
    with pytest.raises(UsageError, match="masks"):
        evaluated([learnt.run, tiny_detector.run], learnt.data)
