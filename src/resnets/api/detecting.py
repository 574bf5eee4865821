"""`detect` and `evaluate_detector`: trained detectors on images and data sets, with appendix B's refinements."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resnets.api.training import check
from resnets.data.decoding import decode
from resnets.detection import model, protocols, sources
from resnets.detection.album import Album, DetectedObject
from resnets.detection.annotations import AnnotatedImage, Detections, DetectionSplits
from resnets.detection.inference import detect as detect_on
from resnets.detection.model import Detector
from resnets.detection.refinements import PYRAMID, Refinements
from resnets.detection.session import detect_all
from resnets.errors import DataError, UsageError
from resnets.networks.execution import choose_device, choose_precision, keep_freed_memory
from resnets.training.distributed import require_alone


@dataclass(frozen=True, kw_only=True)
class DetectionEvaluation:
    """What detectors come to on a split. `scores` are the protocol's numbers, in [0, 1], with `mean_ap` among them."""

    networks: tuple[str, ...]
    data: str
    split: str
    images: int
    protocol: str
    refinements: tuple[str, ...]
    mean_ap: float | None
    scores: dict[str, Any]
    seconds_per_image: float


def load_detector(path: str | Path, *, device: str = "auto") -> Detector:
    """Return the trained detector of a run's folder or a weights file.

    Raises: WeightsError, if there is none, or it is damaged; UsageError, if the device cannot be used.
    """
    return model.load(path, choose_device(device))


def refinements(*, box_refinement: bool = False, multi_scale: bool = False) -> Refinements:
    """Return appendix B's improvements of testing, by their switches."""
    return Refinements(box_refinement=box_refinement, pyramid=PYRAMID if multi_scale else ())


def detect(
    path: str | Path | Detector | Sequence[str | Path | Detector],
    images: str | Path | Iterable[str | Path],
    *,
    threshold: float = 0.5,
    out: str | Path | None = None,
    box_refinement: bool = False,
    multi_scale: bool = False,
    device: str = "auto",
    precision: str = "fp32",
) -> Iterator[tuple[Path, list[DetectedObject] | DataError]]:
    """Yield for each image file the objects that a detector finds with at least a score, or the error if it is none.

    Several detectors are an ensemble. `box_refinement` and `multi_scale` are appendix B's. `out` is a folder for the
    images with the objects drawn on them, under their names, and for `detections.json`.

    Raises: WeightsError, as `load_detector`; UsageError; RunError, if `out` cannot be written.
    """
    if not 0 <= threshold <= 1:
        raise UsageError(f"threshold is {threshold}; it must be in [0, 1]")
    detectors = _load_all(path, device)
    first = detectors[0]
    multiply = choose_precision(precision, first.device)
    switches = refinements(box_refinement=box_refinement, multi_scale=multi_scale)
    with ExitStack() as closing:
        album = None if out is None else closing.enter_context(Album(Path(out), first.classes))
        for name in [images] if isinstance(images, str | Path) else images:
            file = Path(name)
            try:
                image = decode(file)
            except DataError as error:
                yield file, error
                continue
            found = detect_on(
                [detector.network for detector in detectors], image, switches, device=first.device, precision=multiply
            )
            objects = _objects(found, first.classes, threshold)
            if album is not None:
                album.add(file, image, objects)
            yield file, objects


def evaluate_detector(
    path: str | Path | Detector | Sequence[str | Path | Detector],
    data: str | DetectionSplits,
    *,
    split: str = "test",
    protocol: str | None = None,
    out: str | Path | None = None,
    box_refinement: bool = False,
    multi_scale: bool = False,
    device: str = "auto",
    precision: str = "fp32",
    workers: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> DetectionEvaluation:
    """Test a detector, or several as an ensemble, on a split and score it by a protocol, as the official tools do.

    `protocol` is `voc07` (11 points), `voc` (area) or `coco`; None takes the data's. `out` is a folder for the
    detections, in the files that the protocol's tools and servers read. `progress` is told after each image how many
    are done, and of how many.

    Raises: WeightsError, UsageError, DataError; also where the classes are not those of the training.
    """
    require_alone("detect evaluate")
    check(seed=0, workers=workers, save_every=None)
    detectors = _load_all(path, device)
    first = detectors[0]
    splits = _fitting(data, first)
    named = dict(splits.splits())
    if split not in named:
        raise UsageError(f"split is {split!r}; {splits.name} has {', '.join(named)}")
    if first.device.type == "cpu":
        keep_freed_memory()
    switches = refinements(box_refinement=box_refinement, multi_scale=multi_scale)
    chosen = protocol or splits.protocol
    score = protocols.score_for(splits, chosen)  # before the work is done
    if split == "test" and not splits.test_annotated:
        score = _unknown  # the server of VOC 2012, for example
    start = time.perf_counter()
    found: list[Detections] = []
    for one in detect_all(
        [detector.network for detector in detectors],
        named[split],
        switches,
        device=first.device,
        precision=choose_precision(precision, first.device),
        workers=workers,
    ):
        found.append(one)
        if progress is not None:
            progress(len(found), len(named[split]))
    seconds = time.perf_counter() - start
    scores = score(named[split], found)
    if out is not None:
        protocols.write(Path(out), splits, found, split=split, protocol=chosen)
    return DetectionEvaluation(
        networks=tuple(detector.network.spec.name for detector in detectors),
        data=splits.name,
        split=split,
        images=len(found),
        protocol=chosen,
        refinements=(*switches.names, *(["ensemble"] if len(detectors) > 1 else [])),
        mean_ap=scores["mean_ap"],
        scores=scores,
        seconds_per_image=seconds / len(found),
    )


def _fitting(data: str | DetectionSplits, detector: Detector) -> DetectionSplits:
    """Return a data set with a detector's classes, of which it may lack some."""
    splits = sources.load(data) if isinstance(data, str) else data
    if splits.classes == detector.classes:
        return splits
    strange = sorted(set(splits.classes) - set(detector.classes))
    if isinstance(data, str) and not strange:
        return sources.load(data, detector.classes)
    what = f"class {strange[0]!r}" if strange else f"the classes {', '.join(splits.classes)}"
    raise DataError(
        f"{splits.name} is not what {detector.path} was trained on: it has {what}; the weights know "
        f"{', '.join(detector.classes)}"
    )


def _unknown(images: Sequence[AnnotatedImage], found: Sequence[Detections]) -> dict[str, Any]:
    return {"mean_ap": None}


def _load_all(path: str | Path | Detector | Sequence[str | Path | Detector], device: str) -> list[Detector]:
    """Return one detector or the members of an ensemble, which must know the same classes."""
    several = [path] if isinstance(path, str | Path | Detector) else list(path)
    if not several:
        raise UsageError("no detector is given")
    detectors = [one if isinstance(one, Detector) else load_detector(one, device=device) for one in several]
    for other in detectors[1:]:
        if other.classes != detectors[0].classes:
            raise UsageError(
                f"{other.path} knows the classes {', '.join(other.classes)}, and {detectors[0].path} "
                f"{', '.join(detectors[0].classes)}; an ensemble needs the same, in the same order"
            )
    return detectors


def _objects(found: Detections, classes: Sequence[str], threshold: float) -> list[DetectedObject]:
    rows = zip(found.labels.tolist(), found.scores.tolist(), found.boxes.tolist(), strict=True)
    return [DetectedObject(classes[label], score, tuple(box)) for label, score, box in rows if score >= threshold]
