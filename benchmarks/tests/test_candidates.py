"""The peers do the same work as ours, and every candidate steps."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import resnets
from benchmarks import detection, inference, loaders, pipelines, predicting, training
from benchmarks import images as images_of_rows
from benchmarks.candidates import candidates
from benchmarks.images import PHOTOS, SIDES, Images, make_large, make_photos
from benchmarks.peers import BaselineResNet, accuracy
from benchmarks.rows import Row
from benchmarks.setting import Setting
from benchmarks.worker import Loop
from resnets.data.arrays import ImageArrays
from resnets.data.splits import DataSplits
from resnets.errors import UsageError
from resnets.networks.registry import NETWORKS


@pytest.mark.parametrize("depth", [20, 56])
def test_the_baseline_network_is_ours(depth: int) -> None:
    """The same number of parameters and, with the same weights, the same logits in training and evaluation.

    In float64: with random weights and the statistics of one pass, logits are thousands, and float32 rounds them.
    """
    ours, baseline = resnets.create(f"resnet{depth}").double(), BaselineResNet(depth).double()
    assert sum(p.numel() for p in baseline.parameters()) == sum(p.numel() for p in ours.parameters())
    weights = ours.state_dict()
    baseline.load_state_dict(dict(zip(baseline.state_dict(), weights.values(), strict=True)))
    images = torch.randn(4, 3, 32, 32, dtype=torch.float64)
    for mode in (True, False):
        torch.testing.assert_close(baseline.train(mode)(images), ours.train(mode)(images), rtol=1e-9, atol=1e-9)


def test_accuracy_is_a_percentage() -> None:
    """The peers' accuracy is percent of the images, top-1 and top-k."""
    output = torch.tensor([[0.1, 0.9, 0.5], [0.9, 0.1, 0.5]])
    top1, top2 = accuracy(output, torch.tensor([1, 2]), (1, 2))
    assert (top1.item(), top2.item()) == (50.0, 100.0)


def test_the_vectorised_pipeline_crops_and_flips() -> None:
    """Each image is one of the 81 windows of its padded original, as it is or mirrored."""
    generator = np.random.default_rng(0)
    images = ImageArrays(generator.integers(0, 256, (6, 32, 32, 3), np.uint8), np.arange(6))
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (loaders.CIFAR_MEAN, loaders.CIFAR_STD))
    views, labels = next(loaders.vectorised_cifar(images, 6))
    for view, label in zip(views, labels, strict=True):
        original = (torch.from_numpy(images.images[label]).permute(2, 0, 1).float() / 255 - mean) / std
        padded = torch.nn.functional.pad(original, (4, 4, 4, 4))
        windows = padded.unfold(1, 32, 1).unfold(2, 32, 1).permute(1, 2, 0, 3, 4).reshape(81, 3, 32, 32)
        both = torch.cat([windows, windows.flip(3)])
        assert (both - view).abs().amax((1, 2, 3)).min() < 1e-5


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the synthetic photos that are measured with where no others are named."""
    folder = tmp_path_factory.mktemp("photos")
    make_photos(folder)
    return folder


def test_synthetic_photos_are_like_imagenets(photos: Path) -> None:
    """Their size in pixels is ImageNet's most frequent one, and their size in bytes about its mean of 110 kB."""
    files = sorted(photos.rglob("*.jpg"))
    assert len(files) == PHOTOS
    for file in files:
        with Image.open(file) as image:
            assert image.format == "JPEG"
            assert sorted(image.size, reverse=True) == list(SIDES)
    assert 80_000 < sum(file.stat().st_size for file in files) / PHOTOS < 140_000


def test_images_in_memory_must_be_cifars(tmp_path: Path) -> None:
    """Another source for CIFAR-10's rows is an error that names what is needed."""
    with pytest.raises(UsageError, match="the benchmark needs cifar10"):
        Images("digits", tmp_path).cifar_splits()


@pytest.fixture(scope="module")
def large_photos(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of three of them enlarged, though not to a phone's twelve megapixels."""
    folder = tmp_path_factory.mktemp("large")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(images_of_rows, "LARGE", 3)
        patch.setattr(images_of_rows, "LARGE_SIDES", (800, 600))
        make_large(folder, Images(None, photos).photo_splits())
    return folder


@pytest.fixture
def setting(photos: Path, large_photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Setting]:
    """A few synthetic images of each kind, read in this process."""
    images = ImageArrays(np.random.default_rng(0).integers(0, 256, (64, 32, 32, 3), np.uint8), np.arange(64) % 10)
    few = DataSplits("few", images, images, tuple("abcdefghij"))
    monkeypatch.setattr(Images, "cifar_splits", lambda self: few)
    monkeypatch.setattr(training, "WORKERS", 0)
    threads = torch.get_num_threads()
    yield Setting("cpu", Images(None, photos, large_photos), tmp_path)
    torch.set_num_threads(threads)


class Enough(BaseException):
    """Ends a loop after its steps."""


def steps(loop: Loop, count: int = 2) -> list[int]:
    """Let a loop do some steps and return how many images each had."""
    done: list[int] = []

    def tick(images: int) -> None:
        done.append(images)
        if len(done) == count:
            raise Enough

    with pytest.raises(Enough):
        loop(tick)
    return done


CIFAR = Row(name="c", what="", kind="training", network="resnet20", batch=4, source="cifar")
PHOTOS_ROW = Row(name="p", what="", kind="training", network="resnet18", batch=2, source="photos")


@pytest.mark.parametrize(
    ("prepare", "row"),
    [
        (training.ours, CIFAR),
        (training.baseline, CIFAR),
        (training.ours, PHOTOS_ROW),
        (training.torchvision, PHOTOS_ROW),
        (pipelines.ours_cifar, CIFAR),
        (pipelines.baseline_cifar, CIFAR),
        (pipelines.expert_cifar, CIFAR),
        (pipelines.ours_photos, PHOTOS_ROW),
        (pipelines.baseline_photos, PHOTOS_ROW),
        pytest.param(
            pipelines.expert_photos,
            PHOTOS_ROW,
            marks=pytest.mark.filterwarnings("ignore:The image decoding:DeprecationWarning"),
        ),
        (pipelines.ours_large, PHOTOS_ROW),
        (pipelines.baseline_large, PHOTOS_ROW),
        pytest.param(
            pipelines.expert_large,
            PHOTOS_ROW,
            marks=pytest.mark.filterwarnings("ignore:The image decoding:DeprecationWarning"),
        ),
        (inference.ours, CIFAR),
    ],
)
def test_candidates_step(
    prepare: Callable[[Row, Setting], Loop], row: Row, setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each candidate of a row makes steps of the row's batch size."""
    if prepare is inference.ours:
        monkeypatch.setenv("CXX", "none")  # torch.compile takes seconds, and has tests of its own
    assert steps(prepare(row, setting)) == [row.batch] * 2


def small(num_classes: int = 10, in_channels: int = 3) -> nn.Module:
    """A convolution and a classifier."""
    pool, flatten = nn.AdaptiveAvgPool2d(1), nn.Flatten()
    return nn.Sequential(nn.Conv2d(in_channels, 8, 3, 2), nn.BatchNorm2d(8), pool, flatten, nn.Linear(8, num_classes))


@pytest.mark.parametrize(
    ("size", "data", "expected"),
    [
        (32, None, ("cifar", 128, 32, 10, 3)),
        (32, "digits", ("data", 128, 8, 10, 1)),
        (64, None, ("photos", 32, 224, 1000, 3)),
    ],
)
def test_a_registered_network_is_measured_by_its_name(
    size: int, data: str | None, expected: tuple[object, ...], setting: Setting
) -> None:
    """Its row fits the images, by default those of the network's type, and ours and the plain loop step on it."""
    with NETWORKS.scoped():
        resnets.register_network("small", small, input_size=size)
        setting = dataclasses.replace(setting, images=dataclasses.replace(setting.images, source=data))
        row = training.fitted(training.of_network("small", data, gpu=False), setting)
        assert row.spec is not None
        assert (row.source, row.batch, row.side, row.spec.num_classes, row.spec.in_channels) == expected
        if row.source == "cifar":
            row = dataclasses.replace(row, batch=32)  # the few images of these tests
        assert [one.role for one in candidates(row, setting)] == ["ours", "reference", "expert"]
        assert steps(training.plain(row, setting)) == [row.batch] * 2
        more = 201 if data == "digits" else 2  # than its recipe has
        assert steps(training.ours(row, setting), more) == [row.batch] * more


def test_ours_logs_as_a_run_does(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    """Our side writes the log lines that a run writes."""
    monkeypatch.setattr(training, "iterations_between_lines", lambda *_: 2)
    steps(training.ours(CIFAR, setting), 3)
    (log,) = setting.scratch.glob("c-run*/metrics.jsonl")
    assert len(log.read_text().splitlines()) == 1


def test_from_memory_both_sides_see_the_same_images() -> None:
    """Synthetic images and labels are equal for ours and for the peers."""
    mine = training.InMemory(2, torch.device("cpu")).batches(0, 3)
    theirs = iter(loaders.in_memory(2, 224, 1000, torch.device("cpu")))
    for (a, b), (c, d) in zip(mine, islice(theirs, 3), strict=True):
        assert torch.equal(a, c) and torch.equal(b, d)


@pytest.mark.parametrize("library", ["CIFAR baseline", "torchvision"])
def test_peers_infer(library: str, setting: Setting) -> None:
    """Each peer makes inference steps of the row's batch size."""
    network, source = ("resnet20", "cifar") if library == "CIFAR baseline" else ("resnet18", "memory")
    row = Row(name="i", what="", kind="inference", network=network, batch=2, source=source)  # type: ignore[arg-type]
    assert steps(inference.peer(row, setting, library=library)) == [2, 2]


BOXES = Row(name="b", what="", kind="training", network="resnet18", source="boxes")


@pytest.fixture
def small_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let detectors look at images of 96 x 128 pixels, with few anchors and regions."""
    small = detection.RECIPE.with_changes(
        shorter_side=96, longest_side=128, anchor_sizes=(32, 64), regions_per_image=8, roi_size=4, proposals=(50, 20)
    )
    monkeypatch.setattr(detection, "RECIPE", small)


@pytest.mark.usefixtures("small_images")
@pytest.mark.parametrize(
    "prepare",
    [
        detection.ours_training,
        detection.ours_testing,
        detection.torchvision_training,
        detection.torchvision_testing,
        partial(detection.torchvision_training, expert=True),
    ],
)
def test_detectors_step(prepare: Callable[[Row, Setting], Loop], setting: Setting) -> None:
    """Each candidate of a detector's row makes steps of an image."""
    assert steps(prepare(BOXES, setting)) == [1, 1]


@pytest.mark.usefixtures("small_images")
def test_torchvision_s_detector_is_ours(setting: Setting) -> None:
    """The same layers and weights: on an image that needs no resizing its proposals and scores of regions are ours."""
    ours = detection.resolved(BOXES, setting).network.eval()
    theirs = detection.torchvision_of(ours).eval()
    trained = [sum(one.numel() for one in each.parameters() if one.requires_grad) for each in (ours, theirs)]
    assert trained[0] == trained[1]
    image = torch.randint(0, 256, (3, 96, 128), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    with torch.inference_mode():
        maps = ours.maps(image)
        boxes, _ = ours.proposals.propose(maps, (96, 128))
        images, _ = theirs.transform([image / 255])
        shared = {"0": theirs.backbone(images.tensors)}
        (proposed,), _ = theirs.rpn(images, shared)
        torch.testing.assert_close(shared["0"], maps, rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(proposed, boxes, rtol=1e-3, atol=1e-2)
        regions = torch.tensor([[0.0, 0, 64, 48], [20, 30, 100, 90], [40, 8, 120, 80]])
        pooled = theirs.roi_heads.box_roi_pool(shared, [regions], images.image_sizes)
        scores, _ = theirs.roi_heads.box_predictor(theirs.roi_heads.box_head(pooled))
        half = 8  # of a place of the maps in pixels, by which torchvision's pooling is not aligned
        expected, _ = ours.regions.answer(ours.describe(maps, regions + half, (96, 128)))
    torch.testing.assert_close(scores, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.slow
def test_timm_and_the_experts_step(setting: Setting) -> None:
    """They compile, which takes a while, and timm may be absent."""
    pytest.importorskip("timm")
    assert steps(training.timm(PHOTOS_ROW, setting)) == [2, 2]
    assert steps(training.baseline(CIFAR, setting, expert=True)) == [4, 4]
    assert steps(inference.peer(PHOTOS_ROW, setting, library="timm", expert=True)) == [2, 2]
    for prepare in (predicting.ours, predicting.timm_script):
        assert steps(prepare(PHOTOS_ROW, setting)) == [2, 2]
