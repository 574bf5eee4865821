"""Averaged probabilities: each image once, and what separate passes over each view give, however they are batched."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torchvision.transforms.v2 import functional

from resnets.data import folder, normalization
from resnets.data.arrays import ImageArrays
from resnets.data.decoding import decode, resize_shorter_side, single_view
from resnets.data.image_files import ImageFiles
from resnets.data.normalization import normalize
from resnets.errors import DataError
from resnets.evaluation import multi_view
from resnets.evaluation.metrics import Counts
from resnets.evaluation.multi_view import Scored, ensemble, five_crops, photo_views, score
from resnets.evaluation.protocols import how_tested
from resnets.networks import registry
from resnets.networks.dense import Dense
from resnets.networks.resnet import ResNet
from resnets.specs import InputSpec, Preprocessing, TestConfig

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
def input_spec(photos: ImageFiles) -> InputSpec:
    return normalization.fit_photos(photos.paths, Preprocessing(mean="pixel"), size=32, resize=36)


@pytest.fixture(scope="module")
def network() -> ResNet:
    torch.manual_seed(0)
    network = registry.create("resnet8", num_classes=5)
    assert isinstance(network, ResNet)
    network.fc.weight.data *= 5  # so that views differ in what they say
    return network.eval()


@torch.inference_mode()
def _scored(run: multi_view.Run, files: ImageFiles, input_spec: InputSpec, how: TestConfig, **options: int) -> Tensor:
    """Return the probabilities in the order of the files; each must come once, with its own label."""
    found = torch.full((len(files), 5), torch.nan)
    for some in score(run, files, input_spec, how, device=CPU, **options):
        assert found[some.numbers].isnan().all()
        assert some.labels.tolist() == files.labels[some.numbers.numpy()].tolist()
        found[some.numbers] = some.probabilities
    assert not found.isnan().any()
    return found


@pytest.mark.parametrize(("batch_size", "workers"), [(256, 0), (3, 2), (1, 0)])
def test_ten_crops_are_the_mean_of_ten_passes(
    photos: ImageFiles, input_spec: InputSpec, network: ResNet, batch_size: int, workers: int
) -> None:
    """Five crops and their mirror images, each normalised and run on its own, and the mean of the softmax."""
    how = TestConfig(protocol="ten-crop", flips=True)
    found = _scored(network, photos, input_spec, how, batch_size=batch_size, workers=workers)
    passes = []
    for view in range(10):
        crops = []
        for path in photos.paths:
            crop = five_crops(resize_shorter_side(decode(path), 36), 32)[view % 5]
            crops.append(np.asarray(crop if view < 5 else ImageOps.mirror(crop)))
        images = torch.from_numpy(normalize(np.stack(crops), input_spec)).permute(0, 3, 1, 2)
        with torch.inference_mode():
            passes.append(network(images).softmax(1))
    torch.testing.assert_close(found, torch.stack(passes).mean(0), rtol=1e-4, atol=1e-6)
    assert not torch.allclose(passes[0], passes[1], atol=1e-2)  # the views do differ


def test_144_crops_are_the_mean_of_144_passes(photos: ImageFiles, input_spec: InputSpec, network: ResNet) -> None:
    """Four scales, three squares along the longer side, five crops and the whole of each, and all their mirror images.

    The crops are cut by hand out of the resized photo; on a square photo the three squares are the same.
    """
    some = photos.select(np.array([0, 1, 2]))
    scales = (37, 41, 46, 50)  # 256, 288, 320 and 352 of 224
    how = how_tested(True, input_spec, protocol="144")
    assert how == TestConfig(protocol="144-crop", flips=True, scales=scales)
    found = _scored(network, some, input_spec, how)
    for number, path in enumerate(some.paths):
        crops = []
        for scale in scales:
            whole = np.asarray(resize_shorter_side(decode(path), scale))
            spare = [length - scale for length in whole.shape[:2]]
            for share in (0, 0.5, 1):
                top, left = (round(share * length) for length in spare)
                square = whole[top : top + scale, left : left + scale]
                end, middle = scale - 32, round((scale - 32) / 2)
                places = [(0, 0), (0, end), (end, 0), (end, end), (middle, middle)]
                crops += [square[y : y + 32, x : x + 32] for y, x in places]
                crops.append(np.asarray(Image.fromarray(square).resize((32, 32), Image.Resampling.BILINEAR)))
        images = np.stack([*crops, *(crop[:, ::-1] for crop in crops)])
        assert len(images) == 144
        with torch.inference_mode():
            passes = network(torch.from_numpy(normalize(images, input_spec)).permute(0, 3, 1, 2)).softmax(1)
        torch.testing.assert_close(found[number], passes.mean(0), rtol=1e-4, atol=1e-6)
        assert not torch.allclose(passes[4], passes[5], atol=1e-2)  # the views do differ


@pytest.mark.parametrize("flips", [True, False])
@pytest.mark.parametrize(("batch_size", "held"), [(256, 1 << 28), (2, 1 << 28), (256, 20_000)])
def test_dense_is_the_mean_of_each_image_alone(
    photos: ImageFiles,
    input_spec: InputSpec,
    network: ResNet,
    monkeypatch: pytest.MonkeyPatch,
    flips: bool,
    batch_size: int,
    held: int,
) -> None:
    """However images are put together by their shapes, and however few may wait."""
    monkeypatch.setattr(multi_view, "HELD", held)
    dense = Dense(network, 32)
    how = TestConfig(protocol="dense-multi-scale", flips=flips, scales=(32, 48, 64))
    found = _scored(dense, photos, input_spec, how, batch_size=batch_size)
    normalized = normalization.Normalizer(input_spec, CPU)
    for number, path in enumerate(photos.paths):
        softmax = []
        for scale in how.scales:
            image = torch.from_numpy(np.array(resize_shorter_side(decode(path), scale)))[None]
            for one in (image, image.flip(2)) if flips else (image,):
                with torch.inference_mode():
                    softmax.append(dense(normalized(one)).softmax(1)[0])
        torch.testing.assert_close(found[number], torch.stack(softmax).mean(0), rtol=1e-4, atol=1e-6)


def test_what_waits_is_bounded(photos: ImageFiles, input_spec: InputSpec) -> None:
    """No batch has more pixels than `batch_size` images of the network's size, but for an image that alone has more."""
    shapes: list[tuple[int, ...]] = []

    def run(images: Tensor) -> Tensor:
        shapes.append(tuple(images.shape))
        return torch.zeros(len(images), 5)

    how = TestConfig(protocol="dense-multi-scale", scales=(32, 48, 64, 96))
    _scored(run, photos, input_spec, how, batch_size=6)
    assert all(count * height * width <= 6 * 32 * 32 or count == 1 for count, _, height, width in shapes)
    assert any(count > 1 for count, *_ in shapes)
    assert sum(count for count, *_ in shapes) == 4 * len(photos)


@pytest.mark.parametrize("flips", [True, False])
@pytest.mark.parametrize("batch_size", [1, 4, 256])
def test_small_images_and_their_mirror_images(network: ResNet, flips: bool, batch_size: int) -> None:
    """Each image once, in order; with flips the mean of its probabilities and its mirror image's."""
    generator = np.random.default_rng(0)
    split = ImageArrays(generator.integers(0, 256, (9, 32, 32, 3), np.uint8), np.arange(9) % 5)
    input_spec = normalization.fit(split.images, Preprocessing(mean="pixel"))
    how = TestConfig(protocol="single-view", flips=flips)
    images = torch.from_numpy(normalize(split.images, input_spec)).permute(0, 3, 1, 2)
    with torch.inference_mode():
        found = list(score(network, split, input_spec, how, device=CPU, batch_size=batch_size))
        expected = network(images).softmax(1)
        if flips:
            expected = (expected + network(images.flip(3)).softmax(1)) / 2
    assert torch.cat([some.numbers for some in found]).tolist() == list(range(9))
    assert torch.cat([some.labels for some in found]).tolist() == split.labels.tolist()
    torch.testing.assert_close(torch.cat([some.probabilities for some in found]), expected, rtol=1e-4, atol=1e-6)


# ---------------------------------------------------------------- views

CONVENTION = InputSpec(size=32, resize=36)


def _files(root: Path) -> ImageFiles:
    files = folder.load(root).test
    assert isinstance(files, ImageFiles)
    return files


@pytest.mark.parametrize("size", [(50, 36), (36, 51), (36, 36), (32, 32)])
def test_five_crops_are_torchvisions(size: tuple[int, int]) -> None:
    """The corners and the centre are the pixels that torchvision's five_crop takes."""
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    image = Image.fromarray(pixels)
    for one, other in zip(five_crops(image, 32), functional.five_crop(image, [32, 32]), strict=True):
        assert (np.asarray(one) == np.asarray(other)).all()


@pytest.mark.parametrize("workers", [0, 2])
def test_the_last_of_the_five_crops_is_the_centre_crop(photo_folder: Path, workers: int) -> None:
    """Ten-crop and centre-crop testing share their centre, with and without worker processes."""
    files = _files(photo_folder)
    crops = list(photo_views(files, CONVENTION, TestConfig(protocol="ten-crop", flips=True), workers=workers))
    centres = photo_views(files, CONVENTION, TestConfig(protocol="center-crop"), workers=workers)
    assert [number for number, _ in crops] == list(range(len(files)))
    for (number, five), (_, [centre]) in zip(crops, centres, strict=True):
        assert len(five) == 5
        assert (five[4] == centre).all()
        assert (centre == single_view(files.paths[number], CONVENTION)).all()


def test_whole_images_at_each_scale(photo_folder: Path) -> None:
    """48x40 photos: the shorter side is the scale, the longer one in proportion, rounded down."""
    how = TestConfig(protocol="dense-multi-scale", scales=(32, 40, 64))
    views = [each for _, each in photo_views(_files(photo_folder), CONVENTION, how, workers=0)]
    assert {tuple(view.shape for view in each) for each in views} == {((32, 38, 3), (40, 48, 3), (64, 76, 3))}


def test_a_damaged_file_is_named(photo_folder: Path) -> None:
    """A file that fails to decode is a DataError with its path, in a worker process too."""
    files = _files(photo_folder)
    files.paths[3].write_bytes(files.paths[3].read_bytes()[:200])
    for workers in (0, 2):
        with pytest.raises(DataError, match=rf"^{files.paths[3]}: failed to decode"):
            list(photo_views(files, CONVENTION, TestConfig(protocol="ten-crop", flips=True), workers=workers))


# ---------------------------------------------------------------- ensembles


def _pass(probabilities: Tensor, labels: Tensor, order: list[int], size: int = 3) -> Iterator[Scored]:
    """Yield the images in an order and in parts of their own, as shapes may put them together."""
    for part in torch.tensor(order).split(size):
        yield Scored(part, labels[part], probabilities[part])


def _random(members: int, samples: int, classes: int) -> tuple[list[Tensor], Tensor]:
    generator = torch.Generator().manual_seed(samples)
    logits = 2 * torch.randn(members, samples, classes, generator=generator)
    return list(logits.softmax(2)), torch.randint(0, classes, (samples,), generator=generator)


@pytest.mark.parametrize("samples", [1, 7, 100])
@pytest.mark.parametrize("members", [1, 2, 6])
def test_the_mean_of_the_probabilities_decides(members: int, samples: int) -> None:
    """Counts and loss are of the mean over members, each of which may come in an order of its own."""
    probabilities, labels = _random(members, samples, 8)
    orders = [torch.randperm(samples, generator=torch.Generator().manual_seed(i)).tolist() for i in range(members)]
    together, alone, _ = ensemble(
        [_pass(each, labels, order) for each, order in zip(probabilities, orders, strict=True)], samples, 8
    )
    mean = torch.stack(probabilities).mean(0)
    assert together.samples == samples
    assert together.top1_wrong == int((mean.argmax(1) != labels).sum())
    best = mean.topk(5).indices
    assert together.top5_wrong == int((best != labels[:, None]).all(1).sum())
    assert together.loss == pytest.approx(-float(mean[torch.arange(samples), labels].log().mean()), rel=1e-5)
    for counts, each in zip(alone, probabilities, strict=True):
        assert counts.top1_wrong == int((each.argmax(1) != labels).sum())


def test_two_that_err_differently_are_right_together() -> None:
    """What an ensemble is for: where one is wrong, the other is surer."""
    labels = torch.tensor([0, 1])
    one = torch.tensor([[0.9, 0.1, 0.0], [0.6, 0.4, 0.0]])
    other = torch.tensor([[0.4, 0.6, 0.0], [0.1, 0.9, 0.0]])
    together, alone, _ = ensemble([_pass(each, labels, [0, 1]) for each in (one, other)], 2, 3)
    assert [counts.top1_error for counts in alone] == [50.0, 50.0]
    assert together.top1_error == 0.0


@pytest.mark.parametrize(
    ("shift", "order", "named"), [(1, [0, 1, 2, 3, 4], "other labels"), (0, [0, 1, 3], "2 of 5 images")]
)
def test_passes_that_do_not_agree_are_an_error(shift: int, order: list[int], named: str) -> None:
    """Each pass has all images, with the same labels."""
    (one, other), labels = _random(2, 5, 4)
    with pytest.raises(DataError, match=named):
        ensemble([_pass(one, labels, [*range(5)]), _pass(other, (labels + shift) % 4, order)], 5, 4)


def test_a_probability_of_zero_is_counted() -> None:
    """It underflows in float32; the loss stays finite."""
    counts = Counts(3)
    counts.add_probabilities(torch.tensor([[1.0, 0.0, 0.0]]), torch.tensor([1]))
    assert (counts.top1_wrong, counts.samples) == (1, 1)
    assert 80 < counts.loss < 90
