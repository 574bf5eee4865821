"""Speed and memory compared with torchvision and timm, on your machine: `python -m benchmarks` or `benchmarks.bench()`.

Importing the package imports no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.run import bench as bench

__all__ = ["bench"]


def __getattr__(name: str) -> Any:
    if name != "bench":
        raise AttributeError(f"module 'benchmarks' has no attribute {name!r}")
    from benchmarks.run import bench

    return bench
