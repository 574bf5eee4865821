"""`train_detector`: Faster R-CNN on a network by its name, on data by its source. Section 4.3."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from resnets.detection.annotations import DetectionSplits
from resnets.detection.detector import (
    Detector,
    classifier,
    detector_input,
    fine_tuned,
    is_detector,
    load_detector,
    recalibrate,
)
from resnets.detection.faster_rcnn import FasterRCNN
from resnets.detection.score import require_objects, score_for
from resnets.detection.session import DetectionJob, run
from resnets.detection.sources import load_detection_data
from resnets.errors import DataError, UsageError
from resnets.networks import catalog
from resnets.paper import detection_recipes
from resnets.runtime.device import choose_device, choose_precision
from resnets.runtime.launch import require_alone
from resnets.runtime.provenance import provenance
from resnets.specs import DetectionRecipe
from resnets.training.config import change
from resnets.training.run import RunFolder
from resnets.training.stretch import Observer
from resnets.training.tensorboard import TensorBoard
from resnets.training.train import begin_run, begun_with, check
from resnets.weights.weights_file import Weights, load_weights, spec_to_dict


@dataclass(frozen=True, kw_only=True)
class DetectorResult:
    """What a detector's finished run came to. `mean_ap` is in [0, 1], and None where nobody here knows the boxes."""

    folder: Path
    network: str
    iterations: int
    seed: int
    mean_ap: float | None
    scores: dict[str, Any]  # as `evaluate_detector` gives them
    seconds: float
    images_per_second: float
    already_finished: bool = False


def train_detector(
    network: str,
    data: str | DetectionSplits,
    *,
    weights: str | Path | None,
    recipe: str | DetectionRecipe | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    iterations: int | None = None,
    batch_size: int | None = None,
    lr: float | None = None,
    momentum: float | None = None,
    weight_decay: float | None = None,
    size: int | None = None,
    anchors: Sequence[int] | None = None,
    regions: int | None = None,
    classes: Sequence[str] | None = None,
    frozen_stages: int | None = None,
    roi_pooling: str | None = None,
    context: bool = False,
    evaluate_every: int | None = None,
    seed: int = 0,
    device: str = "auto",
    precision: str = "auto",
    workers: int = 2,
    save_every: int | None = None,
    observers: Iterable[Observer] = (),
) -> DetectorResult:
    """Train a Faster R-CNN on a network in a folder of its own, and return how it ended.

    `network` is `vgg16`, `resnet101` or another of the ImageNet type; `weights` are those of a classifier, a run's
    folder or a file, of any classes, or of a detector, to fine-tune it; None starts from random ones, which only tests
    need. `data` is `voc:PATH` or
    `coco:PATH`. `recipe` is `voc`, `coco`, `small` or a recipe; None takes the one for the data. The others change it:
    `iterations` its length, with its milestones in proportion; `size` the shorter side of images; `anchors` the
    sides of anchors; `regions` how many are drawn of an image; `context` adds global context (appendix B);
    `classes` names those that count. Every `evaluate_every` iterations there is a test on the validation images, or
    where there are none on the test images; None tests at the end alone.

    Units: pixels for `size` and `anchors`
    Raises: UsageError, DataError, WeightsError, RunError, TrainingError, CheckpointError; Interrupted after a signal.
    Paper: section 4.3, appendices A and B.
    """
    require_alone("detect train")
    check(seed=seed, workers=workers, save_every=save_every)
    catalog.spec(network)  # a wrong name shows before the data is read
    target = choose_device(device)
    again, start = None, None
    if weights is not None and is_detector(Path(weights)):
        again = load_detector(weights, device="cpu")
    elif weights is not None:
        start = load_weights(weights)
    else:
        warnings.warn("a detector that starts from random weights learns little: batch norm is frozen", stacklevel=2)
    if classes is not None and not isinstance(data, str):
        raise UsageError("classes are chosen of data that is given by its source")
    splits = load_detection_data(data, classes) if isinstance(data, str) else data
    base = detection_recipes.find(recipe) if isinstance(recipe, str) else recipe
    chosen = change(
        base or detection_recipes.find("coco" if splits.protocol == "coco" else "voc"),
        batch_size=batch_size,
        lr=lr,
        momentum=momentum,
        weight_decay=weight_decay,
        shorter_side=size,
        longest_side=None if size is None else round(size * 5 / 3),  # as 1000 to 600
        anchor_sizes=None if anchors is None else tuple(anchors),
        regions_per_image=regions,
        frozen_stages=frozen_stages,
        roi_pooling=roi_pooling,
        global_context=context or None,
        evaluate_every=evaluate_every,
    )
    chosen = chosen if iterations is None else chosen.scaled(iterations)
    _require_to_learn(splits, named=classes is not None)
    for name, split in splits.splits():
        if name != "training" and (name != "test" or splits.test_annotated):
            require_objects(split, splits.protocol, f"{splits.name}, {name} images")
    torch.manual_seed(seed)
    if again is not None:
        detector = fine_tuned(again, network, splits.classes, chosen)
    else:
        input = detector_input(None if start is None else start.convention, splits.train)
        backbone = classifier(network, start)
        if start is None:
            recalibrate(backbone, splits.train)
        detector = FasterRCNN(backbone, len(splits.classes), chosen, input)
    begun = again or start
    description: dict[str, Any] = {
        "network": spec_to_dict(detector.spec) | {"detector": "faster_rcnn"},
        "recipe": dataclasses.asdict(chosen),
        "data": _describe_data(splits),
        "seed": seed,
        "precision": choose_precision(precision, target),
        "source": data if isinstance(data, str) else None,
        "weights": None if begun is None else begun_with(begun.path) | _kind(begun),
        "workers": workers,
        "provenance": [provenance(target)],
    }
    folder_name = Path(out or Path("runs") / f"{network}-detector-{splits.name.replace(' ', '-')}")
    with RunFolder(folder_name) as folder:
        description, result = begin_run(folder, description, resume=resume, keep_precision=precision == "auto")
        if result is not None:
            return _result(folder.path, result, already_finished=True)
        job = DetectionJob(
            network=detector,
            data=dataclasses.replace(splits, name=description["data"]["name"]),
            recipe=chosen,
            score=score_for(splits),
            seed=seed,
            device=target,
            precision=description["precision"],
            description=description,
            workers=workers,
            save_every=save_every,
        )
        return _result(folder.path, run(job, folder, [TensorBoard(folder.tensorboard), *observers]))


def _require_to_learn(splits: DetectionSplits, *, named: bool) -> None:
    """Make sure that there are objects to learn, of each class where they were `named`.

    Raises: DataError; UsageError, for a class that was named.
    """
    there = {label for image in splits.train for label in image.labels[image.trainable].tolist()}
    if not there:
        raise DataError(f"{splits.name}: no object to learn is in any of the {len(splits.train):,} training images")
    absent = [name for label, name in enumerate(splits.classes) if label not in there]
    if named and absent:
        raise UsageError(f"class {absent[0]!r} was asked for, and no training image has an object of it")


def _kind(begun: Detector | Weights) -> dict[str, Any]:
    """Return what is in the weights that a run begins with, as far as they tell."""
    kind = "detector" if isinstance(begun, Detector) else "classifier"
    if begun.classes is None and isinstance(begun, Weights):  # a file of others: its last layer tells
        last = next((begun.tensors[name] for name in ("fc.weight", "classifier.6.weight") if name in begun.tensors), ())
        return {"kind": kind, "classes": len(last) or None}
    return {"kind": kind, "classes": len(begun.classes or ())}


def _describe_data(splits: DetectionSplits) -> dict[str, Any]:
    return {
        "name": splits.name,
        "digest": splits.digest,
        "classes": list(splits.classes),
        "training_images": len(splits.train),
        "test_images": len(splits.test),
        "repairs": len(splits.repairs),
    }


def _result(folder: Path, result: dict[str, Any], *, already_finished: bool = False) -> DetectorResult:
    return DetectorResult(
        folder=folder,
        already_finished=already_finished,
        network=result["network"],
        iterations=result["iterations"],
        seed=result["seed"],
        mean_ap=result["scores"]["mean_ap"],
        scores=result["scores"],
        seconds=result["seconds"],
        images_per_second=result["images_per_second"],
    )
