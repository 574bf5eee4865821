"""Provenance of a result: versions, hardware and commit, as every result file records them."""

from __future__ import annotations

import os
import platform
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path

import torch

from resnets.records.runs import Provenance
from resnets.runtime.kernels import unavailable
from resnets.version import __version__


def provenance(device: torch.device, processes: int = 1) -> Provenance:
    """Return the versions, the hardware and the commit that this process runs with.

    The hardware is that of one of `processes`, where they are several.
    """
    hardware: dict[str, str | int | None] = {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": str(device),
        "kernels": "torch" if unavailable(device) else "fused",
    }
    if processes > 1:
        hardware["processes"] = processes
    if device.type == "cuda":
        hardware["gpu"] = torch.cuda.get_device_name(device)
    versions = {"resnets": __version__, "python": platform.python_version()}
    for package in ("torch", "torchvision", "numpy"):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "unknown"
    return Provenance(versions=versions, hardware=hardware, system=platform.platform(), commit=_commit())


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


@cache
def _commit() -> str | None:
    """Return the commit of the package's own checkout ('-dirty' if changed), or None when it is installed."""
    root = Path(__file__).resolve().parents[3]
    if not (root / ".git").exists():
        return None
    try:
        git = ["git", "-C", str(root)]
        commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        changed = subprocess.run(
            [*git, "status", "--porcelain", "--", "src"], capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    return f"{commit}-dirty" if changed.strip() else commit
