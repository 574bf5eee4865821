"""The fastest engine that this machine has for a network, found by measurement and checked."""

from __future__ import annotations

import dataclasses
import math
import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from resnets.errors import UsageError, nearest, require_at_least
from resnets.inference import backends
from resnets.inference.backends import Run, Unavailable
from resnets.runtime.device import forward
from resnets.specs import Precision

EngineName = Literal["eager", "openvino", "compile"]
"""eager: torch, batch norm folded. openvino: OpenVINO on the CPU. compile: torch.compile."""

PREPARATION_SECONDS = 20.0
"""About what preparing and measuring the engines costs: less work than that is done sooner without."""

BUDGET_SECONDS = 30.0  # an engine that has not been started by then is not tried
LAYERS_TO_COMPILE = 250  # beyond, torch.compile takes minutes
BATCH_ON_CPU = 64  # larger ones are no faster there and only need memory
CHECKED_IMAGES = 8
MEASURED_SECONDS = 0.6  # in which an engine's calls are timed


@dataclass(frozen=True)
class Choice:
    """An engine that was considered: what it took, or why it was left out."""

    engine: EngineName
    seconds: float | None  # of one batch
    skipped: str | None = None


@dataclass(frozen=True, eq=False)
class Engine:
    """A network made ready to run, as it was at that moment: call it with images, from any thread.

    `batch_size` is the batch that it was prepared for, `seconds` what it measured for one. More images are split, fewer
    are right too. `choices` lists the other candidates.
    """

    name: EngineName
    precision: Precision
    device: torch.device
    batch_size: int
    shape: tuple[int, int, int]  # (C, H, W)
    classes: int
    run: Run = field(repr=False)
    seconds: float = math.nan
    choices: tuple[Choice, ...] = ()
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __getstate__(self) -> None:
        """Raise UsageError: it is compiled for this process and machine."""
        raise UsageError(
            "an engine is made for this process and machine, and cannot be copied or pickled; copy the network, and "
            "call resnets.optimize again"
        )

    def __call__(self, images: Tensor) -> Tensor:
        """Return the logits in a tensor of their own.

        Shape: (n, C, H, W) -> (n, classes) float32
        Raises: UsageError, if the images have another shape than it was prepared for.
        """
        if tuple(images.shape[1:]) != self.shape:
            expected = ", ".join(map(str, self.shape))
            raise UsageError(f"images are {tuple(images.shape)}; this engine was prepared for (n, {expected})")
        if torch.is_autocast_enabled(self.device.type):  # its precision is its own
            with torch.autocast(self.device.type, enabled=False):
                return self(images)
        logits = torch.empty(len(images), self.classes, device=self.device)
        with self._lock, torch.inference_mode():
            for start in range(0, len(images), self.batch_size):
                part = images[start : start + self.batch_size]
                logits[start : start + self.batch_size] = self.run(part.to(self.device))
        return logits


def require_engine(engine: str) -> None:
    """Raise UsageError, with the nearest name, where an engine is neither `auto` nor one of those that there are."""
    known = ("auto", *get_args(EngineName))
    if engine not in known:
        raise UsageError(f"engine is {engine!r}; it must be one of {', '.join(known)}{nearest(engine, known)}")


def fastest(
    network: nn.Module,
    *,
    shape: tuple[int, int, int],
    batch_size: int = 1,
    device: torch.device,
    precision: Precision,
    engine: str = "auto",
) -> Engine:
    """Return an engine that computes what a network computes in evaluation mode; the network is left as it is.

    `auto` prepares those that are there, compares each one's logits with the network's own in float32, measures each
    on a batch and keeps the fastest. On a CPU a batch is at most 64 images.

    Shape: `shape` is (C, H, W) of an image
    Raises: UsageError, if the named engine is not available, or the network does not map images to logits.
    """
    require_engine(engine)
    require_at_least(1, batch_size=batch_size, **{"image size": min(shape)})
    start = time.perf_counter()
    count = min(batch_size, BATCH_ON_CPU) if device.type == "cpu" else batch_size
    images = torch.randn(count, *shape, generator=torch.Generator().manual_seed(0)).to(device)
    with torch.inference_mode(False), torch.no_grad():
        ready, expected = _prepare(network, images)
        tried: list[Choice] = []
        best: Engine | None = None
        allowed = _allowed(ready, images[:CHECKED_IMAGES], expected, precision)
        for name in get_args(EngineName):
            if engine not in ("auto", name):
                continue
            try:
                if engine == "auto":
                    _require_time(name, ready, time.perf_counter() - start)
                run = BACKENDS[name](ready, images, precision)
                found = Engine(name, precision, device, count, shape, expected.shape[1], run)
                _require_agreement(found, images, expected, allowed)
                seconds = measured_seconds(found, images)
            except Exception as error:  # of torch, a compiler, a converter: the others may still do
                reason = _reason(error)
                if engine != "auto":
                    raise UsageError(f"engine {name!r} is not available here: {reason}") from error
                tried.append(Choice(name, None, reason))
                continue
            tried.append(Choice(name, seconds))
            if best is None or seconds < best.seconds:
                best = dataclasses.replace(found, seconds=seconds)
    if best is None:
        raise UsageError(f"no engine can run this network: {'; '.join(f'{c.engine}: {c.skipped}' for c in tried)}")
    return dataclasses.replace(best, choices=tuple(tried))


BACKENDS: dict[EngineName, Callable[[nn.Module, Tensor, Precision], Run]] = {
    "eager": backends.eager,
    "openvino": backends.openvino,
    "compile": backends.compiled,
}


def _prepare(network: nn.Module, images: Tensor) -> tuple[nn.Module, Tensor]:
    """Return the network frozen (and folded, where that is possible and right), and its logits in float32."""
    plain = backends.frozen(network).to(images.device)
    some = images[:CHECKED_IMAGES]
    try:
        plain = backends.with_one_output(plain, some)
        expected = forward(plain, some, "fp32")
    except Exception as error:
        shape = tuple(images.shape)
        raise UsageError(f"the network cannot be run on images of shape {shape}: {_reason(error)}") from error
    if expected.ndim != 2 or len(expected) != len(some):
        raise UsageError(f"the network gives {tuple(expected.shape)} for {len(some)} images; it must give (n, classes)")
    try:
        ready = backends.folded(plain)
        if _relative(forward(ready, some, "fp32"), expected) < 1e-3:
            return ready, expected
    except Exception:  # of a module whose forward is not traceable; it runs unchanged
        pass
    return plain, expected


def _require_time(name: EngineName, network: nn.Module, spent: float) -> None:
    layers = sum(isinstance(module, nn.Conv2d | nn.Linear) for module in network.modules())
    if name == "compile" and layers > LAYERS_TO_COMPILE:
        raise Unavailable(f"compiling {layers:,} layers takes minutes; name the engine to have it all the same")
    if name != "eager" and spent > BUDGET_SECONDS:
        raise Unavailable(f"not tried after {spent:.0f} s; name the engine to have it all the same")


def _allowed(network: nn.Module, images: Tensor, expected: Tensor, precision: Precision) -> float:
    """Return how far an engine's logits may be from the network's: in bf16 a few times as far as torch's own."""
    if precision == "bf16":
        return max(0.1, 3 * _relative(backends.eager(network, images, precision)(images).float(), expected))
    return 0.01 if images.device.type == "cuda" else 1e-3  # a GPU convolves in TF32


def _require_agreement(engine: Engine, images: Tensor, expected: Tensor, allowed: float) -> None:
    # The prepared batch, whose rest a shorter one must not read, then one image.
    for some in (images, images[:1]):
        logits = engine(some)[: len(expected)]
        difference = _relative(logits, expected[: len(logits)])
        if not difference <= allowed:
            raise Unavailable(f"its logits for {len(some)} images differ from the network's by {difference:.1g}")


def _relative(logits: Tensor, expected: Tensor) -> float:
    """Return the Euclidean norm of the difference over that of what is expected.

    It is 0 where both are alike, or where what is expected is not finite: an untrained network may overflow.
    """
    if torch.equal(logits, expected) or not expected.isfinite().all():
        return 0.0
    return float((logits - expected).double().norm() / expected.double().norm())


def measured_seconds(engine: Engine, images: Tensor) -> float:
    """Return the median time of a call; one call is enough where it takes seconds."""
    times: list[float] = []
    while not times or (times[0] < 2 and (len(times) < 3 or sum(times) < MEASURED_SECONDS)):
        start = time.perf_counter()
        engine(images)
        if images.device.type == "cuda":
            torch.cuda.synchronize(images.device)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def _reason(error: Exception) -> str:
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return first[:200] if isinstance(error, Unavailable) else f"{type(error).__name__}: {first[:200]}"
