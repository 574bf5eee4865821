"""Images as a detector is trained on them: their size, their mirror images, and which objects they show."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from small_detectors import RECIPE, annotated, rectangles

from resnets.detection.annotations import AnnotatedImage
from resnets.detection.pixels import Sample, TrainingSamples, make_sample, resized
from resnets.errors import UsageError
from resnets.paper import detection_recipes
from resnets.runtime.processes import WHOLE, Share
from resnets.specs import DetectionRecipe


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((500, 375), (800, 600)),  # the shorter side 600
        ((375, 500), (600, 800)),
        ((1200, 900), (800, 600)),  # larger images become smaller
        ((1000, 400), (1000, 400)),  # 600 would make the longer side 1500
        ((2000, 100), (1000, 50)),
        ((5000, 1), (1000, 1)),  # never nothing
    ],
)
def test_the_shorter_side_is_600_and_none_over_1000(size: tuple[int, int], expected: tuple[int, int]) -> None:
    """Images are enlarged or reduced in proportion, and never to nothing."""
    recipe = detection_recipes.VOC
    assert resized(size, recipe.shorter_side, recipe.longest_side) == expected


def picture() -> Image.Image:
    """Return 40 x 20 pixels, black but for a white rectangle from (4, 2) to (12, 10)."""
    image = Image.new("RGB", (40, 20))
    image.paste((255, 255, 255), (4, 2, 12, 10))
    return image


def objects(path: Path = Path("a.png")) -> AnnotatedImage:
    """Return the white rectangle, a difficult object and a crowd."""
    found = annotated(path, [[4, 2, 12, 10], [20, 10, 30, 18], [30, 0, 40, 6]], [1, 0, 0], (40, 20), crowd=1)
    return dataclasses.replace(found, difficult=np.array([False, True, False]))


@pytest.mark.parametrize("mirrored", [False, True])
def test_boxes_stay_on_their_objects(mirrored: bool) -> None:
    """Made twice as large, mirrored or not; difficult objects are left out, and crowds are separate."""
    recipe = RECIPE.with_changes(shorter_side=40, longest_side=80)
    sample = make_sample(objects(), picture(), recipe, mirrored=mirrored)
    assert sample.image.shape == (3, 40, 80)
    assert sample.labels.tolist() == [2]  # from 1: 0 is background
    assert sample.boxes.tolist() == [[56, 4, 72, 20] if mirrored else [8, 4, 24, 20]]
    assert sample.crowds.tolist() == [[0, 0, 20, 12] if mirrored else [60, 0, 80, 12]]
    white = (sample.image[0] > 127).nonzero()
    x1, y1, x2, y2 = sample.boxes[0].tolist()
    assert [*white.amin(0).tolist(), *(white.amax(0) + 1).tolist()] == [y1, x1, y2, x2]


def test_half_of_the_images_are_mirrored(tmp_path: Path) -> None:
    """By the seed and the epoch, drawn again each time; without `flip` none is."""
    picture().save(tmp_path / "a.png")
    recipe = RECIPE.with_changes(shorter_side=32, longest_side=64)

    def seen(recipe: DetectionRecipe = recipe, seed: int = 0) -> list[bool]:
        samples = TrainingSamples([objects(tmp_path / "a.png")], recipe, seed=seed, workers=0)
        return [bool(samples[epoch, 0].boxes[0, 0] > 32) for epoch in range(100)]

    first = seen()
    assert 30 < sum(first) < 70
    assert first == seen()
    assert first != seen(seed=1)
    assert sum(seen(recipe.with_changes(flip=False))) == 0


def test_processes_share_a_mini_batch(tmp_path: Path) -> None:
    """What two see of each iteration is together what one sees, in its order; three images for two are refused."""
    images, recipe = rectangles(tmp_path, 3), RECIPE.with_changes(batch_size=4)

    def seen(share: Share = WHOLE) -> list[list[Sample]]:
        return list(TrainingSamples(images, recipe, seed=0, workers=0, share=share).batches(0, 3))

    whole, shares = seen(), [seen(Share(rank, 2)) for rank in range(2)]
    for together, *parts in zip(whole, *shares, strict=True):
        for one, other in zip(together, [sample for part in parts for sample in part], strict=True):
            assert all(map(torch.equal, one, other))
    with pytest.raises(UsageError, match="3 images"):
        TrainingSamples(images, recipe.with_changes(batch_size=3), seed=0, workers=0, share=Share(0, 2))
