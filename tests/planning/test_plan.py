"""A plan: what it says of a run before it is begun, and how near it comes."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch

import resnets
from resnets.data.image_files import ImageFiles
from resnets.data.splits import DataSplits
from resnets.errors import UsageError
from resnets.networks import complexity, registry
from resnets.planning import dataset_stats, devices, forecast, measure, plan
from resnets.planning import memory as memory_of_machine
from resnets.planning.forecast import Rates
from resnets.planning.measure import Measurement, StepTime
from resnets.planning.memory import Memory, available_memory, training_memory
from resnets.training import recipes

RATES = Rates(step=0.5, start=2.0, test=0.001, final_test=0.002, save=0.1, log=0.01)
STEPS = StepTime(batch_size=128, step=0.5, start=2.0, spread=0.0, steps=20)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measured: half a second a step, a millisecond a test image, 1,000 images/s of a loader's core."""
    monkeypatch.setattr(plan, "measure", lambda *_, **__: Measurement(STEPS, RATES))
    monkeypatch.setattr(plan, "loading_rate", lambda *_: 1_000.0)


@pytest.fixture
def few_photos(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight synthetic photos represent ImageNet, and one of a loader's cores reads 400 images/s."""
    monkeypatch.setattr(dataset_stats, "SYNTHETIC_FILES", 8)
    monkeypatch.setattr(plan, "loading_rate", lambda *_: 400.0)


# ---------------------------------------------------------------- arithmetic


def test_the_duration_of_the_papers_run() -> None:
    """64,000 iterations with 128 tests of 10,000 images: 32,002 s + 1,300 s, and a checkpoint every 30 seconds."""
    time = forecast.duration(recipes.CIFAR, RATES, 10_000)
    assert forecast.tests(recipes.CIFAR) == 128
    assert forecast.log_lines(recipes.CIFAR) == 1_280  # every 50; each test is at one of them
    assert time.training == 32_002
    assert time.testing == pytest.approx(1_300)
    assert time.saving == pytest.approx((1 + 33_302 // 30) * 0.1 + 1_280 * 0.01)
    assert time.total == time.training + time.testing + time.saving


def test_large_checkpoints_take_a_twentieth_of_the_time() -> None:
    """Those of VGG-16 may take 15 seconds each: there is one every five minutes."""
    slow = dataclasses.replace(RATES, save=15.0, log=0.0)
    assert forecast.duration(recipes.CIFAR, slow, 10_000).saving == (1 + 33_302 // 300) * 15


def test_the_last_iteration_is_tested_too() -> None:
    """The number of tests includes the final one."""
    recipe = recipes.DIGITS.with_changes(iterations=50, evaluate_every=20)
    assert forecast.tests(recipe) == 3  # 20, 40, 50
    assert forecast.log_lines(recipe) == 50


def test_the_most_iterations_that_fit_are_the_same_for_all() -> None:
    """One more would be too long, and what is tested counts: the curve's images and the final test's."""
    slow = dataclasses.replace(RATES, step=2.0)

    def total(iterations: int) -> float:
        scaled = recipes.CIFAR.scaled(iterations)
        return sum(forecast.duration(scaled, rates, 1_000, 500).total for rates in (RATES, slow))

    found = forecast.longest(recipes.CIFAR, (RATES, slow), 3_600, 1_000, 500)
    assert total(found) <= 3_600 < total(found + 1)
    assert forecast.longest(recipes.CIFAR, (RATES, slow), 1.0, 1_000, 500) == 0


def test_curves_of_validation_images() -> None:
    """Tests during training are of the validation images, the final one of the test images."""
    recipe = recipes.CIFAR
    assert forecast.duration(recipe, RATES, 10_000, 5_000).testing == pytest.approx(128 * 5 + 20)


def test_an_all_reduce_in_a_ring() -> None:
    """Each of 8 devices sends 7/8 of 4 bytes a parameter twice, at half the link's rate."""
    assert forecast.all_reduce_seconds(1_000_000, 8, 1e9) == pytest.approx(2 * 7 / 8 * 4e6 / 0.5e9)
    assert forecast.all_reduce_seconds(1_000_000, 1, 1e9) == 0


def test_memory_and_the_largest_batch() -> None:
    """Memory is linear in the batch size, and the largest batch fits."""
    memory = Memory(fixed=1_000, image=10)
    assert memory.of(5) == 1_050
    assert memory.largest_batch(1_059) == 5
    assert memory.largest_batch(999) == 0
    assert 0 < available_memory(torch.device("cpu")) < 2**50


def test_a_container_s_limit_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Available memory is what the container's limit leaves."""
    limit, used = tmp_path / "memory.max", tmp_path / "memory.current"
    monkeypatch.setattr(memory_of_machine, "CGROUPS", ((limit, used), (tmp_path / "no", tmp_path / "none")))
    used.write_text("100\n")
    limit.write_text("max\n")
    assert available_memory(torch.device("cpu")) > 2**20
    limit.write_text("1100\n")
    assert available_memory(torch.device("cpu")) == 1000


@pytest.mark.parametrize(
    ("name", "batch_size", "precision", "images_mib", "peak_mib"),
    [
        ("resnet20", 128, "bf16", 633, 1470),
        ("resnet20", 128, "fp32", 633, 1607),
        ("resnet56", 128, "bf16", 633, 1668),
        ("resnet18", 32, "bf16", 0, 1843),
        ("resnet18", 32, "fp32", 0, 2174),
        ("resnet34", 16, "bf16", 0, 2040),
        ("resnet50", 16, "bf16", 0, 2825),
        ("resnet50", 16, "fp32", 0, 3057),
    ],
)
def test_memory_is_near_the_peaks_of_real_runs(
    name: str, batch_size: int, precision: Any, images_mib: int, peak_mib: int
) -> None:
    """Peaks (VmHWM) of `resnets train` on two cores, torch 2.15; ours are the ones that it is calibrated on."""
    cost = complexity.measure(complexity.skeleton(registry.declare(name)))
    memory = training_memory(cost, precision, "cpu", images_bytes=images_mib * 2**20, test_images=10_000)
    assert memory.of(batch_size) / 2**20 == pytest.approx(peak_mib, rel=0.08)


def test_every_known_device_is_within_what_can_be() -> None:
    """No estimate exceeds a device's peak rate, and the devices are ordered as expected."""
    cost = complexity.measure(complexity.skeleton(registry.declare("resnet50")))
    rates = {device.name: forecast.estimated_rates(cost, 50, 256, device) for device in devices.DEVICES}
    assert {"h200", "h100", "a100", "v100", "rtx4090", "t4"} <= rates.keys()
    for device in devices.DEVICES:
        assert 6 * cost.macs * 256 / rates[device.name].step < device.rate  # never more than the data sheet's
    assert rates["h200"].step < rates["h100"].step < rates["a100"].step < rates["v100"].step < rates["t4"].step


def test_small_networks_are_bound_by_launching() -> None:
    """A small network's step on a GPU takes the time of starting its kernels."""
    cost = complexity.measure(complexity.skeleton(registry.declare("resnet20")))
    assert forecast.estimated_rates(cost, 20, 128, devices.DEVICES.find("h200")).step == 20 * forecast.KERNEL_SECONDS


# ---------------------------------------------------------------- plans


@pytest.mark.usefixtures("fake")
def test_a_plan_for_data_that_is_not_there() -> None:
    """A published data set is planned by its counts, without its images."""
    found = resnets.plan("resnet20", "cifar10")
    assert (found.network, found.data, found.recipe) == ("resnet20", "cifar10", "cifar")
    assert (found.iterations, found.batch_size, found.classes) == (64_000, 128, 10)
    assert found.hours == pytest.approx(forecast.duration(recipes.CIFAR, RATES, 10_000).total / 3600)
    assert found.images_per_second == 256
    assert found.test_images_per_second == pytest.approx(1_000)
    assert found.loader_cores == pytest.approx(0.256)
    assert found.read_bytes_per_second == 0
    assert not found.estimate
    assert json.loads(json.dumps(msgspec.to_builtins(found)))["assumptions"]


@pytest.mark.usefixtures("fake")
def test_length_and_batch_are_as_in_train() -> None:
    """Epochs, iterations and batch size mean what they mean for `train`."""
    assert resnets.plan("resnet8", "cifar10", epochs=2, batch_size=100).iterations == 1_000
    assert resnets.plan("resnet8", "digits", iterations=7).iterations == 7


@pytest.mark.usefixtures("few_photos")
def test_imagenet_on_known_devices() -> None:
    """Reading is 110,000 bytes an image; four devices take a quarter of a mini-batch each."""
    one = resnets.plan("resnet18", "imagenet", device_kind="h100")
    four = resnets.plan("resnet18", "imagenet", device_kind="h100", devices=4)
    assert one.estimate
    assert (one.device, one.precision, one.available_bytes) == ("h100", "bf16", 80_000_000_000)
    assert one.read_bytes_per_second == pytest.approx(110_000 * one.images_per_second)
    assert one.loader_cores == pytest.approx(one.images_per_second / 400)
    assert 1 < four.images_per_second / one.images_per_second < 4
    assert four.test_images_per_second == pytest.approx(4 * one.test_images_per_second)
    assert four.memory_bytes < one.memory_bytes
    assert four.largest_batch == one.largest_batch
    assert any("an estimate, not a measurement" in note for note in one.assumptions)
    assert any("64 images of a mini-batch on each" in note for note in four.assumptions)
    assert four.testing_seconds == pytest.approx(one.testing_seconds / 4)
    parts = resnets.plan("resnet18", "imagenet", device_kind="h100", devices=4, accumulate=2)
    assert parts.memory_bytes < four.memory_bytes and parts.largest_batch == four.largest_batch
    assert parts.training_seconds >= four.training_seconds
    with pytest.raises(UsageError, match="parts of 16 images would cut the 32"):
        resnets.plan("resnet18", "imagenet", device_kind="h100", devices=4, accumulate=4)


@pytest.mark.usefixtures("fake")
def test_a_folder_is_looked_at(photo_folder: Path) -> None:
    """A folder's images are counted, and their sizes are those of its files."""
    found = resnets.plan("resnet20", f"folder:{photo_folder}", epochs=1, batch_size=4)
    assert found.recipe == "fast"  # by the images as the network takes them, as `train` chooses it
    assert (found.training_images, found.classes, found.iterations) == (12, 3, 3)
    assert found.read_bytes_per_second == 0  # 32 x 32 pixels, in memory
    splits = dataset_stats.load(f"folder:{photo_folder}", photo_folder)[1]
    kind = dataset_stats.stats_of(splits)
    assert isinstance(splits.train, ImageFiles)
    assert (kind.train, kind.test, kind.width, kind.height) == (12, 6, 48, 40)

    assert kind.file_bytes == round(sum(path.stat().st_size for path in splits.train.paths) / 12)


def counted(splits: DataSplits) -> list[Any]:
    """Return what is known of a data set without its images."""
    sizes = [(len(split), split.kind, split.side, split.channels) for split in splits.splits().values()]
    return [splits.classes, splits.digest, splits.published, *sizes]


def test_an_unread_data_set_counts_as_the_one_that_is_read() -> None:
    """The digits as declared have their names, numbers, sizes and digest."""
    assert counted(dataset_stats.unread(dataset_stats.KNOWN["digits"])) == counted(resnets.load_data("digits"))


@pytest.mark.data
def test_unread_cifar10_counts_as_the_one_that_is_read(cifar10: DataSplits) -> None:
    """CIFAR-10 as declared has its names, numbers, sizes and digest."""
    assert counted(dataset_stats.unread(dataset_stats.KNOWN["cifar10"])) == counted(cifar10)


@pytest.mark.parametrize("decoded_side", [None, 32])
def test_unread_photos_count_as_those_that_are_read(photo_folder: Path, decoded_side: int | None) -> None:
    """As many photos of the same kind: files, or arrays for a network that has them decoded."""
    read = resnets.load_data(f"folder:{photo_folder}", decoded_side)
    kind = dataset_stats.stats_of(resnets.load_data(f"folder:{photo_folder}"))
    assert counted(dataset_stats.unread(kind, decoded_side))[3:] == counted(read)[3:]


@pytest.mark.usefixtures("fake")
def test_from_weights_a_fine_tuning_is_planned(photo_folder: Path) -> None:
    """The recipe and the length are those that `train` has with the same weights, which need not be there."""
    found = resnets.plan("resnet20", f"folder:{photo_folder}", weights="torchvision")
    assert (found.recipe, found.iterations, found.batch_size) == ("finetune", 100, 64)  # 6,400 images are seen


def test_small_networks_on_photos_are_really_measured(photo_folder: Path) -> None:
    """A plan for a folder of photos measures steps on them."""
    assert resnets.plan("resnet8", f"folder:{photo_folder}", epochs=1, batch_size=4).step_seconds > 0


@pytest.mark.usefixtures("few_photos")
def test_crops_that_grow_take_less_time() -> None:
    """128 to 224 pixels by steps of 32 between 0.3 and 0.8: worked out by hand about 0.6 of the pixels."""
    full = resnets.plan("resnet50", "imagenet", recipe="imagenet-fast", device_kind="a100")
    (note,) = (note for note in full.assumptions if "crops grow" in note)
    assert 0.5 < float(note.split(": ")[1].split()[0]) < 0.75


@pytest.mark.usefixtures("few_photos")
def test_more_devices_than_a_machine_has_meet_over_the_network() -> None:
    """Sixteen devices are two machines, connected by a network."""
    eight, sixteen = (
        resnets.plan("resnet50", "imagenet", device_kind="a100", devices=devices, batch_size=512) for devices in (8, 16)
    )
    assert any("200 Gbit/s between machines" in note for note in sixteen.assumptions)
    assert not any("between machines" in note for note in eight.assumptions)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"data": "cifar11"}, "did you mean cifar10"),
        ({"device_kind": "h1000"}, "did you mean h100"),
        ({"devices": 0}, "devices is 0"),
        ({"devices": 129}, "128 images"),
        ({"devices": 3}, "128 images is not divisible by 3"),
        ({"devices": 64, "batch_size": 192}, "batch norm is over groups of 64"),
        ({"network": "resnet21"}, "nearest: 20 and 26"),
        ({"recipe": "ciffar"}, "did you mean cifar"),
        ({"iterations": 1, "epochs": 1.0}, "one of them"),
        ({"size": 112}, "recipe 'cifar' takes images at the size"),
    ],
)
def test_what_cannot_be_is_said(arguments: dict[str, Any], message: str) -> None:
    """The error names the wrong value, and the nearest right one."""
    with pytest.raises(UsageError, match=message):
        resnets.plan(**({"network": "resnet20", "data": "cifar10"} | arguments))


# ---------------------------------------------------------------- measurements


def test_what_is_measured_is_positive_and_ends() -> None:
    """Every part of a measured plan takes some time."""
    found = resnets.plan("resnet8", "digits", iterations=20)
    assert 0 < found.step_seconds < math.inf
    assert found.training_seconds > 20 * found.step_seconds * 0.999
    assert found.testing_seconds > 0
    assert found.saving_seconds > 0
    assert found.loader_cores > 0


@pytest.mark.usefixtures("few_photos")
def test_photos_are_measured_in_fewer_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """256 photos at once would take too long here; a few are timed, and the assumptions say so."""
    monkeypatch.setattr(measure, "STEP_MACS", 4e8)
    found = resnets.plan("resnet18", "imagenet", batch_size=4, size=64)
    assert any("a step of 4 images takes 2 times as long" in note for note in found.assumptions)
    assert found.read_bytes_per_second == pytest.approx(110_000 * found.images_per_second)


@pytest.mark.parametrize(
    ("device", "macs", "largest", "timed"),
    [
        ("cpu", 40_000_000, math.inf, 128),
        ("cpu", 126_000_000, math.inf, 64),
        ("cpu", 4_000_000_000, math.inf, 2),
        ("cpu", 20_000_000_000, math.inf, 1),
        ("cpu", 40_000_000, 50, 32),
        ("cuda", 4_000_000_000, math.inf, 128),
        ("cuda", 4_000_000_000, 50, 32),
    ],
)
def test_how_many_images_are_timed_at_once(device: str, macs: int, largest: float, timed: int) -> None:
    """Of 128: on a CPU as many as take 9e9 multiply-adds, on a GPU, which needs many to be busy, all that fit."""
    assert measure.timed_batch(128, macs, torch.device(device), step_macs=9e9, largest=largest) == timed


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_a_plan_comes_within_20_percent_of_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of up to five attempts plans a run and makes it at once, since others may use this machine meanwhile."""
    monkeypatch.setattr(measure, "SECONDS", 6.0)
    monkeypatch.setattr(measure, "TEST_SECONDS", 1.0)
    ratios = []
    for attempt in range(5):
        planned = resnets.plan("resnet20", "digits", iterations=150)
        run = resnets.train("resnet20", "digits", iterations=150, out=tmp_path / str(attempt))
        print(f"planned {3600 * planned.hours:.1f} s, took {run.seconds:.1f} s")
        ratios.append(3600 * planned.hours / run.seconds)
        if abs(ratios[-1] - 1) < 0.2:
            folder = sum(file.stat().st_size for file in run.folder.rglob("*") if file.is_file())
            assert 0.5 * folder < planned.disk_bytes < 4 * folder
            return
    pytest.fail(f"planned over taken: {', '.join(f'{ratio:.2f}' for ratio in ratios)}")


# ---------------------------------------------------------------- several at once


def test_trainings_at_once_here(fake: None) -> None:
    """Three on a CPU take three times as long as one, with three times its memory and disk."""
    one, three = (plan.plan("resnet20", "cifar10", together=count) for count in (1, 3))
    assert three.step_seconds == 3 * one.step_seconds
    assert three.images_per_second == pytest.approx(one.images_per_second)
    assert three.test_images_per_second == pytest.approx(one.test_images_per_second)
    assert three.memory_bytes == 3 * one.memory_bytes and three.disk_bytes == 3 * one.disk_bytes
    assert three.hours == pytest.approx(3 * one.hours, rel=0.02)
    assert any(note.startswith("3 trainings at once") for note in three.assumptions)


def test_trainings_at_once_on_a_gpu(fake: None) -> None:
    """Ten small networks take less than ten times as long as one, whose kernels leave the GPU idle, and not less."""
    for name in ("resnet20", "resnet110"):
        one, ten = (plan.plan(name, "cifar10", device_kind="h200", together=count) for count in (1, 10))
        assert one.step_seconds < ten.step_seconds < 10 * one.step_seconds


@pytest.mark.parametrize(
    ("network", "data", "asked"),
    [
        ("resnet20", "cifar10", {"together": 0}),
        ("resnet20", "cifar10", {"together": 2, "devices": 2}),
        ("resnet20", "cifar10", {"together": 2, "accumulate": 2}),
        ("resnet18", "imagenet", {"together": 2}),
    ],
)
def test_what_is_not_trained_at_once(
    network: str, data: str, asked: dict[str, int], fake: None, few_photos: None
) -> None:
    """None, parts of mini-batches, several devices and networks that fill one are refused."""
    with pytest.raises(UsageError) as caught:
        plan.plan(network, data, **asked)
    assert f"together is {asked['together']}" in str(caught.value)
