"""The compiled CPU kernels: compiled on first use, in a second, and kept in the user's cache."""

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
from contextlib import suppress
from pathlib import Path

import torch

from resnets.errors import UsageError
from resnets.files import cache_folder

FLAGS = ("-O3", "-march=native", "-fopenmp", "-fno-math-errno", "-std=c++17", "-shared", "-fPIC")
NAMES = {torch.float32: "float32", torch.bfloat16: "bfloat16"}
"""The types that there are kernels for, as they are called in their names."""


def unavailable(device: torch.device) -> str | None:
    """Return why the kernel cannot run on a device, or None where it can; the first call may compile it."""
    if device.type != "cpu":
        return f"it is for CPUs, not for {device.type}"
    loaded = library()
    return loaded if isinstance(loaded, str) else None


@functools.cache
def library() -> ctypes.CDLL | str:
    """Return the kernel, compiled for this processor if it has not been yet, or the reason why there is none."""
    if not sys.platform.startswith("linux"):
        return "it is compiled on Linux only"
    if "libgomp" not in Path("/proc/self/maps").read_text():
        return "torch here does not use GNU OpenMP, and two kinds of threads would slow each other down"
    compiler = shutil.which("g++")
    if compiler is None:
        return "there is no g++ to compile it with"
    source = Path(__file__).with_name("kernels.cpp")
    try:
        version = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=True).stdout
        what = "\n".join([source.read_text(), *FLAGS, version, _processor()])
        command = [compiler, *FLAGS, str(source), "-o"]
        loaded = loaded_from(command, f"fused-{hashlib.sha256(what.encode()).hexdigest()[:16]}.so")
    except subprocess.CalledProcessError as error:
        return f"g++ could not compile it: {(error.stderr.strip() or str(error)).splitlines()[0][:200]}"
    except OSError as error:
        return f"it could not be compiled or loaded: {error}"
    for name in NAMES.values():
        for way in ("forward", "backward"):
            getattr(loaded, f"{way}_{name}").restype = None
    return loaded


def loaded_from(command: list[str], name: str) -> ctypes.CDLL:
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
    try:
        folder = cache_folder()
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    except (OSError, UsageError):  # no home, or not ours to write to
        pass
    return None


def _processor() -> str:
    """Return what -march=native depends on: a home folder may be shared by different machines."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    kinds = ("vendor_id", "model", "flags", "Features", "CPU part")
    return "\n".join([platform.machine(), *sorted({line for line in lines if line.startswith(kinds)})])
