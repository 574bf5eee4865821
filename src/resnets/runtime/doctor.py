"""Report on this installation and this machine: versions, devices, kernels, extras, cache."""

from __future__ import annotations

import os
import re
import shutil
from importlib import metadata
from pathlib import Path

import torch

from resnets.errors import UsageError, missing_extra, possible_names, public
from resnets.files import cache_folder
from resnets.quantities import megabytes
from resnets.runtime.device import native_bf16
from resnets.runtime.kernels import unavailable
from resnets.runtime.launch import usable_cores
from resnets.runtime.provenance import provenance

VARIABLES = ("CUDA_VISIBLE_DEVICES", "LD_PRELOAD", "MKL_NUM_THREADS", "OMP_NUM_THREADS", "RESNETS_CACHE")
"""Environment variables that change speed or results, or where files are."""

Diagnosis = dict[str, dict[str, str]]
"""Sections of facts, by their names."""


@public
def doctor() -> Diagnosis:
    """Return what a bug report needs: versions, devices, kernels, extras, cache and environment variables.

    Nothing of it identifies a person but paths, where they have a user's name.
    """
    cpu = torch.device("cpu")
    origin = provenance(cpu)
    cores = f"{os.cpu_count()}, {usable_cores()} of them for this process; torch uses {torch.get_num_threads()}"
    return {
        "versions": {
            **origin.versions,
            "commit": origin.commit or "installed package",
            "folder": str(Path(__file__).resolve().parents[1]),
            "system": origin.system,
        },
        "cpu": {
            "processor": str(origin.hardware["processor"]),
            "cores": cores,
            "bf16": "native" if native_bf16(cpu) else "not native: training uses float32",
            "compiled kernels": unavailable(cpu) or "available",
        },
        "gpus": _gpus(),
        "extras": _extras(),
        "cache": _cache(),
        "environment": {name: os.environ[name] for name in VARIABLES if name in os.environ},
    }


def _gpus() -> dict[str, str]:
    if not torch.cuda.is_available():
        why = "torch finds none" if torch.version.cuda else "torch is built for CPUs only"
        return {"none": why}
    found = {}
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        bf16 = "bf16" if native_bf16(torch.device("cuda", index)) else "no bf16"
        found[f"cuda:{index}"] = f"{properties.name}, {megabytes(properties.total_memory)}, {bf16}"
    return found


def _extras() -> dict[str, str]:
    """Return the versions of each extra's packages, or how to install what is missing."""
    packages: dict[str, list[str]] = {}
    for requirement in metadata.requires("resnets") or []:
        named = re.match(r"([\w.-]+).*extra\s*==\s*['\"]([\w-]+)['\"]", requirement)
        if named and named[2] != "dev":
            packages.setdefault(named[2], []).append(named[1])
    found = {}
    for extra, names in packages.items():
        versions = {name: _version(name) for name in names}
        missing = [name for name, version in versions.items() if version is None]
        if missing:
            found[extra] = missing_extra(", ".join(missing), extra)
        else:
            found[extra] = ", ".join(f"{name} {version}" for name, version in versions.items())
    return found


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _cache() -> dict[str, str]:
    try:
        folder = cache_folder()
    except UsageError as error:
        return {"folder": f"none: {error}"}
    with possible_names():
        existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        free = shutil.disk_usage(existing).free
        if not folder.exists():
            return {"folder": f"{folder} (not made yet)", "free": megabytes(free)}
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        writable = "" if os.access(folder, os.W_OK) else " (not writable)"
    return {"folder": f"{folder}{writable}", "size": megabytes(size), "free": megabytes(free)}
