"""Image files as a split: crops to train on, the centre to test on, whoever reads them."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from resnets.data import folder
from resnets.data.arrays import ImageArrays
from resnets.data.decoding import EncodedImage, single_view
from resnets.data.image_files import ImageFiles
from resnets.data.loading import Batching
from resnets.data.normalization import fit_photos, mean_of
from resnets.data.photos import scale_crop_flip
from resnets.errors import UsageError
from resnets.specs import InputSpec, PadCropFlip, Preprocessing, ScaleCropFlip

CHANNEL = Preprocessing(mean="channel", std=True)


def photos_of(root: Path) -> ImageFiles:
    train = folder.load(root).train
    assert isinstance(train, ImageFiles)
    return train


def test_a_recipe_for_other_images_is_refused(photo_folder: Path) -> None:
    """Augmentation for arrays is refused for files and vice versa, and so are crops of another size."""
    options: dict[str, Any] = {"batch_size": 2, "seed": 0, "workers": 0}
    view = InputSpec(size=8, resize=8)
    arrays = ImageArrays(np.zeros((3, 8, 8, 3), np.uint8), np.arange(3))
    with pytest.raises(UsageError):
        arrays.training_batches(view, ScaleCropFlip(), Batching(**options))
    photos = photos_of(photo_folder)
    with pytest.raises(UsageError, match="image files"):
        photos.training_batches(view, PadCropFlip(), Batching(**options))
    with pytest.raises(UsageError, match="crops of 224 pixels.* 256"):
        photos.training_batches(view, ScaleCropFlip(), Batching(**options))
    with pytest.raises(UsageError, match="crops of 8 pixels.* 4"):
        photos.training_batches(view, ScaleCropFlip(shortest=4, longest=9, crop=8), Batching(**options))


def test_photos_are_scaled_cropped_and_flipped_at_random(make_photos) -> None:  # type: ignore[no-untyped-def]
    """Views differ from epoch to epoch, and are the same with worker processes."""
    train = photos_of(make_photos(train=2))
    input_spec = fit_photos(train.paths, CHANNEL, size=24, resize=32)
    how = ScaleCropFlip(shortest=28, longest=40, crop=24)
    options: dict[str, Any] = {"batch_size": 6, "seed": 0}
    alone = train.training_batches(input_spec, how, Batching(**options))
    by_two = train.training_batches(input_spec, how, Batching(workers=2, **options))
    seen = []
    for (images, labels), (again, also) in zip(alone.batches(0, 4), by_two.batches(0, 4), strict=True):
        assert images.shape == (6, 3, 24, 24)
        assert torch.equal(images, again)
        assert torch.equal(labels, also)
        assert sorted(labels.tolist()) == [0, 0, 1, 1, 2, 2]
        assert torch.equal(images.mean((2, 3)).argmax(1), labels)  # each class has its own colour
        seen += [image.numpy().tobytes() for image in images]
    assert len(set(seen)) == 24


def test_a_random_crop_reaches_every_place_scale_and_mirror_image(tmp_path: Path) -> None:
    """Of a horizontal ramp resized to 9 or 10 pixels and cropped to 8, all views come and no other."""
    from PIL import Image

    ramp = Image.fromarray(np.tile(np.arange(10, dtype=np.uint8) * 20, (10, 1)))
    random.seed(0)
    path, input_spec = tmp_path / "ramp.png", InputSpec(size=8, resize=9, channels=1)
    ramp.save(path)

    def view(how: ScaleCropFlip) -> bytes:
        return scale_crop_flip(EncodedImage(path, 1), how, input_spec).tobytes()

    views = {view(ScaleCropFlip(shortest=9, longest=10, crop=8)) for _ in range(500)}
    expected = set()
    for side in (9, 10):
        resized = np.asarray(ramp.resize((side, side), Image.Resampling.BILINEAR))
        for left in range(side - 7):
            part = resized[:8, left : left + 8]
            expected |= {part.tobytes(), part[:, ::-1].tobytes()}
    assert views == expected
    assert len({view(ScaleCropFlip(shortest=10, longest=10, crop=8, flip=False)) for _ in range(99)}) == 3


def test_photos_are_tested_on_their_centre(photo_folder: Path) -> None:
    """Test batches are the normalised single views."""
    train = photos_of(photo_folder)
    input_spec = fit_photos(train.paths, Preprocessing(), size=24, resize=32)
    images = torch.cat([batch[0] for batch in train.test_batches(input_spec, batch_size=5)])
    for image, path in zip(images, train.paths, strict=True):
        expected = single_view(path, input_spec).astype(np.float32) / np.float32(255) - mean_of(input_spec)
        assert np.array_equal(image.permute(1, 2, 0).numpy(), expected)
