"""Scores of detectors on a split, by any number of processes."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from resnets.data.load import load_of_runs, require_trained_on
from resnets.data.named_splits import adjective
from resnets.detection.annotations import AnnotatedImage, Detections, DetectionSplits, in_short
from resnets.detection.detector import Detector
from resnets.detection.predict import detect_by_all, load_all
from resnets.detection.refinements import Refinements
from resnets.detection.score import Score, require_objects, require_writable, score_for, write_detections
from resnets.detection.sources import load_detection_data
from resnets.errors import DataError, NoMasksError, UsageError, public, warn
from resnets.files import require_results_folder
from resnets.records import base
from resnets.records.evaluations import DetectionEvaluation
from resnets.records.runs import DetectionScores, DetectorResult, result_next_to
from resnets.runtime.device import choose_precision
from resnets.runtime.launch import joined
from resnets.runtime.processes import World
from resnets.runtime.provenance import provenance
from resnets.training.settings import RunSettings

EVALUATION = "evaluation.json"  # next to the detections, or to the guesses of localisers


@public
def evaluate_detector(
    path: str | Path | Detector | Sequence[str | Path | Detector],
    data: str | DetectionSplits | None = None,
    *,
    split: str = "test",
    protocol: str | None = None,
    classes: Sequence[str] | None = None,
    out: str | Path | None = None,
    box_refinement: bool = False,
    multi_scale: bool = False,
    device: str = "auto",
    precision: str = "fp32",
    workers: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> DetectionEvaluation:
    """Evaluate a detector, or an ensemble of several, on a split with the official metrics.

    Where torchrun started several processes, each image is processed by exactly one, and all return the same.

    Args:
        path: a run folder, a weights file or a loaded detector; several are an ensemble.
        data: `voc:PATH`, `coco:PATH`, `ilsvrc:PATH` or splits; None is the source of the run.
        split: `test`, `train` or `validation`.
        protocol: `voc07` (11-point AP), `voc` (area AP), `coco` or `ilsvrc`; None is the data's.
        classes: to use, where the data has more than the weights; objects of others are left out, as in training.
        out: folder for the detections, in the format of the official tools, and `evaluation.json` for `resnets report`.
        box_refinement: iterative box regression and box voting (appendix B).
        multi_scale: maxout of the features at two of five scales (appendix B).
        device: `auto` is the first GPU, else the CPU.
        precision: `fp32`, `bf16` or `auto`.
        workers: data-loading processes.
        progress: is called after each image with the number of processed images and their total.

    A detector of masks is scored by boxes alone on data without any, with a note.

    Raises: WeightsError, UsageError, DataError, also if the classes are not those of the training.
    """
    RunSettings(workers=workers)
    require_results_folder(out)
    with joined(device) as world:
        detectors = load_all(path, world.device)
        splits = _load(detectors, data, classes)
        images = splits.of(split)
        unmasked = detectors[0].network.recipe.masks and any(image.masks is None for image in images)
        notes = [f"{splits.name}: its objects have no masks; boxes alone are scored"] if unmasked else []
        for note in (*splits.notes, *notes) if world.first else ():
            warn(note)
        chosen = protocol or splits.protocol
        score = _scorer(splits, split, images, chosen)  # before the work is done
        if out is not None:
            require_writable(splits, split, chosen)
        refinements = Refinements.of(box_refinement=box_refinement, multi_scale=multi_scale)
        start = time.perf_counter()
        found = detect_by_all(
            world,
            [detector.network for detector in detectors],
            images,
            refinements,
            device=detectors[0].device,
            precision=choose_precision(precision, detectors[0].device),
            workers=workers,
            progress=progress,
        )
        seconds = time.perf_counter() - start
        scores = world.broadcast_object(lambda: score(images, found))
        evaluation = DetectionEvaluation(
            networks=tuple(detector.network.spec.name for detector in detectors),
            data=splits.name,
            digest=splits.digest,
            split=split,
            images=len(found),
            repairs=len(splits.repairs),
            protocol=chosen,
            box_refinement=box_refinement,
            multi_scale=multi_scale,
            refinements=(*refinements.names, *(["ensemble"] if len(detectors) > 1 else [])),
            mean_ap=scores.mean_ap,
            scores=scores,
            seconds_per_image=seconds / len(found),
            results=tuple(result_next_to(one.path, DetectorResult, one.network.spec) for one in detectors),
            provenance=provenance(detectors[0].device, world.size),
        )
        if out is not None:
            _write(world, Path(out), evaluation, splits, found)
        return evaluation


def _scorer(splits: DetectionSplits, split: str, images: Sequence[AnnotatedImage], protocol: str) -> Score:
    """Return the function that scores a split. Raises: UsageError, DataError, if the split is not scorable."""
    score = score_for(splits, protocol)
    if split == "test" and not splits.test_annotated:
        return lambda images, found: DetectionScores(mean_ap=None)  # the server of VOC 2012, for example, knows it
    require_objects(images, protocol, f"{splits.name}, {adjective(split)} images")
    return score


def _write(
    world: World, out: Path, evaluation: DetectionEvaluation, splits: DetectionSplits, found: Sequence[Detections]
) -> None:
    def write() -> None:
        write_detections(out, splits, found, split=evaluation.split, protocol=evaluation.protocol)
        base.write(out / EVALUATION, evaluation)

    world.broadcast_object(write)


def _loaded(source: str, detector: Detector) -> DetectionSplits:
    """Return the data set of a source with a detector's classes, and with masks where both have them."""
    if detector.network.recipe.masks:
        with contextlib.suppress(NoMasksError):
            return load_detection_data(source, detector.classes, masks=True)
    return load_detection_data(source, detector.classes)


def _load(
    detectors: Sequence[Detector], data: str | DetectionSplits | None, classes: Sequence[str] | None
) -> DetectionSplits:
    """Return the given data, or where there is none what the runs of detectors were trained on, with their classes."""
    first = detectors[0]
    if data is not None:
        return _with_classes_of(first, data, classes)
    splits = load_of_runs([one.path for one in detectors], lambda source: _with_classes_of(first, source, classes))
    for one in detectors:
        require_trained_on(one.path, splits, splits.digest)
    return splits


def _with_classes_of(detector: Detector, data: str | DetectionSplits, classes: Sequence[str] | None) -> DetectionSplits:
    """Return a data set with a detector's classes, of which it may lack some; others only where classes are named."""
    if classes is not None:
        if not isinstance(data, str):
            raise UsageError("classes are chosen of data that is given by its source")
        if set(classes) != set(detector.classes):
            raise UsageError(f"classes are {in_short(classes)}; the weights know {in_short(detector.classes)}")
    splits = _loaded(data, detector) if isinstance(data, str) else data
    unknown = [] if classes is not None else [*splits.left_out, *sorted(set(splits.classes) - set(detector.classes))]
    if splits.classes == detector.classes and not unknown:
        return splits
    what = f"class {unknown[0]!r}" if unknown else f"the classes {in_short(splits.classes)}"
    raise DataError(
        f"{splits.name} is not what {detector.path} was trained on: it has {what}; the weights know "
        f"{in_short(detector.classes)}; to leave other objects out, name these as the classes"
    )
