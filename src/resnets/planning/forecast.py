"""Estimates for a whole run from the times of a step, a test and a checkpoint."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from resnets.networks.complexity import Complexity
from resnets.planning.devices import KnownDevice
from resnets.specs import Recipe
from resnets.training.checkpoint import KEEP
from resnets.training.trainer import iterations_between_lines, seconds_between

PASSES = 8  # over the kept activations, in all of a step: written and read by convolution, batch norm, ReLU, addition
BANDWIDTH_SHARE = 0.75  # of the memory's bandwidth, that these passes reach
KERNEL_SECONDS = 35e-6  # the least that a weighted layer's kernels take in a step, however small they are (estimated)
DISK_RATE = 500e6  # bytes a second, of a checkpoint on a machine that is not at hand
LOG_SECONDS = 1e-3  # of a line of the log, likewise
LINK_SHARE = 0.5  # of a link's bandwidth, that an all-reduce reaches
LINE_BYTES = 1_000  # of the log and TensorBoard's events


@dataclass(frozen=True, kw_only=True)
class Rates:
    """Times of the parts of a run. Units: seconds; `test` and `final_test` of one image."""

    step: float
    start: float  # what the first steps take beyond that
    test: float
    final_test: float  # in float32
    save: float
    log: float


@dataclass(frozen=True)
class Duration:
    """What a run takes. Units: seconds."""

    training: float
    testing: float
    saving: float  # checkpoints and the log

    @property
    def total(self) -> float:
        return self.training + self.testing + self.saving


def tests(recipe: Recipe) -> int:
    """Return how many points the test curve has; the final test is one more."""
    return math.ceil(recipe.iterations / recipe.evaluate_every)


def log_lines(recipe: Recipe) -> int:
    """Return how many lines a run logs on a CPU, and at most on a GPU: at even distances, and at each test."""
    every = iterations_between_lines(recipe.iterations, "cpu")
    length, test = recipe.iterations, recipe.evaluate_every
    last = 1 if length % every and length % test else 0
    return length // every + length // test - length // math.lcm(every, test) + last


def duration(recipe: Recipe, rates: Rates, test_images: int, validation_images: int | None = None) -> Duration:
    """Return what a run takes, its tests, checkpoints (those between and the last) and log counted in.

    The curve is of the validation images where there are some, the final test in any case of the test images.
    """
    training = rates.start + recipe.iterations * rates.step
    of_curve = test_images if validation_images is None else validation_images
    testing = of_curve * tests(recipe) * rates.test + test_images * rates.final_test
    saves = 1 + (training + testing) // seconds_between(rates.save)
    return Duration(training, testing, saves * rates.save + log_lines(recipe) * rates.log)


def longest(recipe: Recipe, networks: Iterable[Rates], seconds: float, test_images: int, validation_images: int) -> int:
    """Return the most iterations that each of the networks can be given, the same to all, within the seconds; or 0."""
    each = tuple(networks)

    def fits(iterations: int) -> bool:
        scaled = recipe.scaled(iterations)
        return sum(duration(scaled, rates, test_images, validation_images).total for rates in each) <= seconds

    low, high = 0, 1
    while fits(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def estimated_rates(cost: Complexity, depth: int, batch_size: int, device: KnownDevice, *, together: int = 1) -> Rates:
    """Return the rates on a device of the table with `batch_size` images per device.

    A step is one of each of the networks that are trained `together`, as in `estimated_step`.
    """
    test = _image_seconds(cost, device) / 3  # the forward pass
    return Rates(
        step=estimated_step([(cost, depth, batch_size)] * together, device),
        start=5.0,
        test=test,
        final_test=2 * test,
        save=checkpoint_bytes(cost) / DISK_RATE,
        log=LOG_SECONDS,
    )


def estimated_step(networks: Sequence[tuple[Complexity, int, int]], device: KnownDevice) -> float:
    """Return the seconds of a step of each of some networks at once, each with its cost, depth and batch size.

    It is the time of all their arithmetic plus memory traffic, and at least that of the kernels of the deepest one in a
    CUDA graph, next to which those of the others run.
    """
    arithmetic = sum(batch_size * _image_seconds(cost, device) for cost, _, batch_size in networks)
    return max(arithmetic, *(depth * KERNEL_SECONDS for _, depth, _ in networks))


def _image_seconds(cost: Complexity, device: KnownDevice) -> float:
    """Return the seconds of arithmetic and memory traffic that an image takes in a step."""
    bytes_of_a_number = 2 if device.precision == "bf16" else 4
    traffic = PASSES * cost.activation_bytes * bytes_of_a_number / 4
    return 6 * cost.macs / (device.share * device.rate) + traffic / (BANDWIDTH_SHARE * device.bandwidth)


def all_reduce_seconds(parameters: int, devices: int, link: float) -> float:
    """Return the seconds of a ring all-reduce of float32 gradients; `link` in bytes per second."""
    return 2 * (devices - 1) / devices * 4 * parameters / (LINK_SHARE * link)


def checkpoint_bytes(cost: Complexity) -> int:
    """Return the size of a checkpoint: weights and momentum in float32."""
    return 2 * 4 * cost.parameters


def disk_bytes(recipe: Recipe, cost: Complexity) -> int:
    """Return the most that a run's folder takes: the checkpoints kept and the one being written, weights, log."""
    averaged = 4 * cost.parameters if recipe.ema else 0  # in each checkpoint too
    return (KEEP + 1) * (checkpoint_bytes(cost) + averaged) + 4 * cost.parameters + log_lines(recipe) * LINE_BYTES
