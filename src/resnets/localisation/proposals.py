"""Proposals that a per-class R-CNN is trained on: the best boxes of an RPN for the class of each image, on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from resnets.errors import WeightsError
from resnets.files import make_folder, writing
from resnets.localisation.boxed_images import BoxedImages
from resnets.localisation.frames import read_views, size_of
from resnets.localisation.inference import LocalisationTest, best_of, proposed
from resnets.localisation.localiser import Localiser
from resnets.specs import Precision
from resnets.weights.tensor_file import read_tensors, write_tensors

PART = 5_000  # images of a file: an interrupted call continues after the last whole one
TEST = LocalisationTest(protocol="dense-multi-scale")


def stored_proposals(
    folder: Path, rpn: Localiser, images: BoxedImages, count: int, *, of: str, precision: Precision, workers: int
) -> NDArray[np.float16]:
    """Return the `count` best boxes of the RPN for each image's own class, as shares of the image's sides.

    They are computed once, and read from the folder afterwards; `of` says of which weights and images they are. Where
    an image has fewer boxes, the others are 0.

    Shape: (N, count, 4)
    Raises: DataError, for an image that fails to decode; RunError, if the folder is not writable.
    """
    with writing(folder):
        make_folder(folder)
    parts = []
    for start in range(0, len(images), PART):
        chosen = np.arange(start, min(start + PART, len(images)))
        path = folder / f"images-{start:08}.safetensors"
        about: dict[str, dict[str, object]] = {"proposals": {"of": of, "count": count, "images": len(chosen)}}
        found = _read(path, about)
        if found is None:
            found = _computed(rpn, images.select(chosen), count, precision, workers)
            with writing(path):
                write_tensors(path, {"boxes": found}, about)
        parts.append(found.numpy())
    return np.concatenate(parts)


def _read(path: Path, about: dict[str, dict[str, object]]) -> Tensor | None:
    """Return a file's proposals, or None where there is none of these, or it is damaged."""
    if not path.exists():
        return None
    try:
        tensors, description = read_tensors(path)
    except WeightsError:
        return None
    return tensors["boxes"] if description == about else None


@torch.inference_mode()
def _computed(rpn: Localiser, images: BoxedImages, count: int, precision: Precision, workers: int) -> Tensor:
    found = torch.zeros(len(images), count, 4, dtype=torch.float16)
    look = TEST.look(rpn.rpn)
    for number, views in enumerate(read_views(images.files, [look], workers)):
        label = torch.tensor([int(images.files.labels[number])], device=rpn.device)
        with torch.autocast(rpn.device.type, torch.bfloat16, enabled=precision == "bf16"):
            scores, boxes = proposed(rpn, views[0], views[1:], look, label)
        best = best_of(scores[0], boxes[0], count).cpu()
        found[number, : len(best)] = (best / torch.tensor([*size_of(views[0])] * 2)).half()
    return found
