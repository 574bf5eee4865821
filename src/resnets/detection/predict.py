"""Detections on images, by one detector or several, with appendix B's refinements."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from torchvision.ops import clip_boxes_to_image

from resnets.detection.annotations import AnnotatedImage, Detections, in_short
from resnets.detection.detector import Detector, load_detector
from resnets.detection.faster_rcnn import FasterRCNN
from resnets.detection.mask_head import paste
from resnets.detection.masks import Mask
from resnets.detection.pixels import SplitImages, as_tensor, resize
from resnets.detection.refinements import Refinements, adjacent_scales, select
from resnets.detection.writer import DetectedObject, answers
from resnets.errors import DataError, UsageError, public
from resnets.inference.several import load_each
from resnets.runtime.device import choose_precision, keep_freed_memory
from resnets.runtime.processes import World
from resnets.specs import Precision


@public
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
) -> Iterator[tuple[Path | str, list[DetectedObject] | DataError]]:
    """Yield the objects in each image file, or the error if it is not an image.

    Each comes with its path or, of an image in a shard or on standard input, its name.

    Args:
        path: a run folder, a weights file or a loaded detector; several are an ensemble.
        images: one or more image files of any size, folders, patterns, `webdataset:` shards or `-` (standard input), as
            in `predict`.
        threshold: minimum score, from 0 to 1.
        out: folder for the images with boxes, under their names, and `detections.json`.
        box_refinement, multi_scale: as in `evaluate_detector`.
        device: `auto` is the first GPU, else the CPU.
        precision: `fp32`, `bf16` or `auto`.

    Raises: WeightsError, as `load_detector`; UsageError; RunError, if `out` is not writable.
    """
    if not 0 <= threshold <= 1:
        raise UsageError(f"threshold is {threshold}; it must be in [0, 1]")
    detectors = load_all(path, device)
    first = detectors[0]
    compute = choose_precision(precision, first.device)
    switches = Refinements.of(box_refinement=box_refinement, multi_scale=multi_scale)
    networks = [detector.network for detector in detectors]
    least = min(threshold, first.network.recipe.score)

    def find(image: Image.Image) -> list[DetectedObject]:
        found = detect_image(networks, image, switches, threshold=least, device=first.device, precision=compute)
        return [one for one in _objects(found, first.classes) if one.score >= threshold]

    yield from answers(images, find, first.classes, None if out is None else Path(out))


def load_all(path: str | Path | Detector | Sequence[str | Path | Detector], device: str) -> list[Detector]:
    """Return one detector or the members of an ensemble, of the same classes, all with masks or none.

    Raises: WeightsError, as `load_detector`; UsageError.
    """
    detectors = load_each(path, Detector, partial(load_detector, device=device))
    for other in detectors[1:]:
        if other.classes != detectors[0].classes:
            raise UsageError(
                f"{other.path} knows the classes {in_short(other.classes)}, and {detectors[0].path} "
                f"{in_short(detectors[0].classes)}; an ensemble needs the same, in the same order"
            )
        if other.network.recipe.masks != detectors[0].network.recipe.masks:
            raise UsageError(
                f"of {other.path} and {detectors[0].path} only one has masks; an ensemble needs all or none"
            )
    return detectors


def detect_by_all(
    world: World,
    detectors: Sequence[FasterRCNN],
    images: Sequence[AnnotatedImage],
    refinements: Refinements | None = None,
    *,
    device: torch.device,
    precision: Precision,
    workers: int,
    progress: Callable[[int, int], None] | None = None,
) -> list[Detections]:
    """Return, on all processes, the detections on all images, in their order; each image is detected on by one.

    Detectors are put into evaluation mode.

    Raises: DataError, for the first image that fails to decode.
    """
    if device.type == "cpu":
        keep_freed_memory()
    for detector in detectors:
        detector.eval()
    found: list[Detections] = []
    for one, image in SplitImages(images[world.rank :: world.size]).read(workers):
        found.append(detect_image(detectors, image, refinements, id=one.id, device=device, precision=precision))
        if progress is not None and world.first:
            progress(min(len(found) * world.size, len(images)), len(images))
    return world.gather(found)


@torch.inference_mode()
def detect_image(
    detectors: Sequence[FasterRCNN],
    image: Image.Image,
    refinements: Refinements | None = None,
    *,
    id: int | str = 0,
    threshold: float | None = None,
    device: torch.device,
    precision: Precision = "fp32",
) -> Detections:
    """Return detections on an RGB image, the most certain first, by detectors in evaluation mode; `id` is its name.

    Masks, of detectors that have them, are those of the final boxes.

    `threshold` is the least score, by default that of the recipe, with which a detector is tested. Several are an
    ensemble: they share their proposals, and their answers for a region are averaged. The first one's recipe sets
    thresholds and limits.

    Paper: appendix B.
    """
    refinements = refinements or Refinements()
    recipe = detectors[0].recipe
    with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
        views = [_View(detector, image, refinements.pyramid, device) for detector in detectors]
        regions = torch.cat([view.proposals() for view in views])
        scores, boxes = _answers(views, regions)
        if refinements.box_refinement and len(regions):
            best = boxes[torch.arange(len(boxes)), scores.argmax(1)]
            again = _answers(views, best)
            scores, boxes = torch.cat((scores, again[0])), torch.cat((boxes, again[1]))
    found = select(
        boxes,
        scores,
        threshold=recipe.score if threshold is None else threshold,
        iou=recipe.nms,
        limit=recipe.detections_per_image,
        voting=refinements.box_refinement,
    )
    with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
        masks = _masks(views, found[0], found[2])
    places, certainties, labels = (part.cpu().numpy() for part in found)
    return Detections(id, places, certainties, labels, masks)


def _masks(views: Sequence[_View], boxes: Tensor, labels: Tensor) -> tuple[Mask, ...] | None:
    """Return the masks of detections, of the mean over detectors of their probabilities; None without masks.

    Shape: (N, 4), (N,)
    """
    if not views[0].detector.recipe.masks:
        return None
    if not len(boxes):
        return ()
    answers = [view.masks(boxes, labels)[:, None] for view in views]
    finest = max(answer.shape[-1] for answer in answers)  # of detectors with other settings
    fine = [F.interpolate(one, (finest, finest), mode="bilinear", align_corners=False) for one in answers]
    probabilities = torch.cat(fine, 1).mean(1).float().cpu()
    size = views[0].height, views[0].width
    pasted = (paste(own, box, size) for own, box in zip(probabilities, boxes.tolist(), strict=True))
    return tuple(Mask.of_pixels(pixels) for pixels in pasted)


def _answers(views: Sequence[_View], regions: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean over detectors of each region's probabilities and boxes. Shape: (R, 4) -> (R, K), (R, K, 4)"""
    answers = [view.answers(regions) for view in views]
    scores, boxes = (torch.stack(parts).mean(0) for parts in zip(*answers, strict=True))
    return scores, boxes


class _View:
    """One image as one detector sees it. Regions and boxes are in the image's own pixels."""

    def __init__(self, detector: FasterRCNN, image: Image.Image, pyramid: Sequence[int], device: torch.device) -> None:
        self.detector = detector
        self.height, self.width = image.height, image.width
        recipe = detector.recipe
        self.whole = self._scale(image, recipe.shorter_side, recipe.longest_side, device)
        proportion = recipe.longest_side / recipe.shorter_side  # a pyramid's larger images may be longer in it
        self.scales = [
            self.whole if side == recipe.shorter_side else self._scale(image, side, round(side * proportion), device)
            for side in sorted({*pyramid} or {recipe.shorter_side})
        ]

    def _scale(self, image: Image.Image, shorter: int, longest: int, device: torch.device) -> _Scale:
        small = resize(image, shorter, longest)
        factors = torch.tensor([small.width / image.width, small.height / image.height] * 2, device=device)
        maps = self.detector.maps(as_tensor(small).to(device))
        return _Scale(maps, factors, (small.height, small.width))

    def proposals(self) -> Tensor:
        """Return regions that may hold an object. Shape: (P, 4)"""
        boxes, _ = self.detector.proposals.propose(self.whole.maps, self.whole.size)
        return boxes / self.whole.factors

    def answers(self, regions: Tensor) -> tuple[Tensor, Tensor]:
        """Return the probabilities of the classes and their boxes. Shape: (R, 4) -> (R, K), (R, K, 4)"""
        scores, shifts = self.detector.regions.answer(self._vectors(regions))
        boxes = self.detector.regions.boxes(shifts, regions)
        clipped = clip_boxes_to_image(boxes.reshape(-1, 4), (self.height, self.width)).view_as(boxes)
        return scores.softmax(1)[:, 1:], clipped

    def masks(self, boxes: Tensor, labels: Tensor) -> Tensor:
        """Return the probabilities of the masks of boxes, at the recipe's scale. Shape: (N, 4), (N,) -> (N, M, M)"""
        maps = self.detector.region_maps(self.whole.maps, boxes * self.whole.factors)
        return self.detector.regions.masks(maps, labels)

    def _vectors(self, regions: Tensor) -> Tensor:
        if len(self.scales) == 1:
            return self._at(self.scales[0], regions)
        factors = torch.stack([scale.factors[:2].prod().sqrt() for scale in self.scales])
        lower = adjacent_scales(regions, factors)
        vectors: Tensor | None = None
        for number, scale in enumerate(self.scales):
            here = ((lower == number) | (lower == number - 1)).nonzero()[:, 0]
            if not len(here):
                continue
            found = self._at(scale, regions[here])
            if vectors is None:
                vectors = found.new_full((len(regions), found.shape[1]), -torch.inf)
            vectors[here] = torch.maximum(vectors[here], found)  # maxout of the two scales
        return self._at(self.scales[0], regions) if vectors is None else vectors

    def _at(self, scale: _Scale, regions: Tensor) -> Tensor:
        return self.detector.describe(scale.maps, regions * scale.factors, scale.size)


@dataclass(frozen=True, eq=False)
class _Scale:
    """The shared maps of an image at one scale; `factors` turn boxes of the image into boxes of it."""

    maps: Tensor
    factors: Tensor  # (4,)
    size: tuple[int, int]  # height, width


def _objects(found: Detections, classes: Sequence[str]) -> list[DetectedObject]:
    masks = found.masks or [None] * len(found.labels)
    rows = zip(found.labels.tolist(), found.scores.tolist(), found.boxes.tolist(), masks, strict=True)
    return [DetectedObject(classes[label], score, tuple(box), mask) for label, score, box, mask in rows]
