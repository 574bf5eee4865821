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
from contextlib import contextmanager, suppress
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
    if x.device.type != "cpu" or (skip is not None and not relu) or x.numel() == 0 or not _fits(norm, x, skip):
        return None
    return _NormAddRelu.apply(x, skip, norm.weight, norm.bias, norm, relu)


def _fits(norm: BatchNorm2d, x: Tensor, skip: Tensor | None) -> bool:
    """Tell whether the kernel may read and write what it is given: it trusts every shape and every pointer.

    What does not fit goes torch's way, which says what is wrong with it, or computes it.
    """
    shaped = x.dim() == 4 and x.shape[1] == norm.num_features and (skip is None or skip.shape == x.shape)
    weighted = norm.affine and norm.weight.dtype == torch.float32 and x.dtype in _NAMES
    tracked = norm.track_running_stats and norm.running_mean is not None and norm.running_var is not None
    return shaped and weighted and tracked and norm.momentum is not None


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
        command = [compiler, *_FLAGS, str(source), "-o"]
        library = _loaded_from(command, f"fused-{hashlib.sha256(what.encode()).hexdigest()[:16]}.so")
    except subprocess.CalledProcessError as error:
        return f"g++ could not compile it: {(error.stderr.strip() or str(error)).splitlines()[0][:200]}"
    except OSError as error:
        return f"it could not be compiled or loaded: {error}"
    for name in _NAMES.values():
        for way in ("forward", "backward"):
            getattr(library, f"{way}_{name}").restype = None
    return library


def _loaded_from(command: list[str], name: str) -> ctypes.CDLL:
    """Return the library of a name in the user's cache, compiled if it is not there, or one that is not kept.

    The cache may be full, damaged, or where no program may be run from.

    Raises: CalledProcessError, OSError.
    """
    if (cache := _cache()) is not None:
        path = cache / name
        try:
            if not path.exists():
                with tempfile.TemporaryDirectory(dir=cache) as folder:
                    made = Path(folder) / name
                    subprocess.run([*command, str(made)], capture_output=True, text=True, check=True)
                    with open(made, "rb") as file:
                        os.fsync(file.fileno())
                    made.replace(path)  # at once, for other processes may be compiling it as well
            return ctypes.CDLL(str(path))
        except OSError:
            with suppress(OSError):
                path.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="resnets-") as folder:  # once loaded it is not needed there
        made = Path(folder) / name
        subprocess.run([*command, str(made)], capture_output=True, text=True, check=True)
        return ctypes.CDLL(str(made))


def _cache() -> Path | None:
    """Return a folder of this user's for compiled files, or None where there can be none."""
    home = os.environ.get("XDG_CACHE_HOME")
    try:
        folder = (Path(home) if home else Path.home() / ".cache") / "resnets"
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    except (OSError, RuntimeError):  # no home, or not ours to write to
        pass
    return None


def _processor() -> str:
    """Return what -march=native depends on: a home folder may be shared by different machines."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    kinds = ("vendor_id", "model", "flags", "Features", "CPU part")
    return "\n".join([platform.machine(), *sorted({line for line in lines if line.startswith(kinds)})])


def _loaded() -> str:
    return Path("/proc/self/maps").read_text()
