"""`detect`: trained detectors on images, with appendix B's refinements."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from resnets.data.decoding import decode
from resnets.detection import model
from resnets.detection.album import Album, DetectedObject
from resnets.detection.annotations import Detections
from resnets.detection.inference import detect as detect_on
from resnets.detection.model import Detector
from resnets.detection.refinements import PYRAMID, Refinements
from resnets.errors import DataError, UsageError
from resnets.runtime.device import choose_device, choose_precision


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
    detectors = load_all(path, device)
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
                [detector.network for detector in detectors],
                image,
                switches,
                threshold=min(threshold, first.network.recipe.score),
                device=first.device,
                precision=multiply,
            )
            objects = [one for one in _objects(found, first.classes) if one.score >= threshold]
            if album is not None:
                album.add(file, image, objects)
            yield file, objects


def load_all(path: str | Path | Detector | Sequence[str | Path | Detector], device: str) -> list[Detector]:
    """Return one detector or the members of an ensemble, which must know the same classes.

    Raises: WeightsError, as `load_detector`; UsageError.
    """
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


def _objects(found: Detections, classes: Sequence[str]) -> list[DetectedObject]:
    rows = zip(found.labels.tolist(), found.scores.tolist(), found.boxes.tolist(), strict=True)
    return [DetectedObject(classes[label], score, tuple(box)) for label, score, box in rows]
