"""Map-style datasets: iteration i is a function of (seed, i) alone, whoever reads it; tests see each sample once."""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

import resnets
from resnets.data.arrays import ImageArrays
from resnets.data.load import load_data
from resnets.data.loading import Batching
from resnets.data.map_datasets import LoaderBatches, MapSplit
from resnets.data.normalization import fit
from resnets.errors import DataError
from resnets.specs import InputSpec, PadCropFlip, Preprocessing

CHANNEL = Preprocessing(mean="channel", std=True)


class RandomTransforms(Dataset[Any]):
    """A user's dataset: its transform draws from all three of the usual generators."""

    classes = ("even", "odd")

    def __len__(self) -> int:
        return 10

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        drawn = [random.random(), np.random.rand(), torch.rand(()).item()]
        return torch.tensor([index, *drawn]).reshape(4, 1, 1), index % 2


class Failing(RandomTransforms):
    """A dataset with one bad sample."""

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        if index == 7:
            raise DataError("7.jpg: an empty file, not an image")
        return super().__getitem__(index)


def images_of(count: int, size: int = 8) -> ImageArrays:
    generator = np.random.default_rng(0)
    return ImageArrays(generator.integers(0, 256, (count, size, size, 3), np.uint8), np.arange(count))


def generator_states() -> list[Any]:
    legacy: Any = np.random.get_state()
    return [random.getstate(), legacy[1].tobytes(), torch.get_rng_state().tolist()]


def rows(batches: Any) -> list[list[Any]]:
    return [[images.flatten().tolist(), labels.tolist()] for images, labels in batches]


def loader(workers: int = 0, seed: int = 0) -> LoaderBatches:
    return MapSplit(RandomTransforms()).training_batches(None, None, Batching(batch_size=4, seed=seed, workers=workers))


def test_a_run_may_start_at_any_iteration() -> None:
    """What a resumed run sees is what the uninterrupted one saw."""
    train = images_of(30)
    in_memory = train.training_batches(fit(train.images, CHANNEL), PadCropFlip(), Batching(batch_size=8, seed=1))
    for batches in (in_memory, loader()):
        whole = rows(batches.batches(0, 12))
        for start in (11, 5, 0):
            assert rows(batches.batches(start, 12)) == whole[start:]


def test_two_workers_give_what_none_gives() -> None:
    """And a user's random transform, whichever generator it draws from, depends on (seed, epoch, sample) only."""
    alone, by_two = rows(loader().batches(0, 8)), rows(loader(workers=2).batches(0, 8))
    assert alone == by_two
    assert rows(loader(seed=1).batches(0, 8)) != alone
    samples = [tuple(images[i : i + 4]) for images, _ in alone for i in range(0, 16, 4)]
    drawn = [value for sample in samples for value in sample[1:]]
    assert len(set(drawn)) == len(drawn) == 3 * 32  # another draw for every sample, epoch and generator


def test_a_sample_draws_the_same_whatever_batch_it_is_in() -> None:
    """Random numbers of a user's transform depend on seed, epoch and sample alone."""

    def by_sample(batch_size: int) -> set[tuple[float, ...]]:
        batches = MapSplit(RandomTransforms()).training_batches(None, None, Batching(batch_size=batch_size, seed=0))
        images = torch.cat([batch[0] for batch in batches.batches(0, 40 // batch_size)])
        return {tuple(row.flatten().tolist()) for row in images}

    assert by_sample(4) == by_sample(10) == by_sample(1)


def test_the_callers_generators_are_left_alone() -> None:
    """A network's dropout and initialisation must not depend on how the data is read."""
    states = generator_states()
    rows(loader().batches(0, 3))
    rows(loader(workers=1).batches(0, 3))
    list(images_of(5).test_batches(InputSpec(size=8, resize=8), batch_size=2))
    assert generator_states() == states


@pytest.mark.gpu
def test_the_gpus_generator_is_left_alone() -> None:
    """Seeding samples leaves the GPU's random state."""
    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    torch.cuda.manual_seed(0)
    expected = torch.rand(4, device="cuda")
    torch.cuda.manual_seed(0)
    rows(loader().batches(0, 3))
    assert torch.equal(torch.rand(4, device="cuda"), expected)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_bad_sample_is_reported_in_one_line(workers: int) -> None:
    """A worker's error would arrive as a traceback of twenty lines."""
    batches = MapSplit(Failing()).training_batches(None, None, Batching(batch_size=5, seed=0, workers=workers))
    with pytest.raises(DataError) as error:
        rows(batches.batches(0, 2))
    assert str(error.value) == "7.jpg: an empty file, not an image"
    with pytest.raises(DataError) as error:
        list(MapSplit(Failing()).test_batches(None, batch_size=5, workers=workers))
    assert str(error.value) == "7.jpg: an empty file, not an image"


class Signalling(RandomTransforms):
    """Sends its own process, a worker, what Ctrl-C and a scheduler send to a whole process group."""

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        os.kill(os.getpid(), random.choice([signal.SIGINT, signal.SIGTERM]))
        return super().__getitem__(index)


def test_signals_to_the_workers_do_not_stop_the_run() -> None:
    """The process that trains decides: it finishes its iteration, saves and stops the workers itself."""
    batches = MapSplit(Signalling()).training_batches(None, None, Batching(batch_size=4, seed=0, workers=2))
    assert len(rows(batches.batches(0, 5))) == 5


class Numbered(Dataset[Any]):
    """A map-style dataset of its indices; its labels come as NumPy integers, as from many a table."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Tensor, Any]:
        return torch.full((1, 2, 2), float(index)), np.int32(index)


@pytest.mark.parametrize(("count", "workers"), [(1, 0), (7, 0), (100, 0), (101, 0), (1, 2), (7, 2), (100, 2), (101, 2)])
def test_each_sample_of_a_dataset_is_tested_once(count: int, workers: int) -> None:
    """No sample is dropped or repeated, with worker processes too."""
    batches = list(MapSplit(Numbered(count)).test_batches(None, batch_size=10, workers=workers))
    labels = torch.cat([labels for _, labels in batches])
    assert labels.tolist() == list(range(count))
    assert labels.dtype == torch.int64
    assert torch.equal(torch.cat([images for images, _ in batches])[:, 0, 0, 0], labels.float())


class Labelled(Dataset[Any]):
    """Samples whose images hold their number; the labels, and the names of the classes, are given."""

    def __init__(self, labels: list[Any], classes: list[str], value: float = 0.0) -> None:
        self.labels, self.classes, self.value = labels, classes, value

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, Any]:
        return torch.full((3, 4, 4), self.value if index == 2 else float(index)), self.labels[index]


def test_a_pair_is_matched_by_the_names_of_its_classes() -> None:
    """A test set with fewer classes, or in another order, is tested by the classes of the training set."""
    splits = load_data((Labelled([0, 1, 2], ["a", "b", "c"]), Labelled([0, 1, 1], ["c", "b"])))
    (batch,) = splits.test.test_batches(None, batch_size=8)
    assert batch[1].tolist() == [2, 1, 1]
    assert splits.classes == ("a", "b", "c") and len(splits.notes) == 1
    (part,) = splits.test.select(np.array([2, 0])).test_batches(None, batch_size=8)
    assert part[1].tolist() == [1, 2]
    with pytest.raises(DataError, match=r"class 'd'"):
        load_data((Labelled([0, 1], ["a", "b"]), Labelled([0], ["d"])))
    with pytest.raises(DataError, match=r"class 'a'"):
        load_data((Labelled([0, 1], ["a", "a"]), Labelled([0], ["a"])))


@pytest.mark.parametrize("label", [-100, -1, 1.7, 255, [1], "1", None, torch.tensor(1.0), torch.tensor([0, 1])])
def test_labels_that_are_no_class_are_refused_in_training_and_in_tests(label: Any) -> None:
    """By their sample, also where it is a part of the data; none is cut to an integer, or ignored by the loss."""
    good, bad = Labelled([0, 1, 1, 0], ["a", "b"]), Labelled([0, 1, label, 0], ["a", "b"])
    how = Batching(batch_size=4, seed=0)
    with pytest.raises(DataError, match="training sample 2: its label is"):
        list(load_data((bad, good)).train.training_batches(None, None, how).batches(0, 1))
    with pytest.raises(DataError, match="test sample 2: its label is"):
        list(load_data((good, bad)).test.select(np.array([1, 2])).test_batches(None, batch_size=4))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_images_that_are_not_finite_are_refused(value: float) -> None:
    """They would count as wrong answers, and their loss would be no number."""
    good = Labelled([0, 1, 1], ["a", "b"])
    splits = load_data((good, Labelled([0, 1, 1], ["a", "b"], value)))
    with pytest.raises(DataError, match="test sample 2: its image"):
        list(splits.test.test_batches(None, batch_size=4))


class Fixed(Dataset[Any]):
    """Six samples of two classes whose images are given."""

    classes = ("even", "odd")

    def __init__(self, *images: Tensor) -> None:
        self.images = images

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.images[index % len(self.images)], index % 2


@pytest.mark.parametrize(
    ("images", "said"),
    [
        ([torch.zeros(1, 8, 8, dtype=torch.uint8)], "sample 0: its image is of torch.uint8; it must be a float tensor"),
        ([torch.zeros(8, 8)], r"sample 0: its image has the shape \(8, 8\); it must be \(C, H, W\)"),
        (
            [torch.zeros(3, 8, 8), torch.zeros(3, 8, 9)],
            r"images of a mini-batch are \[3, 8, 8\] and \[3, 8, 9\]; all must be of one size",
        ),
    ],
)
def test_images_that_no_mini_batch_can_be_made_of(images: list[Tensor], said: str) -> None:
    """Are refused by the sample, and what would be right; torch would say it of a convolution."""
    split = MapSplit(Fixed(*images), 2)
    with pytest.raises(DataError, match=said):
        list(split.test_batches(None, batch_size=2))


@pytest.mark.parametrize("kind", [torch.float64, torch.float16, torch.bfloat16])
def test_images_become_float32(kind: torch.dtype) -> None:
    """Whatever floating-point numbers a dataset gives."""
    split = MapSplit(Fixed(torch.full((1, 8, 8), 0.5, dtype=kind)), 2)
    images, _ = next(split.test_batches(None, batch_size=2))
    assert images.dtype == torch.float32 and images.unique().tolist() == [0.5]


def test_a_network_has_the_channels_of_the_images(tmp_path: Path) -> None:
    """Of one channel, as ToTensor gives MNIST; weights for three are adapted; a test with others is refused."""
    machine: dict[str, Any] = {"iterations": 2, "batch_size": 4, "device": "cpu", "workers": 0}
    grey, colour = Fixed(torch.rand(1, 32, 32)), Fixed(torch.rand(3, 32, 32))
    resnets.train("resnet8", (colour, colour), out=tmp_path / "colour", **machine)
    for name, weights in (("grey", None), ("adapted", tmp_path / "colour")):
        run = resnets.train("resnet8", (grey, grey), weights=weights, out=tmp_path / name, **machine)
        assert resnets.load(run.folder).network.spec.in_channels == 1
    with pytest.raises(DataError, match="resnet8 takes images of 3 channels; these have 1"):
        resnets.evaluate(tmp_path / "colour", (grey, grey), device="cpu", workers=0)


def test_a_function_that_takes_no_channels_is_left_to_itself(tmp_path: Path) -> None:
    """A registered network for one channel alone is trained on tensors of one channel."""

    def grey(num_classes: int = 2) -> nn.Module:
        return nn.Sequential(nn.Conv2d(1, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, num_classes))

    resnets.register_network("grey-alone", grey, input_size=8)
    images = Fixed(torch.rand(1, 8, 8))
    machine: dict[str, Any] = {"iterations": 1, "batch_size": 4, "device": "cpu", "workers": 0}
    assert resnets.train("grey-alone", (images, images), out=tmp_path / "run", **machine).iterations == 1


class Repeated(nn.Module):
    """A network for colour within one that takes grey images."""

    def __init__(self) -> None:
        super().__init__()
        self.module = resnets.create("resnet8", num_classes=2)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.module(x.repeat(1, 3, 1, 1))
        return scores


@pytest.mark.parametrize("kind", ["first convolution replaced", "within another module"])
def test_a_network_that_was_changed_takes_what_it_takes(kind: str, tmp_path: Path) -> None:
    """What its declaration says of channels is no longer so, and it is not asked."""
    network: nn.Module = Repeated()
    if kind == "first convolution replaced":
        network = resnets.create("resnet8", num_classes=2)
        network.conv1 = nn.Conv2d(1, 16, 3, padding=1, bias=False)
    grey = Fixed(torch.rand(1, 8, 8))
    machine: dict[str, Any] = {"device": "cpu", "workers": 0}
    run = resnets.train(network, (grey, grey), iterations=1, batch_size=4, out=tmp_path / "run", **machine)
    assert resnets.evaluate(run.folder, (grey, grey), network=network, **machine).samples == 6


def test_images_of_several_sizes_are_tested_one_by_one(tmp_path: Path) -> None:
    """A mini-batch needs one size, and the networks pool over any."""
    one, sizes = Fixed(torch.rand(3, 8, 8)), Fixed(torch.rand(3, 8, 8), torch.rand(3, 16, 8))
    machine: dict[str, Any] = {"batch_size": 4, "device": "cpu", "workers": 0}
    run = resnets.train("resnet8", (one, one), iterations=1, out=tmp_path / "run", **machine)
    assert resnets.evaluate(run.folder, (one, sizes), **{**machine, "batch_size": 1}).samples == 6
    with pytest.raises(DataError, match="all must be of one size"):
        resnets.evaluate(run.folder, (one, sizes), **machine)
