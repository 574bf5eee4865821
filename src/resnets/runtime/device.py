"""Device, precision and memory layout of a network, by default the fastest that is safe."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import get_args

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from resnets.errors import DataError, UsageError
from resnets.quantities import plural
from resnets.runtime.narrow import exact_if_narrow
from resnets.specs import NetworkSpec, Precision


def choose_device(name: str = "auto") -> torch.device:
    """Return the device of a name; `auto` is the first GPU where there is one, else the CPU.

    Raises: UsageError, if torch does not know the device or it is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        known = device.type in ("cpu", "cuda")
        if known:
            torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"device {name!r} cannot be used: {str(error).splitlines()[0][:200]}") from None
    if not known:
        raise UsageError(f"device {name!r} is not supported; it must be auto, cpu, cuda or cuda:N")
    return device


def choose_precision(name: str, device: torch.device) -> Precision:
    """Return the precision of a name; `auto` is bf16 where the device computes it natively, else fp32.

    Raises: UsageError, if there is no such precision.
    """
    if name == "auto":
        return "bf16" if native_bf16(device) else "fp32"
    if name not in get_args(Precision):
        raise UsageError(f"precision is {name!r}; it must be auto, {' or '.join(get_args(Precision))}")
    return name  # type: ignore[return-value]


def native_bf16(device: torch.device) -> bool:
    """Return whether a device computes in bf16 itself, so that bf16 is faster there than float32.

    A CPU must have the instructions, and oneDNN use them: `ONEDNN_MAX_CPU_ISA=AVX2` makes any x86 one without.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8
    if device.type == "cpu":
        # torch 2.11 may lack the call; then float32 is safe
        capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
        has_it = any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))  # x86 twice, Arm
        used = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False)  # absent without oneDNN
        return has_it and bool(used())
    return False


def place(network: nn.Module, device: torch.device) -> nn.Module:
    """Move a network to a device, its 2-D convolutions' weights channels-last in memory; values are unchanged."""
    network.to(device)
    for tensor in (*network.parameters(), *network.buffers()):
        if tensor.dim() == 4:
            tensor.data = tensor.data.to(memory_format=torch.channels_last)
    return network


def forward(network: Callable[[Tensor], Tensor], images: Tensor, precision: Precision) -> Tensor:
    """Return a network's logits in float32; of several outputs, the first.

    Shape: (N, C, H, W) -> (N, classes)
    """
    return outputs_of(network, images, precision)[0]


def outputs_of(
    network: Callable[[Tensor], Tensor | tuple[Tensor, ...]], images: Tensor, precision: Precision
) -> tuple[Tensor, ...]:
    """Return a network's outputs in float32, the logits first: in training it may have auxiliary classifiers.

    Shape: (N, C, H, W) -> (N, classes) of each
    Raises: DataError, if it fails for images with another number of channels than it was declared for; UsageError, if
        it returns anything else than a tensor or a tuple of tensors.
    """
    whole = network.module if isinstance(network, DistributedDataParallel) else network
    spec = getattr(whole, "spec", None)
    images = images.contiguous(memory_format=torch.channels_last)
    with torch.autocast(images.device.type, torch.bfloat16, enabled=precision == "bf16"), exact_if_narrow(spec, images):
        try:
            found = network(images)
        except RuntimeError as error:
            takes = spec.in_channels if isinstance(spec, NetworkSpec) else images.shape[1]
            if takes == images.shape[1]:
                raise
            what = f"{spec.name} takes images of {plural(takes, 'channel')}"  # type: ignore[union-attr]
            raise DataError(f"{what}; these have {images.shape[1]}") from error
        outputs = found if isinstance(found, tuple) else (found,)
        if not (outputs and all(isinstance(one, Tensor) for one in outputs)):
            kinds = ", ".join(type(one).__name__ for one in outputs) or "an empty tuple"
            raise UsageError(
                f"{type(whole).__name__} returns {kinds}; it must return the logits (N, classes), or a tuple of "
                f"tensors that starts with them"
            )
        return tuple(one.float() for one in outputs)


def keep_freed_memory() -> bool:
    """Let the C library keep freed activations instead of returning them to the system at every step.

    Touching fresh pages costs nearly as much time as the arithmetic on a CPU. glibc only; elsewhere nothing happens.
    Returns whether it took effect.
    """
    if not sys.platform.startswith("linux"):
        return False
    mmap_threshold, trim_threshold = -3, -1  # M_MMAP_THRESHOLD, M_TRIM_THRESHOLD of <malloc.h>
    largest = 32 << 20  # the most that glibc accepts for the first
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(mmap_threshold, largest) and mallopt(trim_threshold, (1 << 31) - 1))


@contextmanager
def fastest_convolutions(device: torch.device) -> Iterator[None]:
    """Let a GPU try out its ways to convolve and take the fastest for each shape, while one shape follows the other."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = before or device.type == "cuda"
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before
