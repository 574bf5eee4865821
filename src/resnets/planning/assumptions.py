"""Assumptions of a plan, in sentences."""

from __future__ import annotations

from resnets.durations import of_a_step
from resnets.planning import forecast
from resnets.planning.dataset_stats import DatasetStats
from resnets.planning.devices import KnownDevice
from resnets.planning.measure import WORKERS, Measurement
from resnets.quantities import megabytes, plural, rate
from resnets.specs import AreaCropFlip, Recipe


def about_data(stats: DatasetStats, loading: float) -> list[str]:
    """Return the data set's numbers, and how its images are loaded; `loading` in images a second of one core."""
    source = "as declared, synthetic images" if stats.declared else "measured"
    size = f", {stats.file_bytes:,} bytes per file" if stats.file_bytes else ""
    if stats.file_bytes:
        how = "; each image is read from storage in each epoch, or less often if memory can cache all of them"
    else:
        how = ", in the training process; all images are in memory, and storage is read once, before the training"
    return [
        f"{stats.name} ({source}): {plural(stats.train, 'training image')}, {plural(stats.test, 'test image')}, "
        f"{stats.width} x {stats.height} pixels{size}",
        f"one core of this machine loads {rate(loading)} images/s{how}",
    ]


def about_teacher(recipe: Recipe) -> list[str]:
    """Return that a plan is without the teacher of a recipe that has one."""
    less = "without the teacher that the recipe learns from, which takes a forward pass of its own in each step"
    return [] if recipe.distillation is None else [less]


def about_measurement(found: Measurement, batch_size: int, *, files: bool) -> list[str]:
    """Return how the steps were measured; `batch_size` is the one that is planned for."""
    steps = found.steps
    notes = [
        f"measured here and now: {plural(steps.steps, 'training step')} of {plural(steps.batch_size, 'image')}, "
        f"{of_a_step(steps.step)} each (within {100 * steps.spread:.0f} %), tests, a checkpoint and the log, next to "
        f"everything else that runs here"
    ]
    if steps.batch_size != batch_size:
        times = batch_size / steps.batch_size
        notes.append(f"assumed: a step of {plural(batch_size, 'image')} takes {times:.3g} times as long")
    if files:
        notes.append(f"{WORKERS} data-loading processes")
    return notes


def about_estimate(device: KnownDevice) -> list[str]:
    """Return how a device of the table is estimated."""
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


def about_together(together: int, device_type: str, *, measured: bool) -> str:
    """Return how the time of several networks at once follows from that of one."""
    if device_type == "cpu":
        how = "on a CPU they take turns, and as long as one after the other"
    elif measured:
        how = "a step of each, all at once, was measured"
    else:
        how = "assumed: arithmetic and memory traffic add up, and the kernels of one run next to those of the others"
    return f"{together} trainings at once; time, memory and disk are those of all; {how}"


def about_growing_crops(crops: AreaCropFlip, share: float) -> str:
    """Return what crops that grow save; `share` is their pixels over those of full size."""
    return f"crops grow from {crops.start_crop} to {crops.crop} pixels: {share:.2f} of the time of full ones"


def about_accumulation(steps: int, images: int) -> str:
    """Return how a mini-batch is divided; `images` are those of a micro-batch."""
    return f"{plural(steps, 'gradient-accumulation step')} per iteration, {plural(images, 'image')} in memory"


def about_network(devices: int, link: float) -> str:
    """Return what connects the machines; `devices` are those of one, `link` is in bytes a second."""
    return f"assumed: {devices} devices per machine, and {8 * link / 1e9:,.0f} Gbit/s between machines"


def about_devices(devices: int, share: int, link: float, seconds: float) -> str:
    """Return how devices share the work; `share` is in images, `link` in bytes a second, `seconds` are of a step."""
    reached = megabytes(forecast.LINK_SHARE * link)
    return (
        f"{devices} devices: {plural(share, 'image')} of a mini-batch on each; a ring all-reduce of the gradients at "
        f"{reached}/s takes {of_a_step(seconds)} per step, not overlapped; each tests its share of the images"
    )


def about_memory(device_type: str, *, measured: bool) -> list[str]:
    """Return what memory and disk space are of."""
    if device_type == "cuda":
        whose = "of the GPU, from the activations that are kept; not yet checked on a GPU"
    else:
        whose = "peak of the process (without loader processes), within 8 % of the runs that calibrate it"
    free = "the memory that is free now" if measured else "the memory of the data sheet"
    return [
        f"memory: {whose}; the largest batch is for {free}",
        "disk: three checkpoints (including the one being written), the weights and the log",
    ]
