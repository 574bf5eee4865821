"""Averaged probabilities: each image once, and what separate passes over each view give, however they are batched."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from torch import Tensor

from resnets.data import convention as conventions
from resnets.data.convention import normalize
from resnets.data.datasets import ImageArrays, ImageFiles
from resnets.data.decoding import decode, resize_shorter_side
from resnets.data.views import five_crops
from resnets.evaluation import multi_view
from resnets.evaluation.multi_view import score
from resnets.networks import catalog
from resnets.networks.dense import Dense
from resnets.networks.resnet import ResNet
from resnets.specs import HowTested, InputConvention, Preprocessing

SIZES = [(50, 40), (40, 50), (40, 40), (50, 40), (90, 40), (50, 40), (41, 60)]
CPU = torch.device("cpu")


@pytest.fixture
def photos(tmp_path: Path) -> ImageFiles:
    """Seven photos, three of them of one shape."""
    generator = np.random.default_rng(0)
    paths = []
    for number, (width, height) in enumerate(SIZES):
        coarse = Image.fromarray(generator.integers(0, 256, (6, 6, 3), np.uint8))
        paths.append(tmp_path / f"{number}.png")
        coarse.resize((width, height), Image.Resampling.BICUBIC).save(paths[-1])
    return ImageFiles(tuple(paths), np.arange(len(SIZES)) % 5)


@pytest.fixture
def convention(photos: ImageFiles) -> InputConvention:
    return conventions.fit_photos(photos, Preprocessing(mean="pixel"), size=32, resize=36)


@pytest.fixture(scope="module")
def network() -> ResNet:
    torch.manual_seed(0)
    network = catalog.create("resnet8", num_classes=5)
    assert isinstance(network, ResNet)
    network.fc.weight.data *= 5  # so that views differ in what they say
    return network.eval()


@torch.inference_mode()
def _scored(
    run: multi_view.Run, files: ImageFiles, convention: InputConvention, how: HowTested, **options: int
) -> Tensor:
    """Return the probabilities in the order of the files; each must come once, with its own label."""
    found = torch.full((len(files), 5), torch.nan)
    for some in score(run, files, convention, how, device=CPU, **options):
        assert found[some.numbers].isnan().all()
        assert some.labels.tolist() == files.labels[some.numbers.numpy()].tolist()
        found[some.numbers] = some.probabilities
    assert not found.isnan().any()
    return found


@pytest.mark.parametrize(("batch_size", "workers"), [(256, 0), (3, 2), (1, 0)])
def test_ten_crops_are_the_mean_of_ten_passes(
    photos: ImageFiles, convention: InputConvention, network: ResNet, batch_size: int, workers: int
) -> None:
    """Five crops and their mirror images, each normalised and run on its own, and the mean of the softmax."""
    how = HowTested(protocol="ten-crop", flips=True)
    found = _scored(network, photos, convention, how, batch_size=batch_size, workers=workers)
    passes = []
    for view in range(10):
        crops = []
        for path in photos.paths:
            crop = five_crops(resize_shorter_side(decode(path), 36), 32)[view % 5]
            crops.append(np.asarray(crop if view < 5 else ImageOps.mirror(crop)))
        images = torch.from_numpy(normalize(np.stack(crops), convention)).permute(0, 3, 1, 2)
        with torch.inference_mode():
            passes.append(network(images).softmax(1))
    torch.testing.assert_close(found, torch.stack(passes).mean(0), rtol=1e-4, atol=1e-6)
    assert not torch.allclose(passes[0], passes[1], atol=1e-2)  # the views do differ


@pytest.mark.parametrize("flips", [True, False])
@pytest.mark.parametrize(("batch_size", "held"), [(256, 1 << 28), (2, 1 << 28), (256, 20_000)])
def test_dense_is_the_mean_of_each_image_alone(
    photos: ImageFiles,
    convention: InputConvention,
    network: ResNet,
    monkeypatch: pytest.MonkeyPatch,
    flips: bool,
    batch_size: int,
    held: int,
) -> None:
    """However images are put together by their shapes, and however few may wait."""
    monkeypatch.setattr(multi_view, "HELD", held)
    dense = Dense(network, 32)
    how = HowTested(protocol="dense-multi-scale", flips=flips, scales=(32, 48, 64))
    found = _scored(dense, photos, convention, how, batch_size=batch_size)
    normalized = conventions.Normalizer(convention, CPU)
    for number, path in enumerate(photos.paths):
        softmax = []
        for scale in how.scales:
            image = torch.from_numpy(np.array(resize_shorter_side(decode(path), scale)))[None]
            for one in (image, image.flip(2)) if flips else (image,):
                with torch.inference_mode():
                    softmax.append(dense(normalized(one)).softmax(1)[0])
        torch.testing.assert_close(found[number], torch.stack(softmax).mean(0), rtol=1e-4, atol=1e-6)


def test_what_waits_is_bounded(
    photos: ImageFiles, convention: InputConvention, network: ResNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No batch has more pixels than `batch_size` images of the network's size, but for an image that alone has more."""
    shapes: list[tuple[int, ...]] = []

    def run(images: Tensor) -> Tensor:
        shapes.append(tuple(images.shape))
        return torch.zeros(len(images), 5)

    how = HowTested(protocol="dense-multi-scale", scales=(32, 48, 64, 96))
    _scored(run, photos, convention, how, batch_size=6)
    assert all(count * height * width <= 6 * 32 * 32 or count == 1 for count, _, height, width in shapes)
    assert any(count > 1 for count, *_ in shapes)
    assert sum(count for count, *_ in shapes) == 4 * len(photos)


def test_one_scale_of_square_images_is_the_centre_crop(
    tmp_path: Path, convention: InputConvention, network: ResNet
) -> None:
    """A 32x32 image at scale 32: one position, the ordinary forward pass."""
    pixels = np.random.default_rng(1).integers(0, 256, (32, 32, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "square.png")
    files = ImageFiles((tmp_path / "square.png",), np.array([4]))
    found = _scored(
        Dense(network, 32), files, convention, HowTested(protocol="dense-multi-scale", scales=(32,)), batch_size=8
    )
    images = torch.from_numpy(normalize(pixels[None], convention)).permute(0, 3, 1, 2)
    with torch.inference_mode():
        torch.testing.assert_close(found, network(images).softmax(1), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("flips", [True, False])
@pytest.mark.parametrize("batch_size", [1, 4, 256])
def test_small_images_and_their_mirror_images(network: ResNet, flips: bool, batch_size: int) -> None:
    generator = np.random.default_rng(0)
    split = ImageArrays(generator.integers(0, 256, (9, 32, 32, 3), np.uint8), np.arange(9) % 5)
    convention = conventions.fit(split, Preprocessing(mean="pixel"))
    how = HowTested(protocol="single-view", flips=flips)
    images = torch.from_numpy(normalize(split.images, convention)).permute(0, 3, 1, 2)
    with torch.inference_mode():
        found = list(score(network, split, convention, how, device=CPU, batch_size=batch_size))
        expected = network(images).softmax(1)
        if flips:
            expected = (expected + network(images.flip(3)).softmax(1)) / 2
    assert torch.cat([some.numbers for some in found]).tolist() == list(range(9))
    assert torch.cat([some.labels for some in found]).tolist() == split.labels.tolist()
    torch.testing.assert_close(torch.cat([some.probabilities for some in found]), expected, rtol=1e-4, atol=1e-6)
