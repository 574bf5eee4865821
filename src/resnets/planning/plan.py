"""`plan`: estimated time, memory and disk of a training, from a few measured steps or a table of known devices."""

from __future__ import annotations

import dataclasses
import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

from resnets.data.load import load_data
from resnets.durations import of_a_step
from resnets.errors import UsageError
from resnets.networks import complexity, registry
from resnets.networks.sync_batch_norm import require_nesting
from resnets.planning import dataset_stats, forecast
from resnets.planning import devices as known_devices
from resnets.planning.dataset_stats import DataKind
from resnets.planning.devices import KnownDevice
from resnets.planning.measure import WORKERS, Measurement, loading_rate, measure
from resnets.planning.memory import available_memory, training_memory
from resnets.quantities import megabytes, plural, rate
from resnets.runtime.processes import Share
from resnets.specs import AreaCropFlip, Recipe
from resnets.training.config import NetworkSettings, TrainingConfig, resolve
from resnets.training.step import require_micro_batches

IN_A_MACHINE = 8  # devices, beyond which gradients pass between machines
NETWORK = 25e9  # bytes a second between these
LINKS = {"cpu": 1.25e9, "cuda": 32e9}  # bytes a second: between machines like this one (10 Gbit/s), or its GPUs


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Estimated time, memory and disk of a training, with the assumptions.

    `batch_size` is over all devices; memory and the largest mini-batch (with `accumulate`, micro-batch) are per device,
    and the latter is 0 if not even one image fits. `loader_cores` is the number of cores like this machine's that load
    images, `read_bytes_per_second` the bytes that they read. `estimate` is true for a device of the table, false for
    this machine's, which are measured.

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
    precision: str
    estimate: bool
    hours: float
    training_seconds: float
    testing_seconds: float
    saving_seconds: float
    step_seconds: float
    images_per_second: float
    memory_bytes: int
    available_bytes: int
    largest_batch: int
    loader_cores: float
    read_bytes_per_second: float
    disk_bytes: int
    assumptions: tuple[str, ...]


def plan(
    network: str,
    data: str,
    *,
    recipe: str | Recipe | None = None,
    iterations: int | None = None,
    epochs: float | None = None,
    batch_size: int | None = None,
    size: int | None = None,
    accumulate: int = 1,
    devices: int = 1,
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
        accumulate: gradient-accumulation steps.
        devices: number of devices.
        device_kind: a known device (`h100`, `t4` ...), estimated from its data sheet; None measures this machine's.
        shortcut, stride, residual_layers, bn_group, initialization: options of the network, as in `create`.

    Raises: UsageError, if there is no such network, data, recipe or device, or a number is impossible; DataError.
    """
    if devices < 1:
        raise UsageError(f"devices is {devices}; it must be 1 or more")
    known = None if device_kind is None else known_devices.find(device_kind)
    config = TrainingConfig.from_settings(
        recipe=recipe, iterations=iterations, epochs=epochs, batch_size=batch_size, size=size, **network_options
    )
    with tempfile.TemporaryDirectory(prefix="resnets-plan-") as folder:
        kind, sample = dataset_stats.load(data, Path(folder))
        sample = load_data(sample, registry.decoded_side(network))  # as the network takes it; the recipe depends on it
        chosen = config.resolve_recipe(sample, kind.train)
        Share(size=devices).of_batch(chosen.batch_size)  # refused as by `train`
        share = chosen.batch_size // devices
        todo = resolve(network, sample, TrainingConfig(recipe=chosen, network_options=config.network_options))
        require_nesting(todo.network, chosen.batch_size, devices)
        require_micro_batches(todo.network, share, accumulate)
        part = share // accumulate  # images at once on each device
        kind = dataset_stats.as_taken(kind, todo.data.train)
        assert todo.input_spec is not None  # of images that are looked at there is one
        cost = complexity.measure(todo.network, todo.input_spec.size, todo.input_spec.channels)
        spec = registry.declare(network, **network_options)
        precision = known.precision if known else todo.precision
        device_type = "cuda" if known else todo.device.type
        in_memory = kind.memory_bytes(todo.recipe.augmentation)
        memory = training_memory(cost, precision, device_type, images_bytes=in_memory, test_images=kind.test)
        available = int(known.memory) if known else available_memory(todo.device)
        largest = memory.largest_batch(available)
        loading = loading_rate(todo, share)
        notes = _about_data(kind, loading)
        if known:
            rates = forecast.estimated_rates(cost, spec.depth or cost.depth, part, known)
            notes += _about_estimate(known)
        else:
            found = measure(todo, part, largest=largest, macs=cost.macs, loading=loading, folder=Path(folder))
            rates = found.rates
            notes += _about_measurement(found, part, files=kind.file_bytes is not None)
    crops = todo.recipe.augmentation
    if isinstance(crops, AreaCropFlip) and crops.start_crop is not None:
        less = _share_of_full_size(crops)
        rates = dataclasses.replace(rates, step=less * rates.step)
        notes.append(f"crops grow from {crops.start_crop} to {crops.crop} pixels: {less:.2f} of the time of full ones")
    if accumulate > 1:
        rates = dataclasses.replace(rates, step=accumulate * rates.step)
        notes.append(
            f"{plural(accumulate, 'gradient-accumulation step')} per iteration, {plural(part, 'image')} in memory"
        )
    if devices > 1:
        link = known.link if known else LINKS[device_type]
        if devices > IN_A_MACHINE and device_type == "cuda":
            link = min(link, NETWORK)
            notes.append(
                f"assumed: {IN_A_MACHINE} devices per machine, and {8 * NETWORK / 1e9:,.0f} Gbit/s between machines"
            )
        together = forecast.all_reduce_seconds(cost.parameters, devices, link)
        rates = dataclasses.replace(
            rates, step=rates.step + together, test=rates.test / devices, final_test=rates.final_test / devices
        )
        notes += _about_devices(devices, share, forecast.LINK_SHARE * link, together)
    notes += _about_memory(device_type, measured=known is None)
    time = forecast.duration(chosen, rates, kind.test)
    images_per_second = chosen.batch_size / rates.step
    return Plan(
        network=spec.name,
        data=kind.name,
        training_images=kind.train,
        classes=kind.classes,
        recipe=chosen.name,
        iterations=chosen.iterations,
        batch_size=chosen.batch_size,
        device=known.name if known else str(todo.device),
        devices=devices,
        precision=precision,
        estimate=known is not None,
        hours=time.total / 3600,
        training_seconds=time.training,
        testing_seconds=time.testing,
        saving_seconds=time.saving,
        step_seconds=rates.step,
        images_per_second=images_per_second,
        memory_bytes=memory.of(part),
        available_bytes=available,
        largest_batch=largest,
        loader_cores=images_per_second / loading,
        read_bytes_per_second=images_per_second * (kind.file_bytes or 0),
        disk_bytes=forecast.disk_bytes(chosen, cost),
        assumptions=tuple(notes),
    )


def _share_of_full_size(crops: AreaCropFlip) -> float:
    """Return the pixels of all crops of a training whose crops grow, as a share of those of full size."""
    return statistics.fmean(crops.size_at((step + 0.5) / 100) ** 2 for step in range(100)) / crops.crop**2


# ---------------------------------------------------------------- assumptions in words


def _about_data(kind: DataKind, loading: float) -> list[str]:
    source = "as declared, synthetic images" if kind.declared else "measured"
    notes = [
        f"{kind.name} ({source}): {plural(kind.train, 'training image')}, {plural(kind.test, 'test image')}, "
        f"{kind.width} x {kind.height} pixels" + (f", {kind.file_bytes:,} bytes per file" if kind.file_bytes else "")
    ]
    if kind.file_bytes:
        notes.append(
            f"one core of this machine loads {rate(loading)} images/s; each image is read from storage in each epoch, "
            f"or less often if memory can cache all of them"
        )
    else:
        notes.append(
            f"one core of this machine loads {rate(loading)} images/s, in the training process; all images are in "
            f"memory, and storage is read once, before the training"
        )
    return notes


def _about_measurement(found: Measurement, share: int, *, files: bool) -> list[str]:
    steps = found.steps
    notes = [
        f"measured here and now: {plural(steps.steps, 'training step')} of {plural(steps.batch_size, 'image')}, "
        f"{of_a_step(steps.step)} each (within {100 * steps.spread:.0f} %), tests, a checkpoint and the log, next to "
        f"everything else that runs here"
    ]
    if steps.batch_size != share:
        notes.append(f"assumed: a step of {plural(share, 'image')} takes {share / steps.batch_size:.3g} times as long")
    if files:
        notes.append(f"{WORKERS} data-loading processes")
    return notes


def _about_estimate(device: KnownDevice) -> list[str]:
    products = "bf16" if device.precision == "bf16" else "float32"
    return [
        f"an estimate, not a measurement, and possibly off by a factor of two: {device.name} has "
        f"{device.rate / 1e12:,.4g} TFLOP/s of dense {products} products, {device.bandwidth / 1e9:,.0f} GB/s and "
        f"{device.memory / 1e9:,.0f} GB of memory by its data sheet",
        f"assumed: convolutions reach {100 * device.share:.0f} % of that rate, and activations pass "
        f"{forecast.PASSES} times through memory at {100 * forecast.BANDWIDTH_SHARE:.0f} % of its bandwidth",
        f"assumed: the kernels of each weighted layer take at least {1e6 * forecast.KERNEL_SECONDS:.0f} µs per step",
        "assumed: enough loader cores and storage bandwidth, so that the device never waits",
    ]


def _about_devices(devices: int, share: int, link: float, seconds: float) -> list[str]:
    return [
        f"{devices} devices: {plural(share, 'image')} of a mini-batch on each; a ring all-reduce of the gradients at "
        f"{megabytes(link)}/s takes {of_a_step(seconds)} per step, not overlapped; each tests its share of the images"
    ]


def _about_memory(device_type: str, *, measured: bool) -> list[str]:
    if device_type == "cuda":
        whose = "of the GPU, from the activations that are kept; not yet checked on a GPU"
    else:
        whose = "peak of the process (without loader processes), within 8 % of the runs that calibrate it"
    free = "the memory that is free now" if measured else "the memory of the data sheet"
    return [
        f"memory: {whose}; the largest batch is for {free}",
        "disk: three checkpoints (including the one being written), the weights and the log",
    ]
