"""Batch norm with the addition and the ReLU that follow it, in one pass over memory each way, in training on a CPU.

A CPU spends a third of a training step in carrying activations to and from memory for these three, one after the
other. `fused.cpp` does them at once; it is compiled on first use, in a second, and kept in the user's cache.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from resnets.networks.normalization import BatchNorm2d

_FLAGS = ("-O3", "-march=native", "-fopenmp", "-fno-math-errno", "-std=c++17", "-shared", "-fPIC")
_NAMES = {torch.float32: "float32", torch.bfloat16: "bfloat16"}


@contextmanager
def fusing(network: nn.Module, device: torch.device) -> Iterator[None]:
    """Let the batch norms of a network run fused in training, where the kernel is available.

    Those whose groups are spread over processes do not.
    """
    norms = [module for module in network.modules() if isinstance(module, BatchNorm2d) and module.across is None]
    for norm in norms:
        norm.fused = None if unavailable(device) else norm_add_relu
    try:
        yield
    finally:
        for norm in norms:
            norm.fused = None


def unavailable(device: torch.device) -> str | None:
    """Return why the kernel cannot run on a device, or None where it can; the first call may compile it."""
    if device.type != "cpu":
        return f"it is for CPUs, not for {device.type}"
    library = _library()
    return library if isinstance(library, str) else None


def norm_add_relu(norm: BatchNorm2d, x: Tensor, skip: Tensor | None, relu: bool) -> Tensor | None:
    """Return relu(norm(x) + skip) in training mode, or None where the kernel is not made for such an input.

    Shape: (N, C, H, W), (N, C, H, W) -> (N, C, H, W), channels last in memory
    """
    fits = x.dtype in _NAMES and norm.weight.dtype == torch.float32 and norm.momentum is not None
    if not fits or x.device.type != "cpu" or (skip is not None and not relu) or x.numel() == 0:
        return None
    return _NormAddRelu.apply(x, skip, norm.weight, norm.bias, norm, relu)


class _NormAddRelu(torch.autograd.Function):
    """The kernel's two passes as one differentiable function of x, skip, weight and bias."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, skip: Tensor | None, weight: Tensor, bias: Tensor, norm: BatchNorm2d, relu: bool
    ) -> Tensor:
        x = x.contiguous(memory_format=torch.channels_last)
        if skip is not None:
            skip = skip.to(x.dtype).contiguous(memory_format=torch.channels_last)
        images, channels, height, width = x.shape
        ctx.group, ctx.relu = min(norm.group or images, images), relu
        y = torch.empty_like(x)
        mean = torch.empty(-(-images // ctx.group), channels)
        invstd = torch.empty_like(mean)
        assert norm.num_batches_tracked is not None and norm.momentum is not None
        norm.num_batches_tracked.add_(1)
        _call(
            f"forward_{_NAMES[x.dtype]}",
            (x, skip, y, weight, bias, mean, invstd, norm.running_mean, norm.running_var),
            (images, ctx.group, height * width, channels),
            (norm.eps, norm.momentum),
            relu,
        )
        ctx.save_for_backward(x, None if skip is None else y, weight, bias, mean, invstd)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, y, weight, bias, mean, invstd = ctx.saved_tensors
        gradient = gradient.to(x.dtype).contiguous(memory_format=torch.channels_last)
        images, channels, height, width = x.shape
        dx, dweight, dbias = torch.empty_like(x), torch.empty_like(weight), torch.empty_like(bias)
        dskip = None if y is None else torch.empty_like(x)
        _call(
            f"backward_{_NAMES[x.dtype]}",
            (gradient, x, y, dskip, dx, weight, bias, mean, invstd, dweight, dbias),
            (images, ctx.group, height * width, channels),
            (),
            ctx.relu,
        )
        return dx, dskip, dweight, dbias, None, None


def _call(
    name: str, tensors: tuple[Tensor | None, ...], sizes: tuple[int, ...], numbers: tuple[float, ...], relu: bool
) -> None:
    library = _library()
    assert not isinstance(library, str)
    pointers = [None if tensor is None else ctypes.c_void_p(tensor.data_ptr()) for tensor in tensors]
    getattr(library, name)(
        *pointers,
        *map(ctypes.c_long, sizes),
        *map(ctypes.c_double, numbers),
        ctypes.c_int(relu),
        ctypes.c_int(torch.get_num_threads()),
    )


# ---------------------------------------------------------------- compiling


@functools.cache
def _library() -> ctypes.CDLL | str:
    """Return the kernel, compiled for this processor if it has not been yet, or the reason why there is none."""
    if not sys.platform.startswith("linux"):
        return "it is compiled on Linux only"
    if "libgomp" not in _loaded():
        return "torch here does not use GNU OpenMP, and two kinds of threads would slow each other down"
    compiler = shutil.which("g++")
    if compiler is None:
        return "there is no g++ to compile it with"
    source = Path(__file__).with_name("fused.cpp")
    try:
        version = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=True).stdout
        what = "\n".join([source.read_text(), *_FLAGS, version, _processor()])
        path = _cache() / f"fused-{hashlib.sha256(what.encode()).hexdigest()[:16]}.so"
        if not path.exists():
            with tempfile.TemporaryDirectory(dir=path.parent) as folder:
                made = Path(folder) / path.name
                subprocess.run(
                    [compiler, *_FLAGS, "-o", str(made), str(source)], capture_output=True, text=True, check=True
                )
                made.replace(path)  # at once, for other processes may be compiling it as well
        library = ctypes.CDLL(str(path))
    except subprocess.CalledProcessError as error:
        return f"g++ could not compile it: {(error.stderr.strip() or str(error)).splitlines()[0][:200]}"
    except OSError as error:
        return f"it could not be compiled or loaded: {error}"
    for name in _NAMES.values():
        for way in ("forward", "backward"):
            getattr(library, f"{way}_{name}").restype = None
    return library


def _cache() -> Path:
    """Return a folder of this user's for compiled files, which lasts where it can."""
    home = os.environ.get("XDG_CACHE_HOME")
    try:
        folder = (Path(home) if home else Path.home() / ".cache") / "resnets"
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    except (OSError, RuntimeError):  # no home, or not ours to write to
        pass
    return Path(tempfile.mkdtemp(prefix="resnets-"))


def _processor() -> str:
    """Return what -march=native depends on: a home folder may be shared by different machines."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    kinds = ("vendor_id", "model", "flags", "Features", "CPU part")
    return "\n".join([platform.machine(), *sorted({line for line in lines if line.startswith(kinds)})])


def _loaded() -> str:
    return Path("/proc/self/maps").read_text()
