"""Proposals that a per-class R-CNN is trained on: the best boxes of an RPN for the class of each image, on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from resnets.data.loading import View
from resnets.errors import WeightsError
from resnets.files import make_folder, writing
from resnets.localisation.boxed_images import BoxedImages
from resnets.localisation.frames import read_views, size_of
from resnets.localisation.inference import LocalisationTest, best_of, proposed
from resnets.localisation.localiser import Localiser
from resnets.records.headers import ProposalsHeader
from resnets.specs import Precision
from resnets.weights.tensor_file import read_tensors, write_tensors

PART = 5_000  # images of a file: an interrupted call continues after the last whole one
TEST = LocalisationTest(protocol="dense-multi-scale")


def stored_proposals(
    folder: Path,
    rpn: Localiser,
    images: BoxedImages,
    count: int,
    *,
    of: str,
    precision: Precision,
    workers: int,
    progress: Callable[[int, int], None] | None = None,
) -> NDArray[np.float16]:
    """Return the `count` best boxes of the RPN for each image's own class, as shares of the image's sides.

    They are computed once, and read from the folder afterwards; `of` says of which weights and images they are. Where
    an image has fewer boxes, the others are 0. `progress` is called with the number of images done and their total.

    Shape: (N, count, 4)
    Raises: DataError, for an image that fails to decode; RunError, if the folder is not writable.
    """
    with writing(folder):
        make_folder(folder)
    parts = []
    for start in range(0, len(images), PART):
        chosen = np.arange(start, min(start + PART, len(images)))
        path = folder / f"images-{start:08}.safetensors"
        header = ProposalsHeader(of=of, count=count, images=len(chosen))
        found = _read(path, header)
        if found is None:
            found = torch.zeros(len(chosen), count, 4, dtype=torch.float16)
            views = read_views(images.select(chosen).files, [TEST.look(rpn.rpn)], workers)
            for row, (label, image) in enumerate(zip(images.files.labels[chosen].tolist(), views, strict=True)):
                best = _best(rpn, image, label, count, precision)
                found[row, : len(best)] = best
                if progress is not None:
                    progress(start + row + 1, len(images))
            with writing(path):
                write_tensors(path, {"boxes": found}, header)
        parts.append(found.numpy())
    return np.concatenate(parts)


def _read(path: Path, header: ProposalsHeader) -> Tensor | None:
    """Return a file's proposals, or None where there is none of these, or it is damaged."""
    if not path.exists():
        return None
    try:
        tensors, found = read_tensors(path)
    except WeightsError:
        return None
    return tensors["boxes"] if found == header else None


@torch.inference_mode()
def _best(rpn: Localiser, views: list[View], label: int, count: int, precision: Precision) -> Tensor:
    """Return the best boxes of an image for its class, as shares of its sides. Shape: (up to count, 4)"""
    labels = torch.tensor([label], device=rpn.device)
    with torch.autocast(rpn.device.type, torch.bfloat16, enabled=precision == "bf16"):
        scores, boxes = proposed(rpn, views[0], views[1:], TEST.look(rpn.rpn), labels)
    best = best_of(scores[0], boxes[0], count).cpu()
    return (best / torch.tensor([*size_of(views[0])] * 2)).half()
