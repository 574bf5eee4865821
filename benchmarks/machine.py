"""Properties of the machine that matter to a measurement: matrix rate, allocator, peak memory, load."""

from __future__ import annotations

import os
import platform
import statistics
import sys
import time
from pathlib import Path

import torch

from resnets.records.benchmarks import Machine
from resnets.runtime.provenance import provenance

ALLOCATORS = ("tcmalloc", "jemalloc", "mimalloc")


def synchronize(device: torch.device) -> None:
    """Wait until a GPU has done what it was given; a CPU has."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def matrix_rates(device: torch.device, seconds: float) -> dict[str, float]:
    """Return the rate of a 2048 x 2048 matrix product in bf16 and float32 (a GPU's with TF32 off).

    Units: floating-point operations per second; a multiply-add is two.
    """
    rates = {}
    for name, dtype in (("bf16", torch.bfloat16), ("fp32", torch.float32)):
        a, b = (torch.randn(2048, 2048, device=device).to(dtype) for _ in range(2))
        a @ b
        synchronize(device)
        calls = 50 if device.type == "cuda" else 1  # between two looks at the clock
        taken: list[float] = []
        while sum(taken) < seconds:
            start = time.perf_counter()
            for _ in range(calls):
                a @ b
            synchronize(device)
            taken.append((time.perf_counter() - start) / calls)
        rates[name] = 2 * 2048**3 / statistics.median(taken)
    return rates


def allocator() -> str:
    """Return which memory allocator this process uses."""
    try:
        loaded = Path("/proc/self/maps").read_text()
    except OSError:
        return platform.system()
    for name in ALLOCATORS:
        if name in loaded:
            return name
    return " ".join(platform.libc_ver()) or "unknown"


def peak_memory(device: torch.device) -> int:
    """Return the most memory that this process has held: what torch allocated on a GPU, else what was resident.

    Units: bytes
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:  # Linux carries ru_maxrss over from the process that started this one; this figure it does not
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    if sys.platform == "win32":
        return 0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def load() -> list[float]:
    """Return the mean number of runnable processes over the last 1, 5 and 15 minutes."""
    return [round(value, 2) for value in os.getloadavg()] if hasattr(os, "getloadavg") else []


def describe(device: torch.device) -> Machine:
    """Return hardware, versions and what else affects speed."""
    named = ("LD_PRELOAD", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "MALLOC_CONF", "KMP_AFFINITY", "GOMP_CPU_AFFINITY")
    found = provenance(device).fields()
    found["versions"] |= {package: version for package in ("timm", "openvino") if (version := _version(package))}
    return Machine(
        **found,
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else None,
        environment={name: os.environ[name] for name in named if name in os.environ},
        allocator=allocator(),
    )


def _version(package: str) -> str | None:
    from importlib import metadata

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
