"""`plan`: estimated time, memory and disk of a training, from a few measured steps or a table of known devices."""

from __future__ import annotations

import copy
import dataclasses
import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

from resnets.errors import UsageError, public, require_at_least, showing_settings
from resnets.networks import complexity, registry
from resnets.networks.complexity import Complexity
from resnets.networks.sync_batch_norm import require_nesting
from resnets.planning import assumptions, dataset_stats, forecast
from resnets.planning.dataset_stats import DatasetStats
from resnets.planning.devices import DEVICES, KnownDevice
from resnets.planning.forecast import Rates
from resnets.planning.measure import loading_rate, measure, measure_round
from resnets.planning.memory import Memory, available_memory, training_memory
from resnets.planning.together import leaves_room, require_together
from resnets.runtime.processes import Share
from resnets.specs import AreaCropFlip, NetworkSettings, Precision, Recipe
from resnets.training.config import Training, TrainingConfig, load_for, resolve
from resnets.training.step import require_micro_batches

IN_A_MACHINE = 8  # devices, beyond which gradients pass between machines
NETWORK = 25e9  # bytes a second between these
LINKS = {"cpu": 1.25e9, "cuda": 32e9}  # bytes a second: between machines like this one (10 Gbit/s), or its GPUs


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Estimated time, memory and disk of a training, with the assumptions.

    `batch_size` is over all devices; memory and the largest mini-batch (with `accumulate`, micro-batch) are per device,
    and the latter is 0 if not even one image fits. `test_images_per_second` is in `precision`, on all devices.
    `loader_cores` is the number of cores like this machine's that load images for training, `read_bytes_per_second` the
    bytes that they read. `estimate` is true for a device of the table, false for this machine's, which are measured.

    Units: seconds, hours, bytes.
    """

    network: str
    data: str
    training_images: int
    classes: int
    recipe: str
    iterations: int
    batch_size: int
    device: str
    devices: int
    together: int
    precision: str
    estimate: bool
    hours: float
    training_seconds: float
    testing_seconds: float
    saving_seconds: float
    step_seconds: float
    images_per_second: float
    test_images_per_second: float
    memory_bytes: int
    available_bytes: int
    largest_batch: int
    loader_cores: float
    read_bytes_per_second: float
    disk_bytes: int
    assumptions: tuple[str, ...]


@public
@showing_settings(TrainingConfig, registry.option_names)
def plan(
    network: str,
    data: str,
    *,
    recipe: str | Recipe | None = None,
    weights: str | Path | None = None,
    iterations: int | None = None,
    epochs: float | None = None,
    batch_size: int | None = None,
    size: int | None = None,
    accumulate: int = 1,
    devices: int = 1,
    together: int = 1,
    device_kind: str | None = None,
    **network_options: Unpack[NetworkSettings],
) -> Plan:
    """Estimate time, memory, the largest mini-batch, loader cores, reading and disk of a training.

    Measures for up to half a minute on this machine; with `device_kind` only the data loading is measured.

    Args:
        network: a name.
        data: a known data set (`digits`, `cifar10`, `cifar100`, `imagenet`), which need not be on this machine, or a
            source with a path, which is read.
        recipe, iterations, epochs, batch_size, size: as in `train`.
        weights: those that `train` is to start from; they decide on recipe and length, and are not read.
        accumulate: gradient-accumulation steps.
        devices: number of devices.
        together: trainings like it that the device makes at once, as `reproduce` does on a GPU; the plan is of all.
        device_kind: a known device (`h100`, `t4` ...), estimated from its data sheet; None measures this machine's.
        num_classes, in_channels, shortcut, stride, residual_layers, bn_group, initialization: options of a network, as
            in `create`.

    Raises: UsageError, if there is no such network, data, recipe or device, or a number is impossible; DataError.
    """
    require_at_least(1, devices=devices)
    require_together(together)
    if together > 1 and (devices > 1 or accumulate > 1):
        raise UsageError(f"together is {together}: trainings at once are of one device, and take whole mini-batches")
    known = None if device_kind is None else DEVICES.find(device_kind)
    config = TrainingConfig.from_settings(
        recipe=recipe,
        weights=weights,
        iterations=iterations,
        epochs=epochs,
        batch_size=batch_size,
        size=size,
        accumulate=accumulate,
        **network_options,
    )
    with tempfile.TemporaryDirectory(prefix="resnets-plan-") as folder:
        job = _resolve(network, data, config, devices, together, Path(folder))
        device = _device(job, known)
        memory = training_memory(
            job.cost,
            device.precision,
            device.type,
            images_bytes=job.stats.memory_bytes(job.training.recipe.augmentation),
            test_images=job.stats.test,
        )
        loading = loading_rate(job.training, job.share)
        rates, notes = _rates(job, device, memory, loading, Path(folder))
    rates, notes_on_steps = _of_whole_steps(job, device, rates)
    notes = [
        *assumptions.about_data(job.stats, loading),
        *assumptions.about_teacher(job.recipe),
        *notes,
        *notes_on_steps,
        *assumptions.about_memory(device.type, measured=known is None),
    ]
    return _plan(job, device, memory, loading, rates, notes)


@dataclass(frozen=True, eq=False)
class _Job:
    """A training on a number of devices."""

    stats: DatasetStats
    recipe: Recipe
    training: Training
    cost: Complexity
    devices: int
    together: int
    accumulate: int

    @property
    def share(self) -> int:
        """The images of a mini-batch on each device."""
        return self.recipe.batch_size // self.devices

    @property
    def micro_batch(self) -> int:
        """The images at once on each device."""
        return self.share // self.accumulate


@dataclass(frozen=True)
class _Device:
    """The device of a plan, of the table or this machine's. Units: bytes, bytes a second."""

    name: str
    type: str
    precision: Precision
    memory: int
    link: float
    known: KnownDevice | None


def _resolve(network: str, data: str, config: TrainingConfig, devices: int, together: int, folder: Path) -> _Job:
    """Return the training; what `train` would refuse is refused here. Synthetic images are written to the folder."""
    stats, sample = dataset_stats.load(data, folder)
    sample = load_for(network, sample, config.network_options)  # as the network takes it; the recipe depends on it
    recipe = config.resolve_recipe(sample, stats.train)
    Share(size=devices).of_batch(recipe.batch_size)
    alone = recipe.with_changes(distillation=None)
    training = resolve(network, sample, TrainingConfig(recipe=alone, network_options=config.network_options))
    require_nesting(training.network, recipe.batch_size, devices)
    require_micro_batches(training.network, recipe.batch_size // devices, config.accumulate)
    if together > 1 and not leaves_room(network, training.data):
        raise UsageError(
            f"together is {together}: only networks for small images in memory and without dropout are trained at once"
        )
    assert training.input_spec is not None  # of images that are looked at there is one
    return _Job(
        stats=dataset_stats.as_taken(stats, training.data.train),
        recipe=recipe,
        training=training,
        cost=complexity.measure(training.network, training.input_spec.size, training.input_spec.channels),
        devices=devices,
        together=together,
        accumulate=config.accumulate,
    )


def _device(job: _Job, known: KnownDevice | None) -> _Device:
    if known is not None:
        return _Device(known.name, "cuda", known.precision, int(known.memory), known.link, known)
    here = job.training.device
    return _Device(str(here), here.type, job.training.precision, available_memory(here), LINKS[here.type], None)


def _rates(job: _Job, device: _Device, memory: Memory, loading: float, folder: Path) -> tuple[Rates, list[str]]:
    """Return the rates of one device for its micro-batches, and what they rest on."""
    if device.known is not None:
        depth = job.training.record.network.depth or job.cost.depth
        rates = forecast.estimated_rates(job.cost, depth, job.micro_batch, device.known, together=job.together)
        return rates, assumptions.about_estimate(device.known)
    largest = memory.largest_batch(device.memory)
    found = measure(job.training, job.micro_batch, largest=largest, macs=job.cost.macs, loading=loading, folder=folder)
    files = job.stats.file_bytes is not None
    if job.together > 1:
        step = job.together * found.rates.step
        if device.type == "cuda":
            copies = [copy.deepcopy(job.training.network) for _ in range(job.together)]
            step = measure_round([dataclasses.replace(job.training, network=network) for network in copies])
        found = dataclasses.replace(found, rates=dataclasses.replace(found.rates, step=step))
    return found.rates, assumptions.about_measurement(found, job.micro_batch, files=files)


def _of_whole_steps(job: _Job, device: _Device, rates: Rates) -> tuple[Rates, list[str]]:
    """Return the rates of all devices for whole steps, from those of one device and its micro-batches."""
    notes = []
    step, crops = rates.step, job.training.recipe.augmentation
    if isinstance(crops, AreaCropFlip) and crops.start_crop is not None:
        less = _share_of_full_size(crops)
        step *= less
        notes.append(assumptions.about_growing_crops(crops, less))
    if job.accumulate > 1:
        step *= job.accumulate
        notes.append(assumptions.about_accumulation(job.accumulate, job.micro_batch))
    if job.devices > 1:
        link = device.link
        if job.devices > IN_A_MACHINE and device.type == "cuda":
            link = min(link, NETWORK)
            notes.append(assumptions.about_network(IN_A_MACHINE, NETWORK))
        together = forecast.all_reduce_seconds(job.cost.parameters, job.devices, link)
        step += together
        notes.append(assumptions.about_devices(job.devices, job.share, link, together))
    if job.together > 1:
        notes.append(assumptions.about_together(job.together, device.type, measured=device.known is None))
    times = job.together / job.devices
    return dataclasses.replace(
        rates,
        step=step,
        start=job.together * rates.start,
        test=times * rates.test,
        final_test=times * rates.final_test,
        save=job.together * rates.save,
        log=job.together * rates.log,
    ), notes


def _share_of_full_size(crops: AreaCropFlip) -> float:
    """Return the pixels of all crops of a training whose crops grow, as a share of those of full size."""
    return statistics.fmean(crops.size_at((step + 0.5) / 100) ** 2 for step in range(100)) / crops.crop**2


def _plan(job: _Job, device: _Device, memory: Memory, loading: float, rates: Rates, notes: list[str]) -> Plan:
    recipe, stats = job.recipe, job.stats
    time = forecast.duration(recipe, rates, stats.test)
    images_per_second = job.together * recipe.batch_size / rates.step
    return Plan(
        network=job.training.record.network.name,
        data=stats.name,
        training_images=stats.train,
        classes=stats.classes,
        recipe=recipe.name,
        iterations=recipe.iterations,
        batch_size=recipe.batch_size,
        device=device.name,
        devices=job.devices,
        together=job.together,
        precision=device.precision,
        estimate=device.known is not None,
        hours=time.total / 3600,
        training_seconds=time.training,
        testing_seconds=time.testing,
        saving_seconds=time.saving,
        step_seconds=rates.step,
        images_per_second=images_per_second,
        test_images_per_second=job.together / rates.test,
        memory_bytes=job.together * memory.of(job.micro_batch),
        available_bytes=device.memory,
        largest_batch=memory.largest_batch(device.memory // job.together),
        loader_cores=images_per_second / job.together / loading,
        read_bytes_per_second=images_per_second * (stats.file_bytes or 0),
        disk_bytes=job.together * forecast.disk_bytes(recipe, job.cost),
        assumptions=tuple(notes),
    )
